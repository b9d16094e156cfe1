"""`ldv logboek`: the embedded engine as a process for several others."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from ldv_otel._internal.cli.listen_address import parse_listen
from ldv_otel._internal.clickhouse.front_secret import secret_file
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.mounts import warning_about_place
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.privacy.key_file import place_of_keys
from ldv_otel.errors import ConfigurationError

_logger = logging.getLogger(__name__)


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(logboek)


def logboek(
    *,
    path: Annotated[Path, typer.Option("--path", help="Directory of the Logboek.")],
    listen: Annotated[
        str, typer.Option("--listen", help="IP address and port; others than loopback need --certificate.")
    ] = "127.0.0.1:8123",
    database: Annotated[str, typer.Option("--database", help="Database to make the tables in.")] = "ldv",
    certificate: Annotated[
        Path | None, typer.Option("--certificate", help="PEM file of the server's certificate, for TLS.")
    ] = None,
    private_key: Annotated[
        Path | None, typer.Option("--private-key", help="PEM file of its key, where that is another one.")
    ] = None,
) -> None:
    """Run the embedded engine as a process that speaks ClickHouse's HTTP interface, for several processes to share.

    For development, demonstrations and small set-ups: it knows no users, only one secret, which it makes beside the
    directory.
    """
    from ldv_otel._internal.clickhouse.embedded import Listening, serve  # needs the extra [embedded]

    host, port = parse_listen(listen, "127.0.0.1:8123")
    if private_key is not None and certificate is None:
        raise ConfigurationError("--private-key is that of a certificate. Nothing was started. Give --certificate too.")
    path = path.expanduser().absolute()
    # The tables are made through the engine in this process, before anybody else can ask for them.
    embedded = Settings(logboek=LogboekAddress(scheme="chdb", path=str(path), database=database))
    apply_schema(embedded)
    if sentence := warning_about_place(path, "--path"):
        _logger.warning("%s", sentence)

    def ready(address: str) -> None:
        typer.echo(f"Logboek {path} is ready: LDV_LOGBOEK=clickhouse+{address}/{database}")
        keys = place_of_keys(embedded)
        if keys is not None and keys.exists():
            # Under another key nobody of before is found.
            typer.echo(f"Records were made with the keys beside it: LDV_KEYS={keys}")
        if certificate is not None:
            typer.echo(f"Clients need its secret: LDV_LOGBOEK_PASSWORD_FILE, with what is in {secret_file(path)}")

    files = (certificate, private_key) if certificate is not None else None
    serve(path, Listening(host.strip("[]"), port, files), database=database, ready=ready)
