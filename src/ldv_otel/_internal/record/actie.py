"""Which span is an Actie, and the Logregels it makes.

Spans come in three ways: from the SDK as they end, through an exporter that is wired by hand, and from files. Each way
in gathers `SpanFacts` (`record/span_facts.py`); the rules by which these become records stand here, once, and
`record/builder.py` makes the records themselves.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import ldv_otel.attributes as names
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.config.variables import UNKNOWN_CALLER_URL
from ldv_otel._internal.privacy.pseudonyms import (
    PSEUDONYM_BYTES,
    DataSubject,
    digits_of,
    normalise_identifier,
    normalise_type,
)
from ldv_otel._internal.privacy.redaction import Redactor
from ldv_otel._internal.privacy.stray_numbers import StrayNumbers, stray_numbers
from ldv_otel._internal.record.builder import LogregelBuilder, child_of, resource_of
from ldv_otel._internal.record.cut_values import may_be_cut, of_nobody
from ldv_otel._internal.record.last_resort import bare_record
from ldv_otel._internal.record.logregel import Logregel, Status, encode_logregel
from ldv_otel._internal.record.ordinary import ordinary_record
from ldv_otel._internal.record.resource_choice import (
    NO_RESOURCE,
    USUAL_CHOICE,
    RecordResource,
    ResourceChoice,
    resource_choice,
)
from ldv_otel._internal.record.span_facts import ExceptionFacts, ForeignOperation, SpanFacts
from ldv_otel._internal.times.instants import ms_from_ns
from ldv_otel.attributes import Flag

#: A line of a stack trace that holds a place and no values: Python's, and the `at` lines of Java and JavaScript.
_FRAME: Final = re.compile(r'File "[^"\n]*", line \d+, in [\w.<>]+|at [\w.$<>/ ]+\([\w.$:/-]*\)')
#: What stands before it; Python draws a line beside the frames of each exception of a group.
_INDENTATION: Final = " \t|"
_MAX_FRAME_CHARACTERS: Final = 4_096


_NAMES_NEXT_LOGBOOK: Final = frozenset(names.NEXT_LOGBOOK_NAMES)


def is_actie(attributes: Mapping[str, object]) -> bool:
    """Return whether these span attributes make the span an Actie (the rule under LDV-A3, with the marks of LDV-N9)."""
    for name in names.ACTIE_MARKS:
        if name in attributes:
            return True
    return any(name.startswith(names.ACTIE_PREFIXES) for name in attributes)


def activity_of(attributes: Mapping[str, object]) -> object:
    """Return the activity these attributes name: the standard's own attribute, else the one of *objecten*."""
    if named := attributes.get(names.PROCESSING_ACTIVITY_ID):
        return named
    for name in names.OBJECTS_PROCESSING_ACTIVITY_NAMES:
        if named := attributes.get(name):
            return named
    return ""


