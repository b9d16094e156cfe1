"""Several tenants behind one server: the host that a request names says whose it is, and each has parts of its own.

The host opens nothing. Who may come in is checked by the parts of that tenant, with its audience, its clients and its
keys, of which no other tenant has any. An unknown host, one of a tenant that is not served, and an address that a
tenant does not have get one and the same answer.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI
from starlette.datastructures import State
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ldv_otel._internal.api.app import (
    BODY_BYTES,
    LEZEN,
    Api,
    LastingParts,
    bare_app,
    include,
    services_for,
    versions_of,
)
from ldv_otel._internal.api.auth.authentication import (
    AccessGuard,
    CredentialAuthentication,
    configured_authentication,
)
from ldv_otel._internal.api.auth.clients import read_clients
from ldv_otel._internal.api.envelope import Envelope, log_tenant
from ldv_otel._internal.api.limits import BoundedRequests, RateLimiter
from ldv_otel._internal.api.pages.assets import OPMAAK
from ldv_otel._internal.api.pages.citizen.identity import configured_identity
from ldv_otel._internal.api.pages.citizen.router import INZAGE, install_inzage
from ldv_otel._internal.api.pages.officer.router import TOEZICHT
from ldv_otel._internal.api.problem import Problem, unavailable
from ldv_otel._internal.api.services import Services
from ldv_otel._internal.api.state import TENANT_STATE
from ldv_otel._internal.chain.remote import Remotes
from ldv_otel._internal.config.house_style import read_house_style
from ldv_otel._internal.config.logboeken import LogboekenFile, host_and_port, read_logboeken
from ldv_otel._internal.config.settings import Settings, tenant_settings
from ldv_otel._internal.config.watched_file import WatchedFile
from ldv_otel._internal.http.openmetrics import Counts, MetricFamily
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser
from ldv_otel._internal.privacy.tenant_keys import read_tenant_keys
from ldv_otel.errors import ConfigurationError

#: Tenants with connections and threads at a time; the one that was asked longest ago gives up its own for another.
MOST_OPEN: Final = 50
#: Queries of one tenant at a time; another tenant's never wait for them.
_THREADS: Final = 4
_CLOSING_THREADS: Final = 4
#: Between two looks at the file.
_LOOK_SECONDS: Final = 60.0
_APIS: Final = (LEZEN, TOEZICHT, INZAGE, OPMAAK)


class ServedTenant:
    """A tenant as the server offers it: who is let in, and to what.

    Args:
        settings: Those of this tenant.
        remotes: Parties whose read APIs may be asked; shared by all.

    Attributes:
        state: What its requests find (`state_of`); it has `services` while the tenant is open.
        requests: How many are under way.

    Raises:
        ConfigurationError: It lets nobody in, or a file cannot be used.
    """

    def __init__(self, settings: Settings, pseudonymiser: Pseudonymiser, remotes: Remotes) -> None:
        self.id = settings.tenant
        self.state = State()
        self.requests = 0
        self._settings = settings
        authentication = configured_authentication(settings.serve, others=True)
        identity = configured_identity(settings, pseudonymiser)
        if authentication is None and (identity is None or settings.toezicht_activity):
            raise ConfigurationError(
                "nothing says who may read it. Nothing was started. Give its `serve` an audience, with "
                "LDV_SERVE_ISSUER and LDV_SERVE_JWKS, or clients with certificates, with LDV_SERVE_CLIENT_CA."
            )
        if authentication is not None and not settings.organisation:
            raise ConfigurationError(
                "answers of the read API name the organisation of the Logboek (LDV-N3), and this tenant has no "
                "`organisation`. Nothing was started. Give it one."
            )
        if identity is not None:
            install_inzage(self.state, identity)
        offered: list[Api] = [] if authentication is None else [LEZEN]
        offered += [TOEZICHT] if settings.toezicht_activity else []
        offered += [INZAGE] if identity is not None else []
        offered += [OPMAAK] if offered != [LEZEN] else []
        self._writes = TOEZICHT in offered
        self._prefixes = tuple(f"{api.router.prefix}/" for api in offered)
        guard = AccessGuard(
            authentication or CredentialAuthentication(settings.serve, read_clients(None)),
            RateLimiter(),
            requests_per_minute=settings.serve.requests_per_minute,
        )
        # Kept while the tenant is closed: a client keeps its count, and keys of issuers are not fetched anew.
        self._lasting = LastingParts(guard, remotes, pseudonymiser, read_house_style(settings.house_style))

    @property
    def _services(self) -> Services | None:
        return getattr(self.state, "services", None)

    def offers(self, path: str) -> bool:
        """Return whether an address is below anything that it offers."""
        return f"{path}/".startswith(self._prefixes)

    @property
    def busy(self) -> bool:
        """Whether a request is under way, or a record is being stored."""
        services = self._services
        writer = services.writer if services is not None else None
        return self.requests > 0 or (writer is not None and writer.sending)

    def open(self) -> None:
        """Make its connections and threads; none begins before it is needed."""
        self.state.services = services_for(self._settings, self._lasting, writes=self._writes, threads=_THREADS)

    def close(self) -> Services | None:
        """Let go of its connections and threads, and return them to be closed; None where it is not open."""
        services = self._services
        if services is not None:
            del self.state.services
        return services


class OpenTenants:
    """The tenants that are served, of which some are open at a time.

    One event loop orders all changes here.

    Args:
        tenants: By the host of their address.
        most: Open at a time.
    """

    def __init__(self, tenants: dict[str, ServedTenant], *, most: int = MOST_OPEN) -> None:
        self._tenants = tenants
        self._most = most
        #: The one that was asked longest ago is first.
        self._open: OrderedDict[str, ServedTenant] = OrderedDict()
        self._closing: set[asyncio.Future[None]] = set()
        #: Those of a file of before that have requests under way.
        self._leaving: list[ServedTenant] = []
        self._closer = ThreadPoolExecutor(_CLOSING_THREADS, "ldv-closing")
        self._answers = Counts("ldv_tenant_requests", "Requests that were answered, by tenant.")

    def find(self, host: str, path: str) -> ServedTenant | None:
        """Return the tenant with that host, if it offers that address."""
        tenant = self._tenants.get(host)
        return tenant if tenant is not None and tenant.offers(path) else None

    def enter(self, tenant: ServedTenant) -> None:
        """Begin a request of a tenant, which is opened for it.

        Raises:
            Problem: 503; as many tenants as may be open are busy.
        """
        if tenant.id not in self._open:
            self._make_room()
            tenant.open()
            self._open[tenant.id] = tenant
        self._open.move_to_end(tenant.id)
        tenant.requests += 1

    def leave(self, tenant: ServedTenant, status: int) -> None:
        """End a request of a tenant."""
        tenant.requests -= 1
        if tenant in self._leaving and not tenant.requests:
            self._leaving.remove(tenant)
            self._let_go(tenant)
        self._answers.add((("tenant", tenant.id), ("status", str(status or "none"))))

    def replace(self, tenants: dict[str, ServedTenant]) -> None:
        """Serve these from here on; requests that are under way end as they began."""
        before = list(self._open.values())
        self._tenants = tenants
        self._open.clear()
        for tenant in before:
            if tenant.busy:
                self._leaving.append(tenant)
            else:
                self._let_go(tenant)

    async def figures(self) -> list[MetricFamily | Counts]:
        """Return how many tenants are served and open, and what they were answered."""
        return [
            MetricFamily("ldv_tenants_served", "gauge", "Tenants that this server has.", {(): len(self._tenants)}),
            MetricFamily("ldv_tenants_open", "gauge", "Tenants that have connections now.", {(): len(self._open)}),
            self._answers,
        ]

    def close(self) -> None:
        """Close all; queries under way are waited for."""
        for tenant in [*self._open.values(), *self._leaving]:
            services = tenant.close()
            if services is not None:
                services.close()
        self._open.clear()
        self._leaving.clear()
        self._closer.shutdown()

    def _make_room(self) -> None:
        # Those that are closing count: their threads may be in a query that nothing ends.
        if len(self._open) + len(self._leaving) + len(self._closing) < self._most:
            return
        idle = next((tenant for tenant in self._open.values() if not tenant.busy), None)
        if idle is None or len(self._closing) >= _CLOSING_THREADS:
            raise unavailable()
        del self._open[idle.id]
        self._let_go(idle)

    def _let_go(self, tenant: ServedTenant) -> None:
        services = tenant.close()
        if services is not None:
            closing = asyncio.get_running_loop().run_in_executor(self._closer, services.close)
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


class TenantDoor:
    """ASGI middleware: leads a request to the tenant whose host it names."""

    def __init__(self, app: ASGIApp, tenants: OpenTenants) -> None:
        self._app = app
        self._tenants = tenants

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        tenant = self._tenants.find(_host_of(scope), scope["path"])
        if tenant is None:
            raise Problem(HTTPStatus.NOT_FOUND, "Op dit adres is niets te vinden.")
        log_tenant(scope, tenant.id)
        self._tenants.enter(tenant)
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            scope[TENANT_STATE] = tenant.state
            await self._app(scope, receive, watched)
        finally:
            self._tenants.leave(tenant, status)


def create_tenants_app(common: Settings, file: LogboekenFile, tenants: OpenTenants, remotes: Remotes) -> FastAPI:
    """Return the application for several tenants; its own state has no parts, so that it can serve nobody else.

    Args:
        file: What the tenants are served by; it is followed while the application runs.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        following = asyncio.create_task(_follow(common, file, tenants, remotes))
        try:
            async with remotes:
                yield
        finally:
            following.cancel()
            tenants.close()

    app = bare_app(lifespan)
    include(app, _APIS)
    # The last is outermost, as in `create_app`.
    app.add_middleware(TenantDoor, tenants=tenants)
    app.add_middleware(BoundedRequests, body_bytes=BODY_BYTES, seconds=common.serve.seconds)
    app.add_middleware(Envelope, versions=versions_of(_APIS))
    return app


