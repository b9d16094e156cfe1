"""Answers of ASGI applications: each ends when the Acties of its request are on disk, and the loop makes no flush."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import TracerProvider
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

import ldv_otel as ldv
from ldv_otel._internal.config.variables import DeliveryLevel
from ldv_otel._internal.delivery.durable import DurableDelivery, drain
from ldv_otel._internal.privacy.key_file import add_key
from ldv_otel._internal.privacy.pseudonyms import KeyRing, Pseudonymiser, new_key
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.rules.rules import read_rules
from ldv_otel._internal.sdk import loop_commits
from ldv_otel._internal.sdk.asgi_answers import answers_after_commit
from ldv_otel._internal.sdk.attach import attach
from ldv_otel._internal.sdk.processor import LdvSpanProcessor
from ldv_otel._internal.sdk.span_rules import SpanMapper
from ldv_otel.errors import LogboekUnavailable
from ldv_otel.testing import InMemoryLogboek
from tests.sdk.conftest import ACTIVITY
from tests.sdk.flushing import flushing

Message = MutableMapping[str, Any]
Application = Callable[[Any, Any, Any], Awaitable[None]]

PATIENCE_SECONDS: Final = 60
RULES: Final = """
rules:
  - rule: elke vraag
    match: {kind: server}
    activity: https://register.example/activiteiten/parkeren
  - rule: een stap
    match: {name: stap}
    activity: https://register.example/activiteiten/parkeren
"""
NO_RULES: Final = """
rules:
  - rule: iets anders
    match: {name: elders}
    activity: https://register.example/activiteiten/parkeren
"""


class Held(OpenTelemetryMiddleware):
    """OpenTelemetry's middleware as `install()` leaves it, for this application alone."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve as it does, and hold the answer."""
        await _served(self, scope, receive, send)


_served: Final = answers_after_commit(OpenTelemetryMiddleware.__call__)


class Service:
    """A service whose requests are Acties by a rule."""

    def __init__(self, base: Path, level: DeliveryLevel = "durable", rules: str = RULES) -> None:
        (base / "rules.yaml").write_text(rules)
        key = new_key("test")
        maker = LogregelMaker(Pseudonymiser(KeyRing([key], active=key.id)).subject)
        self.base, self.sink = base / "spool", InMemoryLogboek()
        self.delivery = DurableDelivery(self.sink, self.base, level=level)
        mapper = SpanMapper(read_rules(base / "rules.yaml"), maker.pseudonymise)
        self.processor = LdvSpanProcessor(maker, self.delivery, mapper=mapper)
        self.provider = TracerProvider(shutdown_on_exit=False)
        attach(self.provider, self.processor)
        self.tracer = self.provider.get_tracer("instrumentation")

    @property
    def on_disk(self) -> int:
        """How many records are in the spool, or were sent from there."""
        stats = self.delivery.stats()
        return stats.pending + stats.confirmed

    def around(self, app: Application) -> Application:
        """The application with OpenTelemetry's middleware."""
        return Held(app, tracer_provider=self.provider, exclude_spans=["send", "receive"])

    def logged(self) -> list[Logregel]:
        """What is in the Logboek after the service ended and another cleared up."""
        self.processor.shutdown()
        drain(self.sink, self.base)
        return self.sink.logregels


@pytest.fixture(autouse=True)
def _without_gevent(monkeypatch: pytest.MonkeyPatch) -> None:
    # Where it was imported, here by another test, each Actie waits for itself.
    monkeypatch.delitem(sys.modules, "gevent", raising=False)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """One with LDV_DELIVERY=durable."""
    made = Service(tmp_path)
    yield made
    made.processor.shutdown()


