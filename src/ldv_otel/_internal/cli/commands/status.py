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
from ldv_otel._internal.clickhouse.queries.keys import records_under_other_keys, sentence_about_keys
from ldv_otel._internal.clickhouse.queries.models import Totals, WriterCounts
from ldv_otel._internal.clickhouse.queries.services import ServiceActivity, service_activity
from ldv_otel._internal.clickhouse.schema.migrations import SchemaStatus, schema_status
from ldv_otel._internal.clickhouse.seal_key import SealStatus, seal_status
from ldv_otel._internal.clickhouse.verification.witnessed_log import WitnessReport, witness_status
from ldv_otel._internal.config.logboeken import LogboekenFile
from ldv_otel._internal.config.mounts import warning_about_place
from ldv_otel._internal.config.settings import Settings, read_service_settings
from ldv_otel._internal.delivery.losses import LossReport, read_losses
from ldv_otel._internal.delivery.paths import losses_directory, spool_base, spool_root
from ldv_otel._internal.delivery.spool.inspect import BacklogStatus, SpoolStatus, backlog_of, inspect_spools
from ldv_otel._internal.delivery.spool.quarantine import QUARANTINE_NAME, Quarantine
from ldv_otel._internal.privacy.key_file import place_of_keys, read_keys
from ldv_otel._internal.record.overlooked import OverlookedAttribute, sentence_about
from ldv_otel._internal.tamper.witness_files import read_known_witnesses
from ldv_otel._internal.times.instants import now_ms
from ldv_otel.errors import LdvError


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(status)


class StatusReport(msgspec.Struct, kw_only=True):
    """The counts of `ldv status`.

    Attributes:
        problem: What has to be done, or why the Logboek could not be asked; empty for neither.
        short_lived: Why the place of the spools does not keep them; empty where it does, or there are none.
        overlooked: Attributes of the standard on refused spans of a Collector that are no Acties (LDV-N9).
        missing_keys: How many Logregels are under keys that the key file lacks; None where that was not compared.
        flags: How many Logregels have each flag, of those that have one; the most frequent first.
        resource_left_out: How many Logregels lack an attribute of their resource, by its name (LDV-N8).
        seal: Whether services on this machine seal what they store; None where the Logboek is no ClickHouse.
        witnesses: Who witnesses the log; None where nobody is named.
        services: What each service logs, those that fell silent first.
        schema: None when it could not be asked; then only what is on this machine is said.
    """

    logboek: str
    problem: str = ""
    seal: SealStatus | None = None
    witnesses: WitnessReport | None = None
    schema: SchemaStatus | None = None
    totals: Totals | None = None
    flags: dict[str, int] = {}
    services: list[ServiceActivity] = []
    writers: list[WriterCounts] = []
    refused: int = 0
    overlooked: tuple[OverlookedAttribute, ...] = ()
    resource_left_out: dict[str, int] = {}
    missing_keys: dict[str, int] | None = None
    backlog: BacklogStatus
    spools: list[SpoolStatus]
    short_lived: str = ""
    quarantined: int
    losses: list[LossReport]

    @property
    def ok(self) -> bool:
        """Whether nothing is missing or wrong; a row that was stored twice is not, readers see it once."""
        wrong = self.problem or self.losses or self.quarantined or self.refused or self.backlog.full
        unsealed = self.seal is not None and self.seal.problem
        unwitnessed = self.witnesses is not None and not self.witnesses.enough
        missed = any(service.expected and service.silent for service in self.services)
        lost = any(writer.missing for writer in self.writers)
        return not (wrong or unsealed or unwitnessed or self.missing_keys or missed or lost)


