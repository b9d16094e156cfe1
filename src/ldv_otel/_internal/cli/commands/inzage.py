"""Commands that read: inzage, trace, activity, status."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ldv_otel._internal.cli import rendering
from ldv_otel._internal.cli.output import (
    AsCsv,
    AsJson,
    AsTable,
    AsTree,
    Form,
    console,
    form_of,
    page_out,
    print_groups,
    print_json,
    print_records,
)
from ldv_otel._internal.cli.periods import Since, Until, parse_period
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.traces import across_traces
from ldv_otel._internal.clickhouse.schema.migrations import SchemaStatus, checked, schema_status
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.delivery.durable import spool_base, spool_root
from ldv_otel._internal.delivery.losses import LossReport, losses_directory, read_losses
from ldv_otel._internal.delivery.spool.inspect import SpoolStatus, inspect_spools
from ldv_otel._internal.delivery.spool.quarantine import QUARANTINE_NAME, Quarantine
from ldv_otel._internal.privacy.key_file import keys_for
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser
from ldv_otel.errors import QueryError

After = Annotated[str | None, typer.Option("--after", help="Cursor of the page before: go on from there.")]
Confidential = Annotated[
    bool,
    typer.Option(
        "--confidential/--no-confidential",
        help="Whether to show what the Register calls confidential, which is not for the data subject to see.",
    ),
]
Limit = Annotated[int, typer.Option("--limit", help="Show at most so many records.", min=1)]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(inzage)
    app.command()(trace)
    app.command()(activity)
    app.command()(foreign)
    app.command()(status)


def inzage(  # noqa: PLR0913  (options of a command)
    *,
    identifier: Annotated[
        str | None, typer.Argument(help="The person's identifier; better left out: you are asked for it.")
    ] = None,
    type_: Annotated[str, typer.Option("--type", help="Type of the identifier, such as BSN.")] = "BSN",
    since: Since = None,
    until: Until = None,
    after: After = None,
    limit: Limit = read.PAGE_RECORDS,
    confidential: Confidential = True,
    as_tree: AsTree = False,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Show what was logged about one person. The identifier becomes a pseudonym here and goes no further."""
    form = form_of(Form.TABLE, tree=as_tree, csv=as_csv, json=as_json)
    limits = _limits(since, until, after, limit, confidential=confidential)
    settings = read_settings(os.environ)
    pseudonymiser = Pseudonymiser(keys_for(settings), settings.pseudonymous_types)
    candidates = pseudonymiser.candidates(_identifier(identifier, type_), type_)
    if not candidates:
        raise QueryError("No identifier was given. Type it at the prompt, or pass it on standard input.")
    with checked(LogboekClient(settings)) as client:
        page = read.by_subject(client, candidates, **limits)
    _show(page, form, title="Verwerkingen van deze betrokkene")


