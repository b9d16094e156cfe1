"""One question over several traces: what belongs together where a called party began a trace of its own (LDV-X2)."""

from __future__ import annotations

from typing import Final

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.columns import StoredLogregel
from ldv_otel._internal.clickhouse.queries.models import parse_trace_id
from ldv_otel._internal.clickhouse.queries.records import by_foreign, by_trace

#: What one question may lead to: the ids come from other parties.
MAX_TRACES: Final = 32


def across_traces(client: LogboekClient, trace_id: str, *, confidential: bool = True) -> list[StoredLogregel]:
    """Return all records of a trace, and of the traces in this Logboek that it was called from or gave rise to.

    Args:
        trace_id: As for `by_trace`.
        confidential: As for `by_trace`.

    Returns:
        The records of that trace, oldest first, then those of each other; of `MAX_TRACES` traces at most.

    Raises:
        QueryError: That is no trace id.
    """
    waiting = [parse_trace_id(trace_id)]
    found: dict[bytes, list[StoredLogregel]] = {}
    while waiting and len(found) < MAX_TRACES:
        here = waiting.pop(0)
        if here in found:
            continue
        found[here] = by_trace(client, here.hex(), confidential=confidential)
        callers = (record.logregel.foreign_operation_trace_id for record in found[here])
        called = (record.logregel.trace_id for record in by_foreign(client, here.hex(), confidential=confidential))
        waiting += [raw for raw in (*callers, *called) if raw]
    return [record for records in found.values() for record in records]