def scope_of(path: str, method: str = "GET") -> dict[str, Any]:
    """What a server says of a request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"service.example")],
        "client": ("127.0.0.1", 40_000),
        "server": ("127.0.0.1", 8_000),
    }


async def request(
    app: Application, path: str = "/", method: str = "GET", on_message: Callable[[Message], None] = lambda _: None
) -> list[Message]:
    """Make a request as a server does, and return the messages of its answer."""
    answer: list[Message] = []
    asked = False

    async def receive() -> Message:
        nonlocal asked
        if asked:
            await asyncio.Event().wait()  # until the application stops looking whether the client went away
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        await asyncio.sleep(0)  # as a server that waits for its client
        answer.append(message)
        on_message(message)

    await app(scope_of(path, method), receive, send)
    return answer


async def fails(inbound: Request) -> Response:
    """Answer nothing."""
    del inbound
    raise RuntimeError("of the application")


async def refused(inbound: Request) -> Response:
    """Refuse."""
    del inbound
    raise HTTPException(404)


async def parts() -> AsyncIterator[bytes]:
    """Give a text in two parts."""
    for part in (b"een", b"twee"):
        yield part


async def socket(websocket: WebSocket) -> None:
    """Say one thing."""
    await websocket.accept()
    await websocket.send_text("tekst")
    await websocket.close()


def application(background: Callable[[], Awaitable[None]] | None = None) -> Starlette:
    """Return an application that answers in every way there is."""
    answers: dict[str, Callable[[], Response]] = {
        "text": lambda: PlainTextResponse("tekst"),
        "nothing": lambda: Response(status_code=204),
        "away": lambda: RedirectResponse("/text", status_code=303),
        "empty": Response,
        "stream": lambda: StreamingResponse(parts()),
        "later": lambda: PlainTextResponse("tekst", background=BackgroundTask(background) if background else None),
    }

    async def answer(inbound: Request) -> Response:
        return answers[inbound.url.path[1:]]()

    def answer_in_thread(inbound: Request) -> Response:
        del inbound
        return PlainTextResponse("tekst")

    return Starlette(
        routes=[
            *(Route(f"/{name}", answer) for name in answers),
            Route("/thread", answer_in_thread),
            Route("/refused", refused),
            Route("/fails", fails),
            WebSocketRoute("/socket", socket),
        ]
    )


def is_complete(messages: list[Message], method: str) -> bool:
    """Whether a client takes an answer for complete."""
    start, *bodies = messages
    bodiless = method == "HEAD" or start["status"] == 204 or (b"content-length", b"0") in start["headers"]
    return bodiless or (bool(bodies) and not bodies[-1].get("more_body", False))


@pytest.mark.parametrize(
    ("path", "method"),
    [
        *((f"/{name}", "GET") for name in ("text", "thread", "nothing", "away", "empty", "refused", "stream", "later")),
        ("/text", "HEAD"),
        ("/fails", "GET"),
    ],
)
def test_an_answer_is_complete_when_its_record_is_on_disk(service: Service, path: str, method: str) -> None:
    """Whatever a client takes for the end of it: the last part, or headers that say that nothing follows."""
    answer: list[Message] = []

    def look(message: Message) -> None:
        answer.append(message)
        if is_complete(answer, method):
            assert service.on_disk == 1

    with flushing() as threads, suppress(RuntimeError):  # of the application, for the server to log
        asyncio.run(request(service.around(application()), path, method, look))
    assert is_complete(answer, method)
    assert set(threads) == {"ldv-waiting"}
    assert len(service.logged()) == 1


def test_what_a_middleware_of_the_application_sends_is_held_too(service: Service) -> None:
    """One that passes the answer through a task of its own."""

    async def dispatch(inbound: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        return await call_next(inbound)

    app = application()
    app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)

    def look(message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body"):
            assert service.on_disk == 1

    answer = asyncio.run(request(service.around(app), "/text", on_message=look))
    assert b"".join(message.get("body", b"") for message in answer) == b"tekst"


def test_the_answer_does_not_wait_for_what_comes_after_it(service: Service) -> None:
    """A background task runs when the client has its answer, as without us; its own Actie is committed as well."""

    async def main() -> None:
        answered = asyncio.Event()

        async def background() -> None:
            await asyncio.wait_for(answered.wait(), PATIENCE_SECONDS)
            with service.tracer.start_as_current_span("stap"):
                pass

        def look(message: Message) -> None:
            if message["type"] == "http.response.body":
                answered.set()

        await request(service.around(application(background)), "/later", on_message=look)
        assert service.on_disk == 2

    asyncio.run(main())
    assert len(service.logged()) == 2


def test_a_background_task_that_fails_comes_after_the_answer(service: Service) -> None:
    """The client has its answer, and the server the exception."""
    answer: list[Message] = []

    async def background() -> None:
        raise RuntimeError("of the application")

    with pytest.raises(RuntimeError, match="of the application"):
        asyncio.run(request(service.around(application(background)), "/later", on_message=answer.append))
    assert [message["type"] for message in answer] == ["http.response.start", "http.response.body"]
    assert len(service.logged()) == 1


def test_an_actie_that_outlives_its_request_is_committed_when_the_service_ends(service: Service) -> None:
    """Nobody waits for it; the end of the service does."""

    async def main() -> None:
        ended: list[asyncio.Task[None]] = []

        async def step() -> None:
            await asyncio.sleep(0)
            with service.tracer.start_as_current_span("stap"):
                pass

        async def app(_: object, __: object, send: Callable[[Message], Awaitable[None]]) -> None:
            ended.append(asyncio.create_task(step()))
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"tekst"})

        await request(service.around(app))
        await ended[0]

    asyncio.run(main())
    assert len(service.logged()) == 2


def test_requests_at_once_share_flushes(service: Service) -> None:
    """A hundred take a few, and none on the loop."""
    app = service.around(application())

    async def main() -> None:
        await asyncio.gather(*(request(app, "/text") for _ in range(100)))

    asyncio.run(request(app, "/text"))
    with flushing() as threads:
        asyncio.run(main())
    assert set(threads) == {"ldv-waiting"}
    assert len(threads) <= 25
    assert len(service.logged()) == 101


def test_a_refused_record_leaves_the_answer_alone(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """LDV-A8: nobody marked this Actie, so nobody could judge; the log says so."""
    refusal = LogboekUnavailable("The spool refused a record (no room).", in_doubt=False)
    with mock.patch.object(DurableDelivery, "commit_together", side_effect=refusal):
        answer = asyncio.run(request(service.around(application()), "/text"))
    assert answer[0]["status"] == 200
    assert answer[-1]["body"] == b"tekst"
    assert "A Logregel was refused. The spool refused a record (no room)." in caplog.text


@pytest.mark.usefixtures("backend")
def test_a_block_in_a_request_still_raises(tmp_path: Path) -> None:
    """A plain `with` waits for itself, on the loop, so that the application can roll back."""
    from tests.sdk.test_write_ahead import Rig

    rig = Rig(tmp_path, "durable")
    statuses: list[int] = []

    async def app(_: object, __: object, send: Callable[[Message], Awaitable[None]]) -> None:
        try:
            with ldv.processing(ACTIVITY):
                pass
            status = 200
        except LogboekUnavailable:
            status = 503
        statuses.append(status)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    refusal = LogboekUnavailable("The spool refused a record (no room).", in_doubt=False)
    with mock.patch.object(DurableDelivery, "submit", side_effect=refusal):
        asyncio.run(request(Held(app)))
    asyncio.run(request(Held(app)))
    assert statuses == [503, 200]
    rig.processor.shutdown()


def test_a_request_that_the_server_ends_is_logged_all_the_same(service: Service) -> None:
    """A client that went away: what was done for it is done."""
    began, release = threading.Event(), threading.Event()
    commit = DurableDelivery.commit_together
    answer: list[Message] = []

    def slow(delivery: DurableDelivery, acties: Any) -> None:
        began.set()
        assert release.wait(PATIENCE_SECONDS)
        commit(delivery, acties)

    async def main() -> None:
        task = asyncio.create_task(request(service.around(application()), "/text", on_message=answer.append))
        assert await asyncio.to_thread(began.wait, PATIENCE_SECONDS)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()

    with mock.patch.object(DurableDelivery, "commit_together", slow):
        asyncio.run(main())
        assert len(service.logged()) == 1
    assert [message["type"] for message in answer] == ["http.response.start"]


def test_a_server_that_fails_to_send_is_heard(service: Service) -> None:
    """Its exception passes, as it does without us."""

    def look(message: Message) -> None:
        if message["type"] == "http.response.body":
            raise OSError("connection lost")

    with pytest.raises(OSError, match="connection lost"):
        asyncio.run(request(service.around(application()), "/text", on_message=look))
    assert len(service.logged()) == 1


def test_a_websocket_ends_when_its_record_is_on_disk(service: Service) -> None:
    """Its messages pass at once; the application's call returns when the Actie is committed."""
    sent: list[str] = []

    async def main() -> None:
        messages: Iterator[Message] = iter(
            [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]
        )

        async def receive() -> Message:
            return next(messages)

        async def send(message: Message) -> None:
            sent.append(message["type"])

        scope = scope_of("/socket") | {"type": "websocket", "subprotocols": []}
        await service.around(application())(scope, receive, send)
        assert service.on_disk == 1

    with flushing() as threads:
        asyncio.run(main())
    assert sent == ["websocket.accept", "websocket.send", "websocket.close"]
    assert set(threads) == {"ldv-waiting"}