def trace(
    trace_id: Annotated[str, typer.Argument(help="32 hex digits or a UUID.")],
    *,
    confidential: Confidential = True,
    as_table: AsTable = False,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Show one trace as a tree: what was done, in order, and what called what, also into traces of called parties."""
    form = form_of(Form.TREE, table=as_table, csv=as_csv, json=as_json)
    with checked(LogboekClient(read_settings(os.environ))) as client:
        records = across_traces(client, trace_id, confidential=confidential)
    if form is Form.TREE and records:
        page_out(rendering.trace_tree([found.logregel for found in records], title=f"trace {trace_id}"))
    else:
        print_records(records, form, title=f"trace {trace_id}")


def activity(  # noqa: PLR0913  (options of a command)
    uri: Annotated[str, typer.Argument(help="The processing activity, as it is in the Register.")],
    *,
    since: Since = None,
    until: Until = None,
    after: After = None,
    limit: Limit = read.PAGE_RECORDS,
    as_tree: AsTree = False,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Show what was logged under one processing activity."""
    form = form_of(Form.TABLE, tree=as_tree, csv=as_csv, json=as_json)
    limits = _limits(since, until, after, limit)
    with checked(LogboekClient(read_settings(os.environ))) as client:
        page = read.by_activity(client, uri, **limits)
    _show(page, form, title=uri)


def foreign(  # noqa: PLR0913  (options of a command)
    trace_id: Annotated[str, typer.Argument(help="Trace of the other party: 32 hex digits or a UUID.")],
    span_id: Annotated[str, typer.Argument(help="One span of it, 16 hex digits.")] = "",
    *,
    confidential: Confidential = True,
    as_tree: AsTree = False,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Show what ties this Logboek to another party's: what was done here for it, and the Actie it was called from."""
    form = form_of(Form.TABLE, tree=as_tree, csv=as_csv, json=as_json)
    with checked(LogboekClient(read_settings(os.environ))) as client:
        called = read.by_foreign(client, trace_id, span_id, confidential=confidential)
        caller = read.by_outbound(client, trace_id, span_id, confidential=confidential) if span_id else []
    print_groups({"called": ("Gedaan voor deze aanroep", called), "caller": ("Van hieruit aangeroepen", caller)}, form)


class Status(msgspec.Struct, frozen=True):
    """What `ldv status` shows."""

    logboek: str
    schema: SchemaStatus
    problem: str
    totals: read.Totals | None
    writers: list[read.Writer]
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
        found = Status(
            logboek=str(settings.logboek),
            schema=schema,
            problem=schema.problem(),
            totals=read.totals(client) if schema.current else None,
            writers=read.writers(client) if schema.current else [],
            refused=read.refused(client) if schema.collector else 0,
            spools=inspect_spools(base),
            quarantined=len(Quarantine(base / QUARANTINE_NAME).records()),
            losses=[loss for loss in read_losses(losses_directory(settings)) if loss.logboek == str(settings.logboek)],
        )
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        _print_status(found)
    if not found.ok:
        raise typer.Exit(1)


def _limits(
    since: str | None, until: str | None, after: str | None, limit: int, *, confidential: bool = True
) -> dict[str, Any]:
    begin, end = parse_period(since, until, now=datetime.now(UTC))
    return {
        "since": begin,
        "until": end,
        "after": read.Cursor.parse(after) if after is not None else None,
        "limit": limit,
        "confidential": confidential,
    }


def _identifier(argument: str | None, type_: str) -> str:
    warn = console(stderr=True)
    if argument is not None:
        warn.print("An identifier on the command line stays in the shell's history; leave it out to be asked for it.")
        identifier = argument
    elif sys.stdin.isatty():
        identifier = typer.prompt(type_, hide_input=True, err=True)
    else:
        identifier = sys.stdin.readline()
    if type_.upper() == "BSN" and not _valid_bsn(identifier):
        warn.print("This is no valid BSN (elfproef); it is looked for as it is.")
    return identifier


def _valid_bsn(identifier: str) -> bool:
    from stdnum.nl import bsn  # noqa: PLC0415  (only this command needs it)

    return bool(bsn.is_valid(identifier))


def _show(page: read.Page, form: Form, *, title: str) -> None:
    print_records(page.records, form, title=title)
    if page.following is not None:
        console(stderr=True).print(f"There are more: --after {page.following}", soft_wrap=True)


def _print_status(found: Status) -> None:
    out = console()
    out.print(f"Logboek     {found.logboek}", markup=False)
    out.print(f"tables      version {found.schema.current} of {found.schema.latest}")
    if found.totals is not None:
        totals = found.totals
        span = ""
        if totals.first_ms is not None and totals.last_ms is not None:
            span = f", {rendering.moment(totals.first_ms)} to {rendering.moment(totals.last_ms)}"
        out.print(f"logregels   {totals.logregels}{span}")
        out.print(
            f"            {totals.activities} activities, {totals.errors} with status Error, {totals.flagged} flagged"
        )
    if found.writers:
        table = Table(header_style="bold", box=SIMPLE_HEAD)
        for caption in ("writer", "service", "stored", "missing", "doubled", "last (UTC)"):
            table.add_column(caption)
        for writer in found.writers:
            table.add_row(
                writer.writer_id,
                Text(rendering.plain(rendering.service_of(writer.resource))),
                str(writer.stored),
                f"[bold red]{writer.missing}[/]" if writer.missing else "0",
                str(writer.doubled),
                rendering.moment(writer.last_ms),
            )
        out.print(table)
    _print_waiting(out, found)


def _print_waiting(out: Console, found: Status) -> None:
    """Print what is not in the Logboek (yet)."""
    if found.spools:
        pending = sum(spool.pending for spool in found.spools)
        out.print(f"on disk     {pending} Logregels of {len(found.spools)} processes wait")
        for line in rendering.spool_lines(found.spools):
            out.print(f"            {line}", soft_wrap=True)
    if found.quarantined:
        out.print(f"set apart   {found.quarantined} Logregels (`ldv spool quarantine list`)", style="bold red")
    if found.refused:
        out.print(f"refused     {found.refused} spans of a Collector (table collector_refused)", style="bold red")
    for loss in found.losses:
        out.print(
            f"LOST        {loss.lost} Logregels of writer {loss.writer_id} (pid {loss.pid}), "
            f"{rendering.moment(loss.reported_ms)}: {loss.reason}",
            style="bold red",
            markup=False,
        )
    if found.problem:
        out.print(found.problem, style="bold red", markup=False)
