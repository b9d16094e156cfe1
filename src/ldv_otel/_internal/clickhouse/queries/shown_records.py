"""Runs a query for records and gives them as readers see them: last versions only, each below the nearest Actie."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.columns import BYTES_COLUMNS, StoredLogregel, stored
from ldv_otel._internal.clickhouse.queries.models import Cursor, Page, PageLimits
from ldv_otel._internal.clickhouse.queries.sql import ABOVE, ANY_TECHNICAL
from ldv_otel._internal.clickhouse.queries.versions import current
from ldv_otel._internal.times.instants import QUERY_TIME_MAX_MS, within_query_time


def records_of(
    client: LogboekClient, sql: str, parameters: dict[str, Any], *, confidential: bool
) -> list[StoredLogregel]:
    """Return the records of a query as readers see them."""
    return _as_shown(
        client, _stored_rows(client, sql, parameters, confidential=confidential), confidential=confidential
    )


def _stored_rows(
    client: LogboekClient, sql: str, parameters: dict[str, Any], *, confidential: bool
) -> list[StoredLogregel]:
    parameters |= {"confidential": confidential}
    return [stored(row) for row in client.rows(sql, parameters, bytes_columns=BYTES_COLUMNS)]


def _as_shown(client: LogboekClient, rows: Sequence[StoredLogregel], *, confidential: bool) -> list[StoredLogregel]:
    """Return the last version of each record, with the nearest Actie as its parent (LDV-A2)."""
    records = current(client, rows, confidential=confidential)
    known = {(found.logregel.trace_id, found.logregel.span_id) for found in records}
    parents = {(found.logregel.trace_id, found.logregel.parent_span_id) for found in records}
    above = actie_above(client, {(trace, parent) for trace, parent in parents - known if parent})
    return [_below_actie(found, above) for found in records] if above else records


def _below_actie(found: StoredLogregel, above: Mapping[tuple[bytes, bytes], bytes]) -> StoredLogregel:
    record = found.logregel
    parent = above.get((record.trace_id, record.parent_span_id))
    if parent is None:
        return found
    return msgspec.structs.replace(found, logregel=msgspec.structs.replace(record, parent_span_id=parent))


def actie_above(client: LogboekClient, spans: Collection[tuple[bytes, bytes]]) -> dict[tuple[bytes, bytes], bytes]:
    """Return for those of these spans that are technical the first span above that is not; nothing above a root.

    Technical spans are known of services that log through a Collector.
    """
    if not spans:
        return {}
    parameters = {"traces": [trace.hex() for trace, _ in spans], "spans": [span.hex() for _, span in spans]}
    if not client.rows(ANY_TECHNICAL, parameters):
        return {}
    rows = client.rows(ABOVE, parameters)
    return {(bytes(trace), bytes(span)): bytes(above) if any(above) else b"" for trace, span, above in rows}


def page_of(
    client: LogboekClient, sql: str, parameters: dict[str, Any], limits: PageLimits, *, confidential: bool
) -> Page:
    """Return a page of a `questions.query` that has the conditions of a period and `LIMIT`."""
    after = limits.after or Cursor()
    parameters |= {
        "since": within_query_time(0 if limits.since_ms is None else limits.since_ms),
        "until": within_query_time(QUERY_TIME_MAX_MS if limits.until_ms is None else limits.until_ms),
        "after_time": min(after.start_time_ms, QUERY_TIME_MAX_MS),
        "after_span": after.span_id.hex(),
        "after_writer": after.writer_id,
        "after_seq": after.seq,
        "limit": limits.limit + 1,
    }
    rows = _stored_rows(client, sql, parameters, confidential=confidential)
    following = Cursor.after(rows[limits.limit - 1]) if len(rows) > limits.limit else None
    return Page(_as_shown(client, rows[: limits.limit], confidential=confidential), following)


def from_the_end(limits: PageLimits) -> PageLimits:
    """Return the limits of a page that goes back in time: without a cursor it begins at the end of time."""
    return limits if limits.after else msgspec.structs.replace(limits, after=Cursor(QUERY_TIME_MAX_MS))
