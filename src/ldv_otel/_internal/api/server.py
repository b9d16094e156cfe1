"""`ldv serve`: uvicorn around the application, with TLS, and refusing to start where that would not be safe."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from ldv_otel._internal.api.app import BODY_BYTES, LEZEN, Api, create_app
from ldv_otel._internal.api.auth.authentication import (
    Authentication,
    CredentialAuthentication,
    NoAuthentication,
    configured_authentication,
)
from ldv_otel._internal.api.auth.clients import read_clients
from ldv_otel._internal.api.health import metrics_readers, store_readiness, with_health
from ldv_otel._internal.api.listening import check_tls, listen
from ldv_otel._internal.api.pages.assets import OPMAAK
from ldv_otel._internal.api.pages.citizen.identity import DemoIdentity, Identity, configured_identity
from ldv_otel._internal.api.pages.citizen.router import INZAGE, install_inzage
from ldv_otel._internal.api.pages.officer.router import TOEZICHT
from ldv_otel._internal.api.tenants import OpenTenants, create_tenants_app, served_tenants
from ldv_otel._internal.api.witnessing import witness_router
from ldv_otel._internal.chain.remote import Remotes
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.config.address import is_loopback
from ldv_otel._internal.config.logboeken import LogboekenFile
from ldv_otel._internal.config.settings import ServeSettings, Settings, tenant_settings
from ldv_otel._internal.http.health import HealthEndpoints
from ldv_otel._internal.http.readiness import Readiness
from ldv_otel._internal.parties.parties import parties_for
from ldv_otel._internal.privacy.key_file import pseudonymiser_for
from ldv_otel._internal.tamper.witness import open_witness
from ldv_otel._version import __version__
from ldv_otel.errors import ConfigurationError

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExtraApi:
    """An API of another package (`gemma`), with clients of its own.

    Attributes:
        install: Called once with the application, before it starts.
        writes: Whether it needs the application's writer.
        body_bytes: The largest request body.
    """

    api: Api
    install: Callable[[FastAPI], None]
    writes: bool = False
    body_bytes: int = BODY_BYTES


def serve(  # noqa: PLR0913  (an entry point with its switches)
    settings: Settings,
    host: str,
    port: int,
    *,
    without_authentication: bool = False,
    demo: bool = False,
    extra_api: ExtraApi | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished first.

    Args:
        host: Address to listen on.
        port: 0 for any that is free.
        without_authentication: Let everybody on this machine do everything; for development.
        demo: Serve only the pages for citizens and privacy officers, and believe everybody on this machine who they say
            they are.
        extra_api: Served beside what the settings ask for; with it, the read API needs no clients.
        ready: Called once, with the server's address, when requests are answered.

    Raises:
        ConfigurationError: No authentication, no TLS beyond loopback, no name of the organisation, a file that
            cannot be used, a port that is taken, or a Logboek that cannot be opened as it is configured.
        LogboekUnavailable: The Logboek does not answer.
    """
    authentication, apis, identity = _offered(
        settings, host, without=without_authentication, demo=demo, more=extra_api is not None
    )
    check_tls(settings.serve, host, allow_insecure=settings.allow_insecure)
    if LEZEN in apis and not without_authentication:
        _check_metadata(settings)
    if extra_api is not None and not is_loopback(host) and not settings.serve.url:
        raise ConfigurationError(
            "Answers of this API have addresses in them, and its own is not known. Nothing was started. "
            "Set LDV_SERVE_URL to the public address of this server."
        )
    if settings.witness_logs is not None and not demo:
        apis = [*apis, _witness(settings, settings.witness_logs)]
    app = _application(settings, authentication, apis, extra_api)
    if identity is not None:
        install_inzage(app.state, identity)
    if settings.logboek.embedded:
        # As the first service would: somebody may look before anything was logged.
        apply_schema(settings)
    # Before the server's own start, whose errors uvicorn turns into an exit status and a traceback.
    app.state.services.open()
    readiness = store_readiness(settings)
    try:
        listen(with_health(app, readiness, settings, app.state.services.reader), settings.serve, host, port, ready)
    finally:
        readiness.close()
        # Also when the lifespan has done so: closing again is harmless, and a start that failed had no lifespan.
        app.state.services.close()


def serve_tenants(
    common: Settings, file: LogboekenFile, host: str, port: int, *, ready: Callable[[str], None] | None = None
) -> None:
    """Serve all tenants of a file that it says are served, each at its own host; otherwise as `serve`.

    No Logboek is asked at the start: one that is away has its own requests answered with 503, and no others.

    Raises:
        ConfigurationError: As `serve`, with the line of the tenant; or a variable says for all what the file has to
            say for each.
    """
    _check_said_for_each(common)
    check_tls(common.serve, host, allow_insecure=common.allow_insecure)
    remotes = Remotes(parties_for(common).read_apis, proxy=common.proxy)
    tenants = OpenTenants(served_tenants(common, file, remotes))
    for tenant in file.content.tenants:
        if tenant.serve is not None and tenant.address.embedded:
            apply_schema(tenant_settings(common, file, tenant.id))
    readiness = Readiness(lambda: "")
    endpoints = HealthEndpoints(
        create_tenants_app(common, file, tenants, remotes),
        readiness,
        version=__version__,
        may_read=metrics_readers(common.serve, common.inzage),
        figures=tenants.figures,
    )
    try:
        listen(endpoints, common.serve, host, port, ready)
    finally:
        readiness.close()
        tenants.close()


