"""The application: what every router of `ldv serve` gets around it.

Something is added with `create_app(..., apis=[...])`. Its routes find what they need in `services_of(request)`, let
their clients in with `client_with(Scope....)`, and raise `Problem`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter, FastAPI
from starlette.datastructures import MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ldv_otel._internal.api.auth.authentication import AccessGuard, Authentication, NoAuthentication
from ldv_otel._internal.api.limits import BoundedRequests, RateLimiter
from ldv_otel._internal.api.problem import add_problem_handlers, surprise
from ldv_otel._internal.api.read_api import router as lezen
from ldv_otel._internal.api.read_api.openapi import API_VERSION
from ldv_otel._internal.api.services import Services
from ldv_otel._internal.api.store_reader import StoreReader
from ldv_otel._internal.api.store_writer import StoreWriter
from ldv_otel._internal.chain.remote import Remotes
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.sink import make_sink
from ldv_otel._internal.parties.parties import parties_for
from ldv_otel._internal.privacy.key_file import keys_for
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser

_access: Final = logging.getLogger("ldv_otel._internal.api.access")

BODY_BYTES: Final = 64 << 10
#: NLGov REST API Design Rules, /core/transport/security-headers; a router may set its own for pages.
_SECURITY_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_ONLY_LOOPBACK: Final = ["127.0.0.1", "localhost", "[::1]", "testserver"]


@dataclass(frozen=True)
class Api:
    """Routes below one base path, the prefix of the router.

    Attributes:
        version: For the header `API-Version` (/core/version-header); empty for what is no API.
    """

    router: APIRouter
    version: str = ""


LEZEN: Final = Api(lezen.router, API_VERSION)


def create_app(
    settings: Settings,
    authentication: Authentication,
    *,
    apis: Iterable[Api] = (LEZEN,),
    body_bytes: int = BODY_BYTES,
    writes: bool = False,
) -> FastAPI:
    """Return the application; the Logboek is opened when it starts and closed when it stops.

    Args:
        authentication: Who the clients are. With `NoAuthentication` only requests that name this machine as host are
            answered, so that no web page can reach it through a name of its own.
        body_bytes: The largest request body.
        writes: Whether there are APIs among them that write.

    Raises:
        ConfigurationError: There are no keys for pseudonyms, or the file of parties cannot be used.
    """
    services = Services(
        settings=settings,
        reader=StoreReader(settings, seconds=settings.serve.seconds),
        pseudonymiser=Pseudonymiser(keys_for(settings), settings.pseudonymous_types),
        access_guard=AccessGuard(authentication, RateLimiter(), requests_per_minute=settings.serve.requests_per_minute),
        remotes=Remotes(parties_for(settings).read_apis),
        writer=StoreWriter(make_sink(settings), seconds=_writing_seconds(settings)) if writes else None,
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        services.open()
        try:
            async with services.remotes:
                yield
        finally:
            services.close()

    app = FastAPI(
        title="Logboek Dataverwerkingen",
        lifespan=lifespan,
        # Each API has a document of its own, at its own base path.
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    add_problem_handlers(app)
    apis = tuple(apis)
    for api in apis:
        app.include_router(api.router)
    app.add_middleware(BoundedRequests, body_bytes=body_bytes, seconds=settings.serve.seconds)
    if isinstance(authentication, NoAuthentication):
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=_ONLY_LOOPBACK, www_redirect=False)
    app.add_middleware(Envelope, versions={api.router.prefix: api.version for api in apis if api.version})
    return app


def _writing_seconds(settings: Settings) -> float:
    """Return how long the Logboek may take to confirm: as long as is set, and so that an answer is still in time."""
    return min(settings.confirm_seconds, settings.serve.seconds * 0.8)


class Envelope:
    """ASGI middleware around everything: security headers, a line in the access log, and an answer to surprises.

    The access log has the client, the route, the status, the time and the number of records. It has no address: what a
    client puts in there by mistake could be a data subject's identifier.
    """

    def __init__(self, app: ASGIApp, *, versions: Mapping[str, str]) -> None:
        self._app = app
        self._versions = versions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        status = 0

        async def watched_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for prefix, version in self._versions.items():
                    if scope["path"].startswith(f"{prefix}/"):
                        headers.setdefault("API-Version", version)
                for name, value in _SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if scope["scheme"] == "https":
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except Exception as error:  # noqa: BLE001  (the last place where an answer can be given)
            problem = surprise(error)
            if not status:
                await problem.response()(scope, receive, watched_send)
        finally:
            _access.info(
                "%s %s %s %d %.0f ms, %d records",
                scope.get("ldv.client", "-"),
                scope["method"],
                getattr(scope.get("route"), "path", "-"),
                status,
                (time.monotonic() - began) * 1_000,
                scope.get("ldv.records", 0),
            )
