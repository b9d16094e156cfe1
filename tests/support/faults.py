"""A front for a ClickHouse over HTTP that answers wrongly, late or not at all, exactly when a test says so.

It reads each request whole, looks for the first rule that fits, and otherwise passes it on. Every connection serves
one request, so that a cut one says nothing about its neighbours.

    with FaultFront(logboek.port, kill=logboek.kill) as front:
        front.add(cut_after(), when=is_insert, times=1)
        client = clickhouse_connect.get_client(host="127.0.0.1", port=front.port)
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final, Self, TypeAlias
from urllib.parse import parse_qs, urlencode, urlsplit

from ldv_otel._internal.clickhouse.embedded.body import RequestBody, decompressed
from tests.support.loopback import free_port

_TAG: Final = "faultfaultfault1"
_HEAD_END: Final = b"\r\n\r\n"
_LIMIT_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Request:
    """One request as it came in: the head as sent, the body without its chunks."""

    head: bytes
    body: bytes
    headers: dict[str, str]
    target: str

    @property
    def sql(self) -> str:
        """The statement, as far as it is text: from the URL, else the beginning of the unpacked body."""
        if query := parse_qs(urlsplit(self.target).query).get("query"):
            return query[0]
        with RequestBody() as packed:
            packed.write(self.body)
            if encoding := self.headers.get("content-encoding"):
                with decompressed(packed, encoding) as plain:
                    return plain.read(4096).decode(errors="replace")
            return packed.read(4096).decode(errors="replace")


@dataclass
class Exchange:
    """A request being served, and what an action may do about it."""

    request: Request
    kill: Callable[[], object]
    _backend_port: int
    _writer: asyncio.StreamWriter

    async def forward(self) -> bytes:
        """Let the backend serve the request, and return its whole answer without passing it on."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._backend_port)
        try:
            head, _, _ = self.request.head.partition(_HEAD_END)
            lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(_REFRAMED)]
            lines += [b"Connection: close", f"Content-Length: {len(self.request.body)}".encode()]
            writer.write(b"\r\n".join(lines) + _HEAD_END + self.request.body)
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()

    async def reply(self, answer: bytes) -> None:
        """Send bytes to the client as they are."""
        self._writer.write(answer)
        await self._writer.drain()

    def cut(self) -> None:
        """End the connection at once, as a broken network does."""
        self._writer.transport.abort()


_REFRAMED: Final = (b"connection:", b"content-length:", b"transfer-encoding:")

Action: TypeAlias = Callable[[Exchange], Awaitable[None]]
Predicate: TypeAlias = Callable[[Request], bool]


def is_insert(request: Request) -> bool:
    """Whether the request inserts."""
    return request.sql.lstrip().upper().startswith("INSERT")


def anything(_request: Request) -> bool:
    """Every request there is."""
    return True


def pass_on() -> Action:
    """Serve the request as if there were no front."""

    async def act(exchange: Exchange) -> None:
        await exchange.reply(await exchange.forward())

    return act


def refuse(status: int = 503, **headers: str) -> Action:
    """Answer with a status, headers (`retry_after` for `retry-after`) and nothing else; the backend hears nothing."""
    return _reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, b"refused by the front\n")


def delay(seconds: float, then: Action | None = None) -> Action:
    """Wait before the request is served."""

    async def act(exchange: Exchange) -> None:
        await asyncio.sleep(seconds)
        await (then or pass_on())(exchange)

    return act


def cut_before() -> Action:
    """Cut the connection before the backend sees the request: an insert did not take effect."""

    async def act(exchange: Exchange) -> None:
        exchange.cut()

    return act


def cut_after() -> Action:
    """Cut the connection when the backend has answered: an insert took effect, and the sender cannot know."""

    async def act(exchange: Exchange) -> None:
        await exchange.forward()
        exchange.cut()

    return act


def exception_header(code: int = 241) -> Action:
    """Answer 200 with an exception's code in a header, as servers have done for failed inserts (ClickHouse#65117)."""
    return _reply(200, {"X-ClickHouse-Exception-Code": str(code)}, _exception(code))


def late_exception(code: int = 241, before: bytes = b"") -> Action:
    """Answer 200, some output perhaps, and then an exception framed as servers do since 25.11."""
    text = _exception(code)
    end = f"{len(text)} {_TAG}\r\n".encode()
    frame = b"\r\n__exception__\r\n" + _TAG.encode() + b"\r\n" + text + end + b"__exception__\r\n"
    return _reply(200, {"X-ClickHouse-Exception-Tag": _TAG}, before + frame)