def status(*, as_json: AsJson = False) -> None:
    """Show how the Logboek is doing; exit code 1 when Logregels are missing or something has to be done.

    During an outage it shows what waits on this machine, since when, and why the Logboek does not answer. With
    LDV_LOGBOEKEN and no tenant: what waits on this machine for each of them.
    """
    settings = read_service_settings(os.environ)
    if settings.logboeken is not None:
        _print_tenants(settings, settings.logboeken, as_json=as_json)
        return
    base = spool_base(spool_root(settings), settings.logboek)
    spools = inspect_spools(base)
    report = StatusReport(
        logboek=str(settings.logboek),
        backlog=backlog_of(base, spools, now_ms()),
        spools=spools,
        short_lived=warning_about_place(spool_root(settings), "LDV_SPOOL") if spools else "",
        quarantined=len(Quarantine(base / QUARANTINE_NAME).records()),
        losses=[loss for loss in read_losses(losses_directory(settings)) if loss.logboek == str(settings.logboek)],
    )
    try:
        _ask(report, settings)
    except LdvError as error:
        report.problem = str(error)
    if as_json:
        print_json(msgspec.to_builtins(report))
    else:
        _print_status(report)
    if not report.ok:
        raise typer.Exit(1)


def _print_tenants(settings: Settings, file: LogboekenFile, *, as_json: bool) -> None:
    from ldv_otel._internal.cli.tenant_overview import print_overview, tenant_overview  # few have several Logboeken

    report = tenant_overview(settings, file)
    if as_json:
        print_json(msgspec.to_builtins(report))
    else:
        print_overview(console(), report)
    if not report.ok:
        raise typer.Exit(1)


def _ask(report: StatusReport, settings: Settings) -> None:
    """Add to a report what the Logboek says."""
    seals = settings.logboek.scheme.partition("+")[0] in {"chdb", "clickhouse"}
    if seals:
        report.seal = seal_status(settings, None)
    with LogboekClient(settings) as client:
        report.schema = schema = schema_status(client)
        report.problem = schema.problem()
        if seals and not report.problem:
            report.seal = seal_status(settings, client)
        witnesses = read_known_witnesses(settings)
        if witnesses is not None and schema.current and not report.problem:
            report.witnesses = witness_status(client, witnesses)
        if schema.current:
            report.totals = read.totals(client)
            report.flags = read.flag_counts(client) if report.totals.flagged else {}
            report.services = service_activity(
                client, now_ms(), dict(settings.expected_services), with_collector=schema.collector
            )
            report.writers = read.writers(client)
            report.resource_left_out = read.resource_left_out(client)
            keys = place_of_keys(settings)
            if keys is not None and keys.exists():
                report.missing_keys = records_under_other_keys(client, read_keys(keys).keys)
        if schema.collector:
            report.refused = read.count_refused_spans(client)
            report.overlooked = read.overlooked_attributes(client)


def _print_status(report: StatusReport) -> None:
    out = console()
    out.print(f"Logboek     {report.logboek}", markup=False)
    if report.schema is not None:
        out.print(f"tables      version {report.schema.current} of {report.schema.latest}")
    if report.totals is not None:
        _print_totals(out, report.totals, report.flags)
    if report.services:
        _print_services(out, report.services)
    if report.writers:
        _print_writers(out, report.writers)
    for name, count in report.resource_left_out.items():
        out.print(f"not kept    {name} of the resource of {count} Logregels", markup=False, soft_wrap=True)
    if report.seal is not None:
        _print_seal(out, report.seal)
    if report.witnesses is not None:
        _print_witnesses(out, report.witnesses)
    if report.missing_keys:
        out.print(
            f"NOT FOUND   {sentence_about_keys(report.missing_keys)}", style="bold red", markup=False, soft_wrap=True
        )
    _print_waiting(out, report)


def _print_totals(out: Console, totals: Totals, flags: dict[str, int]) -> None:
    span = ""
    if totals.first_ms is not None and totals.last_ms is not None:
        span = f", {rendering.moment(totals.first_ms)} to {rendering.moment(totals.last_ms)}"
    out.print(f"logregels   {totals.logregels}{span}")
    out.print(
        f"            {totals.activities} activities, {totals.errors} with status Error, {totals.flagged} flagged"
    )
    if flags:
        counts = ", ".join(f"{rendering.plain(flag)} {count}" for flag, count in flags.items())
        out.print(f"flags       {counts} (docs/flags.md says what to do)", markup=False, soft_wrap=True)