class LogregelMaker:
    """Makes the Logregels of an Actie.

    Args:
        pseudonymise: Makes a data subject of an identifier and its type, as they were set on a span.
        exception_messages: Keep `exception.message` and whole stack traces. Off by default: they quote values, and so
            personal data.
        stray: What becomes of BSNs that nobody named; by default they are redacted (LDV-N14).
        unknown_caller: The URL of a calling application that nobody knows (LDV-N10).
        resources: Which attributes of a resource records keep (LDV-N8).

    Attributes:
        left_out: The names of resource attributes that no record got, as they are shown.
        last_resource: The resource of the last record, and its form in records: nearly every process has one alone.
        knows: Says whether the Register has an activity; None where that is not checked (LDV-N15).
    """

    def __init__(
        self,
        pseudonymise: Callable[[object, object], DataSubject],
        *,
        exception_messages: bool = False,
        stray: StrayNumbers | None = None,
        resources: ResourceChoice = USUAL_CHOICE,
        unknown_caller: str = UNKNOWN_CALLER_URL,
    ) -> None:
        self.pseudonymise = pseudonymise
        self.stray = stray or StrayNumbers()
        self.left_out: dict[str, None] = {}
        self.last_resource: tuple[object, RecordResource] = (None, NO_RESOURCE)
        self._resources = resources
        self._unknown_caller = unknown_caller
        self.knows: Callable[[str], bool] | None = None
        self._exception_messages = exception_messages

    @classmethod
    def from_settings(
        cls, settings: Settings, pseudonymise: Callable[[object, object], DataSubject] | None = None
    ) -> LogregelMaker:
        """Return a maker with the keys of the settings; it does not check activities until `knows` is set.

        Args:
            pseudonymise: In the place of those keys, where they were read already.

        Raises:
            ConfigurationError: There are no keys, or they cannot be used.
        """
        if pseudonymise is None:
            # OpenSSL takes 3 ms to load, and keys load it.
            from ldv_otel._internal.privacy.key_file import pseudonymiser_for

            pseudonymise = pseudonymiser_for(settings).subject
        return cls(
            pseudonymise,
            exception_messages=settings.exception_messages,
            stray=stray_numbers(settings),
            resources=resource_choice(settings),
            unknown_caller=settings.unknown_caller_url,
        )

    def record_resource(self, attributes: Mapping[str, object]) -> RecordResource:
        """Return a resource as the records of its process hold it."""
        resource = resource_of(attributes, self._resources, stray=self.stray)
        if resource.left_out:
            self.left_out = dict.fromkeys((*self.left_out, *resource.left_out))
        return resource

    def make(self, facts: SpanFacts) -> list[Logregel]:
        """Return the Actie's record, and a child record for every further data subject (LDV-A4) and party called.

        Never raises; what was normalised is named in the record's `ldv.flags`. An error that nobody foresaw gives bare
        records (`record/last_resort.py`).
        """
        try:
            return self._make(facts)
        except Exception as error:  # LDV-A8: whatever it is, the record is not lost
            return self.bare(facts, error)

    def bare(self, facts: SpanFacts, error: Exception) -> list[Logregel]:
        """Return the bare records of an Actie whose own could not be made, one for each data subject that is known."""
        try:
            subjects, _ = self._subjects(facts)
        except Exception:  # an identifier may be what cannot be read; those that were named before stay
            subjects = facts.subjects
        record = bare_record(
            facts.trace_id,
            facts.span_id,
            (facts.start_time_ns, facts.end_time_ns),
            error,
            status=facts.status,
            activity=activity_of(facts.attributes),
            subject=subjects[0] if subjects else None,
            redactor=facts.redactor,
            stray=self.stray,
        )
        return [record, *_children(record, subjects, ())]

    def _make(self, facts: SpanFacts) -> list[Logregel]:
        attributes, redactor = facts.attributes, facts.redactor
        subjects, left_out = self._subjects(facts)
        if redactor is None and names.DATA_SUBJECT_ID in attributes:
            redactor = Redactor(identifiers_in(attributes))
        # The Register is asked by the builder alone.
        if self.knows is None and not (left_out or facts.read_apis) and UNUSUAL.isdisjoint(attributes):
            record = ordinary_record(facts, subjects, activity_of(attributes), redactor, self.stray)
            if record is not None:
                return [record]
        return self._build(facts, subjects, left_out, redactor)

    def _build(
        self, facts: SpanFacts, subjects: Sequence[DataSubject], left_out: Sequence[Flag], redactor: Redactor | None
    ) -> list[Logregel]:
        """Return the records of any Actie; what `ordinary_record` makes equals what this does."""
        # Everything that only needs the facts comes before the builder: one way there, and not one for each field.
        attributes, enclosing, foreign, exception = facts.attributes, facts.enclosing, facts.foreign, facts.exception
        start_ms, end_ms = ms_from_ns(facts.start_time_ns), ms_from_ns(facts.end_time_ns)
        parent, own_activity, called = _parent(facts), activity_of(attributes), _read_apis(facts)
        builder = LogregelBuilder(facts.trace_id, facts.span_id, redactor, stray=self.stray, closed=facts.closed)
        builder.knows = self.knows
        flags = (*facts.flags, *left_out)
        if flags or facts.originals:
            builder.before(flags, facts.originals)
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
        if facts.outbound_span_ids:
            builder.outbound(facts.outbound_span_ids)
        builder.span_attributes(attributes)
        if facts.extended:
            builder.extended(facts.extended)
        builder.resource(facts.resource)
        if foreign is not None or not _CALLER.isdisjoint(attributes):
            self._set_caller(builder, foreign, attributes)
        if exception is not None and facts.status is Status.ERROR:
            self._set_exception(builder, exception)
        read_apis = builder.read_apis(called) if called else ()
        record = builder.build()
        if len(subjects) <= 1 and len(read_apis) <= 1:
            return [record]
        return [record, *_children(record, subjects, read_apis)]

    def _subjects(self, facts: SpanFacts) -> tuple[Sequence[DataSubject], Sequence[Flag]]:
        """Return the data subjects, each once, and what was odd about those that are left out: they are nobody."""
        attributes = facts.attributes
        if names.DATA_SUBJECT_ID not in attributes and len(facts.subjects) <= 1:
            return facts.subjects, ()
        subjects = list(facts.subjects)
        if names.DATA_SUBJECT_ID in attributes:
            type_ = attributes.get(names.DATA_SUBJECT_ID_TYPE)
            alone = {names.DATA_SUBJECT_ID: attributes[names.DATA_SUBJECT_ID]}
            for value in _several(attributes):
                if facts.length_limit is not None and may_be_cut(value, type_, alone, facts.length_limit):
                    subjects.append(of_nobody(type_))
                else:
                    subjects.append(self.pseudonymise(value, type_))
        if len(subjects) < 2:  # noqa: PLR2004
            return subjects, ()
        unique: dict[tuple[bytes, str], DataSubject] = {}
        left_out: dict[Flag, None] = {}
        for subject in subjects:
            if subject.pseudonym:
                unique.setdefault((subject.pseudonym, subject.type), subject)
            else:
                left_out.update(dict.fromkeys(subject.flags))
        return list(unique.values()) or subjects[:1], list(left_out)

    def _set_caller(
        self, builder: LogregelBuilder, foreign: ForeignOperation | None, attributes: Mapping[str, object]
    ) -> None:
        """Set the caller: of the inbound call, and over it as the application itself names it."""
        if foreign is not None:
            builder.foreign_operation(foreign.trace_id, foreign.span_id, foreign.processor)
            if foreign.transaction_id:
                builder.transaction_id(foreign.transaction_id)
        named = _set_named_caller(builder, attributes)
        if named or foreign is not None:
            builder.unknown_caller(self._unknown_caller)

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
    if not isinstance(value, list | tuple):
        return (value,)
    if len(value) < _BYTES_MIN or not all(type(item) is int and item in _ASCII_DIGITS for item in value):
        return value
    # OpenTelemetry makes a list of a bytearray: these are the digits of one number, and not so many people. In a list
    # of its own, so that the record says that this was guessed.
    type_, _ = normalise_type(attributes.get(names.DATA_SUBJECT_ID_TYPE))
    one_number = digits_of(type_) is not None or len(set(value)) < len(value)
    return [["".join(map(chr, value))]] if one_number else value