def server_error(code: int, status: int, name: str) -> Action:
    """Answer as a server does that refuses: status, code in a header, and the text of its exception."""
    text = f"Code: {code}. DB::Exception: made by the front. ({name}) (version 26.9.2.1)\n".encode()
    return _reply(status, {"X-ClickHouse-Exception-Code": str(code)}, text)


def answer_of_another() -> Action:
    """Pass on the backend's true answer to another request, as empty as one to an insert; of ours it hears nothing."""

    async def act(exchange: Exchange) -> None:
        query = urlencode({"query_id": uuid.uuid4().hex, "query": "SELECT 1 WHERE 0 FORMAT Native"})
        target = f"/?{query}"
        proof = exchange.request.headers.get("authorization", "")
        head = f"POST {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {proof}"
        other = Request(head.encode() + _HEAD_END, b"", {}, target)
        answer = await replace(exchange, request=other).forward()
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"the other request was to succeed: {answer[:500]!r}")
        await exchange.reply(answer)

    return act


def kill_before() -> Action:
    """Kill the backend when the request has come in, before it is passed on."""

    async def act(exchange: Exchange) -> None:
        await asyncio.to_thread(exchange.kill)
        exchange.cut()

    return act


def kill_while(seconds: float) -> Action:
    """Kill the backend so long after it got the request; what it had answered by then is lost too."""

    async def act(exchange: Exchange) -> None:
        serving = asyncio.ensure_future(exchange.forward())
        await asyncio.sleep(seconds)
        await asyncio.to_thread(exchange.kill)
        with suppress(OSError):
            await serving
        exchange.cut()

    return act


def _exception(code: int) -> bytes:
    return f"Code: {code}. DB::Exception: made by the front. (FAULT) (version 26.9.2.1)\r\n".encode()


def _reply(status: int, headers: dict[str, str], content: bytes) -> Action:
    lines = [f"HTTP/1.1 {status} -", "Connection: close", f"Content-Length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]

    async def act(exchange: Exchange) -> None:
        await exchange.reply("\r\n".join(lines).encode() + _HEAD_END + content)

    return act


@dataclass
class _Rule:
    action: Action
    when: Predicate
    times: int | None


@dataclass
class FaultFront:
    """The front itself, served by a thread of its own.

    Args:
        backend_port: Where requests go that no rule fits.
        kill: What the `kill_...` actions call.

    Attributes:
        port: Where clients connect.
        counts: Requests by the first word of their statement, and all of them under "".
    """

    backend_port: int
    kill: Callable[[], object] = bool
    port: int = field(default_factory=free_port)
    counts: Counter[str] = field(default_factory=Counter)
    _rules: list[_Rule] = field(default_factory=list)
    # The loop itself refers to tasks weakly, and one whose client is gone has nobody else.
    _serving: set[asyncio.Task[None] | None] = field(default_factory=set)

    def add(self, action: Action, *, when: Predicate = anything, times: int | None = None) -> None:
        """Add a rule behind those that are there; after so many uses it is gone."""
        self._rules.append(_Rule(action, when, times))

    def clear(self) -> None:
        """Drop all rules."""
        self._rules.clear()

    def close_listener(self) -> None:
        """Refuse connections, as a server that is down, until `open_listener`."""
        asyncio.run_coroutine_threadsafe(self._unlisten(), self._loop).result()

    def open_listener(self) -> None:
        """Accept connections (again), on the same port."""
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def __enter__(self) -> Self:
        """Start listening."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-front")
        self._thread.start()
        self.open_listener()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop; requests under way are cut."""
        self.close_listener()
        asyncio.run_coroutine_threadsafe(self._end_tasks(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=_LIMIT_BYTES)

    async def _unlisten(self) -> None:
        self._server.close()
        await asyncio.sleep(0)

    async def _end_tasks(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Closed connections are let go of in the next turns of the loop.
        await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client that leaves, and a backend that is gone, both end as a cut connection: that is what a front is for.
        task = asyncio.current_task()
        self._serving.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                request = await _read_request(reader)
                self.counts[""] += 1
                self.counts[(request.sql.split(maxsplit=1) or ["-"])[0].upper()] += 1
                await self._action(request)(Exchange(request, self.kill, self.backend_port, writer))
        finally:
            writer.close()
            self._serving.discard(task)

    def _action(self, request: Request) -> Action:
        for rule in self._rules:
            if rule.times != 0 and rule.when(request):
                if rule.times is not None:
                    rule.times -= 1
                return rule.action
        return pass_on()


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = await reader.readuntil(_HEAD_END)
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body = b"".join([chunk async for chunk in _chunks(reader)])
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(head, body, headers, first.split()[1])


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int(await reader.readline(), 16):
        yield await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