def test_with_level_confirmed_the_loop_goes_on(tmp_path: Path) -> None:
    """The answer waits for the Logboek, and other requests do not wait for that."""
    service = Service(tmp_path, "confirmed")
    waits = threading.Event()
    submit = DurableDelivery.submit_encoded

    def slow(delivery: DurableDelivery, *args: Any, ended: bytes) -> None:
        assert waits.wait(PATIENCE_SECONDS)
        submit(delivery, *args, ended=ended)

    async def main() -> None:
        app, answer = service.around(application()), asyncio.Queue[Message]()
        task = asyncio.create_task(request(app, "/text", on_message=answer.put_nowait))
        assert (await answer.get())["type"] == "http.response.start"
        # The loop goes on, and the answer does not.
        assert await asyncio.to_thread(waits.wait, 0.1) is False
        assert answer.empty()
        waits.set()
        await asyncio.wait_for(task, PATIENCE_SECONDS)
        assert service.delivery.stats().confirmed == 1

    with mock.patch.object(DurableDelivery, "submit_encoded", slow):
        asyncio.run(main())
    assert len(service.logged()) == 1


def test_where_very_much_waits_the_loop_is_held_up(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what waits does not grow without a bound."""
    monkeypatch.setattr(loop_commits, "_MOST_AT_A_TIME", 3)
    most = 0

    async def app(_: object, __: object, send: Callable[[Message], Awaitable[None]]) -> None:
        nonlocal most
        for _step in range(50):
            with service.tracer.start_as_current_span("stap"):
                pass
            commits = loop_commits.current()
            assert isinstance(commits, loop_commits.RequestCommits)
            most = max(most, len(commits._pending))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    asyncio.run(request(service.around(app)))
    assert most == 3
    assert len(service.logged()) == 51


MESSAGES = st.lists(
    st.one_of(
        st.builds(
            lambda status, length, trailers: {
                "type": "http.response.start",
                "status": status,
                "headers": [(b"content-length", length)],
                "trailers": trailers,
            },
            st.sampled_from([200, 204, 304]),
            st.sampled_from([b"0", b"5"]),
            st.booleans(),
        ),
        st.builds(lambda more: {"type": "http.response.body", "body": b"x", "more_body": more}, st.booleans()),
        st.builds(lambda more: {"type": "http.response.trailers", "headers": [], "more_trailers": more}, st.booleans()),
        st.just({"type": "http.response.debug", "info": {}}),
    ),
    max_size=6,
)


@given(messages=MESSAGES, method=st.sampled_from(["GET", "HEAD"]), rules=st.sampled_from([RULES, NO_RULES]))
def test_a_server_gets_the_same_messages_in_the_same_order(
    messages: list[Message], method: str, rules: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever an application sends, also what no server accepts: it is the server that judges."""
    service = Service(tmp_path_factory.mktemp("service"), rules=rules)

    async def app(_: object, __: object, send: Callable[[Message], Awaitable[None]]) -> None:
        for message in messages:
            await send(message)

    answer = asyncio.run(request(service.around(app), method=method))
    assert answer == messages
    assert len(service.logged()) == (rules == RULES)


SERVER: Final = """
import asyncio, json, sys, threading
kind, when = sys.argv[1:]
if when == "before":
    import fastapi, opentelemetry.instrumentation.fastapi
import ldv_otel
ldv_otel.install()
import fastapi, httpx, starlette.applications, starlette.responses, starlette.routing, uvicorn
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from ldv_otel._internal.delivery.spool.writer import SpoolWriter
threads, flush = [], SpoolWriter._flush
def noted(spool):
    threads.append(threading.current_thread().name)
    flush(spool)
SpoolWriter._flush = noted
async def text(request: fastapi.Request): return starlette.responses.PlainTextResponse("tekst")
async def nothing(request: fastapi.Request): return starlette.responses.Response(status_code=204)
if kind.startswith("fastapi"):
    app = fastapi.FastAPI()
    app.get("/text")(text)
    app.get("/nothing")(nothing)
    if kind == "fastapi with instrumentation":
        FastAPIInstrumentor.instrument_app(app)
else:
    routes = [starlette.routing.Route("/text", text), starlette.routing.Route("/nothing", nothing)]
    app = starlette.applications.Starlette(routes=routes)
    app.add_middleware(OpenTelemetryMiddleware)
async def main():
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    serving = asyncio.create_task(server.serve())
    while not server.started: await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    answers = []
    async with httpx.AsyncClient() as client:
        for path in ("text", "nothing"):
            answer = await client.get(f"http://127.0.0.1:{port}/{path}")
            health = ldv_otel.health()
            answers.append([answer.status_code, answer.text, health.pending])
    server.should_exit = True
    await serving
    print(json.dumps([answers, threads]))
asyncio.run(main())
"""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", ["fastapi with instrumentation", "fastapi by itself", "starlette"])
def test_install_does_it_behind_a_real_server(tmp_path: Path, kind: str, when: str) -> None:
    """Whatever makes the spans, and whether it is imported before `install()` or after."""
    if kind == "fastapi by itself" and find_spec("fastapi.telemetry") is None:
        pytest.skip("this FastAPI makes no spans of its own")
    (tmp_path / "rules.yaml").write_text(RULES)
    add_key(tmp_path / "keys.json", sealing=False)
    environ = {
        **os.environ,
        "LDV_LOGBOEK": "clickhouse+http://127.0.0.1:9/ldv",
        "LDV_STATE": str(tmp_path / "state"),
        "LDV_KEYS": str(tmp_path / "keys.json"),
        "LDV_RULES": str(tmp_path / "rules.yaml"),
        "LDV_FLUSH_SECONDS": "0.1",
    }
    command = [sys.executable, "-c", SERVER, kind, when]
    run = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stderr
    answers, threads = json.loads(run.stdout.splitlines()[-1])
    assert answers == [[200, "tekst", 1], [204, "", 2]]
    assert set(threads) == {"ldv-waiting"}
