"""`ldv serve`: the Logboek over HTTP, for other organisations, citizens and privacy officers."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ldv_otel._internal.api.server import ExtraApi

from ldv_otel._internal.cli.listen_address import parse_listen
from ldv_otel._internal.config.settings import Settings, read_service_settings
from ldv_otel.errors import ConfigurationError


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(serve)


def serve(
    *,
    listen: Annotated[str, typer.Option("--listen", help="Address and port.")] = "127.0.0.1:8443",
    without_authentication: Annotated[
        bool,
        typer.Option("--without-authentication", help="Let everybody on this machine read everything; loopback only."),
    ] = False,
    demo: Annotated[
        bool,
        typer.Option(
            "--demo",
            help="Only the pages for citizens and privacy officers, where anybody is whoever they say; loopback, "
            "embedded Logboek.",
        ),
    ] = False,
    gemma: Annotated[
        bool,
        typer.Option("--gemma", help="Also the Bewerking API and the Inzage API of GEMMA Verwerkingenlogging."),
    ] = False,
) -> None:
    """Serve the lezen API of the Logboek to others, and pages for citizens and privacy officers.

    With LDV_LOGBOEKEN and no tenant: those of each tenant, at the address that the file gives it.
    """
    try:
        from ldv_otel._internal.api.server import serve as run  # needs the extra [api]
        from ldv_otel._internal.api.server import serve_tenants
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"The server needs {error.name}, which is not installed. Run `pip install 'ldv-otel[api]'`."
        ) from error
    host, port = parse_listen(listen, "127.0.0.1:8443")
    if demo and without_authentication:
        raise ConfigurationError("--demo serves only pages for people, so --without-authentication has no effect.")
    settings = read_service_settings(os.environ)
    if demo and gemma:
        raise ConfigurationError("--demo serves only pages for people, so --gemma has no effect.")
    page = demo or bool(settings.inzage.issuer)
    shown = "inzage" if page else "api/v1/openapi.json" if gemma else "lezenapi/v1/openapi.json"
    logging.getLogger("ldv_otel._internal.api.access").setLevel(logging.INFO)
    if settings.logboeken is not None:
        if without_authentication or demo or gemma:
            raise ConfigurationError(
                "--without-authentication, --demo and --gemma are for one Logboek, and LDV_LOGBOEKEN names several. "
                "Nothing was started. Choose one: `ldv serve --tenant ID ...`."
            )
        serve_tenants(
            settings,
            settings.logboeken,
            host.strip("[]"),
            port,
            ready=lambda address: typer.echo(f"Ready: {address}"),
        )
        return
    run(
        settings,
        host.strip("[]"),
        port,
        without_authentication=without_authentication,
        demo=demo,
        extra_api=_gemma(settings, without_authentication=without_authentication) if gemma else None,
        ready=lambda address: typer.echo(f"Ready: {address}/{shown}"),
    )


def _gemma(settings: Settings, *, without_authentication: bool) -> ExtraApi:
    from ldv_otel._internal.gemma.provider.app import gemma_api  # needs the extra [api]

    return gemma_api(settings, without_authentication=without_authentication)
