"""The named questions: every reader asks these, so that they all use the paths that do not grow with the table.

No question shows a Logregel past its term by the Register, whether it was removed or not, and none shows what is
confidential when asked with `confidential=False`.

A lookup by trace or by data subject goes through a projection, see `hours.py`. Of a record with versions readers see
the last, see `versions.py`; so a page may have fewer records than it was asked for though more follow.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, Self

import msgspec

from ldv_otel import attributes as names
from ldv_otel.errors import QueryError
from ldv_otel.logboek.client import LogboekClient
from ldv_otel.logboek.hours import hours, prefixes
from ldv_otel.logboek.rows import (
    BYTES_COLUMNS,
    READ_SETTINGS,
    ROW_KEY,
    ROW_ONCE,
    ROW_ONCE_NEWEST,
    SELECTED,
    StoredLogregel,
    stored,
)
from ldv_otel.logboek.versions import current, moved_to

#: How many records a page has unless the caller asks for fewer or more.
PAGE_RECORDS: Final = 100

#: How long each activity's Logregels are kept, and from when on that is; see the table ldv_term, and the view
#: logregel_shown, which has the same. For who may not see it, what is confidential is kept from beyond the end of time,
#: and what is confidential by itself is left out here too: a page that misses it, or a cursor at it, would tell of it.
TERMS: Final = """
(SELECT activities, if({confidential:Bool}, terms, public_terms) FROM ldv_term ORDER BY applied DESC LIMIT 1)
"""
_TERM: Final = "transform(processing_activity_id, kept.1, kept.2, 120000000)"
_OWN_TERM: Final = f"attributes['{names.KEPT_UNTIL}']"
KEPT: Final = f"""
(start_time >= subtractDays(
    subtractMonths(toDateTime64(toStartOfMinute(now64(3, 'UTC')) + 60, 3, 'UTC'), intDiv({_TERM}, 100000)),
    {_TERM} % 100000)
 OR ({_OWN_TERM} != '' AND {_TERM} >= 0))
AND ({_OWN_TERM} = '' OR toInt64OrZero({_OWN_TERM}) > toUnixTimestamp64Milli(now64(3)))
AND ({{confidential:Bool}} OR attributes['{names.CONFIDENTIAL}'] = '')
"""


def query(where: str, limit: str = "", order: str = ROW_ONCE, *, first: str = "") -> str:
    """Return a query for whole records; our own text, values are parameters.

    Args:
        first: What the engine looks at before anything else of a row: left to itself it begins with the tuple of a
            cursor, and reads three columns of every row for that.
    """
    select = f"WITH {TERMS} AS kept SELECT {SELECTED} FROM logregel"  # noqa: S608
    prewhere = f"PREWHERE {first}" if first else ""
    return f"{select} {prewhere} WHERE {where} AND {KEPT} {order} {limit} SETTINGS {READ_SETTINGS}"


_TRACE: Final = "trace_id = toFixedString(unhex({trace_id:String}), 16) AND " + hours("trace_id")
_SPAN: Final = "toFixedString(unhex({span_id:String}), 8)"
#: The bound on start_time alone lets the index skip what lies before the cursor; the tuple settles the rest.
_PERIOD: Final = """
start_time >= fromUnixTimestamp64Milli({since:Int64}) AND start_time < fromUnixTimestamp64Milli({until:Int64})
AND start_time >= fromUnixTimestamp64Milli({after_time:Int64}) AND (start_time, span_id, writer_id, seq) >
    (fromUnixTimestamp64Milli({after_time:Int64}), toFixedString(unhex({after_span:String}), 8), {after_writer:String},
     {after_seq:UInt64})
