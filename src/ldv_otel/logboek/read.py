"""The named questions: every reader asks these, so that they all use the paths that do not grow with the table.

A lookup by trace or by data subject goes through a projection that maps a prefix of the id to the hours in which it
occurs; the expressions have to stand here as they stand in the schema.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Self

import msgspec

from ldv_otel.errors import QueryError
from ldv_otel.logboek.client import LogboekClient
from ldv_otel.logboek.rows import BYTES_COLUMNS, READ_SETTINGS, ROW_ONCE, SELECTED, StoredLogregel, stored

#: How many records a page has unless the caller asks for fewer or more.
PAGE_RECORDS: Final = 100

_HOUR: Final = "toRelativeHourNum(start_time)"


def _prefix(column: str) -> str:
    return f"bitShiftRight(reinterpretAsUInt32(substring({column}, 1, 4)), 4)"


def _hours(column: str, more: str = "") -> str:
    """Return the condition that a row lies in an hour in which the wanted ids occur, from that column's projection."""
    where = f"WHERE {_prefix(column)} IN {{prefixes:Array(UInt32)}} {more} GROUP BY {_prefix(column)}, {_HOUR}"
    return f"{_HOUR} IN (SELECT {_HOUR} FROM logregel {where})"  # noqa: S608  (our own column names)


def _query(where: str, limit: str = "") -> str:
    # Our own text; values are parameters.
    return f"SELECT {SELECTED} FROM logregel WHERE {where} {ROW_ONCE} {limit} SETTINGS {READ_SETTINGS}"  # noqa: S608


_TRACE: Final = "trace_id = toFixedString(unhex({trace_id:String}), 16) AND " + _hours("trace_id")
_SPAN: Final = "toFixedString(unhex({span_id:String}), 8)"
#: The bound on start_time alone lets the index skip what lies before the cursor; the tuple settles the rest.
_PERIOD: Final = """
start_time >= fromUnixTimestamp64Milli({since:Int64}) AND start_time < fromUnixTimestamp64Milli({until:Int64})
AND start_time >= fromUnixTimestamp64Milli({after_time:Int64}) AND (start_time, span_id, writer_id, seq) >
    (fromUnixTimestamp64Milli({after_time:Int64}), toFixedString(unhex({after_span:String}), 8), {after_writer:String},
     {after_seq:UInt64})
"""
_LIMIT: Final = "LIMIT {limit:UInt32}"

BY_TRACE: Final = _query(_TRACE)
BY_OUTBOUND: Final = _query(f"{_TRACE} AND (span_id = {_SPAN} OR has(outbound_span_ids, {_SPAN}))")
BY_FOREIGN: Final = _query(
    "foreign_operation_trace_id = toFixedString(unhex({trace_id:String}), 16) AND "
    "({span_id:String} = '' OR foreign_operation_span_id = toFixedString(unhex({span_id:String}), 8)) AND "
    + _hours("foreign_operation_trace_id")
)
BY_SUBJECT: Final = _query(
    "has(arrayMap(id -> toFixedString(unhex(id), 16), {subjects:Array(String)}), data_subject_id) AND "
    + _hours(
        "data_subject_id",
        "AND toRelativeHourNum(start_time) >= toRelativeHourNum(fromUnixTimestamp64Milli({first:Int64}, 'UTC'))",
    )
    + f" AND {_PERIOD}",
    _LIMIT,
)
BY_ACTIVITY: Final = _query("processing_activity_id = {activity:String} AND " + _PERIOD, _LIMIT)
IN_PERIOD: Final = _query(_PERIOD, _LIMIT)

_SPANS_OF_TRACES: Final = f"""
SELECT trace_id, span_id FROM logregel
WHERE trace_id IN (SELECT toFixedString(unhex(arrayJoin({{traces:Array(String)}})), 16))
  AND {_hours("trace_id")}
SETTINGS {READ_SETTINGS}
"""  # noqa: S608  (our own text; values are parameters)

_TOTALS: Final = """
SELECT count(), toUnixTimestamp64Milli(min(start_time)), toUnixTimestamp64Milli(max(start_time)),
       countIf(status = 'Error'), countIf(attributes['ldv.flags'] != ''), uniqExact(processing_activity_id)
FROM logregel
"""

_WRITERS: Final = """
SELECT writer_id, any(resource), count(), uniqExact(seq), min(seq), max(seq),
       toUnixTimestamp64Milli(min(start_time)), toUnixTimestamp64Milli(max(start_time))
FROM logregel GROUP BY writer_id ORDER BY max(start_time) DESC LIMIT {limit:UInt32}
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


class Page(msgspec.Struct, frozen=True):
    """Some records, oldest first; `following` is None on the last page."""

    records: list[StoredLogregel]
    following: Cursor | None


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
        missing: Places in its sequence, up to the highest seen, that no row has: Logregels that were lost.
        doubled: Rows beyond the first of a place in its sequence.
    """

    writer_id: str
    resource: str
    stored: int
    missing: int
    doubled: int
    first_ms: int
    last_ms: int


def by_trace(client: LogboekClient, trace_id: str) -> list[StoredLogregel]:
    """Return all records of a trace, oldest first.

    Args:
        trace_id: 32 hex digits, or a UUID with dashes.

    Raises:
        QueryError: That is no trace id.
    """
    return _records(client, BY_TRACE, _trace(trace_id))


def by_outbound(client: LogboekClient, trace_id: str, span_id: str) -> list[StoredLogregel]:
    """Return the Actie behind a span id that another party saw: it, or the one from which that span went out.

    This is how `dpl.core.foreign_operation.span_id` of a called party finds its Logregel at the caller.

    Raises:
        QueryError: That is no trace id or span id.
    """
    return _records(client, BY_OUTBOUND, _trace(trace_id) | {"span_id": parse_span_id(span_id).hex()})


