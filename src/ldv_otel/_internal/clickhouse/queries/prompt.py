"""A person's own query, from a prompt: it reads, whatever is in it.

The engine sees to that (`readonly`), and so does what `ldv logboek` has: a list of what may be run, over the query as
the engine's own parser wrote it down. `INTO OUTFILE` and functions that read files are carried out beside `readonly`.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.embedded.errors import EngineError
from ldv_otel._internal.clickhouse.embedded.permission import Permission
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.tables import View
from ldv_otel.errors import LdvError, QueryError

#: 2 lets a query set limits of its own, and change neither data nor this.
_READONLY: Final = 2
_SECONDS: Final = 300
_READS: Final = re.compile(rb"\(*(?:SELECT|WITH|SHOW|DESCRIBE TABLE|EXISTS|EXPLAIN)\b")
_FORMAT: Final = re.compile(rb" FORMAT \w+(?: SETTINGS [^']*)?\Z")
_FIXED: Final = frozenset({"readonly", "allow_ddl", "allow_introspection_functions"})
_CANONICAL: Final = Sql("SELECT formatQuerySingleLine({query:String})")
_TABLE_FUNCTIONS: Final = Sql("SELECT name FROM system.table_functions")
_COLUMNS: Final = Sql("""
SELECT DISTINCT name FROM system.columns WHERE database = currentDatabase() AND has({views:Array(String)}, table)
""")
#: What people ask; the others are for the views themselves.
READ_VIEWS: Final = tuple(
    view.value
    for view in View
    if view not in {View.LOGREGEL_SHOWN, View.TECHNICAL_ABOVE} and not view.value.startswith("collector_")
)


class PromptAnswer(msgspec.Struct, frozen=True):
    """What a query gave.

    Attributes:
        complete: Whether these are all rows.
    """

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    complete: bool


class Prompt:
    """Runs queries of a person.

    Args:
        client: An open connection, for as long as the prompt is used.
    """

    def __init__(self, client: LogboekClient) -> None:
        self._client = client
        self._permission = Permission((name for (name,) in client.rows(_TABLE_FUNCTIONS)), _FIXED)

    def ask(self, query: str, *, limit: int) -> PromptAnswer:
        """Return the first rows that a query gives.

        Args:
            limit: At most so many.

        Raises:
            QueryError: It cannot be read, does more than read, or reaches what is not in the Logboek; it was not run.
            LdvError: The Logboek cannot be asked, or refused it.
        """
        text = query.strip().rstrip(";").strip()
        try:
            canonical = str(self._client.rows(_CANONICAL, {"query": text})[0][0]).encode()
        except LdvError as error:
            raise QueryError(f"This is no query. {_detail(error)}") from None
        if not _READS.match(canonical):
            raise QueryError("Here one can read only: SELECT, SHOW, DESCRIBE, EXISTS and EXPLAIN. Nothing was run.")
        if _FORMAT.search(canonical):
            raise QueryError("Leave FORMAT out; --json and --csv say how it is printed. Nothing was run.")
        try:
            self._permission.check(canonical)
        except EngineError as error:
            raise QueryError(f"{error}. Nothing was run.") from None
        settings = {
            "readonly": _READONLY,
            "max_execution_time": _SECONDS,
            "max_result_rows": limit + 1,
            "result_overflow_mode": "break",
        }
        columns, rows = self._client.named_rows(Sql.verbatim(text), settings)
        return PromptAnswer(columns, rows[:limit], len(rows) <= limit)

    def words(self) -> list[str]:
        """Return what a prompt completes: the views and their columns."""
        columns = [name for (name,) in self._client.rows(_COLUMNS, {"views": list(READ_VIEWS)})]
        return [*READ_VIEWS, *sorted(set(columns) - set(READ_VIEWS))]


def _detail(error: LdvError) -> str:
    return str(error).partition("Its message: ")[2] or str(error)
