"""From the bytes of a file to spans: OTLP/JSON and its relatives.

All of these hold spans, at any level and one inside the other: `resourceSpans` (OTLP), `batches` (Tempo), `trace` (a
wrapper Tempo puts around them), `scopeSpans`, `instrumentationLibrarySpans` (OTLP before 1.0), `spans`; and a span may
stand by itself, as console exporters write it. `scope` is not looked at, so it may be anything.

A problem names its place by line and by the names above, and never quotes what it found there: that may be about a
person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ldv_otel._internal.importer.any_value import attributes_of, whole_numbers
from ldv_otel._internal.importer.json_values import Gap, documents, text_of
from ldv_otel._internal.importer.span_fields import (
    SPAN_ID_BYTES,
    TRACE_ID_BYTES,
    Id,
    common_name,
    fields,
    first,
    is_outbound,
    read_id,
    read_status,
    read_times,
)
from ldv_otel._internal.record.actie import ExceptionFacts, SpanFacts, is_actie
from ldv_otel._internal.record.builder import resource_text
from ldv_otel._internal.record.logregel import Status
from ldv_otel._internal.times.instants import ns_from_ms
from ldv_otel.attributes import (
    DATA_SUBJECT_ID,
    EXCEPTION_MESSAGE,
    EXCEPTION_STACKTRACE,
    EXCEPTION_TYPE,
    NAMESPACE,
    Flag,
)
from ldv_otel.errors import UnreadableInput

NOT_SPANS: Final = "a document of metrics or logs, not of spans"

_HOLDERS: Final = frozenset({"resourcespans", "batches", "trace", "scopespans", "instrumentationlibraryspans", "spans"})
#: A span that stands by itself has one of each; a log line may well have a trace id, but no start.
_SPAN_SIGNS: Final = frozenset({"spanid", "traceid", "context", "spancontext"})
_TIMES: Final = frozenset({"starttimeunixnano", "starttime", "endtimeunixnano", "endtime"})
_OTHER_SIGNALS: Final = frozenset({"resourcemetrics", "resourcelogs", "resourceprofiles"})
_MAX_DEPTH: Final = 16
#: A file of another kind gives a problem a line; nobody reads more than this.
_PROBLEMS_LISTED: Final = 100


class Problem(msgspec.Struct, frozen=True):
    """Something that could not be read or stored.

    Attributes:
        file: As it was named; empty when it is about no file in particular.
        place: Line and JSON path, or trace and span id; empty for all of the file.
        reason: What is wrong, without any value from the file.
    """

    file: str
    place: str
    reason: str


class Span(msgspec.Struct, gc=False):
    """One span of a file. What only a record needs is kept for Acties alone, because most spans are technical.

    Attributes:
        trace_id: 16 bytes.
        span_id: 8 bytes.
        parent: Of the calling span, in the same trace.
        start_time_ns: In nanoseconds.
        outbound: Whether it is a technical `CLIENT` or `PRODUCER` span: a called party sees its id as parent.
        facts: None for a technical span. Nothing around the span is filled in yet.
    """

    trace_id: bytes
    span_id: bytes
    parent: Id
    start_time_ns: int
    outbound: bool = False
    facts: SpanFacts | None = None

    @property
    def key(self) -> tuple[bytes, bytes]:
        """Trace and span id."""
        return self.trace_id, self.span_id


class Reading(msgspec.Struct):
    """What a file gave.

    Attributes:
        empty: There is nothing in it, which is no problem.
        spans: In the order of the file.
        left_out: How many documents were passed over, by reason.
        problems: What could not be read.
    """

    empty: bool = False
    spans: list[Span] = msgspec.field(default_factory=list)
    left_out: Counter[str] = msgspec.field(default_factory=Counter)
    problems: list[Problem] = msgspec.field(default_factory=list)


def read_spans(content: bytes, *, file: str, now_ms: int) -> Reading:
    """Read all spans of a file; never raises on its content.

    Args:
        content: May be gzip, and UTF-8, UTF-16 or UTF-32 with a byte order mark.
        file: Name for the problems.
        now_ms: Time of the import, for spans without any time.
    """
    reader = _Reader(file, now_ns=ns_from_ms(now_ms))
    try:
        text, packing = text_of(content)
    except UnreadableInput as error:
        reader.problem("", str(error))
        return reader.reading
    for part in documents(text):
        if isinstance(part, Gap):
            reader.problem(f"line {part.line}", part.reason)
        else:
            reader.read(part.value, _Place(part.line))
    if packing:
        reader.problem("", packing)
    reader.reading.empty = not packing and not text.strip()
    reader.finish()
    return reader.reading


class _Place(msgspec.Struct, frozen=True, gc=False):
    """Where a value stands; made into text only for a problem, because nearly all values are none."""

    line: int
    parent: _Place | None = None
    step: str | int = ""

    def __truediv__(self, step: str | int) -> _Place:
        """Return the place of a field or an element."""
        return _Place(self.line, self, step)

    def __str__(self) -> str:
        """Return `line 3, resourceSpans[0].spans[1]`."""
        path = ""
        place = self
        while place.parent is not None:
            path = (f"[{place.step}]" if isinstance(place.step, int) else f".{place.step}") + path
            place = place.parent
        return f"line {self.line}, {path.lstrip('.')}" if path else f"line {self.line}"


class _Reader:
    """Walks through documents and collects spans."""

    def __init__(self, file: str, *, now_ns: int) -> None:
        self.reading = Reading()
        self._file = file
        self._now_ns = now_ns
        self._unlisted = 0

    def problem(self, place: object, reason: str) -> None:
        """Note a problem, or only count it when there are too many to list."""
        if len(self.reading.problems) < _PROBLEMS_LISTED:
            self.reading.problems.append(Problem(self._file, str(place), reason))
        else:
            self._unlisted += 1

    def finish(self) -> None:
        """Say how many problems are not listed."""
        if self._unlisted:
            reason = f"{self._unlisted} more places could not be read; they are not listed"
            self.reading.problems.append(Problem(self._file, "", reason))

    def read(self, value: object, place: _Place, resource: str = "{}", *, depth: int = 0, span: bool = False) -> None:
        """Read a document or a part of one that holds spans.

        Args:
            resource: Of the parts around this one.
            span: It stands where a span is expected.
        """
        if depth > _MAX_DEPTH:
            self.problem(place, "nested too deep")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self.read(item, place / index, resource, depth=depth + 1, span=span)
        elif isinstance(value, dict):
            self._object(value, place, resource, depth=depth, span=span)
        else:
            self.problem(place, "not an object")

    def _object(self, value: Mapping[str, Any], place: _Place, resource: str, *, depth: int, span: bool) -> None:
        found = fields(value)
        if "resource" in found:
            resource = _resource(found["resource"])
        holders = {name: item for name, item in value.items() if common_name(name) in _HOLDERS}
        for name, item in holders.items():
            if item is not None:
                self.read(item, place / name, resource, depth=depth + 1, span=common_name(name) == "spans")
        if holders:
            return
        if span or (_SPAN_SIGNS.intersection(found) and _TIMES.intersection(found)):
            self._span(found, place, resource)
        elif _OTHER_SIGNALS.intersection(found):
            self.reading.left_out[NOT_SPANS] += 1
        else:
            self.problem(place, "no spans in it")

    def _span(self, found: Mapping[str, Any], place: _Place, resource: str) -> None:
        context = fields(first(found, "context", "spancontext"))
        trace_id = read_id(first(found, "traceid") or first(context, "traceid"), TRACE_ID_BYTES)
        span_id = read_id(first(found, "spanid") or first(context, "spanid"), SPAN_ID_BYTES)
        if not trace_id.raw or not span_id.raw:
            missing = "span id" if trace_id.raw else "trace id"
            self.problem(place, f"a span without a {missing}: it could not be told from others, and was not stored")
            return
        times = read_times(
            first(found, "starttimeunixnano", "starttime"),
            first(found, "endtimeunixnano", "endtime"),
            now_ns=self._now_ns,
        )
        span = Span(trace_id.raw, span_id.raw, _parent(found), times.start_ns)
        self.reading.spans.append(span)
        attributes, unreadable = attributes_of(found.get("attributes"), NAMESPACE)
        if not is_actie(attributes):
            span.outbound = is_outbound(first(found, "kind", "spankind"))
            if unreadable:
                self.problem(place, "attributes that cannot be read: whether this span is an Actie is not known")
            return
        if DATA_SUBJECT_ID in attributes:
            attributes[DATA_SUBJECT_ID] = whole_numbers(attributes[DATA_SUBJECT_ID])
        status = read_status(found.get("status"))
        span.facts = SpanFacts(
            trace_id=trace_id.raw,
            span_id=span_id.raw,
            name=_or_empty(found.get("name")),
            start_time_ns=times.start_ns,
            end_time_ns=times.end_ns,
            status=Status.UNSET if status is None else status,
            attributes=attributes,
            exception=_exception(found.get("events")),
            resource=resource,
            flags=times.flags,
            originals=dict(times.originals),
        )
        dropped = unreadable or found.get("droppedattributescount") not in (None, 0, "0", "")
        _note_bent(span.facts, trace_id, span_id, dropped=dropped, status_unknown=status is None)


def _note_bent(facts: SpanFacts, trace_id: Id, span_id: Id, *, dropped: bool, status_unknown: bool) -> None:
    replaced = {"trace_id": trace_id.original, "span_id": span_id.original}
    originals = {field: original for field, original in replaced.items() if original}
    bent = {Flag.ID_REPLACED: originals, Flag.ATTRIBUTES_DROPPED: dropped, Flag.VALUE_CONVERTED: status_unknown}
    facts.flags = (*facts.flags, *(flag for flag, so in bent.items() if so))
    facts.originals = {**facts.originals, **originals}


def _or_empty(value: object) -> object:
    return "" if value is None else value


def _parent(found: Mapping[str, Any]) -> Id:
    given = first(found, "parentspanid", "parentid", "parent")
    return read_id(first(fields(given), "spanid") if isinstance(given, dict) else given, SPAN_ID_BYTES)


def _resource(value: object) -> str:
    found = fields(value)
    attributes, _ = attributes_of(found.get("attributes", value))
    return resource_text(attributes)


def _exception(events: object) -> ExceptionFacts | None:
    """Return the last exception that was recorded: the one that ended the Actie."""
    for event in reversed(events if isinstance(events, list) else []):
        found = fields(event)
        if found.get("name") == "exception":
            attributes, _ = attributes_of(found.get("attributes"), "exception.")
            told = {name: value for name, value in attributes.items() if isinstance(value, str)}
            return ExceptionFacts(
                type=told.get(EXCEPTION_TYPE, ""),
                stacktrace=told.get(EXCEPTION_STACKTRACE, ""),
                message=told.get(EXCEPTION_MESSAGE, ""),
            )
    return None
