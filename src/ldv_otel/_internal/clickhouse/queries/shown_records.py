"""Runs a query for records and gives them as readers see them: last versions only, each below the nearest Actie."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.columns import BYTES_COLUMNS, StoredLogregel, logregel_of_row
from ldv_otel._internal.clickhouse.queries.lookups import Lookup, lookup_rows
from ldv_otel._internal.clickhouse.queries.models import Cursor, Page, PageLimits
from ldv_otel._internal.clickhouse.queries.sql import ACTIE_ABOVE, ANY_TECHNICAL, TECHNICAL_SPANS
from ldv_otel._internal.clickhouse.queries.versions import last_versions
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.times.instants import QUERY_TIME_MAX_MS, within_query_time

#: Trace id and span id.
SpanKey = tuple[bytes, bytes]


def records_of(
    client: LogboekClient, query: Sql | Lookup, parameters: dict[str, Any], *, confidential: bool
) -> list[StoredLogregel]:
    """Return the records of a `sql.records_query` as readers see them."""
    rows = _stored_rows(client, query, parameters, confidential=confidential)
    return _as_shown(client, rows, confidential=confidential)


def page_of(
    client: LogboekClient, query: Sql | Lookup, parameters: dict[str, Any], limits: PageLimits, *, confidential: bool
) -> Page:
    """Return a page of a `sql.records_query` that has the condition of a cursor and `LIMIT`."""
    after = limits.after or Cursor()
    parameters |= {
        "since": within_query_time(0 if limits.since_ms is None else limits.since_ms),
        "until": within_query_time(QUERY_TIME_MAX_MS if limits.until_ms is None else limits.until_ms),
        "after_time": min(after.start_time_ms, QUERY_TIME_MAX_MS),
        "after_span": after.span_id.hex(),
        "after_writer": after.writer_id,
        "after_seq": after.seq,
        # One more than wanted tells whether there is a next page, without counting.
        "limit": limits.limit + 1,
    }
    rows = _stored_rows(client, query, parameters, confidential=confidential)
    # The cursor is that of the last row read, shown or not: of a record with versions only the last is shown.
    following = Cursor.after(rows[limits.limit - 1]) if len(rows) > limits.limit else None
    return Page(_as_shown(client, rows[: limits.limit], confidential=confidential), following)


def from_the_end(limits: PageLimits) -> PageLimits:
    """Return the limits of a page that goes back in time: without a cursor it begins at the end of time."""
    return limits if limits.after else msgspec.structs.replace(limits, after=Cursor(QUERY_TIME_MAX_MS))


def actie_above(client: LogboekClient, spans: Collection[SpanKey]) -> dict[SpanKey, bytes]:
    """Return for each of these spans that is technical the nearest Actie above it; empty above a root.

    Technical spans are known of services that log through a Collector: our SDK writes the Actie as parent (LDV-A2).
    """
    if not spans or client.rows(TECHNICAL_SPANS) == [(0,)]:
        return {}
    parameters = {"traces": [trace.hex() for trace, _ in spans], "spans": [span.hex() for _, span in spans]}
    if not client.rows(ANY_TECHNICAL, parameters):
        return {}
    rows = client.rows(ACTIE_ABOVE, parameters)
    return {(bytes(trace), bytes(span)): bytes(above) if any(above) else b"" for trace, span, above in rows}


def _stored_rows(
    client: LogboekClient, query: Sql | Lookup, parameters: dict[str, Any], *, confidential: bool
) -> list[StoredLogregel]:
    if isinstance(query, Lookup):
        rows = lookup_rows(client, query, parameters, confidential=confidential, bytes_columns=BYTES_COLUMNS)
    else:
        rows = client.rows(query, parameters | {"confidential": confidential}, bytes_columns=BYTES_COLUMNS)
    return [logregel_of_row(row) for row in rows]


def _as_shown(client: LogboekClient, rows: Sequence[StoredLogregel], *, confidential: bool) -> list[StoredLogregel]:
    """Return the last version of each record, with the nearest Actie as its parent (LDV-A2)."""
    records = last_versions(client, rows, confidential=confidential)
    acties = {(record.logregel.trace_id, record.logregel.span_id) for record in records}
    parents = {(record.logregel.trace_id, record.logregel.parent_span_id) for record in records}
    # Only a parent that is no record here can be a technical span; of most traces there is none.
    above = actie_above(client, {(trace, parent) for trace, parent in parents - acties if parent})
    return [_below_actie(record, above) for record in records] if above else records


def _below_actie(record: StoredLogregel, above: Mapping[SpanKey, bytes]) -> StoredLogregel:
    logregel = record.logregel
    parent = above.get((logregel.trace_id, logregel.parent_span_id))
    if parent is None:
        return record
    return msgspec.structs.replace(record, logregel=msgspec.structs.replace(logregel, parent_span_id=parent))
