"""A small service for several servers: each request is an Actie that is named after the oracle id in its path.

`install()` stands at module level, as most services have it: a server that preloads runs it before it forks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final
from wsgiref.types import StartResponse, WSGIEnvironment

import ldv_otel as ldv

ACTIVITY: Final = "https://register.example/processes"
#: Long enough for requests to overlap.
_WORK_SECONDS: Final = 0.002

ldv.install()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the id once its Actie has ended."""
    oracle_id = environ["PATH_INFO"].rpartition("/")[2]
    with ldv.processing(ACTIVITY, name=oracle_id):
        ldv.data_subject("123456782", type="BSN")
        time.sleep(_WORK_SECONDS)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [oracle_id.encode()]


async def asgi(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """The same for an event loop."""
    if scope["type"] == "lifespan":
        for stage in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{stage}.complete"})
        return
    oracle_id = scope["path"].rpartition("/")[2]
    async with ldv.processing(ACTIVITY, name=oracle_id):
        ldv.data_subject("123456782", type="BSN")
        await asyncio.sleep(_WORK_SECONDS)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": oracle_id.encode()})