def _print_writers(out: Console, writers: list[WriterCounts]) -> None:
    table = Table(header_style="bold", box=SIMPLE_HEAD)
    for caption in ("writer", "service", "stored", "missing", "doubled", "last (UTC)"):
        table.add_column(caption)
    for writer in writers:
        table.add_row(
            writer.writer_id,
            Text(rendering.plain(rendering.service_of(writer.resource))),
            str(writer.stored),
            f"[bold red]{writer.missing}[/]" if writer.missing else "0",
            str(writer.doubled),
            rendering.moment(writer.last_ms),
        )
    out.print(table)


def _print_services(out: Console, services: list[ServiceActivity]) -> None:
    table = Table(header_style="bold", box=SIMPLE_HEAD)
    for caption in ("service", "last seen (UTC)", "24 hours", "a week before", "all", ""):
        table.add_column(caption)
    for service in services:
        words = [
            "[bold red]SILENT[/]" if service.silent else "",
            "expected" if service.expected else "",
            "through a Collector" if service.through_collector else "",
            f"[bold red]{service.refused} refused[/]" if service.refused else "",
        ]
        table.add_row(
            Text(rendering.plain(service.name) or "(no service.name)"),
            "never" if service.last_ms is None else rendering.moment(service.last_ms),
            str(service.day),
            str(service.week_before),
            str(service.logregels),
            ", ".join(filter(None, words)),
        )
    out.print(table)


def _print_seal(out: Console, seal: SealStatus) -> None:
    """Print whether records are sealed, and with which key: what is to be compared with what verifiers have."""
    if seal.problem:
        out.print(f"NOT SEALED  {seal.problem}", style="bold red", markup=False, soft_wrap=True)
    elif seal.key:
        out.print(f"sealed with {seal.key} ({seal.key_file})", markup=False, soft_wrap=True)
    elif seal.on and seal.key_file:
        out.print(f"seal key    made with the first record, in {seal.key_file}", markup=False, soft_wrap=True)
    else:
        out.print("not sealed  LDV_SEAL=0: a change of records would not show", markup=False, soft_wrap=True)


def _print_witnesses(out: Console, report: WitnessReport) -> None:
    seen = "" if report.seen_seconds is None else f", {rendering.moment(report.seen_seconds * 1_000)}"
    roster = len(report.cosigned) + len(report.missing)
    out.print(
        f"{'witnessed  ' if report.enough else 'NOT WITNESSED'} {len(report.cosigned)} of {roster} cosigned the last "
        f"checkpoint, and {report.quorum} are enough{seen}",
        style="" if report.enough else "bold red",
        markup=False,
        soft_wrap=True,
    )
    for sentence in report.missing:
        out.print(f"            {sentence}; `ldv seal` says why", markup=False, soft_wrap=True)


def _print_waiting(out: Console, report: StatusReport) -> None:
    """Print the records that are not in the Logboek (yet)."""
    if report.spools or report.backlog.full:
        first, *others = rendering.backlog_lines(report.backlog, len(report.spools))
        out.print(f"on disk     {first}", soft_wrap=True)
        for line in others:
            out.print(f"            {line}", style="bold red" if report.backlog.full else "", soft_wrap=True)
        for line in rendering.spool_lines(report.spools):
            out.print(f"            {line}", soft_wrap=True)
    if report.short_lived:
        out.print(f"            {report.short_lived}", style="bold red", markup=False, soft_wrap=True)
    if report.quarantined:
        out.print(f"quarantined {report.quarantined} Logregels (`ldv spool quarantine list`)", style="bold red")
    if report.refused:
        out.print(f"refused     {report.refused} spans of a Collector (table collector_refused)", style="bold red")
    for attribute in report.overlooked:
        out.print(f"            {sentence_about(attribute)}", style="bold red", markup=False, soft_wrap=True)
    for loss in report.losses:
        out.print(
            f"LOST        {loss.lost} Logregels of writer {loss.writer_id} (pid {loss.pid}), "
            f"{rendering.moment(loss.reported_ms)}: {loss.reason}",
            style="bold red",
            markup=False,
        )
    if report.problem:
        out.print(report.problem, style="bold red", markup=False, soft_wrap=True)
