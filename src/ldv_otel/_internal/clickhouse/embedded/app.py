"""The server as an ASGI application: ClickHouse's HTTP interface over the embedded engine."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import string
from contextlib import ExitStack
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from ldv_otel._internal.clickhouse.embedded.body import MAX_BODY_BYTES, RequestBody, too_large
from ldv_otel._internal.clickhouse.embedded.content_types import content_type_of
from ldv_otel._internal.clickhouse.embedded.errors import UNKNOWN_EXCEPTION, EngineError
from ldv_otel._internal.clickhouse.embedded.framing import framed
from ldv_otel._internal.clickhouse.embedded.native_revision import SERIALISATION_REVISION, at_revision
from ldv_otel._internal.clickhouse.embedded.request import (
    EngineRequest,
    authenticate,
    engine_query,
    refuse_browsers,
    refuse_session_checks,
)
from ldv_otel._internal.config.error_places import type_and_places
from ldv_otel._internal.http.openmetrics import Counts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
    from concurrent.futures import Executor

    from ldv_otel._internal.clickhouse.embedded.engine import BlockStream, Engine, EngineAnswer

    Message: TypeAlias = MutableMapping[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[Message]]
    Send: TypeAlias = Callable[[Message], Awaitable[None]]

T = TypeVar("T")

_logger = logging.getLogger(__name__)

_SEND_BYTES: Final = 1 << 20
#: Verbose as the server's, whose drivers expect every count.
_SUMMARY: Final = MappingProxyType(
    dict.fromkeys(("read_rows", "read_bytes", "written_rows", "written_bytes", "total_rows_to_read", "result_rows"), 0)
    | dict.fromkeys(("result_bytes", "elapsed_ns"), 0)
)
_MARK: Final = b"__exception__"


class LogboekApp:
    """Answers ClickHouse's HTTP interface from one engine.

    There are no users: whoever sends the secret as a password may do what the engine was opened for (`access.py`).

    Args:
        engine: Stays the caller's.
        executor: Where the engine's blocking calls run; its size is the number of statements at a time.
        secret: What requests have to bring; not empty.
        max_body_bytes: A larger body is refused before it is read further, packed or unpacked.
    """

    def __init__(
        self, engine: Engine, executor: Executor, secret: str, *, max_body_bytes: int = MAX_BODY_BYTES
    ) -> None:
        if not secret:
            raise ValueError("without a secret everybody on this machine would be let in")
        self._engine = engine
        self._executor = executor
        self._secret = secret
        self._max_body_bytes = max_body_bytes
        self._written = Counts("ldv_logboek_written_rows", "Rows that were stored.")
        self._read = Counts("ldv_logboek_read_rows", "Rows that were read for answers that were given whole.")
        for counts in self.figures:
            counts.add((), 0)  # a figure that is not there yet is not seen to begin

    @property
    def figures(self) -> tuple[Counts, ...]:
        """What it counts."""
        return self._written, self._read

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        query_id = ""
        body = RequestBody(self._max_body_bytes)
        try:
            request = EngineRequest.of(scope)
            query_id = request.query_id
            refuse_browsers(request)
            if not _is_greeting(request):
                # Before the body: what strangers send is not kept.
                authenticate(request, self._secret)
                refuse_session_checks(request.parameters)
            await _receive_body(request, receive, body, self._max_body_bytes)
            await self._serve(request, body, receive, send)
        except EngineError as error:
            await self._send_error(send, query_id, error, body)
        except Exception as error:  # noqa: BLE001  (a fault of this server must not end the connection without a word)
            _log_fault(error)
            failure = EngineError.of(UNKNOWN_EXCEPTION, "The server failed on this request; its log says where")
            await self._send_error(send, query_id, failure, body)
        # Not in a `finally`: when this task is cancelled, a thread may still be reading the body, and closes it.
        body.close()

    async def _serve(self, request: EngineRequest, body: RequestBody, receive: Receive, send: Send) -> None:
        if _is_greeting(request):
            await _send_whole(send, 200, self._headers(request.query_id), b"Ok.\n")
            return
        if request.path != "/":
            await _send_whole(send, 404, self._headers(request.query_id), b"There is no such page here.\n")
            return
        answer = await self._run(self._answer, request, body)
        self._written.add((), answer.summary.get("written_rows", 0))
        self._read.add((), answer.summary.get("read_rows", 0))
        headers = self._headers(request.query_id, answer)
        if answer.rest is None:
            await _send_whole(send, 200, headers, answer.content)
        else:
            await self._send_stream(receive, send, headers, answer.content, answer.rest)

    def _answer(self, request: EngineRequest, body: RequestBody) -> EngineAnswer:
        with body, ExitStack() as owned:
            answer = self._engine.answer(engine_query(request, body, owned))
        content = answer.content
        if answer.format == "Native" and request.protocol_version >= SERIALISATION_REVISION:
            content = at_revision(content)
        if request.flag("compress"):
            content = framed(content)
            if answer.rest is not None:
                answer.rest.encode = framed
        return replace(answer, content=content)

    async def _run(self, call: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call, *args)

    async def _send_stream(
        self, receive: Receive, send: Send, headers: dict[str, str], content: bytes, rest: BlockStream
    ) -> None:
        """Send blocks as the engine gives them; read no faster than the client does, and stop when it leaves."""
        # The only message that comes after a whole body is that the client has disconnected.
        disconnected = asyncio.ensure_future(receive())
        tag = "".join(secrets.choice(string.ascii_lowercase) for _ in range(16))
        try:
            await send(_start(200, headers | {"X-ClickHouse-Exception-Tag": tag}))
            block: bytes | None = content
            while block is not None and not disconnected.done():
                await send({"type": "http.response.body", "body": block, "more_body": True})
                block = await self._run(rest.next)
            if block is None:
                await send({"type": "http.response.body", "body": b""})
        except EngineError as error:
            # Too late for a status. As the server: the error in a frame of its own, and then the end of the
            # connection without the end of the body, so that no client takes what it got for all there is.
            frame = rest.encode(exception_frame(self._text(error), tag))
            await send({"type": "http.response.body", "body": frame, "more_body": True})
        finally:
            disconnected.cancel()
            await self._run(rest.close)

    async def _send_error(self, send: Send, query_id: str, error: EngineError, body: RequestBody) -> None:
        headers = self._headers(query_id) | {"X-ClickHouse-Exception-Code": str(error.code)}
        if not body.complete:
            headers["Connection"] = "close"
        await _send_whole(send, error.status, headers, self._text(error))

    def _headers(self, query_id: str, answer: EngineAnswer | None = None) -> dict[str, str]:
        headers = {
            "Content-Type": content_type_of(answer.format if answer else ""),
            "X-ClickHouse-Server-Display-Name": self._engine.display_name,
            "X-ClickHouse-Timezone": self._engine.timezone,
        }
        if query_id:
            headers["X-ClickHouse-Query-Id"] = query_id
        if answer is not None:
            counts = _SUMMARY | dict(answer.summary)
            headers["X-ClickHouse-Summary"] = json.dumps({name: str(count) for name, count in counts.items()})
            if answer.format:
                headers["X-ClickHouse-Format"] = answer.format
        return headers

    def _text(self, error: EngineError) -> bytes:
        return f"{error.text} (version {self._engine.version})\n".encode()


def exception_frame(text: bytes, tag: str) -> bytes:
    """Frame an error that comes after the status, as servers do since 25.11 (ClickHouse#88818).

    Args:
        text: Ends with a line end.
    """
    tagged = tag.encode()
    end = f"{len(text)} {tag}".encode()
    return b"\r\n".join((b"", _MARK, tagged, text + end, _MARK, b""))


def _log_fault(error: Exception) -> None:
    """Log where, but not what: an error's text may quote a statement, and the statement may quote records."""
    _logger.error("A request failed in the server itself with %s; status 500.", type_and_places(error))


def _is_greeting(request: EngineRequest) -> bool:
    if request.method not in {"GET", "HEAD"} or request.content_length or "transfer-encoding" in request.headers:
        return False
    if request.path == "/":
        return not request.parameters.get("query")
    return request.path in {"/ping", "/replicas_status"}


async def _receive_body(request: EngineRequest, receive: Receive, body: RequestBody, max_bytes: int) -> None:
    if request.content_length > max_bytes:
        raise too_large(max_bytes)
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            # Half a body must never be taken for a whole one: an INSERT would store half a batch.
            raise EngineError.of(UNKNOWN_EXCEPTION, "The client left before the end of the body")
        body.write(message.get("body", b""))
        more = message.get("more_body", False)
    body.complete = True


async def _send_whole(send: Send, status: int, headers: dict[str, str], content: bytes) -> None:
    await send(_start(status, headers | {"Content-Length": str(len(content))}))
    for at in range(0, max(len(content), 1), _SEND_BYTES):
        more = at + _SEND_BYTES < len(content)
        await send({"type": "http.response.body", "body": content[at : at + _SEND_BYTES], "more_body": more})


def _start(status: int, headers: Mapping[str, str]) -> Message:
    encoded: Iterable[tuple[bytes, bytes]] = [
        (name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()
    ]
    return {"type": "http.response.start", "status": status, "headers": encoded}
