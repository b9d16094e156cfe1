"""The application of `ldv serve`, around the routers of its APIs and pages.

A router is added with `create_app(..., apis=[...])`. Its routes have the shared parts from `services_of(request)`, let
their clients in with `client_with(Scope....)`, and raise `Problem`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter, FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware

from ldv_otel._internal.api.auth.authentication import AccessGuard, Authentication, NoAuthentication
from ldv_otel._internal.api.envelope import Envelope
from ldv_otel._internal.api.limits import BoundedRequests, RateLimiter
from ldv_otel._internal.api.missing_keys import MissingKeys
from ldv_otel._internal.api.problem import add_problem_handlers
from ldv_otel._internal.api.read_api import router as lezen
from ldv_otel._internal.api.read_api.openapi import API_VERSION
from ldv_otel._internal.api.services import Services
from ldv_otel._internal.api.store_reader import THREADS, StoreReader
from ldv_otel._internal.api.store_writer import StoreWriter
from ldv_otel._internal.chain.remote import Remotes
from ldv_otel._internal.config.house_style import HouseStyle, read_house_style
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.sink import make_sink
from ldv_otel._internal.delivery.write_gates import gated
from ldv_otel._internal.parties.parties import parties_for
from ldv_otel._internal.privacy.key_file import pseudonymiser_for
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser

BODY_BYTES: Final = 64 << 10
#: The last is the name that Starlette's test client sends.
_ONLY_LOOPBACK: Final = ["127.0.0.1", "localhost", "[::1]", "testserver"]


@dataclass(frozen=True)
class Api:
    """Routes below one base path, the prefix of the router.

    Attributes:
        version: For the header `API-Version` (/core/version-header); empty for pages.
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
        writes: Whether an API among them writes.

    Raises:
        ConfigurationError: There are no keys for pseudonyms, or the file of parties or the house style cannot be used.
    """
    lasting = LastingParts(
        access_guard=AccessGuard(authentication, RateLimiter(), requests_per_minute=settings.serve.requests_per_minute),
        remotes=Remotes(parties_for(settings).read_apis, proxy=settings.proxy),
        pseudonymiser=pseudonymiser_for(settings),
        house=read_house_style(settings.house_style),
    )
    services = services_for(settings, lasting, writes=writes)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        services.open()
        try:
            # Its connections belong to the event loop that runs here, and not to the one that made the application.
            async with services.remotes:
                yield
        finally:
            services.close()

    app = bare_app(lifespan)
    app.state.services = services
    apis = tuple(apis)
    include(app, apis)
    # The middleware that is added last is outermost: the envelope is around the refusals of the others, so that they
    # are logged and have its headers too.
    app.add_middleware(BoundedRequests, body_bytes=body_bytes, seconds=settings.serve.seconds)
    if isinstance(authentication, NoAuthentication):
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=_ONLY_LOOPBACK, www_redirect=False)
    app.add_middleware(Envelope, versions=versions_of(apis))
    return app


@dataclass(frozen=True)
class LastingParts:
    """What a Logboek that is served keeps while its connections come and go; as `Services` has them."""

    access_guard: AccessGuard
    remotes: Remotes
    pseudonymiser: Pseudonymiser
    house: HouseStyle


def services_for(settings: Settings, lasting: LastingParts, *, writes: bool, threads: int = THREADS) -> Services:
    """Return the parts for one Logboek; nothing is connected yet.

    Args:
        threads: Queries at a time.
    """
    reader = StoreReader(settings, seconds=settings.serve.seconds, threads=threads)
    return Services(
        settings=settings,
        reader=reader,
        pseudonymiser=lasting.pseudonymiser,
        missing_keys=MissingKeys(reader, lasting.pseudonymiser.keys.keys),
        access_guard=lasting.access_guard,
        remotes=lasting.remotes,
        house=lasting.house,
        writer=_writer(settings) if writes else None,
    )


def bare_app(lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None) -> FastAPI:
    """Return an application without routes, whose errors are answered as problems."""
    app = FastAPI(
        title="Logboek Dataverwerkingen",
        lifespan=lifespan,
        # Each API has a document of its own, at its own base path.
        openapi_url=None,
        # An address with a slash at its end is another one, and is not found (/core/no-trailing-slash).
        redirect_slashes=False,
    )
    add_problem_handlers(app)
    return app


def include(app: FastAPI, apis: Iterable[Api]) -> None:
    """Add the routes of some APIs."""
    for api in apis:
        app.include_router(api.router)


def versions_of(apis: Iterable[Api]) -> dict[str, str]:
    """Return the versions that answers name, by the base path of their API."""
    return {api.router.prefix: api.version for api in apis if api.version}


def _writer(settings: Settings) -> StoreWriter:
    return StoreWriter(gated(make_sink(settings), settings), seconds=_writing_seconds(settings))


def _writing_seconds(settings: Settings) -> float:
    """Return how long the Logboek may take to confirm: as set, but so that the answer to the client is in time."""
    return min(settings.confirm_seconds, settings.serve.seconds * 0.8)
