"""`/health/live`, `/health/ready` and `/metrics` before an application: for probes and Prometheus.

They stand outside of everything that the application does around a request, so that a probe is in no access log and
counts towards no limit. Liveness looks at nothing: an orchestrator starts anew what is not live, which helps no store.
"""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, Final, TypeAlias

from ldv_otel._internal.http.openmetrics import CONTENT_TYPE, Counts, Histogram, Labels, MetricFamily, openmetrics
from ldv_otel._internal.http.process_figures import process_figures
from ldv_otel._internal.http.readiness import Readiness

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Scope: TypeAlias = MutableMapping[str, Any]
Asgi: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]

LIVE: Final = "/health/live"
READY: Final = "/health/ready"
METRICS: Final = "/metrics"
_PATHS: Final = frozenset({LIVE, READY, METRICS})
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
#: What a proxy adds to a request that it passes on.
_FORWARDED: Final = frozenset({b"forwarded", b"via", b"x-real-ip"})
_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
)


class HealthEndpoints:
    """ASGI application around another one, of which it counts the requests.

    Args:
        readiness: Asked for `/health/ready` and `/metrics`; stays the caller's.
        may_read: Whether who sent a request may see `/metrics`, and why the server is not ready. To others `/metrics`
            is not there.
        figures: Further figures; quick, or kept by who gives them.
    """

    def __init__(
        self,
        app: Asgi,
        readiness: Readiness,
        *,
        version: str,
        may_read: Callable[[Mapping[str, Any]], bool],
        figures: Callable[[], Awaitable[Sequence[MetricFamily | Histogram | Counts]]] | None = None,
    ) -> None:
        self._app = app
        self._readiness = readiness
        self._version = version
        self._may_read = may_read
        self._figures = figures
        self._requests = Counts("ldv_http_requests", "Requests that were answered; those of probes are not counted.")
        self._seconds = Histogram("ldv_http_request_seconds", "Time from a request's head to the end of its answer.")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a probe, or let the application answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] in _PATHS:
            await self._answer(scope, send)
        else:
            await self._counted(scope, receive, send)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.monotonic()
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            # The route's template and not the address, which may hold anything; a client that left got no status.
            route = (("route", str(getattr(scope.get("route"), "path", "-"))),)
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._requests.add((("method", method), *route, ("status", str(status or "none"))))
            self._seconds.observe(route, time.monotonic() - began)

    async def _answer(self, scope: Scope, send: Send) -> None:
        path = scope["path"]
        if path == METRICS and not self._may_read(scope):
            await _send(scope, send, 404, b"There is no such page here.\n", b"text/plain; charset=utf-8")
        elif scope["method"] not in {"GET", "HEAD"}:
            await _send(scope, send, 405, b"", b"text/plain", (b"allow", b"GET, HEAD"))
        elif path == LIVE:
            await _send_state(scope, send, "")
        elif path == READY:
            problem = await self._readiness.problem()
            await _send_state(scope, send, problem, shown=self._may_read(scope))
        else:
            await _send(scope, send, 200, openmetrics(await self._families()), CONTENT_TYPE.encode())

    async def _families(self) -> list[MetricFamily | Histogram | Counts]:
        problem = await self._readiness.problem()
        ready: dict[Labels, float] = {(): 0 if problem else 1}
        return [
            MetricFamily("ldv_build", "info", "The version that runs.", {(("version", self._version),): 1}),
            MetricFamily("ldv_ready", "gauge", "1 if a query was answered within the last second, else 0.", ready),
            self._requests,
            self._seconds,
            *process_figures(),
            *(await self._figures() if self._figures is not None else ()),
        ]


def is_of_this_machine(scope: Mapping[str, Any]) -> bool:
    """Return whether a request comes from this machine itself: no proxy passed it on, and no browser was made to.

    A proxy beside the server has an address of this machine too. It gives itself away by the headers that proxies add,
    or by the name that the client asked for; one that does neither has to keep `/metrics` to itself.
    """
    client = scope.get("client")
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    browsers = any(name == b"origin" or name.startswith(b"sec-fetch-") for name, _ in scope["headers"])
    return (
        client is not None
        and _is_loopback(str(client[0]))
        and not was_forwarded(scope)
        and not browsers
        and is_loopback_host(host)
    )


def was_forwarded(scope: Mapping[str, Any]) -> bool:
    """Return whether a proxy says that it passed a request on."""
    return any(name in _FORWARDED or name.startswith(b"x-forwarded") for name, _ in scope["headers"])


def is_loopback_host(host: str) -> bool:
    """Return whether a `Host` header names this machine, with or without a port."""
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]") or not (port.isdigit() or not port):
        name = host
    return name.lower() == "localhost" or _is_loopback(name.strip("[]"))


def _is_loopback(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


async def _send_state(scope: Scope, send: Send, problem: str, *, shown: bool = False) -> None:
    content = {"status": "fail" if problem else "pass"}
    if problem and shown:
        content["reason"] = problem
    await _send(scope, send, 503 if problem else 200, json.dumps(content).encode(), b"application/json")


async def _send(
    scope: Scope, send: Send, status: int, content: bytes, content_type: bytes, *more: tuple[bytes, bytes]
) -> None:
    headers = [*_HEADERS, (b"content-type", content_type), (b"content-length", str(len(content)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})