"""
#: The same for pages that go back in time: what lies before the cursor.
BACK: Final = _PERIOD.replace(
    "start_time >= fromUnixTimestamp64Milli({after_time", "start_time <= fromUnixTimestamp64Milli({after_time"
).replace("seq) >", "seq) <")
LIMIT: Final = "LIMIT {limit:UInt32}"

BY_TRACE: Final = query(_TRACE)
BY_OUTBOUND: Final = query(f"{_TRACE} AND (span_id = {_SPAN} OR has(outbound_span_ids, {_SPAN}))")
BY_FOREIGN: Final = query(
    "foreign_operation_trace_id = toFixedString(unhex({trace_id:String}), 16) AND "
    "({span_id:String} = '' OR foreign_operation_span_id = toFixedString(unhex({span_id:String}), 8)) AND "
    + hours("foreign_operation_trace_id")
)
_SUBJECT: Final = "has(arrayMap(id -> toFixedString(unhex(id), 16), {subjects:Array(String)}), data_subject_id)"
BY_SUBJECT: Final = query(
    hours(
        "data_subject_id",
        "AND toRelativeHourNum(start_time) >= toRelativeHourNum(fromUnixTimestamp64Milli({first:Int64}, 'UTC'))",
    )
    + f" AND {_PERIOD}",
    LIMIT,
    first=_SUBJECT,
)
LATEST_BY_SUBJECT: Final = query(
    f"{hours('data_subject_id')} AND {BACK} AND "
    "(empty({activities:Array(String)}) OR has({activities:Array(String)}, processing_activity_id))",
    LIMIT,
    ROW_ONCE_NEWEST,
    first=_SUBJECT,
)
#: Without versions, and with nothing of its own that says who may see it.
_PLAIN: Final = f"attributes['{names.VERSION_OF}'] = '' AND attributes['{names.CONFIDENTIAL}'] = ''"
ACTIVITIES_OF_SUBJECT: Final = f"""
WITH {TERMS} AS kept
SELECT processing_activity_id, uniqExactIf(({ROW_KEY}), {_PLAIN}),
       toUnixTimestamp64Milli(minIf(start_time, {_PLAIN})),
       toUnixTimestamp64Milli(maxIf(start_time, {_PLAIN})), countIf(NOT ({_PLAIN}))
FROM logregel PREWHERE {_SUBJECT} WHERE {hours("data_subject_id")} AND {KEPT}
GROUP BY processing_activity_id ORDER BY max(start_time) DESC, processing_activity_id
SETTINGS {READ_SETTINGS}
"""  # noqa: S608  (our own text; values are parameters)
OTHERS_OF_SUBJECT: Final = query(f"{hours('data_subject_id')} AND NOT ({_PLAIN})", first=_SUBJECT)
BY_ATTRIBUTE: Final = query(
    "startsWith(trace_id, unhex({prefix:String})) AND attributes[{name:String}] = {value:String} AND "
    + hours("trace_id")
)
BY_ACTIVITY: Final = query("processing_activity_id = {activity:String} AND " + _PERIOD, LIMIT)
IN_PERIOD: Final = query(_PERIOD, LIMIT)

#: The conditions of `search`, by the field of `Question` that gives the value.
_CONDITIONS: Final = {
    "trace_id": "trace_id = toFixedString(unhex({trace_id:String}), 16)",
    "foreign_trace_id": "foreign_operation_trace_id = toFixedString(unhex({foreign_trace_id:String}), 16)",
    "foreign_span_id": "foreign_operation_span_id = toFixedString(unhex({foreign_span_id:String}), 8)",
    "subjects": _SUBJECT,
    "subject_type": "data_subject_id_type = {subject_type:String}",
    "activity": "processing_activity_id = {activity:String}",
    "processor": "foreign_operation_processor = {processor:String}",
    "read_api": "external_read_api_id = {read_api:String}",
    "visible": "arrayExists(prefix -> startsWith(processing_activity_id, prefix), {visible:Array(String)})",
    "ended_by_ms": "start_time + toIntervalMillisecond(duration_ms) <= fromUnixTimestamp64Milli({ended_by_ms:Int64})",
}
#: Which of them find the hours to look in, the sharpest first, and the column whose projection has those.
_HOURS_OF: Final = {
    "trace_id": hours("trace_id"),
    "foreign_trace_id": hours("foreign_operation_trace_id"),
    "subjects": hours("data_subject_id"),
}

_SPANS_OF_TRACES: Final = f"""
SELECT trace_id, span_id FROM logregel
WHERE trace_id IN (SELECT toFixedString(unhex(arrayJoin({{traces:Array(String)}})), 16))
  AND {hours("trace_id")}
