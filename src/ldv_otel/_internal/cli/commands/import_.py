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
from ldv_otel._internal.delivery.write_gates import gated
from ldv_otel._internal.importer.run import ImportReport, import_files
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.record.overlooked import sentence_about
from ldv_otel._internal.register.known_activities import known_activities


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("import")(import_)


def import_(
    files: Annotated[
        list[Path],
        typer.Argument(help="OTLP/JSON, Jaeger and Zipkin files, packed ones too; and what `ldv export` wrote."),
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Store the Acties of recorded traces, or exported Logregels; what is in the Logboek is not stored again."""
    settings = read_settings(os.environ)
    maker = LogregelMaker.from_settings(settings)
    if (activities := known_activities(settings)) is not None:
        maker.knows = activities.knows
    sink = gated(open_sink(settings), settings)
    sink.open()
    try:
        with LogboekClient(settings) as client:
            report = import_files(
                files,
                maker=maker,
                sink=sink,
                existing=lambda traces: read.stored_in_traces(client, traces),
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
    for attribute in report.overlooked:
        out.print(sentence_about(attribute), style="bold red", markup=False, soft_wrap=True)
    for name, count in report.resource_left_out.most_common():
        out.print(f"not kept {count}: {name} of a resource (LDV_RESOURCE_ATTRIBUTES)", markup=False, soft_wrap=True)
    for flag, count in report.flags.items():
        out.print(f"flagged {count}: {flag}", markup=False)
    errors: Any = console(stderr=True)
    for problem in report.problems:
        where = ": ".join(part for part in (problem.file, problem.location) if part)
        errors.print(f"{where}: {problem.reason}", markup=False, soft_wrap=True)
