"""Commands that serve the Logboek to others: serve."""

from __future__ import annotations

import logging
import os
from typing import Annotated

import typer

from ldv_otel.errors import ConfigurationError
from ldv_otel.settings import read_settings


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(serve)


def serve(
    *,
    listen: Annotated[str, typer.Option("--listen", help="Address and port.")] = "127.0.0.1:8443",
    without_authentication: Annotated[
        bool,
        typer.Option("--without-authentication", help="Let everybody on this machine read everything; loopback only."),
    ] = False,
) -> None:
    """Serve the lezen API of the Logboek to other organisations and applications."""
    try:
        from ldv_otel.api.server import serve as run  # noqa: PLC0415  (needs the extra [api])
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"The server needs {error.name}, which is not installed. Run `pip install 'ldv-otel[api]'`."
        ) from error
    host, _, port = listen.rpartition(":")
    if not port.isdigit() or not host:
        raise ConfigurationError(f"--listen {listen!r} is not of the form 127.0.0.1:8443.")
    logging.getLogger("ldv_otel.api.access").setLevel(logging.INFO)
    run(
        read_settings(os.environ),
        host.strip("[]"),
        int(port),
        without_authentication=without_authentication,
        ready=lambda address: typer.echo(f"Ready: {address}/lezenapi/v1/openapi.json"),
    )
