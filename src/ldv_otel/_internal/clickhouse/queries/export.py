"""Logregels out of the Logboek in bulk, page after page: as fast as the engine reads, in the memory of one page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.read_settings import READ_SETTINGS
from ldv_otel._internal.clickhouse.sql_text import NOTHING, Sql
from ldv_otel._internal.times.instants import QUERY_TIME_MAX_MS, ms_from_datetime, within_query_time

#: Rows of a page: some 20 MB in memory, and a row group of Parquet.
PAGE_ROWS: Final = 50_000

#: What makes a row one row, in the columns of the view.
_ROW_KEY: Final = Sql("start_time, stored_span_id, writer_id, seq")
_SELECTION: Final = Sql("""
start_time >= fromUnixTimestamp64Milli({since:Int64}) AND start_time < fromUnixTimestamp64Milli({until:Int64})
AND ({activity:String} = '' OR processing_activity_id = {activity:String})
""")
#: Replaces lists and maps by text, for CSV, which has neither.
_AS_TEXT: Final = Sql("""
, arrayStringConcat(outbound_span_ids, ' ') AS outbound_span_ids, toJSONString(attributes) AS attributes,
toJSONString(resource) AS resource, arrayStringConcat(flags, ' ') AS flags
""")
_COUNT: Final = Sql("SELECT count() FROM logregels WHERE $selection", selection=_SELECTION)


class ExportSelection(msgspec.Struct, frozen=True, kw_only=True):
    """Which Logregels are exported.

    Attributes:
        since_ms: Started then or later, in ms since 1970-01-01 UTC; None for the first.
        until_ms: Started before then; None for the last.
        activity: The only processing activity; empty for all.
    """

    since_ms: int | None = None
    until_ms: int | None = None
    activity: str = ""


def count_logregels(client: LogboekClient, selection: ExportSelection) -> int:
    """Return how many Logregels an export would have now."""
    return int(client.rows(_COUNT, _parameters(selection))[0][0])


def export_pages(
    client: LogboekClient, selection: ExportSelection, *, as_text: bool = False, page_rows: int = PAGE_ROWS
) -> Iterator[Any]:
    """Give all Logregels of a selection as `pyarrow.Table`s like the view `logregels`.

    Oldest first, each once, nothing that is past its term. What is stored meanwhile is there when it started after the
    page of that moment.

    Args:
        as_text: Lists and maps as text, as CSV needs them.
    """
    query = _page_query(as_text=as_text)
    after: dict[str, Any] = {"after_time": -1, "after_span": "00" * 8, "after_writer": "", "after_seq": 0}
    while True:
        table = client.arrow(query, _parameters(selection) | after | {"limit": page_rows})
        # The first page is given even when it is empty: its columns are the head of the file.
        if table.num_rows or after["after_time"] < 0:
            yield table
        if table.num_rows < page_rows:
            return
        last = table.slice(table.num_rows - 1).to_pylist()[0]
        after = {
            "after_time": ms_from_datetime(last["start_time"]),
            "after_span": last["span_id"],
            "after_writer": last["writer_id"],
            "after_seq": last["seq"],
        }


def _page_query(*, as_text: bool) -> Sql:
    # By cursor and not by OFFSET, which would read all pages before it again.
    return Sql(
        """
SELECT * EXCEPT '^stored_' REPLACE (toString(status) AS status $as_text)
FROM logregel_shown
WHERE $selection AND start_time >= fromUnixTimestamp64Milli({after_time:Int64})
    AND ($key) > (fromUnixTimestamp64Milli({after_time:Int64}), toFixedString(unhex({after_span:String}), 8),
                  {after_writer:String}, {after_seq:UInt64})
ORDER BY $key LIMIT 1 BY $key LIMIT {limit:UInt32}
SETTINGS $settings
""",
        as_text=_AS_TEXT if as_text else NOTHING,
        selection=_SELECTION,
        key=_ROW_KEY,
        settings=READ_SETTINGS,
    )


def _parameters(selection: ExportSelection) -> dict[str, Any]:
    since_ms, until_ms = selection.since_ms, selection.until_ms
    return {
        "since": 0 if since_ms is None else within_query_time(since_ms),
        "until": QUERY_TIME_MAX_MS if until_ms is None else within_query_time(until_ms),
        "activity": selection.activity,
    }
