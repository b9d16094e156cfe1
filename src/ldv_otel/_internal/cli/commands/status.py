"""`ldv status`: the state of the Logboek, and of the records on this machine that it does not have yet."""

from __future__ import annotations

import os

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ldv_otel._internal.cli import rendering
from ldv_otel._internal.cli.output import (
    AsJson,
    console,
    print_json,
)
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.models import Totals, WriterCounts
from ldv_otel._internal.clickhouse.schema.migrations import SchemaStatus, schema_status
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.delivery.losses import LossReport, read_losses
from ldv_otel._internal.delivery.paths import losses_directory, spool_base, spool_root
from ldv_otel._internal.delivery.spool.inspect import SpoolStatus, inspect_spools
from ldv_otel._internal.delivery.spool.quarantine import QUARANTINE_NAME, Quarantine


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(status)


class StatusReport(msgspec.Struct, frozen=True):
    """The counts of `ldv status`."""

    logboek: str
    schema: SchemaStatus
    problem: str
    totals: Totals | None
    writers: list[WriterCounts]
    losses: list[LossReport]
    spools: list[SpoolStatus]
    quarantined: int
    refused: int

    @property
    def ok(self) -> bool:
        """Whether nothing is missing or wrong; a row that was stored twice is not, readers see it once."""
        wrong = self.problem or self.losses or self.quarantined or self.refused
        return not wrong and not any(writer.missing for writer in self.writers)


def status(*, as_json: AsJson = False) -> None:
    """Show how the Logboek is doing; exit code 1 when Logregels are missing or something has to be done."""
    settings = read_settings(os.environ)
    base = spool_base(spool_root(settings), settings.logboek)
    with LogboekClient(settings) as client:
        schema = schema_status(client)
        report = StatusReport(
            logboek=str(settings.logboek),
            schema=schema,
            problem=schema.problem(),
            totals=read.totals(client) if schema.current else None,
            writers=read.writers(client) if schema.current else [],
            refused=read.count_refused_spans(client) if schema.collector else 0,
            spools=inspect_spools(base),
            quarantined=len(Quarantine(base / QUARANTINE_NAME).records()),
            losses=[loss for loss in read_losses(losses_directory(settings)) if loss.logboek == str(settings.logboek)],
        )
    if as_json:
        print_json(msgspec.to_builtins(report))
    else:
        _print_status(report)
    if not report.ok:
        raise typer.Exit(1)


def _print_status(report: StatusReport) -> None:
    out = console()
    out.print(f"Logboek     {report.logboek}", markup=False)
    out.print(f"tables      version {report.schema.current} of {report.schema.latest}")
    if report.totals is not None:
        totals = report.totals
        span = ""
        if totals.first_ms is not None and totals.last_ms is not None:
            span = f", {rendering.moment(totals.first_ms)} to {rendering.moment(totals.last_ms)}"
        out.print(f"logregels   {totals.logregels}{span}")
        out.print(
            f"            {totals.activities} activities, {totals.errors} with status Error, {totals.flagged} flagged"
        )
    if report.writers:
        table = Table(header_style="bold", box=SIMPLE_HEAD)
        for caption in ("writer", "service", "stored", "missing", "doubled", "last (UTC)"):
            table.add_column(caption)
        for writer in report.writers:
            table.add_row(
                writer.writer_id,
                Text(rendering.plain(rendering.service_of(writer.resource))),
                str(writer.stored),
                f"[bold red]{writer.missing}[/]" if writer.missing else "0",
                str(writer.doubled),
                rendering.moment(writer.last_ms),
            )
        out.print(table)
    _print_waiting(out, report)


def _print_waiting(out: Console, report: StatusReport) -> None:
    """Print the records that are not in the Logboek (yet)."""
    if report.spools:
        pending = sum(spool.pending for spool in report.spools)
        out.print(f"on disk     {pending} Logregels of {len(report.spools)} processes are pending")
        for line in rendering.spool_lines(report.spools):
            out.print(f"            {line}", soft_wrap=True)
    if report.quarantined:
        out.print(f"quarantined {report.quarantined} Logregels (`ldv spool quarantine list`)", style="bold red")
    if report.refused:
        out.print(f"refused     {report.refused} spans of a Collector (table collector_refused)", style="bold red")
    for loss in report.losses:
        out.print(
            f"LOST        {loss.lost} Logregels of writer {loss.writer_id} (pid {loss.pid}), "
            f"{rendering.moment(loss.reported_ms)}: {loss.reason}",
            style="bold red",
            markup=False,
        )
    if report.problem:
        out.print(report.problem, style="bold red", markup=False)
