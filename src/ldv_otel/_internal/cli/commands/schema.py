"""Commands that look after a Logboek: schema, key, import, logboek."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from ldv_otel._internal.cli.output import console
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.schema.cluster import Cluster
from ldv_otel._internal.clickhouse.schema.migrations import all_statements, apply_schema, schema_status
from ldv_otel._internal.clickhouse.schema.roles import apply_roles, role_statements
from ldv_otel._internal.clickhouse.sink import open_sink
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings, read_settings
from ldv_otel._internal.importer import ImportReport, import_files
from ldv_otel._internal.privacy.key_file import add_key, keys_for
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel.errors import ConfigurationError

schema_app = typer.Typer(help="The tables of the Logboek: look at their version, bring them up to date.")
key_app = typer.Typer(help="Keys for pseudonyms.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    schema_app.command("status")(status)
    schema_app.command("apply")(apply)
    schema_app.command("roles")(roles)
    key_app.command("new")(new_key)
    app.add_typer(schema_app, name="schema")
    app.add_typer(key_app, name="key")
    app.command("import")(import_)
    app.command()(logboek)


def status(*, as_json: AsJson = False) -> None:
    """Show the version of the tables; exit code 1 when something has to be done."""
    settings = read_settings(os.environ)
    with LogboekClient(settings) as client:
        found = schema_status(client)
    if as_json:
        typer.echo(msgspec.json.encode({**msgspec.to_builtins(found), "problem": found.problem()}).decode())
    else:
        typer.echo(
            f"version {found.current} of {found.latest}, remembers {found.deduplication_window} batches"
            + (", takes spans of a Collector" if found.collector else "")
        )
        if found.problem():
            typer.echo(found.problem(), err=True)
    if found.problem():
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


def new_key(
    *,
    file: Annotated[
        Path | None, typer.Option("--file", help="Key file; by default the one that LDV_KEYS names.")
    ] = None,
    key_id: Annotated[str, typer.Option("--id", help="Name of the key; by default today's date.")] = "",
    seal: Annotated[
        bool, typer.Option("--seal", help="Also seal identifiers, so that who has the key can open them.")
    ] = False,
) -> None:
    """Add a fresh key and make it the active one; older keys in the file stay, so that old records are still found."""
    named = os.environ.get("LDV_KEYS", "")
    path = file or (Path(named) if named else None)
    if path is None:
        raise ConfigurationError("Say where: `ldv key new --file FILE`, or set LDV_KEYS.")
    key = add_key(path.expanduser().absolute(), key_id=key_id, sealing=seal)
    typer.echo(f"key {key.id} is active in {path}. Keep a copy in a safe place: without it nobody is found again.")


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
                now_ms=time.time_ns() // 1_000_000,
            )
    finally:
        sink.close()
    if as_json:
        typer.echo(msgspec.json.encode(report).decode())
    else:
        _print_report(report)
    if report.problems:
        raise typer.Exit(1)


def logboek(
    *,
    path: Annotated[Path, typer.Option("--path", help="Directory of the Logboek.")],
    listen: Annotated[str, typer.Option("--listen", help="Loopback address and port.")] = "127.0.0.1:8123",
    database: Annotated[str, typer.Option("--database", help="Database to make the tables in.")] = "ldv",
) -> None:
    """Run the embedded engine as a process that speaks ClickHouse's HTTP interface, for several processes to share.

    For development, demonstrations and small set-ups: it listens on loopback only and knows no users.
    """
    from ldv_otel._internal.clickhouse.embedded import serve  # noqa: PLC0415  (needs the extra [embedded])

    host, _, port = listen.rpartition(":")
    if not port.isdigit() or not host:
        raise ConfigurationError(f"--listen {listen!r} is not of the form 127.0.0.1:8123.")
    path = path.expanduser().absolute()
    # The tables are made through the engine in this process, before anybody else can ask for them.
    apply_schema(Settings(logboek=LogboekAddress(scheme="chdb", path=str(path), database=database)))

    def ready(address: str) -> None:
        typer.echo(f"Logboek {path} is ready: LDV_LOGBOEK=clickhouse+{address}/{database}")

    serve(path, host.strip("[]"), int(port), ready=ready)


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
        where = ": ".join(part for part in (problem.file, problem.place) if part)
        errors.print(f"{where}: {problem.reason}", markup=False, soft_wrap=True)
