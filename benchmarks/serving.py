"""A FastAPI service with OpenTelemetry's instrumentation, and requests to it without a network or a server.

What a server and its HTTP parser cost is left out: it would only make logging look cheaper.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any, Final

import fastapi
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import TracerProvider

Message = MutableMapping[str, Any]

ROUTE: Final = "/inwoners/{bsn}/vergunningen"
RULES: Final = """
rules:
  - rule: vergunningen van een inwoner
    match:
      kind: server
      attributes: {http.route: "/inwoners/{bsn}/vergunningen", http.request.method: GET}
    activity: https://register.example/activiteiten/vergunningen-inzien
    name: Vergunningen inzien
    subject: {path: bsn, type: BSN}
"""
_HEADERS: Final = [(b"host", b"service.example"), (b"accept", b"application/json"), (b"user-agent", b"benchmark")]


def service(provider: TracerProvider, bsns: list[str]) -> Callable[[int], None]:
    """Return what sends the service a number of requests, one after the other."""
    app = fastapi.FastAPI()

    @app.get(ROUTE)
    async def permits(bsn: str) -> dict[str, str]:
        return {"kenteken": "AB-123-C", "houder": bsn[-3:]}

    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
    loop = asyncio.new_event_loop()

    async def request_all(count: int) -> None:
        for number in range(count):
            await _request(app, f"/inwoners/{bsns[number % len(bsns)]}/vergunningen")

    return lambda count: loop.run_until_complete(request_all(count))


async def _request(app: fastapi.FastAPI, path: str) -> None:
    status = 0

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": _HEADERS,
        "client": ("127.0.0.1", 40_000),
        "server": ("127.0.0.1", 8_000),
    }
    await app(scope, receive, send)
    if status != fastapi.status.HTTP_200_OK:
        raise RuntimeError(f"The service answered {status}, so these times mean nothing.")
