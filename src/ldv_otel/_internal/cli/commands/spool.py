"""`ldv spool`: the records that wait on this machine, and those in quarantine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from ldv_otel._internal.cli import rendering
from ldv_otel._internal.cli.output import AsJson, console, print_json
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.delivery.durable import drain, retry_quarantine
from ldv_otel._internal.delivery.paths import spool_base, spool_root
from ldv_otel._internal.delivery.sink import make_sink
from ldv_otel._internal.delivery.spool.inspect import backlog_of, inspect_spools
from ldv_otel._internal.delivery.spool.quarantine import QUARANTINE_NAME, Quarantine, QuarantinedRecord
from ldv_otel._internal.delivery.write_gates import gated
from ldv_otel._internal.record.logregel import decode_logregel
from ldv_otel._internal.record.standard_json import as_standard
from ldv_otel._internal.times.instants import now_ms
from ldv_otel.errors import QueryError

spool_app = typer.Typer(help="Records on this machine that the Logboek has not confirmed, or that it refused.")
quarantine_app = typer.Typer(help="Records that the Logboek refused as data.")


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    spool_app.command("status")(status)
    spool_app.command("drain")(drain_spools)
    quarantine_app.command("list")(list_refused)
    quarantine_app.command("show")(show)
    quarantine_app.command("retry")(retry)
    spool_app.add_typer(quarantine_app, name="quarantine")
    app.add_typer(spool_app, name="spool")


def status(*, as_json: AsJson = False) -> None:
    """Show the spools for this Logboek; exit code 1 when a record is quarantined, a spool is damaged, the disk full."""
    base = _base()
    spools = inspect_spools(base)
    backlog = backlog_of(base, spools, now_ms())
    quarantine = Quarantine(base / QUARANTINE_NAME)
    refused, damaged = len(quarantine.records()), len(quarantine.segments())
    if as_json:
        report: dict[str, Any] = {
            "directory": str(base),
            "backlog": msgspec.to_builtins(backlog),
            "spools": msgspec.to_builtins(spools),
            "quarantined": refused,
            "damaged_segments": damaged,
        }
        print_json(report)
    else:
        out = console()
        out.print(f"spool       {base}", markup=False, soft_wrap=True)
        for line in rendering.backlog_lines(backlog, len(spools)):
            out.print(f"            {line}", style="bold red" if backlog.full else "", soft_wrap=True)
        out.print(f"quarantine  {refused} records, {damaged} damaged segments")
        for line in rendering.spool_lines(spools):
            out.print(line, soft_wrap=True)
    if backlog.full or refused or damaged or any(spool.damaged_bytes for spool in spools):
        raise typer.Exit(1)


def drain_spools() -> None:
    """Send the records of processes that died; those that run send their own."""
    settings = read_settings(os.environ)
    adopted, refused = drain(gated(make_sink(settings), settings), _base())
    typer.echo(f"confirmed {adopted}, quarantined {refused}")
    if refused:
        raise typer.Exit(1)


def list_refused(*, as_json: AsJson = False) -> None:
    """List the quarantined records, with the Logboek's reason."""
    records = _quarantine().records()
    if as_json:
        rows = [{"writer_id": record.writer_id, "seq": record.seq, "reason": record.reason} for record in records]
        print_json(rows)
        return
    for record in records:
        typer.echo(f"{record.writer_id} {record.seq} {record.reason}")


def show(
    writer_id: Annotated[str, typer.Argument(help="As `list` shows it.")],
    seq: Annotated[int, typer.Argument(help="As `list` shows it.")],
) -> None:
    """Show one quarantined record, in the standard's words."""
    for record in _quarantine().records():
        if (record.writer_id, record.seq) == (writer_id, seq):
            print_json(_readable(record))
            return
    raise QueryError(
        f"No record of writer {writer_id} with sequence number {seq} is in quarantine. See `ldv spool quarantine list`."
    )


def retry() -> None:
    """Send all quarantined records once more, after the cause was removed."""
    settings = read_settings(os.environ)
    count = len(_quarantine().records())
    confirmed, _ = retry_quarantine(gated(make_sink(settings), settings), _base())
    left = len(_quarantine().records())
    typer.echo(f"tried {count}: confirmed {confirmed}, quarantined {left}")
    if left:
        raise typer.Exit(1)


def _readable(refused: QuarantinedRecord) -> dict[str, Any]:
    try:
        return as_standard(decode_logregel(refused.payload))
    except msgspec.DecodeError:
        return {"payload": refused.payload.hex()}


def _quarantine() -> Quarantine:
    return Quarantine(_base() / QUARANTINE_NAME)


def _base() -> Path:
    settings = read_settings(os.environ)
    return spool_base(spool_root(settings), settings.logboek)