def _check_said_for_each(common: Settings) -> None:
    for_all = {
        "LDV_SERVE_URL": common.serve.url,
        "LDV_SERVE_CLIENTS": common.serve.clients,
        "LDV_SERVE_AUDIENCE": common.serve.audience,
        "LDV_SERVE_TRACE_AUDIENCE": common.serve.trace_audience,
        "LDV_INZAGE_AUDIENCE": common.inzage.audience,
        "LDV_TOEZICHT_ACTIVITY": common.toezicht_activity,
    }
    if common.witness_logs is not None:
        raise ConfigurationError(
            "A witness is of one organisation, and LDV_LOGBOEKEN names several Logboeken. Nothing was started. Run "
            "`ldv witness` beside this server."
        )
    for name, value in for_all.items():
        if value:
            raise ConfigurationError(
                f"{name} is set beside LDV_LOGBOEKEN, whose tenants each have a `serve` that says it. Nothing was "
                "started. Unset it, or serve one tenant: `ldv serve --tenant ID`."
            )


def _application(
    settings: Settings, authentication: Authentication, apis: list[Api], extra_api: ExtraApi | None
) -> FastAPI:
    if extra_api is None:
        return create_app(settings, authentication, apis=apis, writes=TOEZICHT in apis)
    app = create_app(
        settings,
        authentication,
        apis=[*apis, extra_api.api],
        body_bytes=extra_api.body_bytes,
        writes=extra_api.writes or TOEZICHT in apis,
    )
    extra_api.install(app)
    return app


def _witness(settings: Settings, logs: Path) -> Api:
    witness = open_witness(logs, settings.witness_state, settings.state)
    _logger.info("Key of this witness: %s", witness.key)
    return Api(witness_router(witness))


def _offered(
    settings: Settings, host: str, *, without: bool, demo: bool, more: bool
) -> tuple[Authentication, list[Api], Identity | None]:
    """Return what authenticates clients, the APIs that are served, and what identifies citizens."""
    pseudonymiser = pseudonymiser_for(settings)
    identity: Identity | None = configured_identity(settings, pseudonymiser)
    if demo:
        _check_demo(settings, host, identity)
        inzage = settings.inzage
        identity = DemoIdentity(inzage.subject_type, pseudonymiser, minutes=inzage.minutes)
        return NoAuthentication(), [INZAGE, TOEZICHT, OPMAAK], identity
    page = [INZAGE, OPMAAK] if identity is not None else []
    if settings.toezicht_activity:
        authentication = _authentication(settings.serve, host, without=without, others=more)
        return authentication, [LEZEN, TOEZICHT, *(page or [OPMAAK])], identity
    if (page or more) and not without and configured_authentication(settings.serve, others=more) is None:
        # Without the read API no client is needed, so its authentication lets nobody in.
        return CredentialAuthentication(settings.serve, read_clients(None)), page, identity
    authentication = _authentication(settings.serve, host, without=without, others=more)
    return authentication, [LEZEN, *page], identity


def _check_demo(settings: Settings, host: str, identity: Identity | None) -> None:
    if not is_loopback(host):
        raise ConfigurationError(
            f"--demo lets everybody be whoever they say, and {host} is more than this machine. Nothing was started."
        )
    if not settings.logboek.embedded:
        raise ConfigurationError(
            "--demo lets everybody be whoever they say, so it works with an embedded Logboek (chdb:///path) only, and "
            "LDV_LOGBOEK names a server. Nothing was started."
        )
    if identity is not None:
        raise ConfigurationError(
            "--demo contradicts LDV_INZAGE_ISSUER, which says who the citizens are. Nothing was started. Keep one."
        )


def _authentication(settings: ServeSettings, host: str, *, without: bool, others: bool) -> Authentication:
    authentication = configured_authentication(settings, others=others)
    if without:
        if authentication is not None:
            raise ConfigurationError("--without-authentication contradicts the authentication that is configured.")
        if not is_loopback(host):
            raise ConfigurationError(
                f"--without-authentication is for development on this machine, and {host} is not loopback. "
                "Nothing was started."
            )
        return NoAuthentication()
    if authentication is None:
        raise ConfigurationError(
            "No authentication is configured, so anybody could read the Logboek. Nothing was started. Set "
            "LDV_SERVE_ISSUER, LDV_SERVE_AUDIENCE and LDV_SERVE_JWKS for access tokens, or LDV_SERVE_CLIENT_CA and "
            "LDV_SERVE_CLIENTS for client certificates; for development on loopback there is --without-authentication."
        )
    return authentication


def _check_metadata(settings: Settings) -> None:
    """Refuse to serve the read API to others without the name and the address that every answer has (LDV-N3)."""
    if not settings.organisation:
        raise ConfigurationError(
            "Answers of the read API name the organisation of the Logboek, and LDV_ORGANISATION is not set. "
            "Nothing was started. Set it to the name of the organisation."
        )
    if not settings.logboek_id and not settings.serve.url:
        raise ConfigurationError(
            "Answers of the read API name its own address, by which others refer to it, and it is not known. "
            "Nothing was started. Set LDV_SERVE_URL to the public address of this server, or LDV_LOGBOEK_ID to the URI "
            "of the read API itself."
        )
