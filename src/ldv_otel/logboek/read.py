"""The named questions: every reader asks these, so that they all use the paths that do not grow with the table.

A lookup by trace or by data subject goes through a projection that maps a prefix of the id to the hours in which it
occurs; the expressions have to stand here as they stand in the schema.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from ldv_otel.errors import QueryError
from ldv_otel.logboek.client import LogboekClient
from ldv_otel.logboek.rows import BYTES_COLUMNS, SELECTED, StoredLogregel, stored

#: How many records a page has unless the caller asks for fewer or more.
PAGE_RECORDS: Final = 100

_HOUR: Final = "toRelativeHourNum(start_time)"


def _prefix(column: str) -> str:
    return f"bitShiftRight(reinterpretAsUInt32(substring({column}, 1, 4)), 4)"


def _hours(column: str, prefixes: str) -> str:
    """Return the hours in which ids with these prefixes occur, from the projection of that column."""
    where = f"WHERE {_prefix(column)} IN {prefixes} GROUP BY {_prefix(column)}, {_HOUR}"
    return f"{_HOUR} IN (SELECT {_HOUR} FROM logregel {where})"  # noqa: S608  (our own column names)


_BY_TRACE: Final = f"""
SELECT {SELECTED} FROM logregel
WHERE trace_id = unhex({{trace_id:String}}) AND {_hours("trace_id", "{prefixes:Array(UInt32)}")}
ORDER BY start_time, span_id
"""  # noqa: S608  (built from our own column names; values are parameters)

_BY_SUBJECT: Final = f"""
SELECT {SELECTED} FROM logregel
WHERE data_subject_id IN (SELECT toFixedString(unhex(arrayJoin({{subjects:Array(String)}})), 16))
  AND {_hours("data_subject_id", "{prefixes:Array(UInt32)}")}
  AND start_time >= fromUnixTimestamp64Milli({{since:Int64}}) AND start_time < fromUnixTimestamp64Milli({{until:Int64}})
  AND (start_time, span_id) >
      (fromUnixTimestamp64Milli({{after_time:Int64}}), toFixedString(unhex({{after_span:String}}), 8))
ORDER BY start_time, span_id LIMIT {{limit:UInt32}}
"""  # noqa: S608  (as above)

_IN_PERIOD: Final = f"""
SELECT {SELECTED} FROM logregel
WHERE start_time >= fromUnixTimestamp64Milli({{since:Int64}}) AND start_time < fromUnixTimestamp64Milli({{until:Int64}})
  AND (start_time, span_id) >
      (fromUnixTimestamp64Milli({{after_time:Int64}}), toFixedString(unhex({{after_span:String}}), 8))
ORDER BY start_time, span_id LIMIT {{limit:UInt32}}
"""  # noqa: S608  (as above)

_BY_ACTIVITY: Final = _IN_PERIOD.replace("WHERE", "WHERE processing_activity_id = {activity:String}\n  AND")

_SPANS_OF_TRACES: Final = f"""
SELECT trace_id, span_id FROM logregel
WHERE trace_id IN (SELECT toFixedString(unhex(arrayJoin({{traces:Array(String)}})), 16))
  AND {_hours("trace_id", "{prefixes:Array(UInt32)}")}
"""  # noqa: S608  (as above)

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
    """Where the next page begins: after this record."""

    start_time_ms: int = -1
    span_id: bytes = bytes(8)


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
    raw = parse_trace_id(trace_id)
    rows = client.rows(_BY_TRACE, {"trace_id": raw.hex(), "prefixes": _prefixes([raw])}, bytes_columns=BYTES_COLUMNS)
    return [stored(row) for row in rows]


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
    parameters = {"subjects": [raw.hex() for raw in pseudonyms], "prefixes": _prefixes(pseudonyms)}
    return _page(client, _BY_SUBJECT, parameters, since=since, until=until, after=after, limit=limit)


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
    return _page(client, _BY_ACTIVITY, {"activity": activity}, since=since, until=until, after=after, limit=limit)


def in_period(
    client: LogboekClient,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    after: Cursor | None = None,
    limit: int = PAGE_RECORDS,
) -> Page:
    """Return a page of all records of a period; see `by_subject` for the limits."""
    return _page(client, _IN_PERIOD, {}, since=since, until=until, after=after, limit=limit)


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
        "limit": limit + 1,
    }
    records = [stored(row) for row in client.rows(sql, parameters, bytes_columns=BYTES_COLUMNS)]
    if len(records) <= limit:
        return Page(records, None)
    last = records[limit - 1].logregel
    return Page(records[:limit], Cursor(last.start_time_ms, last.span_id))


_END_OF_TIME_MS: Final = 9_223_286_400_000


def _ms(moment: datetime | None, default: int) -> int:
    return default if moment is None else int(moment.astimezone(UTC).timestamp() * 1_000)


def _prefixes(ids: Iterable[bytes]) -> list[int]:
    """Return what the projections keep of an id: its first 4 bytes, little-endian, without the low 4 bits."""
    return sorted({int.from_bytes(raw[:4], "little") >> 4 for raw in ids})
