"""`ldv sql`: a prompt for queries of one's own, which read and do nothing else."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Final

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ldv_otel._internal.cli.output import AsCsv, AsJson, OutputFormat, console, output_format, page_out, print_json
from ldv_otel._internal.cli.query_options import Limit
from ldv_otel._internal.cli.rendering import plain
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.prompt import Prompt, PromptAnswer
from ldv_otel._internal.clickhouse.schema.migrations import checked
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.record.spreadsheet_cells import guarded_cell
from ldv_otel.errors import ConfigurationError, LdvError

_ROWS: Final = 1_000
_KEYWORDS: Final = (
    "SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "GROUP BY", "ORDER BY", "DESC", "LIMIT", "HAVING", "AS", "LEFT JOIN",
    "ON", "count()", "countIf(", "uniqExact(", "min(", "max(", "toDate(", "now()", "INTERVAL 1 DAY",
)  # fmt: skip
_LEAVE: Final = frozenset({"exit", "quit", "\\q"})


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("sql")(sql)


def sql(
    query: Annotated[str, typer.Argument(help="A query; without one, a prompt, or what standard input has.")] = "",
    *,
    limit: Limit = _ROWS,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Ask the Logboek in SQL. It reads only: the engine refuses everything else."""
    format_ = output_format(OutputFormat.TABLE, csv=as_csv, json=as_json)
    with checked(LogboekClient(read_settings(os.environ))) as client:
        prompt = Prompt(client)
        if query:
            _print(prompt.ask(query, limit=limit), format_)
        elif sys.stdin.isatty():
            _converse(prompt, format_, limit)
        else:
            for statement in _statements(sys.stdin.read()):
                _print(prompt.ask(statement, limit=limit), format_)


def _converse(prompt: Prompt, format_: OutputFormat, limit: int) -> None:
    """Ask for queries, each up to a semicolon, until the end; a wrong one ends nothing."""
    try:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import FuzzyWordCompleter
        from prompt_toolkit.history import InMemoryHistory
    except ImportError:
        raise ConfigurationError(
            "A prompt needs prompt_toolkit, which is not installed. Install `ldv-otel[sql]`, or give the query as an "
            "argument or on standard input."
        ) from None
    # Not on disk: a query may have a pseudonym in it.
    session: PromptSession[str] = PromptSession(
        history=InMemoryHistory(), completer=FuzzyWordCompleter([*_KEYWORDS, *prompt.words()])
    )
    console(stderr=True).print("Reads only. A query ends with a semicolon; Tab completes; exit or Ctrl-D leaves.")
    waiting = ""
    while True:
        try:
            line = session.prompt("... " if waiting else "ldv> ")
        except KeyboardInterrupt:
            waiting = ""
            continue
        except EOFError:
            return
        if not waiting and line.strip().rstrip(";").casefold() in _LEAVE:
            return
        waiting += f"{line}\n"
        if not waiting.strip():
            waiting = ""
        elif line.rstrip().endswith(";"):
            for statement in _statements(waiting):
                _try(prompt, statement, format_, limit)
            waiting = ""


def _try(prompt: Prompt, statement: str, format_: OutputFormat, limit: int) -> None:
    try:
        _print(prompt.ask(statement, limit=limit), format_)
    except LdvError as error:
        console(stderr=True).print(str(error), markup=False, soft_wrap=True)


def _statements(text: str) -> Iterator[str]:
    """Give the statements of a text: each ends with a semicolon at the end of a line."""
    lines: list[str] = []
    for line in text.splitlines():
        lines.append(line)
        if line.rstrip().endswith(";"):
            yield "\n".join(lines)
            lines = []
    if "".join(lines).strip():
        yield "\n".join(lines)


def _print(answer: PromptAnswer, format_: OutputFormat) -> None:
    if format_ is OutputFormat.JSON:
        print_json([dict(zip(answer.columns, map(_plain_value, row), strict=True)) for row in answer.rows])
    elif format_ is OutputFormat.CSV:
        lines = csv.writer(sys.stdout, lineterminator="\n")
        lines.writerow(answer.columns)
        lines.writerows([guarded_cell(_text(value)) for value in row] for row in answer.rows)
    else:
        table = Table(header_style="bold", box=SIMPLE_HEAD)
        for name in answer.columns:
            table.add_column(Text(plain(name)), overflow="fold")
        for row in answer.rows:
            table.add_row(*(Text(plain(_text(value))) for value in row))
        page_out(table)
    if not answer.complete:
        console(stderr=True).print(f"There are more rows: --limit {2 * len(answer.rows)}")


def _plain_value(value: Any) -> Any:
    return value if isinstance(value, int | float | str | bool | list | dict | None) else _text(value)


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="milliseconds")
    return "" if value is None else str(value)
