"""A script: real instrumentations of web servers, a process for each vocabulary that they write.

Its arguments are the directory of `logboeken.yaml` and `parties.yaml`, and `asgi` or `wsgi`; it prints whose each
request was.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware as AsgiMiddleware
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware as WsgiMiddleware
from opentelemetry.sdk.trace import TracerProvider

from ldv_otel._internal.config.settings import read_service_settings
from ldv_otel._internal.sdk import span_state
from ldv_otel._internal.sdk.attach import attach
from ldv_otel._internal.sdk.propagator import use_propagator
from ldv_otel._internal.sdk.tenants.processor import TenantsProcessor

#: Host, path, headers.
REQUESTS: list[tuple[str, str, dict[str, str]]] = [
    ("amsterdam.example", "/", {}),
    ("utrecht.example:8080", "/", {}),
    ("elders.example", "/0363/vergunning?x=1", {}),
    ("elders.example", "/", {"X-Tenant": "0344"}),
    ("elders.example", "/", {}),
    ("amsterdam.example", "/", {"X-Tenant": "0344"}),
]
seen: list[str] = []


def note() -> None:
    """Note whose the span is that serves the request."""
    live_span = span_state.current()
    seen.append((live_span.owner.tenant or "nobody") if live_span is not None else "no span")


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    """Answer."""
    del scope, receive
    note()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def wsgi_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer."""
    del environ
    note()
    start_response("200 OK", [])
    return [b""]


async def ask(transport: httpx.ASGITransport) -> None:
    """Make the requests."""
    async with httpx.AsyncClient(transport=transport) as client:
        for host, path, headers in REQUESTS:
            await client.get(f"http://{host}{path}", headers=headers)


def main(directory: Path, kind: str) -> None:
    """Serve the requests, and print whose they were."""
    settings = read_service_settings(
        {
            "LDV_LOGBOEKEN": str(directory / "logboeken.yaml"),
            "LDV_PARTIES": str(directory / "parties.yaml"),
            "LDV_SPOOL": str(directory / "spool"),
        }
    )
    processor = TenantsProcessor.from_settings(settings)
    provider = TracerProvider()
    attach(provider, processor)
    use_propagator(processor.parties, processor.extensions, processor.choice)
    if kind == "asgi":
        app = AsgiMiddleware(asgi_app, tracer_provider=provider)
        asyncio.run(ask(httpx.ASGITransport(app, client=("10.0.0.5", 1))))
    else:
        with httpx.Client(
            transport=httpx.WSGITransport(WsgiMiddleware(wsgi_app, tracer_provider=provider), remote_addr="10.0.0.5")
        ) as client:
            for host, path, headers in REQUESTS:
                client.get(f"http://{host}{path}", headers=headers)
    sys.stdout.write(" ".join(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