SETTINGS {READ_SETTINGS}
"""  # noqa: S608  (our own text; values are parameters)

_TECHNICAL: Final = """
FROM technical_span
WHERE (trace_id, span_id) IN (
    SELECT toFixedString(unhex(pair.1), 16), toFixedString(unhex(pair.2), 8)
    FROM (SELECT arrayJoin(arrayZip({traces:Array(String)}, {spans:Array(String)})) AS pair))
"""
#: Whether there is any at all: asked first, because it takes a fifth of the time of looking above them.
_ANY_TECHNICAL: Final = f"SELECT 1 {_TECHNICAL} LIMIT 1"
#: The first span above a technical one that is not technical itself; zeros where there is none.
_ABOVE: Final = f"""
WITH RECURSIVE way AS
(
    SELECT trace_id AS trace, span_id AS technical, parent_span_id AS above, 1 AS steps
    {_TECHNICAL}
    UNION ALL
    SELECT w.trace AS trace, w.technical AS technical, t.parent_span_id AS above, w.steps + 1 AS steps
    FROM way AS w INNER JOIN technical_span AS t ON t.trace_id = w.trace AND t.span_id = w.above
    WHERE t.trace_id IN (SELECT toFixedString(unhex(arrayJoin({{traces:Array(String)}})), 16)) AND w.steps < 64
)
SELECT trace, technical, argMax(above, steps) FROM way GROUP BY trace, technical
"""  # noqa: S608  (our own text; values are parameters)

_TOTALS: Final = """
SELECT count(), toUnixTimestamp64Milli(min(start_time)), toUnixTimestamp64Milli(max(start_time)),
       countIf(status = 'Error'), countIf(attributes['ldv.flags'] != ''), uniqExact(processing_activity_id)
FROM logregel
"""

_WRITERS: Final = """
SELECT writer_id, resource, stored, removed, missing, doubled,
       toUnixTimestamp64Milli(first_start_time), toUnixTimestamp64Milli(last_start_time)
FROM schrijvers ORDER BY last_start_time DESC LIMIT {limit:UInt32}
"""


class Cursor(msgspec.Struct, frozen=True):
    """Where the next page begins: after this row. Its text can be handed out and taken back."""

    start_time_ms: int = -1
    span_id: bytes = bytes(8)
    writer_id: str = ""
    seq: int = 0

    def __str__(self) -> str:
        """The cursor as one word."""
        return f"{self.start_time_ms}.{self.span_id.hex()}.{self.writer_id}.{self.seq}"

    @classmethod
    def after(cls, record: StoredLogregel) -> Self:
        """Return the cursor of a page that ends with this record."""
        return cls(record.logregel.start_time_ms, record.logregel.span_id, record.writer_id, record.seq)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the cursor that gave this text.

        Raises:
            QueryError: None did.
        """
        found = _CURSOR.fullmatch(text)
        if not found:
            raise QueryError("That is no cursor; take it as it was given with the page before.")
        return cls(int(found[1]), bytes.fromhex(found[2]), found[3], int(found[4]))


