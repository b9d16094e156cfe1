"""What `ldv serve` and `ldv witness` do alike to listen: uvicorn with bounds on clients, and TLS."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from ldv_otel._internal.api.auth.certificates import SCOPE_EXTENSION
from ldv_otel._internal.config.address import is_loopback
from ldv_otel._internal.config.settings import ServeSettings
from ldv_otel._internal.config.tls import tls_context
from ldv_otel._internal.http.bounded_protocol import BoundedProtocol
from ldv_otel._internal.http.health import HealthEndpoints
from ldv_otel._internal.http.serving import address_of, stopping_on_signals
from ldv_otel.errors import ConfigurationError

_KEEP_ALIVE_SECONDS: Final = 10
_GRACE_SECONDS: Final = 10
#: Connections at a time; more are told to come back.
_CONNECTIONS: Final = 500
#: Of one address, proxies apart; so that one client leaves connections to others before it has said who it is.
_CONNECTIONS_PER_ADDRESS: Final = 100
_MAX_HEAD_BYTES: Final = 32 << 10


def check_tls(serve_settings: ServeSettings, host: str, *, allow_insecure: bool) -> None:
    """Refuse to serve others without TLS, and with files for it that cannot be used.

    Raises:
        ConfigurationError: What is missing, or which file it is.
    """
    if (serve_settings.certificate is None) != (serve_settings.private_key is None):
        raise ConfigurationError(
            "LDV_SERVE_CERTIFICATE and LDV_SERVE_PRIVATE_KEY go together, and one is missing. Nothing was started."
        )
    if serve_settings.certificate is None:
        if serve_settings.client_ca is not None:
            raise ConfigurationError(
                "LDV_SERVE_CLIENT_CA asks clients for certificates, and that needs TLS. Nothing was started. "
                "Set LDV_SERVE_CERTIFICATE and LDV_SERVE_PRIVATE_KEY."
            )
        if not is_loopback(host) and not allow_insecure:
            raise ConfigurationError(
                f"{host} is more than this machine, and there is no TLS. Nothing was started. "
                "Set LDV_SERVE_CERTIFICATE and LDV_SERVE_PRIVATE_KEY, or LDV_ALLOW_INSECURE=1 where a proxy beside it "
                "does TLS (LDV-L1)."
            )
        return
    # uvicorn makes a context of its own, and a mistake there would end the process with a traceback.
    tls_context(
        serve_settings.client_ca,
        (serve_settings.certificate, serve_settings.private_key),
        named_by="LDV_SERVE_CERTIFICATE, LDV_SERVE_PRIVATE_KEY or LDV_SERVE_CLIENT_CA",
        consequence="Nothing was started.",
        purpose=ssl.Purpose.CLIENT_AUTH,
    )


def listen(
    app: HealthEndpoints, settings: ServeSettings, host: str, port: int, ready: Callable[[str], None] | None
) -> None:
    """Serve an application until SIGTERM or SIGINT.

    Args:
        port: 0 for any that is free.
        ready: Called once, with the server's address, when requests are answered.

    Raises:
        ConfigurationError: The port is taken, or the address is none of this machine.
    """
    server = _Server(_config(app, settings, host, port), ready)
    try:
        with stopping_on_signals(server):
            server.run()
    except (SystemExit, OverflowError) as error:  # the first is uvicorn's way to say that it could not listen
        raise ConfigurationError(
            f"Cannot listen on {host} port {port}. Nothing was started. Choose another with --listen."
        ) from error
    if not server.started:
        # uvicorn also returns without an error when the lifespan did not start.
        raise ConfigurationError(f"Cannot listen on {host} port {port}. Nothing was started.")


def _config(app: HealthEndpoints, settings: ServeSettings, host: str, port: int) -> uvicorn.Config:
    tls: dict[str, Any] = {}
    if settings.certificate is not None:
        tls = {"ssl_certfile": settings.certificate, "ssl_keyfile": settings.private_key}
    if settings.client_ca is not None:
        # Optional, because clients with a token need no certificate; the application asks for one or the other.
        tls |= {"ssl_ca_certs": str(settings.client_ca), "ssl_cert_reqs": ssl.CERT_OPTIONAL}
    return uvicorn.Config(
        app,
        host=host.strip("[]"),
        port=port,
        http=_Protocol.bounded(
            head_seconds=settings.seconds,
            connections_per_address=_CONNECTIONS_PER_ADDRESS,
            unlimited=settings.proxies,
        ),
        # No API here has web sockets, and the limits on time and size are those of requests.
        ws="none",
        # `auto` would go on without the Logboek when opening it fails.
        lifespan="on",
        log_config=None,
        # Its access log has addresses with their queries; the application has one of its own.
        access_log=False,
        log_level="critical",
        # The address of the peer decides whose headers are believed, so it must not come from a header itself.
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
        timeout_keep_alive=max(1, min(_KEEP_ALIVE_SECONDS, int(settings.seconds))),
        timeout_graceful_shutdown=_GRACE_SECONDS,
        **tls,
    )


class _Protocol(BoundedProtocol):
    """Passes the client's certificate on to the application."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        connection = transport.get_extra_info("ssl_object")
        der = connection.getpeercert(binary_form=True) if connection is not None else None
        if der is not None:
            self.app = _with_certificate(self.app, der)


def _with_certificate(app: Any, der: bytes) -> ASGIApp:
    async def with_certificate(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("extensions", {})[SCOPE_EXTENSION] = der
        await app(scope, receive, send)

    return with_certificate


class _Server(uvicorn.Server):
    """A server that reports its address when it answers requests."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[str], None] | None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._ready is not None:
            self._ready(address_of(self.servers[0].sockets[0], "https" if self.config.is_ssl else "http"))
