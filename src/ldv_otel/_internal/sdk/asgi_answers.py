"""An answer of an ASGI application ends when the Acties that it stands on are on disk, and the event loop goes on.

A span of an instrumentation has nobody who could wait for its record: it ends on the loop, where a flush would hold up
every other request, after this one was answered already. So an answer's last message is kept back, around whatever
makes the span of the request, until a thread has committed what ended with it (`loop_commits.py`).
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from ldv_otel._internal.sdk import loop_commits, span_state
from ldv_otel._internal.sdk.loop_commits import RequestCommits
from ldv_otel._internal.sdk.span_facts import says_actie
from ldv_otel._internal.sdk.waiting_threads import running_loop

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
#: A method that serves a connection, with `scope`, `receive` and `send`.
Serve: TypeAlias = Callable[[Any, MutableMapping[str, Any], Receive, Send], Awaitable[None]]

#: What a method has that was wrapped already.
_HELD: Final = "_ldv_answers_after_commit"
_START, _BODY, _TRAILERS = "http.response.start", "http.response.body", "http.response.trailers"
#: Answers without a body: a client takes them for complete when it has read the headers (RFC 9110, 6.4.1).
_BODILESS: Final = frozenset({204, 205, 304})


class _HeldAnswer:
    """The answer to one request, on its way from the application to the server."""

    __slots__ = ("_bodiless", "_ending", "_has_trailers", "_loop", "_send", "_start", "commits")

    def __init__(self, loop: asyncio.AbstractEventLoop, send: Send, *, head: bool) -> None:
        self._loop = loop
        self._send = send
        self._bodiless = head
        self._start: Message | None = None
        self._has_trailers = False
        self._ending: asyncio.Task[None] | None = None
        self.commits = RequestCommits(loop)

    async def send(self, message: Message) -> None:
        """Pass a message on; the last one later, in a task, where an Actie may end with it or has ended before.

        Instrumentations end the span of a request when this returns, before anything else can run on the loop.
        """
        if self._ending is not None:
            await self.ended()
        if message["type"] == _START:
            # One that is held already: an application that starts twice is for the server to judge.
            await self._send_start()
            self._has_trailers = bool(message.get("trailers"))
            if self._bodiless or _has_no_body(message):
                # With what ends it: a server may send the headers at once.
                self._start = message
                return
        elif self._is_last(message) and (self.commits.pending or _actie_is_running()):
            self._ending = self._loop.create_task(self._end(message))
            return
        if self._start is not None:
            await self._send_start()
        await self._send(message)

    async def ended(self) -> None:
        """Wait until the last message is sent, if it came.

        Raises:
            Exception: What the server raised.
        """
        ending, self._ending = self._ending, None
        if ending is not None:
            await ending

    async def finish(self) -> None:
        """Wait for what is still to be sent or committed."""
        if self._ending is not None:
            await self.ended()
        await self._send_start()
        if self.commits.pending:
            await self.commits.wait()

    def give_up(self) -> None:
        """Send nothing more: the server ended the request. What ended is committed all the same."""
        if self._ending is not None:
            self._ending.cancel()

    def _is_last(self, message: Message) -> bool:
        if self._has_trailers:
            return message["type"] == _TRAILERS and not message.get("more_trailers", False)
        return message["type"] == _BODY and not message.get("more_body", False)

    async def _end(self, message: Message) -> None:
        await self.commits.wait()
        await self._send_start()
        await self._send(message)

    async def _send_start(self) -> None:
        start, self._start = self._start, None
        if start is not None:
            await self._send(start)


def _has_no_body(start: Message) -> bool:
    # Names of headers are in small letters (ASGI).
    return start.get("status") in _BODILESS or dict(start.get("headers", ())).get(b"content-length") == b"0"


def _actie_is_running() -> bool:
    """Say whether a span around here is an Actie as far as is known now, and its end may wait for a disk."""
    live_span = span_state.current()
    if live_span is not None and not live_span.owner.blocks:
        return False
    while live_span is not None:
        span = live_span()
        if span is not None and not live_span.ended and says_actie(live_span.look(span), live_span):
            return True
        live_span = live_span.parent
    return False


def answers_after_commit(serve: Serve) -> Serve:
    """Return a method of an ASGI application or middleware with each answer held until its Acties are on disk.

    Outside asyncio (trio) it is the method as it was: Acties are committed where they end. So it is below another one,
    which waits for all.
    """

    @functools.wraps(serve)
    async def served(application: Any, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        loop = running_loop()
        if loop is None or scope["type"] == "lifespan" or isinstance(loop_commits.current(), RequestCommits):
            await serve(application, scope, receive, send)
            return
        answer = _HeldAnswer(loop, send, head=scope.get("method") == "HEAD")
        with answer.commits.collecting():
            try:
                await serve(application, scope, receive, answer.send)
            except asyncio.CancelledError:
                answer.give_up()
                raise
            except Exception:
                # Of a background task, after the answer: that is sent first, as it would have been.
                await answer.finish()
                raise
        await answer.finish()

    return served


def hold_answers_of(application: Any) -> None:
    """Hold all answers that objects of a class give: an ASGI application, or a middleware that makes spans."""
    serve = application.__call__
    if not hasattr(serve, _HELD):
        served = answers_after_commit(serve)
        setattr(served, _HELD, True)
        application.__call__ = served
