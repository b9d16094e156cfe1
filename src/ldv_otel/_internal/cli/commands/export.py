"""`ldv export`: Logregels in bulk, as Parquet or CSV."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ldv_otel._internal.cli.output import console
from ldv_otel._internal.cli.periods import Since, Until, parse_period
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.export import ExportSelection, count_logregels, export_pages
from ldv_otel._internal.clickhouse.schema.migrations import check_schema
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.record.spreadsheet_cells import guarded_cell
from ldv_otel._internal.times.instants import ms_from_datetime
from ldv_otel.errors import ConfigurationError, LdvError

_FORMATS: Final = {".csv": "csv", ".parquet": "parquet"}


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(export)


def export(  # options of a command
    file: Annotated[Path, typer.Argument(help="File to write; `-` for standard output.")],
    *,
    format_: Annotated[
        str, typer.Option("--format", help="`parquet` or `csv`; by default what the file's name ends in.")
    ] = "",
    activity: Annotated[str, typer.Option("--activity", help="Only this processing activity.")] = "",
    since: Since = None,
    until: Until = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that exists.")] = False,
) -> None:
    """Write Logregels to a file, however many: Parquet or CSV, in the memory of one page."""
    chosen = (format_ or _FORMATS.get(file.suffix.lower(), "")).lower()
    if chosen not in _FORMATS.values():
        raise typer.BadParameter("say --format parquet or --format csv, or let the file's name end so")
    begin, end = parse_period(since, until, now=datetime.now(UTC))
    if str(file) != "-" and file.exists() and not force:
        raise typer.BadParameter(f"{file} exists; choose another name, or --force")
    selection = ExportSelection(
        since_ms=None if begin is None else ms_from_datetime(begin),
        until_ms=None if end is None else ms_from_datetime(end),
        activity=activity,
    )
    with LogboekClient(read_settings(os.environ)) as client:
        check_schema(client)
        with _progress(lambda: count_logregels(client, selection)) as advance, _target(file) as target:
            pages = export_pages(client, selection, as_text=chosen == "csv")
            rows = _write(pages, target, chosen, advance)
    console(stderr=True).print(f"{rows} Logregels", markup=False)


def _write(pages: Iterator[Any], target: BinaryIO, format_: str, advance: Callable[[int], None]) -> int:
    """Write pages as they come; return the number of their rows."""
    try:  # `Any`, as pyarrow has no types
        library: Any = importlib.import_module("pyarrow.parquet" if format_ == "parquet" else "pyarrow.csv")
    except ImportError as error:
        raise ConfigurationError("An export needs an extra. Run `pip install 'ldv-otel[export]'`.") from error
    rows = 0
    with contextlib.ExitStack() as open_writer:
        writer: Any = None
        for page in pages:
            if writer is None:
                make = library.ParquetWriter if format_ == "parquet" else library.CSVWriter
                options = {"compression": "zstd"} if format_ == "parquet" else {}
                writer = open_writer.enter_context(make(target, page.schema, **options))
            writer.write_table(page if format_ == "parquet" else _guarded(page))
            rows += page.num_rows
            advance(page.num_rows)
    return rows


def _guarded(page: Any) -> Any:
    """Return a page whose texts no spreadsheet program takes for formulas."""
    arrow: Any = importlib.import_module("pyarrow")
    for place, field in enumerate(page.schema):
        if arrow.types.is_string(field.type) or arrow.types.is_large_string(field.type):
            cells = [text if text is None else guarded_cell(text) for text in page.column(place).to_pylist()]
            page = page.set_column(place, field, arrow.array(cells, type=field.type))
    return page


@contextlib.contextmanager
def _target(file: Path) -> Iterator[BinaryIO]:
    """Open the target. A file gets its name once it is complete, and is readable for its owner only."""
    if str(file) == "-":
        yield sys.stdout.buffer
        return
    draft = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise LdvError(f"{draft} cannot be made ({error.strerror}).") from error
    try:
        with os.fdopen(descriptor, "wb") as target:
            yield target
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def _progress(total: Callable[[], int]) -> Iterator[Callable[[int], None]]:
    """Show the progress on standard error at a terminal; elsewhere nobody sees it, and counting takes time."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn("Logregels"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True) as progress:
        task = progress.add_task("export", total=total())
        yield lambda rows: progress.advance(task, rows)