def by_foreign(client: LogboekClient, trace_id: str, span_id: str = "") -> list[StoredLogregel]:
    """Return what was done here on behalf of another party's trace, or of one span of it.

    Raises:
        QueryError: That is no trace id or span id.
    """
    span = parse_span_id(span_id).hex() if span_id else ""
    return _records(client, BY_FOREIGN, _trace(trace_id) | {"span_id": span})


def by_subject(  # noqa: PLR0913  (a question with its limits)
    client: LogboekClient,
    pseudonyms: Sequence[bytes],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    after: Cursor | None = None,
    limit: int = PAGE_RECORDS,
) -> Page:
    """Return a page of the records about one person.

    Args:
        pseudonyms: The person's pseudonym under each live key.
        since: Records that started then or later.
        until: Records that started before then.
        after: Cursor of the page before.
        limit: At most so many records.
    """
    if not pseudonyms:
        return Page([], None)
    parameters = {
        "subjects": [raw.hex() for raw in pseudonyms],
        "prefixes": _prefixes(pseudonyms),
        "first": max(after.start_time_ms if after else 0, _ms(since, 0), 0),
    }
    return _page(client, BY_SUBJECT, parameters, since=since, until=until, after=after, limit=limit)


def by_activity(  # noqa: PLR0913  (a question with its limits)
    client: LogboekClient,
    activity: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    after: Cursor | None = None,
    limit: int = PAGE_RECORDS,
) -> Page:
    """Return a page of the records under one processing activity; see `by_subject` for the limits."""
    return _page(client, BY_ACTIVITY, {"activity": activity}, since=since, until=until, after=after, limit=limit)


def in_period(
    client: LogboekClient,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    after: Cursor | None = None,
    limit: int = PAGE_RECORDS,
) -> Page:
    """Return a page of all records of a period; see `by_subject` for the limits."""
    return _page(client, IN_PERIOD, {}, since=since, until=until, after=after, limit=limit)


def spans_of_traces(client: LogboekClient, trace_ids: Collection[bytes]) -> set[tuple[bytes, bytes]]:
    """Return trace and span id of every record of these traces."""
    if not trace_ids:
        return set()
    parameters = {"traces": [raw.hex() for raw in trace_ids], "prefixes": _prefixes(trace_ids)}
    return {(bytes(trace_id), bytes(span_id)) for trace_id, span_id in client.rows(_SPANS_OF_TRACES, parameters)}


def totals(client: LogboekClient) -> Totals:
    """Return what the Logboek holds; reads a few columns of the whole table."""
    count, first, last, errors, flagged, activities = client.rows(_TOTALS)[0]
    return Totals(count, first if count else None, last if count else None, errors, flagged, activities)


def writers(client: LogboekClient, *, limit: int = 50) -> list[Writer]:
    """Return what each writer stored and what is missing of it, the most recent writers first."""
    found = []
    for writer_id, resource, count, places, _, highest, first, last in client.rows(_WRITERS, {"limit": limit}):
        found.append(Writer(writer_id, resource, count, highest + 1 - places, count - places, first, last))
    return found


def parse_trace_id(text: str) -> bytes:
    """Return the 16 bytes of a trace id given as 32 hex digits or as a dashed UUID.

    Raises:
        QueryError: That is no trace id.
    """
    try:
        raw = bytes.fromhex(text.strip().replace("-", ""))
    except ValueError:
        raw = b""
    if len(raw) != 16:  # noqa: PLR2004  (W3C Trace Context)
        raise QueryError("A trace id has 32 hexadecimal digits, with or without the dashes of a UUID.")
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
    if len(raw) != 8:  # noqa: PLR2004  (W3C Trace Context)
        raise QueryError("A span id has 16 hexadecimal digits.")
    return raw


def _trace(trace_id: str) -> dict[str, Any]:
    raw = parse_trace_id(trace_id)
    return {"trace_id": raw.hex(), "prefixes": _prefixes([raw])}


def _records(client: LogboekClient, sql: str, parameters: dict[str, Any]) -> list[StoredLogregel]:
    return [stored(row) for row in client.rows(sql, parameters, bytes_columns=BYTES_COLUMNS)]


def _page(  # noqa: PLR0913  (as its callers)
    client: LogboekClient,
    sql: str,
    parameters: dict[str, Any],
    *,
    since: datetime | None,
    until: datetime | None,
    after: Cursor | None,
    limit: int,
) -> Page:
    after = after or Cursor()
    parameters |= {
        "since": _ms(since, 0),
        "until": _ms(until, _END_OF_TIME_MS),
        "after_time": after.start_time_ms,
        "after_span": after.span_id.hex(),
        "after_writer": after.writer_id,
        "after_seq": after.seq,
        "limit": limit + 1,
    }
    records = _records(client, sql, parameters)
    if len(records) <= limit:
        return Page(records, None)
    last = records[limit - 1]
    return Page(records[:limit], Cursor(last.logregel.start_time_ms, last.logregel.span_id, last.writer_id, last.seq))


_END_OF_TIME_MS: Final = 9_223_286_400_000


def _ms(moment: datetime | None, default: int) -> int:
    return default if moment is None else int(moment.astimezone(UTC).timestamp() * 1_000)


def _prefixes(ids: Iterable[bytes]) -> list[int]:
    """Return what the projections keep of an id: its first 4 bytes, little-endian, without the low 4 bits."""
    return sorted({int.from_bytes(raw[:4], "little") >> 4 for raw in ids})
