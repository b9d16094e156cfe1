"""A FastAPI service with OpenTelemetry's instrumentation, and requests to it: by ASGI alone, or through a server.

Without a server and its HTTP parser, which make logging look cheaper, what logging costs shows best; with them, what a
service notices. Run as a module with a port, this is the client, a process of its own so that its CPU is not counted.
"""

from __future__ import annotations

import asyncio
import http.client
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import fastapi
import uvicorn
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
    """Return what sends the service a number of requests by ASGI, one after the other."""
    app = _app(provider)
    loop = asyncio.new_event_loop()

    async def request_all(count: int) -> None:
        for number in range(count):
            await _request(app, _path(bsns, number))

    return lambda count: loop.run_until_complete(request_all(count))


def one_request(provider: TracerProvider, bsns: list[str]) -> Callable[[int], Awaitable[None]]:
    """Return what sends the service one request by ASGI, in the loop that runs."""
    app = _app(provider)

    async def request(number: int) -> None:
        await _request(app, _path(bsns, number))

    return request


def service_with_server(provider: TracerProvider, bsns: list[str]) -> Callable[[int], None]:
    """Return what sends the service a number of requests by HTTP on loopback, on one connection, to uvicorn."""
    server = uvicorn.Server(uvicorn.Config(_app(provider), port=0, log_level="error", timeout_keep_alive=3600))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    client = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.serving", str(port), *bsns],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def request_all(count: int) -> None:
        assert client.stdin is not None and client.stdout is not None  # noqa: S101, PT018  (pipes, see above)
        print(count, file=client.stdin, flush=True)
        if client.stdout.readline() != "done\n":
            raise RuntimeError("The service did not answer all requests, so these times mean nothing.")

    return request_all


def _app(provider: TracerProvider) -> fastapi.FastAPI:
    app = fastapi.FastAPI()

    @app.get(ROUTE)
    async def permits(bsn: str) -> dict[str, str]:
        return {"kenteken": "AB-123-C", "houder": bsn[-3:]}

    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
    return app


def _path(bsns: list[str], number: int) -> str:
    return f"/inwoners/{bsns[number % len(bsns)]}/vergunningen"


def ask(port: int, bsns: list[str]) -> None:
    """Make as many requests as each line of standard input says."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for line in sys.stdin:
        for number in range(int(line)):
            connection.request("GET", _path(bsns, number))
            answer = connection.getresponse()
            answer.read()
            if answer.status != http.client.OK:
                return
        print("done", flush=True)


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


if __name__ == "__main__":
    ask(int(sys.argv[1]), sys.argv[2:])
