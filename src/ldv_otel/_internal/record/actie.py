"""Which span is an Actie, and the Logregels it makes.

Spans come in three ways: from the SDK as they end, through an exporter that is wired by hand, and from files. Each way
in gathers `SpanFacts`; the rules by which these become records stand here, once, and `record/builder.py` makes the
records themselves.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

import ldv_otel.attributes as names
from ldv_otel._internal.privacy.pseudonyms import PSEUDONYM_BYTES, DataSubject, normalise_identifier
from ldv_otel._internal.privacy.redaction import Redactor
from ldv_otel._internal.record.builder import NO_RESOURCE, LogregelBuilder, RecordResource, child_of
from ldv_otel._internal.record.logregel import Logregel, Status, encode_logregel
from ldv_otel._internal.times.instants import ms_from_ns
from ldv_otel.attributes import Flag

#: Lines of a stack trace that hold places and no values: Python's, and the `at` lines of Java and JavaScript.
_FRAME: Final = re.compile(
    r'^\s*(?:File "[^"\n]*", line \d+, in [\w.<>]+|at [\w.$<>/ ]+\([\w.$:/-]*\))\s*$', re.MULTILINE
)


class ExceptionFacts(msgspec.Struct, frozen=True):
    """An exception as it was recorded on a span."""

    type: str
    stacktrace: str = ""
    message: str = ""


class EnclosingActie(msgspec.Struct, frozen=True):
    """The nearest enclosing Actie in the same application.

    Attributes:
        span_id: 8 bytes.
        processing_activity_id: URI of its Verwerkingsactiviteit; empty when it has none, or is not known here.
        inherited: Attributes of extensions that hold for Acties inside it too.
    """

    span_id: bytes
    processing_activity_id: str
    inherited: Mapping[str, object] = {}


class ForeignOperation(msgspec.Struct, frozen=True):
    """The operation at another organisation, or in another application, that called (LDV-A6).

    Attributes:
        trace_id: Of the inbound trace context; empty when there was none.
        span_id: Of the calling Actie, or of the technical span that went out from it; empty as `trace_id`.
        processor: URL of the calling application, if it was proven (LDV-X4).
        attributes: What extensions read in its headers.
    """

    trace_id: bytes
    span_id: bytes
    processor: str = ""
    attributes: Mapping[str, str] = {}


class SpanFacts(msgspec.Struct, kw_only=True, gc=False):
    """The facts of one ended span, from which its records are made.

    Each way in gathers them: `sdk/span_facts.py` for the processor and the exporter, `importer/spans.py` for files.

    Attributes:
        name: Of the span, of any type.
        attributes: As set on the span; only those of the standard enter the record (LDV-A9).
        extended: Attributes of extensions that enter it too.
        subjects: Data subjects that were named without an attribute of the span; identifiers in `attributes` are added.
        enclosing: None when no Actie of this application encloses the span.
        foreign: None unless another application called.
        outbound_span_ids: See `Logregel.outbound_span_ids`.
        read_apis: Where the Logregels of the parties that were called can be read.
        exception: Enters the record of a span with status `ERROR`.
        flags: What was normalised before the facts got here.
        originals: Values that had to be replaced before the facts got here, by field.
        redactor: Searches for the identifiers known of the span and its trace; None where the way in knows none but
            those in `attributes`.
        closed: See `LogregelBuilder`.
        named_by_code: See `LogregelBuilder.name`.
    """

    trace_id: bytes
    span_id: bytes
    name: object
    start_time_ns: int
    end_time_ns: int
    status: Status = Status.UNSET
    attributes: Mapping[str, object]
    extended: Mapping[str, object] = {}
    subjects: Sequence[DataSubject] = ()
    enclosing: EnclosingActie | None = None
    foreign: ForeignOperation | None = None
    outbound_span_ids: tuple[bytes, ...] = ()
    read_apis: Sequence[object] = ()
    exception: ExceptionFacts | None = None
    resource: RecordResource = NO_RESOURCE
    flags: tuple[Flag, ...] = ()
    originals: Mapping[str, str] = {}
    redactor: Redactor | None = None
    closed: bool = False
    named_by_code: bool = False


def is_actie(attributes: Mapping[str, object]) -> bool:
    """Return whether these span attributes make the span an Actie (the rule under LDV-A3)."""
    for name in names.ACTIE_MARKS:
        if name in attributes:
            return True
    return names.DATA_SUBJECT_ID in attributes


def activity_of(attributes: Mapping[str, object]) -> object:
    """Return the activity these attributes name: the standard's own attribute, else the one of *objecten*."""
    return attributes.get(names.PROCESSING_ACTIVITY_ID) or attributes.get(names.OBJECTS_PROCESSING_ACTIVITY_ID) or ""


