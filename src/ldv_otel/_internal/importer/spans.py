"""From the bytes of a file to the spans that an import needs.

A problem names its line and the path in the JSON there, and quotes nothing of the file: any value may be about a
person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from ldv_otel._internal.importer.any_value import attributes_of
from ldv_otel._internal.importer.json_values import JsonValue, MalformedJson, file_text, json_values
from ldv_otel._internal.importer.span_fields import (
    SPAN_ID_BYTES,
    TRACE_ID_BYTES,
    Id,
    common_fields,
    first,
    is_outbound,
    read_id,
    read_status,
)
from ldv_otel._internal.importer.span_objects import SpanObject, UnreadablePart, span_objects
from ldv_otel._internal.importer.span_times import read_times
from ldv_otel._internal.record.actie import is_actie
from ldv_otel._internal.record.logregel import Status
from ldv_otel._internal.record.overlooked import overlooked_names
from ldv_otel._internal.record.resource_choice import NO_RESOURCE, RecordResource
from ldv_otel._internal.record.span_facts import ExceptionFacts, SpanFacts
from ldv_otel.attributes import (
    BARE_FOREIGN_OPERATION,
    EXCEPTION_MESSAGE,
    EXCEPTION_STACKTRACE,
    EXCEPTION_TYPE,
    NAMESPACE,
    Flag,
)
from ldv_otel.errors import UnreadableInput

#: Makes of the attributes of a resource what records keep; the usual choice, unless a setting says otherwise.
ResourceOf = Callable[[Mapping[str, object]], RecordResource]

NOT_SPANS: Final = "a document of metrics or logs, not of spans"

#: A span that stands by itself has one of each; a log line may well have a trace id, but no start.
_SPAN_SIGNS: Final = frozenset({"spanid", "traceid", "context", "spancontext"})
_TIMES: Final = frozenset({"starttimeunixnano", "starttime", "endtimeunixnano", "endtime"})
_OTHER_SIGNALS: Final = frozenset({"resourcemetrics", "resourcelogs", "resourceprofiles"})
#: The members of a span in OTLP and in what console exporters print that may hold lists or objects.
_MEMBERS: Final = frozenset(
    {"attributes", "events", "links", "status", "context", "spancontext", "parent", "parentspancontext", "resource"}
    | {"scope", "instrumentationscope", "instrumentationlibrary", "starttime", "endtime", "duration"}
    | {"starttimeunixnano", "endtimeunixnano", "tracestate"}
)
#: The attributes that are looked at: bare names of the caller stand beside the standard's (LDV-N9).
_READ: Final = (NAMESPACE, *BARE_FOREIGN_OPERATION)
#: A file of another kind gives a problem a line; nobody reads more than this.
_PROBLEMS_LISTED: Final = 100


class ImportProblem(msgspec.Struct, frozen=True):
    """Something that could not be read or stored.

    Attributes:
        file: As it was named; empty when it is about no file in particular.
        location: Line and JSON path, or trace and span id; empty for all of the file.
        reason: What is wrong, without any value from the file.
    """

    file: str
    location: str
    reason: str


class ImportedSpan(msgspec.Struct, gc=False):
    """One span of a file. What only a record needs is kept for Acties alone, because most spans are technical.

    Attributes:
        trace_id: 16 bytes.
        span_id: 8 bytes.
        parent: Of the calling span, in the same trace.
        start_time_ns: In nanoseconds.
        outbound: Whether it is a technical `CLIENT` or `PRODUCER` span: a called party sees its id as parent.
        undecided: Whether nobody can say if it is technical: its attributes cannot be read.
        overlooked: Attributes of the standard on a technical span (LDV-N9), as `overlooked_names` gives them.
        facts: None for a technical span. Nothing around the span is filled in yet.
    """

    trace_id: bytes
    span_id: bytes
    parent: Id
    start_time_ns: int
    outbound: bool = False
    undecided: bool = False
    overlooked: tuple[str, ...] = ()
    facts: SpanFacts | None = None

    @property
    def key(self) -> tuple[bytes, bytes]:
        """Trace and span id."""
        return self.trace_id, self.span_id


class FileSpans(msgspec.Struct):
    """The spans of a file, and what could not be read of it.

    Attributes:
        empty: There is nothing in it, which is no problem.
        spans: In the order of the file.
        left_out: How many documents were passed over, by reason.
        problems: What could not be read.
    """

    empty: bool = False
    spans: list[ImportedSpan] = msgspec.field(default_factory=list)
    left_out: Counter[str] = msgspec.field(default_factory=Counter)
    problems: list[ImportProblem] = msgspec.field(default_factory=list)


def read_spans(content: bytes, *, file: str, resource_of: ResourceOf) -> FileSpans:
    """Read all spans of a file; never raises on its content.

    Args:
        content: May be packed with gzip or zstd, and UTF-8, UTF-16 or UTF-32 with a byte order mark.
        file: Name for the problems.
        resource_of: Makes of the attributes of a resource what records keep: `record_resource` of their maker.
    """
    reader = _SpanReader(file, resource_of)
    try:
        text, damage = file_text(content)
    except UnreadableInput as error:
        reader.problem("", str(error))
        return reader.file_spans
    for value in json_values(text):
        if isinstance(value, MalformedJson):
            reader.problem(f"line {value.line}", value.reason)
        else:
            reader.read(value)
    if damage:
        reader.problem("", damage)
    reader.file_spans.empty = not damage and not text.strip()
    reader.finish()
    return reader.file_spans


class _SpanReader:
    """Collects the spans of a file, and its problems."""

    def __init__(self, file: str, resource_of: ResourceOf) -> None:
        self.file_spans = FileSpans()
        self._file = file
        self._resource_of = resource_of
        #: Of the span before, which mostly has the same one.
        self._resource: tuple[Mapping[str, Any] | None, RecordResource] = (None, NO_RESOURCE)
        self._unlisted = 0

    def problem(self, location: object, reason: str) -> None:
        """Note a problem, or only count it when there are too many to list."""
        if len(self.file_spans.problems) < _PROBLEMS_LISTED:
            self.file_spans.problems.append(ImportProblem(self._file, str(location), reason))
        else:
            self._unlisted += 1

    def finish(self) -> None:
        """Note how many problems are not listed."""
        if self._unlisted:
            reason = f"{self._unlisted} more parts could not be read; they are not listed"
            self.file_spans.problems.append(ImportProblem(self._file, "", reason))

    def read(self, document: JsonValue) -> None:
        """Read the spans of a document."""
        for item in span_objects(document.value, document.line):
            if isinstance(item, UnreadablePart):
                self.problem(item.path, item.reason)
            elif item.surroundings.expects_span or (
                _SPAN_SIGNS.intersection(item.fields) and _TIMES.intersection(item.fields)
            ):
                self._span(item)
            elif _OTHER_SIGNALS.intersection(item.fields):
                self.file_spans.left_out[NOT_SPANS] += 1
            else:
                self.problem(item.path, "no spans in it")

    def _span(self, item: SpanObject) -> None:
        fields = item.fields
        context = common_fields(first(fields, "context", "spancontext"))
        trace_id = read_id(first(fields, "traceid") or first(context, "traceid"), TRACE_ID_BYTES)
        span_id = read_id(first(fields, "spanid") or first(context, "spanid"), SPAN_ID_BYTES)
        if not trace_id.raw or not span_id.raw:
            missing = "span id" if trace_id.raw else "trace id"
            self.problem(item.path, f"a span without a {missing}: without it a span has no identity; it was not stored")
            return
        times = read_times(first(fields, "starttimeunixnano", "starttime"), first(fields, "endtimeunixnano", "endtime"))
        span = ImportedSpan(trace_id.raw, span_id.raw, _parent(fields), 0 if times is None else times.start_ns)
        attributes, unreadable = attributes_of(fields.get("attributes"), _READ)
        if not is_actie(attributes):
            self.file_spans.spans.append(span)
            span.outbound = is_outbound(first(fields, "kind", "spankind"))
            span.overlooked = overlooked_names(attributes)
            if unreadable or _has_unfamiliar_members(fields):
                span.undecided = True
                self.problem(item.path, "attributes that cannot be read: whether this span is an Actie is not known")
            return
        if times is None:
            # Stored with any other moment it would be another record with each import, and explained by the wrong
            # version of its activity; the file keeps it until its times are put in order.
            self.problem(item.path, "an Actie without a time that can be read; it was not stored")
            return
        self.file_spans.spans.append(span)
        if times.originals:
            self.problem(item.path, _unreadable_times(times.originals))
        status = read_status(fields.get("status"))
        span.facts = SpanFacts(
            trace_id=trace_id.raw,
            span_id=span_id.raw,
            name=_or_empty(fields.get("name")),
            start_time_ns=times.start_ns,
            end_time_ns=times.end_ns,
            status=Status.UNSET if status is None else status,
            attributes=attributes,
            exception=_exception(fields.get("events")),
            resource=self._record_resource(item.surroundings.resource),
            flags=times.flags,
            originals=dict(times.originals),
        )
        dropped = unreadable or fields.get("droppedattributescount") not in (None, 0, "0", "")
        _flag_changes(span.facts, trace_id, span_id, dropped=dropped, status_unknown=status is None)

    def _record_resource(self, attributes: Mapping[str, Any]) -> RecordResource:
        if self._resource[0] is not attributes:
            self._resource = (attributes, self._resource_of(attributes))
        return self._resource[1]


def _unreadable_times(originals: Mapping[str, str]) -> str:
    names = " and ".join(sorted(originals))
    return f"a time that cannot be read ({names}); the other one took its place, and the record keeps what was written"


def _has_unfamiliar_members(fields: Mapping[str, Any]) -> bool:
    """Whether a span without attributes has members that no span of a format read here has, and that may hold them."""
    if fields.get("attributes") is not None:
        return False
    return any(isinstance(value, dict | list) and value for name, value in fields.items() if name not in _MEMBERS)


def _flag_changes(facts: SpanFacts, trace_id: Id, span_id: Id, *, dropped: bool, status_unknown: bool) -> None:
    """Flag what this reader replaced or could not read; the builder of the record flags its own changes later."""
    replaced = {"trace_id": trace_id.original, "span_id": span_id.original}
    originals = {field: original for field, original in replaced.items() if original}
    applies = {Flag.ID_REPLACED: originals, Flag.ATTRIBUTES_DROPPED: dropped, Flag.VALUE_CONVERTED: status_unknown}
    facts.flags = (*facts.flags, *(flag for flag, is_set in applies.items() if is_set))
    facts.originals = {**facts.originals, **originals}


def _or_empty(value: object) -> object:
    return "" if value is None else value


def _parent(fields: Mapping[str, Any]) -> Id:
    parent = first(fields, "parentspanid", "parentid", "parent")
    return read_id(first(common_fields(parent), "spanid") if isinstance(parent, dict) else parent, SPAN_ID_BYTES)


def _exception(events: object) -> ExceptionFacts | None:
    """Return the last exception that was recorded: the one that ended the Actie."""
    for event in reversed(events if isinstance(events, list) else []):
        fields = common_fields(event)
        if fields.get("name") == "exception":
            attributes, _ = attributes_of(fields.get("attributes"), "exception.")
            texts = {name: value for name, value in attributes.items() if isinstance(value, str)}
            return ExceptionFacts(
                type=texts.get(EXCEPTION_TYPE, ""),
                stacktrace=texts.get(EXCEPTION_STACKTRACE, ""),
                message=texts.get(EXCEPTION_MESSAGE, ""),
            )
    return None
