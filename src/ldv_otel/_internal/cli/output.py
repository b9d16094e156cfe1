"""How records leave a command: table, tree, CSV or JSON; through a pager at a terminal, plain into a pipe."""

from __future__ import annotations

import csv
import os
import pydoc
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console, Group, RenderableType

from ldv_otel._internal.cli import rendering
from ldv_otel._internal.clickhouse.columns import StoredLogregel

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON; records have the standard's field names.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV, one line a record.")]
AsTree = Annotated[bool, typer.Option("--tree", help="Print each trace as a tree.")]
AsTable = Annotated[bool, typer.Option("--table", help="Print a table.")]

#: As git does: no pager for what fits, colours as they are, and what was shown stays.
_LESS: Final = "FRX"


class OutputFormat(StrEnum):
    """The ways to print records."""

    TABLE = "--table"
    TREE = "--tree"
    CSV = "--csv"
    JSON = "--json"


def console(*, stderr: bool = False) -> Console:
    """Return a console that prints text as it is: `urn:a:b` holds no emoji."""
    return Console(stderr=stderr, highlight=False, emoji=False)


def output_format(default: OutputFormat, **wanted: bool) -> OutputFormat:
    """Return the format that was asked for, by the names of its options.

    Raises:
        typer.BadParameter: More than one was.
    """
    asked = [OutputFormat(f"--{name}") for name, is_wanted in wanted.items() if is_wanted]
    if len(asked) > 1:
        raise typer.BadParameter(f"choose one of {' and '.join(asked)}")
    return asked[0] if asked else default


def print_records(records: Sequence[StoredLogregel], format_: OutputFormat, *, title: str) -> None:
    """Print records in one of the formats."""
    print_groups({"": (title, records)}, format_)


def print_groups(groups: dict[str, tuple[str, Sequence[StoredLogregel]]], format_: OutputFormat) -> None:
    """Print several groups of records, each by its name: a key in JSON, a column in CSV, a title for people.

    One group with an empty name is printed without it.
    """
    if format_ is OutputFormat.JSON:
        as_json = {name: rendering.as_json(records) for name, (_, records) in groups.items()}
        print_json(as_json[""] if list(as_json) == [""] else as_json)
    elif format_ is OutputFormat.CSV:
        _print_csv(groups)
    elif not any(records for _, records in groups.values()):
        console(stderr=True).print("No Logregels found.")
    else:
        render = rendering.forest if format_ is OutputFormat.TREE else rendering.records_table
        parts: list[RenderableType] = [
            render([stored.logregel for stored in records], title=rendering.plain(title))
            for title, records in groups.values()
            if records
        ]
        page_out(Group(*parts))


def page_out(renderable: RenderableType) -> None:
    """Print to a pipe or file as it is; at a terminal that it does not fit, through a pager (`PAGER`, or less)."""
    screen = console()
    if not screen.is_terminal or os.environ.get("PAGER") in ("", "cat"):
        screen.print(renderable)
        return
    with screen.capture() as capture:
        screen.print(renderable)
    text = capture.get()
    if text.count("\n") < screen.height:
        sys.stdout.write(text)
    else:
        os.environ.setdefault("LESS", _LESS)
        pydoc.pager(text)


def print_json(value: Any) -> None:
    """Print JSON, indented."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def _print_csv(groups: dict[str, tuple[str, Sequence[StoredLogregel]]]) -> None:
    named = list(groups) != [""]
    lines = csv.writer(sys.stdout, lineterminator="\n")
    lines.writerow((*(("relation",) if named else ()), *rendering.CSV_COLUMNS))
    for name, (_, records) in groups.items():
        lines.writerows(
            _with(name, rendering.csv_row(record)) if named else rendering.csv_row(record) for record in records
        )


def _with(name: str, row: Iterable[str]) -> tuple[str, ...]:
    return (name, *row)
