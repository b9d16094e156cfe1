"""How records leave a command: table, tree, CSV or JSON; through a pager at a terminal, plain into a pipe."""

from __future__ import annotations

import csv
import functools
import os
import pydoc
import sys
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Annotated, Any, Final, Protocol

import msgspec
import typer
from rich.console import Console, Group, RenderableType
from rich.text import Text

from ldv_otel._internal.cli import rendering
from ldv_otel._internal.cli.listing import ListingTexts, listing, tree_label
from ldv_otel._internal.clickhouse.columns import StoredLogregel
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.record.outcomes import with_outcomes

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON; records have the standard's field names.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV, one line a record.")]
AsExcel = Annotated[bool, typer.Option("--excel", help="Print CSV as a Dutch Excel opens it: semicolons, local times.")]
AsTree = Annotated[bool, typer.Option("--tree", help="Print each trace as a tree.")]
AsTable = Annotated[bool, typer.Option("--table", help="Print a line for each record, by day.")]
Wide = Annotated[bool, typer.Option("--wide", help="Show ids, pseudonyms, times and flags too.")]

#: As git does: no pager for what fits, colours as they are, and what was shown stays.
_LESS: Final = "FRX"


class OutputFormat(StrEnum):
    """The ways to print records."""

    TABLE = "--table"
    TREE = "--tree"
    CSV = "--csv"
    EXCEL = "--excel"
    JSON = "--json"

    @property
    def for_people(self) -> bool:
        """Whether people read it, and not a program."""
        return self in {OutputFormat.TABLE, OutputFormat.TREE}


def console(*, stderr: bool = False) -> Console:
    """Return a console that prints text as it is: `urn:a:b` holds no emoji."""
    return Console(stderr=stderr, highlight=False, emoji=False)


def output_format(default: OutputFormat, **wanted: bool) -> OutputFormat:
    """Return the format that was asked for, by the names of its options.

    Raises:
        typer.BadParameter: More than one was.
    """
    asked = [OutputFormat(f"--{name}") for name, is_wanted in wanted.items() if is_wanted]
    if OutputFormat.EXCEL in asked and OutputFormat.CSV in asked:
        asked.remove(OutputFormat.CSV)
    if len(asked) > 1:
        raise typer.BadParameter(f"choose one of {' and '.join(asked)}")
    return asked[0] if asked else default


def print_records(records: Sequence[StoredLogregel], format_: OutputFormat, *, title: str, texts: ListingTexts) -> None:
    """Print records in one of the formats."""
    print_groups({"": (title, records)}, format_, texts)


def print_groups(
    groups: dict[str, tuple[str, Sequence[StoredLogregel]]], format_: OutputFormat, texts: ListingTexts
) -> None:
    """Print several groups of records, each by its name: a key in JSON, a column in CSV, a title for people.

    One group with an empty name is printed without it.
    """
    if format_ is OutputFormat.JSON:
        as_json = {name: rendering.as_json(records) for name, (_, records) in groups.items()}
        print_json(as_json[""] if list(as_json) == [""] else as_json)
    elif format_ is OutputFormat.CSV:
        _print_csv(groups, csv.writer(sys.stdout, lineterminator="\n"), rendering.csv_row)
    elif format_ is OutputFormat.EXCEL:
        # Without the mark Excel takes UTF-8 for the code page of the system.
        sys.stdout.write("\N{ZERO WIDTH NO-BREAK SPACE}")
        row = functools.partial(rendering.csv_row, zone=texts.zone)
        _print_csv(groups, csv.writer(sys.stdout, delimiter=";", lineterminator="\r\n"), row)
    elif not any(records for _, records in groups.values()):
        console(stderr=True).print("No Logregels found.")
    else:
        parts: list[RenderableType] = []
        for title, records in groups.values():
            if records:
                if parts:
                    parts.append(Text())
                parts.append(_rendered([stored.logregel for stored in records], format_, title, texts))
        page_out(Group(*parts))


def _rendered(records: Sequence[Logregel], format_: OutputFormat, title: str, texts: ListingTexts) -> RenderableType:
    if format_ is OutputFormat.TREE:
        return rendering.forest(records, title=rendering.plain(title), label=label_of(texts))
    return listing(with_outcomes(records), texts, title=title, width=console().width)


def label_of(texts: ListingTexts) -> Callable[..., Text] | None:
    """Return what stands for a record in a tree: with `--wide` all of its fields."""
    return None if texts.wide else functools.partial(tree_label, texts=texts)


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


class _CsvLines(Protocol):
    def writerow(self, row: Iterable[str], /) -> object: ...
    def writerows(self, rows: Iterable[Iterable[str]], /) -> object: ...


def _print_csv(
    groups: dict[str, tuple[str, Sequence[StoredLogregel]]],
    lines: _CsvLines,
    row: Callable[[StoredLogregel], list[str]],
) -> None:
    named = list(groups) != [""]
    lines.writerow((*(("relation",) if named else ()), *rendering.CSV_COLUMNS))
    for name, (_, records) in groups.items():
        lines.writerows(_with(name, row(record)) if named else row(record) for record in records)


def _with(name: str, row: Iterable[str]) -> tuple[str, ...]:
    return (name, *row)