#: Fewer may well be people; a number of a person has at least as many digits.
_BYTES_MIN: Final = 5
_ASCII_DIGITS: Final = range(ord("0"), ord("9") + 1)


def stacktrace_without_values(stacktrace: str) -> str:
    """Return only the lines that name places in code: messages and source lines may quote personal data."""
    # Line by line: a pattern with blanks beside the ends of lines takes a square of the blank lines of a message.
    lines = (line.strip().lstrip(_INDENTATION) for line in stacktrace.splitlines())
    return "\n".join(line for line in lines if len(line) <= _MAX_FRAME_CHARACTERS and _FRAME.fullmatch(line))


_NOBODY: Final = DataSubject(b"", "", "")


def _children(record: Logregel, subjects: Sequence[DataSubject], read_apis: Sequence[str]) -> Iterator[Logregel]:
    further = [(other, record.external_read_api_id) for other in subjects[1:]]
    # A question about one of these people has to find every party that was called.
    further += [(other, read_api) for read_api in read_apis[1:] for other in subjects or [_NOBODY]]
    for number, (other, read_api) in enumerate(further, 1):
        yield child_of(record, other, _child_id(record, number), read_api)


#: Attributes by which an application itself names its caller.
_CALLER: Final = frozenset({*names.BARE_FOREIGN_OPERATION, *names.BARE_FOREIGN_OPERATION.values()})
#: Attributes that an ordinary Actie does not have.
UNUSUAL: Final = _CALLER | _NAMES_NEXT_LOGBOOK | {names.PARENT_PROCESSING_ACTIVITY_ID}


def _set_named_caller(builder: LogregelBuilder, attributes: Mapping[str, object]) -> bool:
    """Set the caller's trace, span and URL as the application itself names them.

    Returns:
        Whether it names any of them.
    """
    caller = {full: attributes.get(full) or attributes.get(bare) for bare, full in names.BARE_FOREIGN_OPERATION.items()}
    if trace_id := caller[names.FOREIGN_OPERATION_TRACE_ID]:
        builder.hex_id(trace_id, "foreign_operation_trace_id", 16)
    if span_id := caller[names.FOREIGN_OPERATION_SPAN_ID]:
        builder.hex_id(span_id, "foreign_operation_span_id", 8)
    if processor := caller[names.FOREIGN_OPERATION_PROCESSOR]:
        builder.processor(processor)
    return any(caller.values())


def _read_apis(facts: SpanFacts) -> Sequence[object]:
    """Return where the parties that were called can be read; the application's own attribute goes first."""
    attributes = facts.attributes
    # Asked by name, not found by a loop: of most Acties none is there.
    if _NAMES_NEXT_LOGBOOK.isdisjoint(attributes):
        return facts.read_apis
    named: list[object] = []
    for name in names.NEXT_LOGBOOK_NAMES:
        own = attributes.get(name)
        if own is not None:
            named += own if isinstance(own, list | tuple) else (own,)
    # Compared and not hashed: an application may have set anything.
    return (*(url for index, url in enumerate(named) if url not in named[:index]), *facts.read_apis)


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
