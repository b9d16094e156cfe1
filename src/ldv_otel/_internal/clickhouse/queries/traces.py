"""One query over several traces: what belongs together where a called party began a trace of its own (LDV-X2)."""

from __future__ import annotations

from typing import Final

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.columns import StoredLogregel
from ldv_otel._internal.clickhouse.queries.models import RecordQuery, has_moment, parse_trace_id, parse_transaction_id
from ldv_otel._internal.clickhouse.queries.records import by_foreign, by_trace, search

#: How many traces one query may lead to. The ids come from other parties, which could send ever new ones.
MAX_TRACES: Final = 32


def across_traces(client: LogboekClient, trace_id: str, *, confidential: bool = True) -> list[StoredLogregel]:
    """Return all records of a trace, and of the traces in this Logboek that called it or that it called.

    Args:
        trace_id: As for `by_trace`; or the transaction id of an inbound call, a UUID v7 (LDV-N16), which gives the
            traces that it is in.
        confidential: As for `by_trace`.

    Returns:
        The records of that trace, oldest first, then those of each other; of `MAX_TRACES` traces at most.

    Raises:
        QueryError: That is no trace id.
    """
    waiting = [parse_trace_id(trace_id)]
    by_id: dict[bytes, list[StoredLogregel]] = {}
    while waiting and len(by_id) < MAX_TRACES:
        current = waiting.pop(0)
        if current in by_id:
            continue
        by_id[current] = by_trace(client, current.hex(), confidential=confidential)
        callers = (record.logregel.foreign_operation_trace_id for record in by_id[current])
        called = (record.logregel.trace_id for record in by_foreign(client, current.hex(), confidential=confidential))
        waiting += [other for other in (*callers, *called) if other]
    of_traces = [record for records in by_id.values() for record in records]
    if of_traces or not has_moment(trace_id):
        return of_traces
    traces = _traces_of_transaction(client, trace_id, confidential=confidential)
    return [record for trace in traces for record in by_trace(client, trace.hex(), confidential=confidential)]


def _traces_of_transaction(client: LogboekClient, transaction_id: str, *, confidential: bool) -> list[bytes]:
    """Return the traces in which a call has this transaction id of FSC; an id of a trace leads to none."""
    query = RecordQuery(transaction_id=parse_transaction_id(transaction_id))
    page = search(client, query, limit=MAX_TRACES, confidential=confidential)
    return list(dict.fromkeys(record.logregel.trace_id for record in page.records))
