"""`ldv schema`: the tables, views and roles of the Logboek."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from ldv_otel._internal.cli.output import AsJson
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.cluster import Cluster
from ldv_otel._internal.clickhouse.schema.migrations import all_statements, apply_schema, schema_status
from ldv_otel._internal.clickhouse.schema.roles import apply_roles, role_statements
from ldv_otel._internal.clickhouse.schema.users import new_users
from ldv_otel._internal.config.private_files import make_private_file
from ldv_otel._internal.config.settings import read_settings
from ldv_otel.errors import ConfigurationError

schema_app = typer.Typer(help="The tables of the Logboek: look at their version, bring them up to date.")


def add_to(app: typer.Typer) -> None:
    """Add the group to the application."""
    schema_app.command("status")(status)
    schema_app.command("apply")(apply)
    schema_app.command("roles")(roles)
    schema_app.command("users")(users)
    app.add_typer(schema_app, name="schema")


def status(*, as_json: AsJson = False) -> None:
    """Show the version of the tables; exit code 1 when something has to be done."""
    settings = read_settings(os.environ)
    with LogboekClient(settings) as client:
        tables = schema_status(client)
    if as_json:
        typer.echo(msgspec.json.encode({**msgspec.to_builtins(tables), "problem": tables.problem()}).decode())
    else:
        typer.echo(
            f"version {tables.current} of {tables.latest}, remembers {tables.deduplication_window} batches"
            + (", takes spans of a Collector" if tables.collector else "")
        )
        if tables.problem():
            typer.echo(tables.problem(), err=True)
    if tables.problem():
        raise typer.Exit(1)


def apply(
    *,
    cluster: Annotated[str, typer.Option("--cluster", help="Make the tables on this cluster, replicated.")] = "",
    shards_by: Annotated[str, typer.Option("--shards-by", help="`trace` spreads traces over the shards.")] = "",
    collector: Annotated[
        bool, typer.Option("--collector", help="Also make what an OpenTelemetry Collector writes to.")
    ] = False,
    only_print: Annotated[bool, typer.Option("--print", help="Print the statements instead of running them.")] = False,
) -> None:
    """Make the tables, or bring them to this version."""
    settings = read_settings(os.environ)
    where = Cluster(cluster, shards_by) if cluster or shards_by else None
    if only_print:
        for statement in all_statements(settings.logboek.database, where, collector=collector):
            typer.echo(f"{statement};\n")
        return
    applied = apply_schema(settings, cluster=where, collector=collector)
    for migration in applied:
        typer.echo(f"applied {migration.version:04d} {migration.name}")
    if collector:
        typer.echo("a Collector can write to collector_span")
    if not applied and not collector:
        typer.echo("nothing to do")


def roles(
    *,
    run: Annotated[bool, typer.Option("--apply", help="Make them on the server instead of printing.")] = False,
    cluster: Annotated[
        str, typer.Option("--cluster", help="Print them for this cluster; --apply sees by itself where the tables are.")
    ] = "",
) -> None:
    """Print the roles for writing, auditing, inzage and management as SQL, or make them on a server."""
    settings = read_settings(os.environ)
    if not run:
        for statement in role_statements(settings.logboek.database, cluster):
            typer.echo(f"{statement};\n")
        return
    with LogboekClient(settings) as client:
        for name in apply_roles(client):
            typer.echo(f"role {name}")


def users(
    *,
    passwords: Annotated[
        Path, typer.Option("--passwords", help="Directory for a file with the password of each; none may be there yet.")
    ],
    cluster: Annotated[str, typer.Option("--cluster", help="Print them for this cluster.")] = "",
) -> None:
    """Print the accounts for the four roles as SQL, with hashes of new passwords, which are put into files (0600)."""
    directory = passwords.expanduser().absolute()
    accounts = new_users(cluster)
    present = [account.name for account in accounts if (directory / account.name).exists()]
    if present:
        raise ConfigurationError(
            f"{directory / present[0]} exists. Nothing was made. Name another directory, or remove that file: a "
            "password that is in use would be lost."
        )
    for account in accounts:
        try:
            make_private_file(directory / account.name, f"{account.password}\n".encode())
        except OSError as error:
            raise ConfigurationError(f"--passwords: {directory} cannot be written ({error.strerror}).") from error
        for statement in account.statements:
            typer.echo(f"{statement};")