_CURSOR: Final = re.compile(r"(-?\d{1,15})\.([0-9a-f]{16})\.([^.]*)\.(\d{1,19})")


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What `search` looks for: records that meet everything that is given here.

    Attributes:
        trace_id: 16 bytes.
        foreign_trace_id: 16 bytes: the trace of another party on whose behalf something was done here.
        foreign_span_id: 8 bytes.
        subjects: Pseudonyms of 16 bytes; a record is about one of them.
        processor: `dpl.core.foreign_operation.processor`.
        read_api: `dpl.read.externalReadAPI_id`.
        visible: Beginnings of the only processing activities to show; none for all.
        since_ms: Started then or later; ms since 1970-01-01 UTC.
        ended_by_ms: Ended then or earlier; ms since 1970-01-01 UTC.
    """

    trace_id: bytes = b""
    foreign_trace_id: bytes = b""
    foreign_span_id: bytes = b""
    subjects: tuple[bytes, ...] = ()
    subject_type: str = ""
    activity: str = ""
    processor: str = ""
    read_api: str = ""
    visible: tuple[str, ...] = ()
    since_ms: int | None = None
    ended_by_ms: int | None = None


class Page(msgspec.Struct, frozen=True):
    """Some records, oldest first; `following` is None on the last page."""

    records: list[StoredLogregel]
    following: Cursor | None


class UsedActivity(msgspec.Struct, frozen=True):
    """A processing activity in the records about one person; times in ms since 1970-01-01 UTC."""

    activity: str
    logregels: int
    first_ms: int
    last_ms: int


class Totals(msgspec.Struct, frozen=True):
    """What a Logboek holds; times in ms since 1970-01-01 UTC, None when it is empty."""

    logregels: int
    first_ms: int | None
    last_ms: int | None
    errors: int
    flagged: int
    activities: int


class Writer(msgspec.Struct, frozen=True):
    """What one writer stored.

    Attributes:
        stored: Rows.
        removed: Places in its sequence that are empty since `ldv retention apply` removed what was past its term.
        missing: Other places in its sequence, up to the highest seen, that no row has: Logregels that were lost.
        doubled: Rows beyond the first of a place in its sequence.
    """

    writer_id: str
    resource: str
    stored: int
    removed: int
    missing: int
    doubled: int
    first_ms: int
    last_ms: int


def by_trace(client: LogboekClient, trace_id: str, *, confidential: bool = True) -> list[StoredLogregel]:
    """Return all records of a trace, oldest first.

    Args:
        trace_id: 32 hex digits, or a UUID with dashes.
        confidential: Whether to show records of activities that the Register calls confidential.

    Raises:
        QueryError: That is no trace id.
    """
    return _records(client, BY_TRACE, _trace(trace_id), confidential=confidential)


def by_outbound(
    client: LogboekClient, trace_id: str, span_id: str, *, confidential: bool = True
) -> list[StoredLogregel]:
    """Return the Actie behind a span id that another party saw: it, or the one from which that span went out.

    This is how `dpl.core.foreign_operation.span_id` of a called party finds its Logregel at the caller.

    Raises:
        QueryError: That is no trace id or span id.
    """
    trace, span = parse_trace_id(trace_id), parse_span_id(span_id)
    parameters = _trace(trace_id) | {"span_id": span.hex()}
    found = _records(client, BY_OUTBOUND, parameters, confidential=confidential)
    if not found and (above := _above(client, {(trace, span)}).get((trace, span))):
        found = _records(client, BY_OUTBOUND, parameters | {"span_id": above.hex()}, confidential=confidential)
    return found


def by_foreign(
    client: LogboekClient, trace_id: str, span_id: str = "", *, confidential: bool = True
) -> list[StoredLogregel]:
    """Return what was done here on behalf of another party's trace, or of one span of it.

    Raises:
        QueryError: That is no trace id or span id.
    """
    span = parse_span_id(span_id).hex() if span_id else ""
    return _records(client, BY_FOREIGN, _trace(trace_id) | {"span_id": span}, confidential=confidential)


def by_record(client: LogboekClient, record: str, *, confidential: bool = True) -> list[StoredLogregel]:
    """Return the last version of a record that has versions; nothing when it is withdrawn, or nobody knows it.

    Args:
        record: What its versions share: `ldv.version_of`, a UUID.
    """
    trace_prefix = bytes.fromhex(record[:8])
    while trace_prefix:
        found = by_attribute(client, trace_prefix, names.VERSION_OF, record, confidential=confidential)
        if found:
            return found
        trace_prefix = moved_to(client, trace_prefix, record)
    return []


def by_attribute(
    client: LogboekClient, trace_prefix: bytes, name: str, value: str, *, confidential: bool = True
) -> list[StoredLogregel]:
    """Return the records with an attribute, in traces whose id begins with some bytes.

    Args:
        trace_prefix: 4 to 16 bytes.
        value: Empty for records without the attribute.
    """
    parameters = {"prefix": trace_prefix.hex(), "name": name, "value": value, "prefixes": prefixes([trace_prefix])}
    return _records(client, BY_ATTRIBUTE, parameters, confidential=confidential)


def by_subject(  # noqa: PLR0913  (a question with its limits)
    client: LogboekClient,
    pseudonyms: Sequence[bytes],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    after: Cursor | None = None,
    limit: int = PAGE_RECORDS,
    confidential: bool = True,
) -> Page:
    """Return a page of the records about one person.

    Args:
        pseudonyms: The person's pseudonym under each live key.
        since: Records that started then or later.
        until: Records that started before then.
        after: Cursor of the page before.
        limit: At most so many records.
        confidential: Whether to show records of activities that the Register calls confidential.
    """
    if not pseudonyms:
        return Page([], None)
    parameters = {
        "subjects": [raw.hex() for raw in pseudonyms],
        "prefixes": prefixes(pseudonyms),
        "first": max(after.start_time_ms if after else 0, time_ms(since) or 0, 0),
    }
    return page_of(
        client, BY_SUBJECT, parameters, Limits(time_ms(since), time_ms(until), after, limit), confidential=confidential
    )


def latest_by_subject(  # noqa: PLR0913  (a question with its limits)
    client: LogboekClient,
    pseudonyms: Sequence[bytes],
    *,
    activities: Sequence[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
    after: Cursor | None = None,
    limit: int = PAGE_RECORDS,
    confidential: bool = True,
) -> Page:
    """Return a page of the records about one person, the newest first; see `by_subject`.

    Args:
        activities: The only processing activities to show; none for all.
    """
    if not pseudonyms:
        return Page([], None)
    parameters = {
        "subjects": [raw.hex() for raw in pseudonyms],
        "prefixes": prefixes(pseudonyms),
        "activities": list(activities),
    }
    limits = Limits(time_ms(since), time_ms(until), after or Cursor(END_OF_TIME_MS), limit)
    return page_of(client, LATEST_BY_SUBJECT, parameters, limits, confidential=confidential)


def activities_of_subject(
    client: LogboekClient, pseudonyms: Sequence[bytes], *, confidential: bool = True
) -> list[UsedActivity]:
    """Return the processing activities in the records about one person, the most recent first; see `by_subject`."""
    if not pseudonyms:
        return []
    parameters = {
        "subjects": [raw.hex() for raw in pseudonyms],
        "prefixes": prefixes(pseudonyms),
        "confidential": confidential,
    }
    rows = client.rows(ACTIVITIES_OF_SUBJECT, parameters)
    used = {activity: UsedActivity(activity, *figures) for activity, *figures, _ in rows if figures[0]}
    if any(others for *_, others in rows):
        for found in _records(client, OTHERS_OF_SUBJECT, parameters, confidential=confidential):
            activity, moment = found.logregel.processing_activity_id, found.logregel.start_time_ms
            before = used.get(activity, UsedActivity(activity, 0, moment, moment))
            first, last = min(before.first_ms, moment), max(before.last_ms, moment)
            used[activity] = UsedActivity(activity, before.logregels + 1, first, last)
    return sorted(used.values(), key=lambda found: (-found.last_ms, found.activity))


def by_activity(  # noqa: PLR0913  (a question with its limits)
    client: LogboekClient,
    activity: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    after: Cursor | None = None,
    limit: int = PAGE_RECORDS,
    confidential: bool = True,
) -> Page:
    """Return a page of the records under one processing activity; see `by_subject` for the limits."""
    limits = Limits(time_ms(since), time_ms(until), after, limit)
    return page_of(client, BY_ACTIVITY, {"activity": activity}, limits, confidential=confidential)


def in_period(  # noqa: PLR0913  (a question with its limits)
    client: LogboekClient,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    after: Cursor | None = None,
    limit: int = PAGE_RECORDS,
    confidential: bool = True,
) -> Page:
    """Return a page of all records of a period; see `by_subject` for the limits."""
    return page_of(
        client, IN_PERIOD, {}, Limits(time_ms(since), time_ms(until), after, limit), confidential=confidential
    )


def search(
    client: LogboekClient,
    question: Question,
    *,
    after: Cursor | None = None,
    limit: int = PAGE_RECORDS,
    confidential: bool = True,
) -> Page:
    """Return a page of the records that meet every condition of a question.

    Args:
        after: Cursor of the page before.
        limit: At most so many records.
        confidential: Whether to show records of activities that the Register calls confidential.
    """
    given = {name: value for name in _CONDITIONS if (value := getattr(question, name)) not in ((), "", b"", None)}
    if any(isinstance(value, bytes) and not any(value) for value in given.values()):
        return Page([], None)  # zeros stand for an id that is not there, and nobody asks for all of those
    conditions = [_CONDITIONS[name] for name in given]
    parameters = {name: _as_parameter(value) for name, value in given.items()}
    sharpest = next((name for name in _HOURS_OF if name in given), None)
    if sharpest is not None:
        conditions.append(_HOURS_OF[sharpest])
        ids = given[sharpest]
        parameters["prefixes"] = prefixes([ids] if isinstance(ids, bytes) else ids)
    sql = query(" AND ".join([*conditions, _PERIOD]), LIMIT)
    # Nothing that ended by a moment started after it, and only the start has an index.
    until_ms = None if question.ended_by_ms is None else question.ended_by_ms + 1
    limits = Limits(question.since_ms, until_ms, after, limit)
    return page_of(client, sql, parameters, limits, confidential=confidential)


def spans_of_traces(client: LogboekClient, trace_ids: Collection[bytes]) -> set[tuple[bytes, bytes]]:
    """Return trace and span id of every record of these traces."""
    if not trace_ids:
        return set()
    parameters = {"traces": [raw.hex() for raw in trace_ids], "prefixes": prefixes(trace_ids)}
    return {(bytes(trace_id), bytes(span_id)) for trace_id, span_id in client.rows(_SPANS_OF_TRACES, parameters)}


def totals(client: LogboekClient) -> Totals:
    """Return what the Logboek holds; reads a few columns of the whole table."""
    count, first, last, errors, flagged, activities = client.rows(_TOTALS)[0]
    return Totals(count, first if count else None, last if count else None, errors, flagged, activities)


def writers(client: LogboekClient, *, limit: int = 50) -> list[Writer]:
    """Return what each writer stored and what is missing of it, the most recent writers first."""
    return [Writer(*row) for row in client.rows(_WRITERS, {"limit": limit})]


def refused(client: LogboekClient) -> int:
    """Return how many spans of Collectors fit nowhere; `schema_status` says whether there is a table of them."""
    return int(client.rows("SELECT count() FROM collector_refused")[0][0])


def parse_trace_id(text: str) -> bytes:
    """Return the 16 bytes of a trace id given as 32 hex digits or as a dashed UUID.

    Raises:
        QueryError: That is no trace id.
    """
    try:
        raw = bytes.fromhex(text.strip().replace("-", ""))
    except ValueError:
        raw = b""
    if len(raw) != 16 or not any(raw):  # noqa: PLR2004  (W3C Trace Context)
        raise QueryError("A trace id has 32 hexadecimal digits, not all 0, with or without the dashes of a UUID.")
    return raw


def parse_span_id(text: str) -> bytes:
    """Return the 8 bytes of a span id given as 16 hex digits.

    Raises:
        QueryError: That is no span id.
    """
    try:
        raw = bytes.fromhex(text.strip())
    except ValueError:
        raw = b""
    if len(raw) != 8 or not any(raw):  # noqa: PLR2004  (W3C Trace Context)
        raise QueryError("A span id has 16 hexadecimal digits, not all 0.")
    return raw


def _trace(trace_id: str) -> dict[str, Any]:
    raw = parse_trace_id(trace_id)
    return {"trace_id": raw.hex(), "prefixes": prefixes([raw])}


def _records(
    client: LogboekClient, sql: str, parameters: dict[str, Any], *, confidential: bool
) -> list[StoredLogregel]:
    """Return the records of a query as readers see them."""
    return _seen(client, _rows(client, sql, parameters, confidential=confidential), confidential=confidential)


def _rows(client: LogboekClient, sql: str, parameters: dict[str, Any], *, confidential: bool) -> list[StoredLogregel]:
    parameters |= {"confidential": confidential}
    return [stored(row) for row in client.rows(sql, parameters, bytes_columns=BYTES_COLUMNS)]


def _seen(client: LogboekClient, rows: Sequence[StoredLogregel], *, confidential: bool) -> list[StoredLogregel]:
    """Return the last version of each record, with the nearest Actie as its parent (LDV-A2)."""
    records = current(client, rows, confidential=confidential)
    known = {(found.logregel.trace_id, found.logregel.span_id) for found in records}
    parents = {(found.logregel.trace_id, found.logregel.parent_span_id) for found in records}
    above = _above(client, {(trace, parent) for trace, parent in parents - known if parent})
    return [_below(found, above) for found in records] if above else records


def _below(found: StoredLogregel, above: Mapping[tuple[bytes, bytes], bytes]) -> StoredLogregel:
    record = found.logregel
    parent = above.get((record.trace_id, record.parent_span_id))
    if parent is None:
        return found
    return msgspec.structs.replace(found, logregel=msgspec.structs.replace(record, parent_span_id=parent))


def _above(client: LogboekClient, spans: Collection[tuple[bytes, bytes]]) -> dict[tuple[bytes, bytes], bytes]:
    """Return for those of these spans that are technical the first span above that is not; nothing above a root.

    Technical spans are known of services that log through a Collector.
    """
    if not spans:
        return {}
    parameters = {"traces": [trace.hex() for trace, _ in spans], "spans": [span.hex() for _, span in spans]}
    if not client.rows(_ANY_TECHNICAL, parameters):
        return {}
    rows = client.rows(_ABOVE, parameters)
    return {(bytes(trace), bytes(span)): bytes(above) if any(above) else b"" for trace, span, above in rows}


class Limits(NamedTuple):
    """What of a question's answer is wanted; times in ms since 1970-01-01 UTC."""

    since_ms: int | None
    until_ms: int | None
    after: Cursor | None
    limit: int