class LogregelMaker:
    """Makes the Logregels of an Actie.

    Args:
        pseudonymise: Makes a data subject of an identifier and its type, as they were set on a span.
        exception_messages: Keep `exception.message` and whole stack traces. Off by default: they quote values, and so
            personal data.
    """

    def __init__(
        self, pseudonymise: Callable[[object, object], DataSubject], *, exception_messages: bool = False
    ) -> None:
        self.pseudonymise = pseudonymise
        self._exception_messages = exception_messages

    def make(self, facts: SpanFacts) -> list[Logregel]:
        """Return the Actie's record, and a child record for every further data subject (LDV-A4) and party called.

        Never raises on odd values; what was normalised is named in the record's `ldv.flags`.
        """
        # Everything that only needs the facts comes before the builder: one way there, and not one for each field.
        attributes, enclosing, foreign, exception = facts.attributes, facts.enclosing, facts.foreign, facts.exception
        start_ms, end_ms = ms_from_ns(facts.start_time_ns), ms_from_ns(facts.end_time_ns)
        subjects, parent, own_activity = self._subjects(facts), _parent(facts), activity_of(attributes)
        called = _read_apis(facts)
        redactor = facts.redactor
        if redactor is None and names.DATA_SUBJECT_ID in attributes:
            redactor = Redactor(identifiers_in(attributes))
        builder = LogregelBuilder(facts.trace_id, facts.span_id, redactor, closed=facts.closed)
        if facts.flags or facts.originals:
            builder.before(facts.flags, facts.originals)
        builder.parent(parent)
        builder.status(facts.status)
        builder.name(facts.name, of_code=facts.named_by_code)
        builder.period(start_ms, end_ms)
        builder.activities(
            own_activity,
            enclosing.processing_activity_id if enclosing is not None else "",
            attributes.get(names.PARENT_PROCESSING_ACTIVITY_ID),
        )
        if subjects:
            builder.subject(subjects[0])
        if foreign is not None:
            builder.foreign_operation(foreign.trace_id, foreign.span_id, foreign.processor)
        if facts.outbound_span_ids:
            builder.outbound(facts.outbound_span_ids)
        builder.span_attributes(attributes)
        if facts.extended:
            builder.extended(facts.extended)
        builder.resource(facts.resource)
        if not _CALLER.isdisjoint(attributes):
            _set_caller(builder, attributes)
        if exception is not None and facts.status is Status.ERROR:
            self._set_exception(builder, exception)
        read_apis = builder.read_apis(called) if called else ()
        record = builder.build()
        if len(subjects) <= 1 and len(read_apis) <= 1:
            return [record]
        return [record, *_children(record, subjects, read_apis)]

    def _subjects(self, facts: SpanFacts) -> Sequence[DataSubject]:
        if names.DATA_SUBJECT_ID not in facts.attributes and len(facts.subjects) <= 1:
            return facts.subjects
        subjects = list(facts.subjects)
        if names.DATA_SUBJECT_ID in facts.attributes:
            type_ = facts.attributes.get(names.DATA_SUBJECT_ID_TYPE)
            subjects.extend(self.pseudonymise(value, type_) for value in _several(facts.attributes))
        if len(subjects) < 2:  # noqa: PLR2004
            return subjects
        unique: dict[tuple[bytes, str], DataSubject] = {}
        for subject in subjects:
            if subject.pseudonym:
                unique.setdefault((subject.pseudonym, subject.type), subject)
        return list(unique.values()) or subjects[:1]

    def _set_exception(self, builder: LogregelBuilder, exception: ExceptionFacts) -> None:
        builder.attribute(names.EXCEPTION_TYPE, exception.type)
        if self._exception_messages:
            builder.quotation(names.EXCEPTION_MESSAGE, exception.message)
            builder.quotation(names.EXCEPTION_STACKTRACE, exception.stacktrace)
        elif exception.stacktrace:
            # Lines are chosen before anything is redacted: a redacted line may no longer look like a place.
            builder.quotation(names.EXCEPTION_STACKTRACE, stacktrace_without_values(exception.stacktrace))


def identifiers_in(attributes: Mapping[str, object]) -> list[tuple[str, str | None]]:
    """Return the identifiers of data subjects that are set in a span's attributes, each as text with its type."""
    if names.DATA_SUBJECT_ID not in attributes:
        return []
    type_ = attributes.get(names.DATA_SUBJECT_ID_TYPE)
    type_name = type_ if isinstance(type_, str) else None
    texts = (value if type(value) is str else normalise_identifier("", value)[0] for value in _several(attributes))
    return [(text, type_name) for text in texts if text]


