"""Which span is an Actie, and the Logregels it makes.

Spans come from three sides: the SDK as they end, exporters that are wired by hand, and files. Each side brings the
facts it has; the rules stand here, once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from ldv_otel import attributes as names
from ldv_otel._internal.privacy.pseudonyms import PSEUDONYM_BYTES, DataSubject
from ldv_otel._internal.record.builder import LogregelBuilder
from ldv_otel._internal.record.logregel import Logregel, Status, encode_logregel
from ldv_otel._internal.times.instants import ms_from_ns
from ldv_otel.attributes import Flag

#: Lines of a stack trace that hold places and no values: Python's, and the `at` lines of Java and JavaScript.
_FRAME: Final = re.compile(
    r'^\s*(?:File "[^"\n]*", line \d+, in [\w.<>]+|at [\w.$<>/ ]+\([\w.$:/-]*\))\s*$', re.MULTILINE
)


#: Attributes of a record that no extension has put there, and those of them that do hold for all its people.
_OURS: Final = (names.NAMESPACE, "exception.", "ldv.")
_FOR_ALL: Final = frozenset({names.CONFIDENTIAL, names.KEPT_UNTIL})


class ExceptionFacts(msgspec.Struct, frozen=True):
    """An exception as it was recorded on a span."""

    type: str
    stacktrace: str = ""
    message: str = ""


class EnclosingActie(msgspec.Struct, frozen=True):
    """The nearest enclosing Actie in the same application.

    Attributes:
        inherited: Attributes of extensions that hold for Acties inside it too.
    """

    span_id: bytes
    processing_activity_id: str
    inherited: Mapping[str, object] = {}


class ForeignOperation(msgspec.Struct, frozen=True):
    """What is known of the caller (LDV-A6).

    Attributes:
        trace_id: As the inbound trace context said; empty when there was none.
        span_id: Of the calling Actie, or of the technical span that went out from it; empty as `trace_id`.
        processor: URL of the calling application, if it was proven (LDV-X4).
        attributes: What its headers said to extensions.
    """

    trace_id: bytes
    span_id: bytes
    processor: str = ""
    attributes: Mapping[str, str] = {}


class SpanFacts(msgspec.Struct, kw_only=True, gc=False):
    """What is known of one ended span.

    Attributes:
        attributes: As set on the span; only those of the standard enter the record (LDV-A9).
        extended: Attributes of extensions that enter it too.
        subjects: Data subjects that were named without touching the span.
        enclosing: None when no Actie of this application encloses the span.
        foreign: None unless another application called.
        read_apis: Where the Logregels of the parties that were called can be read.
        resource: JSON object, see `Logregel.resource`.
        flags: What was bent before the facts got here.
        originals: What had to be replaced before the facts got here, by field.
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
    resource: str = "{}"
    flags: tuple[Flag, ...] = ()
    originals: Mapping[str, str] = {}


