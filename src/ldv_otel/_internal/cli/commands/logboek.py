"""`ldv logboek`: the embedded engine as a process for several others."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

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
    listen: Annotated[str, typer.Option("--listen", help="Loopback address and port.")] = "127.0.0.1:8123",
    database: Annotated[str, typer.Option("--database", help="Database to make the tables in.")] = "ldv",
) -> None:
    """Run the embedded engine as a process that speaks ClickHouse's HTTP interface, for several processes to share.

    For development, demonstrations and small set-ups: it listens on loopback only and knows no users.
    """
    from ldv_otel._internal.clickhouse.embedded import serve  # needs the extra [embedded]

    host, _, port = listen.rpartition(":")
    if not port.isdigit() or not host:
        raise ConfigurationError(f"--listen {listen!r} is not of the form 127.0.0.1:8123.")
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

    serve(path, host.strip("[]"), int(port), database=database, ready=ready)
