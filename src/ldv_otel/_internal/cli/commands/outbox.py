"""`ldv outbox`: the tables in an application's database from which records go to the Logboek."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated

import msgspec
import typer

from ldv_otel._internal.cli.output import AsJson, print_json
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.delivery.outbox.addresses import store_at
from ldv_otel._internal.delivery.outbox.dialects import DIALECTS
from ldv_otel._internal.delivery.outbox.sender import OutboxSender, retry_refused
from ldv_otel._internal.delivery.sink import make_sink
from ldv_otel._internal.delivery.write_gates import gated

outbox_app = typer.Typer(help="Records that commit in an application's own database, and wait there to be sent.")
refused_app = typer.Typer(help="Records of an outbox that the Logboek refused as data.")

Database = Annotated[
    str,
    typer.Option(
        "--database",
        help="postgresql://... or sqlite:///PATH. A password is better left to PGPASSFILE: arguments can be seen.",
        show_default=False,
    ),
]


class DialectName(StrEnum):
    """The kinds of databases that an outbox can be in."""

    POSTGRESQL = "postgresql"
    SQLITE = "sqlite"


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    outbox_app.command("schema")(schema)
    outbox_app.command("apply")(apply)
    outbox_app.command("status")(status)
    outbox_app.command("drain")(drain)
    refused_app.command("list")(list_refused)
    refused_app.command("retry")(retry)
    outbox_app.add_typer(refused_app, name="refused")
    app.add_typer(outbox_app, name="outbox")


def schema(
    dialect: Annotated[DialectName, typer.Option("--dialect", help="The kind of database.")],
) -> None:
    """Print the statements that make the tables, for a migration of your own."""
    for statement in DIALECTS[dialect].tables:
        typer.echo(f"{statement};\n")


def apply(database: Database) -> None:
    """Make the tables in a database; those that are there stay as they are."""
    store = store_at(database)
    store.apply()
    store.close()
    typer.echo("the tables of the outbox are there")


def status(database: Database, *, as_json: AsJson = False) -> None:
    """Show what waits in a database; exit code 1 when records were refused."""
    store = store_at(database)
    backlog = store.backlog()
    store.close()
    if as_json:
        print_json({"waiting": backlog.waiting, "in_batches": backlog.in_batches, "refused": backlog.refused})
    else:
        typer.echo(f"waiting {backlog.waiting}, in batches {backlog.in_batches}, refused {backlog.refused}")
    if backlog.refused:
        raise typer.Exit(1)


def drain(database: Database) -> None:
    """Send what is in a database; exit code 1 when something is left or was refused."""
    settings = read_settings(os.environ)
    state = OutboxSender(gated(make_sink(settings), settings), store_at(database)).run_once()
    typer.echo(f"confirmed {state.confirmed}, refused {state.refused}, in batches of other senders {state.in_batches}")
    if state.refused or state.in_batches or state.waiting:
        raise typer.Exit(1)


def list_refused(database: Database, *, as_json: AsJson = False) -> None:
    """List the records that the Logboek refused, with its reason."""
    store = store_at(database)
    records = store.refused()
    store.close()
    if as_json:
        print_json(
            [
                msgspec.to_builtins({"writer_id": each.writer_id, "seq": each.seq, "reason": each.reason})
                for each in records
            ]
        )
        return
    for record in records:
        typer.echo(f"{record.writer_id} {record.seq} {record.reason}")


def retry(database: Database) -> None:
    """Send all refused records once more, each in its own place, after the cause was removed."""
    settings = read_settings(os.environ)
    confirmed, refused = retry_refused(gated(make_sink(settings), settings), store_at(database))
    typer.echo(f"confirmed {confirmed}, refused {refused}")
    if refused:
        raise typer.Exit(1)