def is_actie(attributes: Mapping[str, object]) -> bool:
    """Say whether these span attributes make the span an Actie (the rule under LDV-A3)."""
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
        pseudonymise: From identifier and type, as found on a span, to a data subject.
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

        Never raises on odd values; what was bent is named in the record's `ldv.flags`.
        """
        # What only needs the facts comes before what the builder does: one way there, and not one for each field.
        start_ms, end_ms = ms_from_ns(facts.start_time_ns), ms_from_ns(facts.end_time_ns)
        subjects, parent = self._subjects(facts), _parent(facts)
        builder = LogregelBuilder()
        rare = _foreign(builder, facts)
        read_apis = _read_apis(builder, facts)
        attributes = self._attributes(builder, facts)
        activity, parent_activity = _activities(builder, facts)
        if facts.flags:
            builder.flag(*facts.flags)
        for field, original in facts.originals.items():
            builder.keep(field, builder.text(original))
        start_time_ms, end_time_ms = builder.times(start_ms, end_ms)
        if parent_activity:
            rare["parent_processing_activity_id"] = parent_activity
        if read_apis:
            rare["external_read_api_id"] = read_apis[0]
        subject = subjects[0] if subjects else _NOBODY
        if subject.flags:
            builder.flag(*subject.flags)
        record = Logregel(
            trace_id=facts.trace_id,
            span_id=facts.span_id,
            parent_span_id=parent,
            status=facts.status,
            name=builder.name(facts.name),
            start_time_ms=start_time_ms,
            end_time_ms=end_time_ms,
            processing_activity_id=activity,
            data_subject_id=subject.pseudonym,
            data_subject_id_type=builder.text(subject.type),
            key_id=subject.key_id,
            data_subject_sealed=builder.text(subject.sealed) if subject.sealed else "",
            outbound_span_ids=facts.outbound_span_ids,
            attributes=builder.finish(attributes),
            resource=facts.resource,
        )
        if rare:
            # Apart, because CPython takes three times as long for a call with more than 15 keywords.
            record = msgspec.structs.replace(record, **rare)
        if len(subjects) <= 1 and len(read_apis) <= 1:
            return [record]
        further = [(other, record.external_read_api_id) for other in subjects[1:]]
        # Whoever asks about one of these people has to find every party that was called.
        further += [(other, read_api) for read_api in read_apis[1:] for other in subjects or [_NOBODY]]
        return [
            record,
            *(
                child_of(record, other, _child_id(record, number), read_api)
                for number, (other, read_api) in enumerate(further, 1)
            ),
        ]

    def _subjects(self, facts: SpanFacts) -> Sequence[DataSubject]:
        if names.DATA_SUBJECT_ID not in facts.attributes and len(facts.subjects) <= 1:
            return facts.subjects
        found = list(facts.subjects)
        if names.DATA_SUBJECT_ID in facts.attributes:
            identifiers = facts.attributes[names.DATA_SUBJECT_ID]
            type_ = facts.attributes.get(names.DATA_SUBJECT_ID_TYPE)
            # A list is several people; the standard wants a record for each (LDV-A4).
            several = identifiers if isinstance(identifiers, list | tuple) else (identifiers,)
            found.extend(self.pseudonymise(identifier, type_) for identifier in several)
        if len(found) < 2:  # noqa: PLR2004
            return found
        unique: dict[tuple[bytes, str], DataSubject] = {}
        for subject in found:
            if subject.pseudonym:
                unique.setdefault((subject.pseudonym, subject.type), subject)
        return list(unique.values()) or found[:1]

    def _attributes(self, builder: LogregelBuilder, facts: SpanFacts) -> dict[str, str]:
        kept = {
            builder.text(name): builder.text(value)
            for name, value in facts.attributes.items()
            if name.startswith(names.NAMESPACE) and name not in names.FIELDS
        }
        if facts.extended:
            kept |= {name: builder.text(value) for name, value in facts.extended.items()}
        exception = facts.exception
        if exception is not None and facts.status is Status.ERROR:
            kept[names.EXCEPTION_TYPE] = builder.text(exception.type)
            if self._exception_messages:
                kept[names.EXCEPTION_MESSAGE] = builder.text(exception.message)
                kept[names.EXCEPTION_STACKTRACE] = builder.text(exception.stacktrace)
            elif exception.stacktrace:
                kept[names.EXCEPTION_STACKTRACE] = builder.text(stacktrace_without_values(exception.stacktrace))
        return kept


def stacktrace_without_values(stacktrace: str) -> str:
    """Return only the lines that name places: messages and source lines may quote personal data."""
    return "\n".join(line.strip() for line in _FRAME.findall(stacktrace))


_NOBODY: Final = DataSubject(b"", "", "")


def _activities(builder: LogregelBuilder, facts: SpanFacts) -> tuple[str, str]:
    """Return the activity, inherited where the span names none (LDV-A3), and the main operation's (LDV-A12)."""
    enclosing = facts.enclosing.processing_activity_id if facts.enclosing else ""
    activity = builder.activity(activity_of(facts.attributes)) or enclosing
    if not activity:
        builder.flag(Flag.ACTIVITY_MISSING)
    given = facts.attributes.get(names.PARENT_PROCESSING_ACTIVITY_ID)
    if given:
        return activity, builder.activity(given, "parent_processing_activity_id")
    return activity, enclosing if enclosing != activity else ""


