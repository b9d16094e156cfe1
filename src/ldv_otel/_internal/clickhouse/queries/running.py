"""How far a query is that runs over another connection, as the engine itself counts it."""

from __future__ import annotations

from typing import Final, NamedTuple

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.sql_text import Sql

#: An embedded engine has no queries but those of this process, which gives them no ids.
_RUNNING: Final = Sql("""
SELECT toInt64(sum(read_rows)), toInt64(sum(total_rows_approx)) FROM system.processes
WHERE query_id = {id:String} OR {embedded:Bool} AND query_id != queryID()
""")


class RowsRead(NamedTuple):
    """How many rows a query has read, and how many there are to read as far as the engine can say."""

    done: int
    total: int


def rows_read(watching: LogboekClient, asking: LogboekClient) -> RowsRead | None:
    """Return how far the query is that `asking` waits for; None where none runs, or the engine does not say.

    Args:
        watching: Another connection to the same Logboek.

    Raises:
        LdvError: This account may not see what runs, or the Logboek cannot be asked.
    """
    embedded, query_id = asking.address.embedded, asking.query_id
    if not query_id and not embedded:
        return None
    done, total = watching.rows(_RUNNING, {"id": query_id, "embedded": embedded})[0]
    return RowsRead(done, total) if 0 < done <= total else None