def page_of(client: LogboekClient, sql: str, parameters: dict[str, Any], limits: Limits, *, confidential: bool) -> Page:
    """Return a page of a `query` that has the conditions of a period and `LIMIT`."""
    since_ms, until_ms, after, limit = limits
    after = after or Cursor()
    parameters |= {
        "since": _within_time(0 if since_ms is None else since_ms),
        "until": _within_time(END_OF_TIME_MS if until_ms is None else until_ms),
        "after_time": min(after.start_time_ms, END_OF_TIME_MS),
        "after_span": after.span_id.hex(),
        "after_writer": after.writer_id,
        "after_seq": after.seq,
        "limit": limit + 1,
    }
    rows = _rows(client, sql, parameters, confidential=confidential)
    following = Cursor.after(rows[limit - 1]) if len(rows) > limit else None
    return Page(_seen(client, rows[:limit], confidential=confidential), following)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: Where DateTime64(3) ends; what is later in a question is this.
END_OF_TIME_MS: Final = 9_223_286_400_000


def _as_parameter(value: bytes | tuple[bytes | str, ...] | str | int) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [_as_parameter(one) for one in value]
    return _within_time(value) if isinstance(value, int) else value


def _within_time(time_ms: int) -> int:
    return min(max(time_ms, 0), END_OF_TIME_MS)


def time_ms(moment: datetime | None) -> int | None:
    """Return a moment in ms since 1970-01-01 UTC."""
    return None if moment is None else (moment.astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)