def _foreign(builder: LogregelBuilder, facts: SpanFacts) -> dict[str, bytes | str]:
    """Return the fields of the caller's trace, span and URL: as the application says, else as the inbound call said."""
    given, inbound = facts.attributes, facts.foreign
    found: dict[str, bytes | str] = {}
    if inbound is not None:
        found["foreign_operation_trace_id"] = inbound.trace_id
        found["foreign_operation_span_id"] = inbound.span_id
        found["foreign_operation_processor"] = builder.text(inbound.processor)
    if (said := given.get(names.FOREIGN_OPERATION_TRACE_ID)) and (
        known := builder.hex_id(said, "foreign_operation_trace_id", 16)
    ):
        found["foreign_operation_trace_id"] = known
    if (said := given.get(names.FOREIGN_OPERATION_SPAN_ID)) and (
        known := builder.hex_id(said, "foreign_operation_span_id", 8)
    ):
        found["foreign_operation_span_id"] = known
    if said := given.get(names.FOREIGN_OPERATION_PROCESSOR):
        found["foreign_operation_processor"] = builder.text(said)
    return found


def _read_apis(builder: LogregelBuilder, facts: SpanFacts) -> list[str]:
    """Return where the parties that were called can be asked, each once; what the application said goes first."""
    if not facts.read_apis and names.EXTERNAL_READ_API_ID not in facts.attributes:
        return []
    said = facts.attributes.get(names.EXTERNAL_READ_API_ID, ())
    several = said if isinstance(said, list | tuple) else (said,)
    found = (builder.text(url).strip() for url in (*several, *facts.read_apis))
    return list(dict.fromkeys(url for url in found if url))


def _parent(facts: SpanFacts) -> bytes:
    """Return the calling Actie: here, else at the caller when the trace continues from there (LDV-A2)."""
    if facts.enclosing is not None:
        return facts.enclosing.span_id
    if facts.foreign is not None and facts.foreign.trace_id == facts.trace_id:
        return facts.foreign.span_id
    return b""


def interrupted(record: Logregel) -> Logregel:
    """Return a record, made when its Actie began, as it stands if the Actie never ends."""
    flags = ",".join(sorted({*record.flags, Flag.END_MISSING}))
    attributes = {**record.attributes, names.INTERRUPTED: "true", names.FLAGS: flags}
    return msgspec.structs.replace(record, status=Status.ERROR, attributes=attributes)


def child_of(parent: Logregel, subject: DataSubject, span_id: bytes, read_api: str = "") -> Logregel:
    """Return the record of one further data subject or called party: a child Actie of the record's own (LDV-A4)."""
    builder = LogregelBuilder()
    builder.flag(*subject.flags)
    return Logregel(
        trace_id=parent.trace_id,
        span_id=span_id,
        parent_span_id=parent.span_id,
        status=parent.status,
        name=parent.name,
        start_time_ms=parent.start_time_ms,
        end_time_ms=parent.end_time_ms,
        processing_activity_id=parent.processing_activity_id,
        data_subject_id=subject.pseudonym,
        data_subject_id_type=builder.text(subject.type),
        key_id=subject.key_id,
        data_subject_sealed=builder.text(subject.sealed),
        external_read_api_id=read_api,
        attributes=builder.finish({name: text for name, text in parent.attributes.items() if _holds_for_all(name)}),
        resource=parent.resource,
    )


def _holds_for_all(name: str) -> bool:
    """Whether an attribute of an Actie holds for each of its people, as what extensions say does."""
    return name in _FOR_ALL or not name.startswith(_OURS)


class ChildEncoder:
    """Encodes many children of one Actie: what they have in common is encoded once.

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
    from hashlib import sha256  # noqa: PLC0415  (OpenSSL takes 3 ms to load, and keys load it)

    return sha256(b"%b%b%d" % (parent.trace_id, parent.span_id, number)).digest()[:8]
