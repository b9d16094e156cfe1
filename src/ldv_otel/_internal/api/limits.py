"""Limits on what one client may ask of the server: requests a minute, bytes, time."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ldv_otel._internal.api.problem import Problem, unavailable

#: Buckets that are kept, so that the memory has a bound; a client that loses its bucket gets a full one.
_MAX_CLIENTS: Final = 10_000


class RateLimiter:
    """A bucket of tokens for each client: a minute's worth at once, filled again over the minute.

    Args:
        clock: Seconds; monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: Client to the tokens left and the moment of that count; the client that was away for longest is first.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, client: str, per_minute: int) -> None:
        """Count a request.

        Raises:
            Problem: 429, with `Retry-After` in seconds.
        """
        now = self._clock()
        # Popped and set again, so that the client becomes the last and others are dropped before it.
        left, counted_at = self._buckets.pop(client, (float(per_minute), now))
        left = min(float(per_minute), left + (now - counted_at) * per_minute / 60)
        refused = left < 1
        self._buckets[client] = (left if refused else left - 1, now)
        while len(self._buckets) > _MAX_CLIENTS:
            self._buckets.popitem(last=False)
        if refused:
            # In whole seconds, and never too early: a client that keeps to it must get through.
            wait = int((1 - left) * 60 / per_minute) + 1
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"Meer dan {per_minute} verzoeken per minuut; probeer het over {wait} s opnieuw.",
                headers={"Retry-After": str(wait)},
            )


class BoundedRequests:
    """ASGI middleware: refuses too large a body before anything reads it, and ends a request that takes too long.

    Args:
        body_bytes: The largest body.
        seconds: The most time from the first byte of the head to the answer.
    """

    def __init__(self, app: ASGIApp, *, body_bytes: int, seconds: float) -> None:
        self._app = app
        self._body_bytes = body_bytes
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answering = False

        async def watched_send(message: Message) -> None:
            nonlocal answering
            answering = True
            await send(message)

        try:
            async with asyncio.timeout(self._seconds):
                self._check_length(scope)
                await self._app(scope, self._counted(receive), watched_send)
        except Problem as problem:
            # When an answer has begun, its status is sent and cannot become another.
            if not answering:
                await problem.response()(scope, receive, send)
        except TimeoutError:
            if answering:
                raise
            late = unavailable()
            # The body may not have come in whole, and what is left of it must not be read as the next request.
            late.headers["Connection"] = "close"
            await late.response()(scope, receive, send)

    def _check_length(self, scope: Scope) -> None:
        for name, value in scope["headers"]:
            if name == b"content-length" and (not value.isdigit() or int(value) > self._body_bytes):
                raise self._too_large()

    def _counted(self, receive: Receive) -> Receive:
        received = 0

        # A body that is sent in chunks names no length, so the bytes are counted as well.
        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._body_bytes:
                raise self._too_large()
            return message

        return counted

    def _too_large(self) -> Problem:
        # The rest of the body is not read, so the connection cannot be used for another request.
        return Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"De inhoud mag hoogstens {self._body_bytes} bytes zijn.",
            headers={"Connection": "close"},
        )
