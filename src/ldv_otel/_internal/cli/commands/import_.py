"""`ldv import`: recorded traces into the Logboek."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from ldv_otel._internal.cli.output import AsJson, console
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.sink import open_sink
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.importer.run import ImportReport, import_files
from ldv_otel._internal.privacy.key_file import keys_for
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.times.instants import now_ms


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("import")(import_)


def import_(
    files: Annotated[list[Path], typer.Argument(help="OTLP/JSON files and their relatives; .gz too.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Store the Acties of recorded traces. What is in the Logboek already is not stored again."""
    settings = read_settings(os.environ)
    pseudonymiser = Pseudonymiser(keys_for(settings), settings.pseudonymous_types)
    maker = LogregelMaker(pseudonymiser.subject, exception_messages=settings.exception_messages)
    sink = open_sink(settings)
    sink.open()
    try:
        with LogboekClient(settings) as client:
            report = import_files(
                files,
                maker=maker,
                sink=sink,
                existing=lambda traces: read.spans_of_traces(client, traces),
                now_ms=now_ms(),
            )
    finally:
        sink.close()
    if as_json:
        typer.echo(msgspec.json.encode(report).decode())
    else:
        _print_report(report)
    if report.problems:
        raise typer.Exit(1)


def _print_report(report: ImportReport) -> None:
    out = console()
    out.print(f"stored {report.stored}, already there {report.already_there}")
    if report.unconfirmed:
        out.print(f"not confirmed {report.unconfirmed}: run the same import again", style="bold red")
    for name in report.empty_files:
        out.print(f"empty {name}", markup=False)
    for reason, count in report.left_out.items():
        out.print(f"left out {count}: {reason}", markup=False)
    for flag, count in report.flags.items():
        out.print(f"flagged {count}: {flag}", markup=False)
    errors: Any = console(stderr=True)
    for problem in report.problems:
        where = ": ".join(part for part in (problem.file, problem.location) if part)
        errors.print(f"{where}: {problem.reason}", markup=False, soft_wrap=True)
