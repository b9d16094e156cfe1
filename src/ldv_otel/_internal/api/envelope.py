"""What stands around every answer: security headers, the version of the API, and a line in the access log."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ldv_otel._internal.api.problem import REFUSAL, unexpected

ACCESS_LOG: Final = "ldv_otel._internal.api.access"

#: NLGov REST API Design Rules, /core/transport/security-headers; a router may set its own for pages.
_SECURITY_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_CLIENT: Final = "ldv.client"
_RECORDS: Final = "ldv.records"
_TENANT: Final = "ldv.tenant"

_logger: Final = logging.getLogger(ACCESS_LOG)


def log_client(request: Request, name: str) -> None:
    """Set the client that the access log names for a request; never a data subject's identifier."""
    request.scope[_CLIENT] = name


def log_tenant(scope: Scope, tenant_id: str) -> None:
    """Set the tenant that the access log names for a request, before its client."""
    scope[_TENANT] = f"{tenant_id} "


def log_records(request: Request, count: int) -> None:
    """Set the number of records that the access log names for a request."""
    request.scope[_RECORDS] = count


class Envelope:
    """ASGI middleware around everything else.

    The access log has the tenant where there are several, the client, the route, the status, the time and the number of
    records, and after a 401 or 403 the reason. It has no address: what a client puts in there by mistake could be a
    data subject's identifier.

    Args:
        versions: Version of an API, for the header `API-Version`, by the path of its router.
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
        method = scope["method"]
        is_head = method == "HEAD"
        if is_head:
            # Whatever answers GET answers HEAD, with the same head and no body (RFC 9110, section 9.3.2).
            scope = {**scope, "method": "GET"}
        status = 0
        sendable = True

        async def send_with_headers(message: Message) -> None:
            nonlocal status, sendable
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(scope, MutableHeaders(scope=message))
            elif is_head:
                message = {**message, "body": b""}
            try:
                await send(message)
            except Exception:
                # The server cannot send any more: the client went away, or broke the protocol in the body.
                sendable = False
                raise

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001  (the last place where an answer can be given)
            if not sendable:
                _logger.debug("An answer could not be sent (%s).", type(error).__name__)
                return
            problem = unexpected(error)
            # An answer that has begun cannot become another one: the server breaks the connection off.
            if not status:
                await problem.response()(scope, receive, send_with_headers)
        finally:
            _logger.info(
                "%s%s %s %s %d %.0f ms, %d records%s",
                scope.get(_TENANT, ""),
                scope.get(_CLIENT, "-"),
                method,
                # The route's template and not the address: /chains/{trace_id}.
                getattr(scope.get("route"), "path", "-"),
                status,
                (time.monotonic() - began) * 1_000,
                scope.get(_RECORDS, 0),
                f"; {scope[REFUSAL]}" if REFUSAL in scope else "",
            )

    def _add_headers(self, scope: Scope, headers: MutableHeaders) -> None:
        for prefix, version in self._versions.items():
            if f"{scope['path']}/".startswith(f"{prefix}/"):
                headers.setdefault("API-Version", version)
        for name, value in _SECURITY_HEADERS.items():
            # A page has a policy of its own; what a route set stays.
            headers.setdefault(name, value)
        if "GET" in headers.get("allow", "").split(", "):
            headers["Allow"] = f"{headers['Allow']}, HEAD"
        if scope["scheme"] == "https":
            headers.setdefault("Strict-Transport-Security", "max-age=31536000")