async def _follow(common: Settings, file: LogboekenFile, tenants: OpenTenants, remotes: Remotes) -> None:
    """Look at the file once a minute, and serve what it says by then."""
    changed: list[dict[str, ServedTenant]] = []

    def take_over() -> None:
        following = read_logboeken(file.path, allow_insecure=common.allow_insecure)
        changed.append(served_tenants(common, following, remotes))

    watched = WatchedFile(file.path, take_over)
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        # Off the event loop: a thousand key files take most of a second.
        await asyncio.to_thread(watched.look)
        while changed:
            tenants.replace(changed.pop())


def served_tenants(common: Settings, file: LogboekenFile, remotes: Remotes) -> dict[str, ServedTenant]:
    """Return the tenants that the file says are served, by the host of their address.

    Raises:
        ConfigurationError: One cannot be served, with its line; or none is.
    """
    rings = read_tenant_keys(file)
    served: dict[str, ServedTenant] = {}
    for tenant in file.content.tenants:
        if tenant.serve is None:
            continue
        settings = tenant_settings(common, file, tenant.id)
        pseudonymiser = Pseudonymiser(rings[tenant.id], settings.pseudonymous_types)
        try:
            served[tenant.serve.host] = ServedTenant(settings, pseudonymiser, remotes)
        except ConfigurationError as error:
            raise ConfigurationError(f"{file.place_of(tenant.id)}: {error}") from error
    if not served:
        raise ConfigurationError(
            f"{file.place_of('')}: no tenant has `serve`, so there is nothing to serve. Nothing was started. Say under "
            "which address each is served, or choose one: `ldv serve --tenant ID`."
        )
    return served


def _host_of(scope: Scope) -> str:
    """Return the host that a request names, without its port; empty where it names none, or two."""
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if len(hosts) != 1:
        return ""
    text = hosts[0].decode("latin-1").lower()
    host, port = host_and_port(text)
    return host if port else text