def _several(attributes: Mapping[str, object]) -> Sequence[object]:
    """Return the identifiers in the attribute: a list is several people, each with a record of its own (LDV-A4)."""
    value = attributes[names.DATA_SUBJECT_ID]
    return value if isinstance(value, list | tuple) else (value,)


def stacktrace_without_values(stacktrace: str) -> str:
    """Return only the lines that name places in code: messages and source lines may quote personal data."""
    return "\n".join(line.strip() for line in _FRAME.findall(stacktrace))


_NOBODY: Final = DataSubject(b"", "", "")


def _children(record: Logregel, subjects: Sequence[DataSubject], read_apis: Sequence[str]) -> Iterator[Logregel]:
    further = [(other, record.external_read_api_id) for other in subjects[1:]]
    # A question about one of these people has to find every party that was called.
    further += [(other, read_api) for read_api in read_apis[1:] for other in subjects or [_NOBODY]]
    for number, (other, read_api) in enumerate(further, 1):
        yield child_of(record, other, _child_id(record, number), read_api)


#: Attributes by which an application itself names its caller.
_CALLER: Final = frozenset(
    {names.FOREIGN_OPERATION_TRACE_ID, names.FOREIGN_OPERATION_SPAN_ID, names.FOREIGN_OPERATION_PROCESSOR}
)


def _set_caller(builder: LogregelBuilder, attributes: Mapping[str, object]) -> None:
    """Set the caller's trace, span and URL as the application itself names them, over those of the inbound call."""
    if trace_id := attributes.get(names.FOREIGN_OPERATION_TRACE_ID):
        builder.hex_id(trace_id, "foreign_operation_trace_id", 16)
    if span_id := attributes.get(names.FOREIGN_OPERATION_SPAN_ID):
        builder.hex_id(span_id, "foreign_operation_span_id", 8)
    if processor := attributes.get(names.FOREIGN_OPERATION_PROCESSOR):
        builder.processor(processor)


def _read_apis(facts: SpanFacts) -> Sequence[object]:
    """Return where the parties that were called can be read; the application's own attribute goes first."""
    own = facts.attributes.get(names.EXTERNAL_READ_API_ID)
    if own is None:
        return facts.read_apis
    return (*(own if isinstance(own, list | tuple) else (own,)), *facts.read_apis)


def _parent(facts: SpanFacts) -> bytes:
    """Return the calling Actie: here, else at the caller when the trace continues from there (LDV-A2)."""
    if facts.enclosing is not None:
        return facts.enclosing.span_id
    if facts.foreign is not None and facts.foreign.trace_id == facts.trace_id:
        return facts.foreign.span_id
    return b""


class ChildEncoder:
    """Encodes many child records of one Actie; the bytes that they have in common are made once.

    Args:
        parent: The Actie's record, as far as it is known.
    """

    def __init__(self, parent: Logregel) -> None:
        self._parent = parent
        self._common: dict[tuple[str, str, tuple[Flag, ...]], tuple[bytes, bytes, bytes]] = {}

    def encode(self, subject: DataSubject, span_id: bytes) -> bytes:
        """Return the bytes of `child_of`."""
        if subject.sealed or not subject.pseudonym:
            return encode_logregel(child_of(self._parent, subject, span_id))
        kind = (subject.type, subject.key_id, subject.flags)
        common = self._common.get(kind)
        if common is None:
            common = self._common[kind] = self._encode_common(subject)
        before, between, after = common
        return b"".join((before, span_id, between, subject.pseudonym, after))

    def _encode_common(self, subject: DataSubject) -> tuple[bytes, bytes, bytes]:
        """Return what comes before the span id, between it and the pseudonym, and after that."""
        span_id, pseudonym = os.urandom(8), os.urandom(PSEUDONYM_BYTES)
        like = DataSubject(pseudonym, subject.type, subject.key_id, flags=subject.flags)
        before, _, rest = encode_logregel(child_of(self._parent, like, span_id)).partition(span_id)
        between, _, after = rest.partition(pseudonym)
        return before, between, after


def _child_id(parent: Logregel, number: int) -> bytes:
    """Return a span id that is the same each time, so that a file imported twice gives the same records."""
    from hashlib import sha256  # OpenSSL takes 3 ms to load, and keys load it

    return sha256(b"%b%b%d" % (parent.trace_id, parent.span_id, number)).digest()[:8]
