"""Where frameworks go on in another thread or task: whose the data subject is, and what of ours is left over."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import re
import runpy
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import flask
import pytest
from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse
from opentelemetry import context as otel_context
from opentelemetry import trace
from starlette.testclient import TestClient

import ldv_otel as ldv
from ldv_otel.testing import InMemoryLogboek
from tests.sdk.conftest import ACTIVITY

BSN = "123456782"
DOCS = Path(__file__).parents[2] / "docs" / "frameworks.md"


@pytest.fixture(autouse=True)
def nothing_is_left_over(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """OpenTelemetry logs "Failed to detach context" where a context is left in another one than it was entered in."""
    with caplog.at_level(logging.WARNING):
        yield
    assert "Failed to detach context" not in caplog.text
    assert not trace.get_current_span().get_span_context().is_valid


def about(logboek: InMemoryLogboek, name: str = "werk") -> list[bool]:
    """Of each record with this name, whether it is about the person."""
    person = logboek.pseudonym(BSN, type="BSN")
    return [record.data_subject_id == person for record in logboek.logregels if record.name == name]


def apart(logboek: InMemoryLogboek) -> list[tuple[str, ...]]:
    """The flags of the records of people who were named outside any Actie."""
    return [record.flags for record in logboek.logregels if record.name != "werk"]


def blocking() -> Iterator[ldv.Actie]:
    """A dependency as FastAPI runs it in a thread, its end in another."""
    with ldv.processing(ACTIVITY, name="werk") as actie:
        yield actie


async def asynchronous() -> AsyncIterator[ldv.Actie]:
    """A dependency that FastAPI runs in the task of the request."""
    async with ldv.processing(ACTIVITY, name="werk") as actie:
        yield actie


def serve(path: Callable[..., Any], count: int = 3) -> None:
    """Have an endpoint answer some requests, each in another thread of the pool."""
    app = FastAPI()
    app.get("/")(path)
    with TestClient(app) as client:
        for _ in range(count):
            assert client.get("/").status_code == 200


def test_a_dependency_in_a_thread(logboek: InMemoryLogboek) -> None:
    """By the Actie that it yields, the endpoint names the data subject."""

    def by_thread(actie: Annotated[ldv.Actie, Depends(blocking)]) -> None:
        actie.data_subject(BSN, type="BSN")

    async def by_task(actie: Annotated[ldv.Actie, Depends(blocking)]) -> None:
        actie.data_subject(BSN, type="BSN")

    serve(by_thread)
    serve(by_task)
    assert about(logboek) == [True] * 6
    assert apart(logboek) == []


def test_a_dependency_in_a_thread_whose_actie_is_not_current(logboek: InMemoryLogboek) -> None:
    """What is current in a thread of the pool is not so in the endpoint: the record says that it has no activity."""

    def endpoint(_: Annotated[ldv.Actie, Depends(blocking)]) -> None:
        ldv.data_subject(BSN, type="BSN")

    serve(endpoint, 1)
    assert about(logboek) == [False]
    assert apart(logboek) == [("activity_missing",)]


def test_a_dependency_in_the_task(logboek: InMemoryLogboek) -> None:
    """By the Actie that it yields, as in a thread."""

    def by_thread(actie: Annotated[ldv.Actie, Depends(asynchronous)]) -> None:
        actie.data_subject(BSN, type="BSN")

    async def by_task(actie: Annotated[ldv.Actie, Depends(asynchronous)]) -> None:
        actie.data_subject(BSN, type="BSN")

    serve(by_thread)
    serve(by_task)
    assert about(logboek) == [True] * 6
    assert apart(logboek) == []


def test_a_dependency_in_the_task_whose_actie_is_not_current(logboek: InMemoryLogboek) -> None:
    """FastAPI's own telemetry makes what was current before the dependency so again: the record says it has none."""

    async def endpoint(_: Annotated[ldv.Actie, Depends(asynchronous)]) -> None:
        ldv.data_subject(BSN, type="BSN")

    serve(endpoint, 1)
    assert (about(logboek), apart(logboek)) in (([True], []), ([False], [("activity_missing",)]))


def test_the_ways_of_the_page(logboek: InMemoryLogboek, tmp_path: Path) -> None:
    """The service of docs/frameworks.md as it is printed: each record is about the person, and there is no other."""
    section = DOCS.read_text(encoding="utf-8").split("## Where the work goes on elsewhere")[1]
    (source,) = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    (tmp_path / "service.py").write_text(source, encoding="utf-8")
    service = runpy.run_path(str(tmp_path / "service.py"))
    with TestClient(service["app"]) as client:
        for path in ("/vergunningen", "/lijst", "/samen"):
            assert "AB-123-C" in client.get(path, params={"bsn": BSN}).text
    person = logboek.pseudonym(BSN, type="BSN")
    assert [(record.data_subject_id, record.flags) for record in logboek.logregels] == [(person, ())] * 3


@ldv.processing(ACTIVITY, name="werk")
def stream() -> Iterator[str]:
    """A stream whose Actie is current whenever its own code runs."""
    yield "1"
    ldv.data_subject(BSN, type="BSN")
    yield "2"


def stream_with_block() -> Iterator[str]:
    """A stream with a block inside, which each step leaves and enters in another thread."""
    with ldv.processing(ACTIVITY, name="werk") as actie:
        yield "1"
        actie.data_subject(BSN, type="BSN")
        yield "2"


@pytest.mark.parametrize("numbers", [stream, stream_with_block])
def test_a_stream_of_starlette(logboek: InMemoryLogboek, numbers: Callable[[], Iterator[str]]) -> None:
    """Each step runs in a thread of the pool, with a context of its own; left early too."""
    app = FastAPI()
    app.get("/")(lambda: StreamingResponse(numbers()))
    with TestClient(app) as client:
        assert [client.get("/").text for _ in range(3)] == ["12"] * 3
    assert about(logboek) == [True] * 3
    assert apart(logboek) == []


@pytest.mark.parametrize("numbers", [stream, stream_with_block])
def test_a_stream_of_flask(logboek: InMemoryLogboek, numbers: Callable[[], Iterator[str]]) -> None:
    """The server runs it after the view has returned."""
    app = flask.Flask(__name__)
    app.get("/")(lambda: flask.Response(numbers()))
    assert app.test_client().get("/").text == "12"
    assert about(logboek) == [True]
    assert apart(logboek) == []


def test_a_pool_of_threads(logboek: InMemoryLogboek) -> None:
    """With the context, or by the Actie itself; without either the record says that an activity is missing."""

    def work() -> None:
        ldv.data_subject(BSN, type="BSN")

    with ThreadPoolExecutor(1) as pool:
        with ldv.processing(ACTIVITY, name="werk"):
            pool.submit(contextvars.copy_context().run, work).result()
        with ldv.processing(ACTIVITY, name="werk") as actie:
            pool.submit(actie.data_subject, BSN, type="BSN").result()
        assert about(logboek) == [True, True]
        assert apart(logboek) == []
        with ldv.processing(ACTIVITY, name="werk"):
            pool.submit(work).result()
    assert about(logboek) == [True, True, False]
    assert apart(logboek) == [("activity_missing",)]


def test_threads_of_asyncio(logboek: InMemoryLogboek) -> None:
    """`to_thread` takes the context along, `run_in_executor` does not."""

    def work() -> None:
        ldv.data_subject(BSN, type="BSN")

    async def main() -> None:
        async with ldv.processing(ACTIVITY, name="werk"):
            await asyncio.to_thread(work)
        async with ldv.processing(ACTIVITY, name="werk"):
            run = contextvars.copy_context().run
            await asyncio.get_running_loop().run_in_executor(None, run, work)

    asyncio.run(main())
    assert about(logboek) == [True, True]
    assert apart(logboek) == []


def test_a_block_that_is_left_in_a_copy(logboek: InMemoryLogboek) -> None:
    """The copy has the Actie as its current one: there too it is so no longer."""
    before = otel_context.get_current()
    block = ldv.processing(ACTIVITY, name="werk")
    entered = contextvars.copy_context()
    entered.run(block.__enter__)
    copy = entered.copy()

    def leave() -> bool:
        block.__exit__(None, None, None)
        return otel_context.get_current() is before or not otel_context.get_current()

    assert copy.run(leave)
    assert len(logboek.logregels) == 1


def test_a_block_that_is_left_where_it_was_never_current(logboek: InMemoryLogboek) -> None:
    """What is current there stays so."""
    block = ldv.processing(ACTIVITY, name="werk")
    contextvars.copy_context().run(block.__enter__)
    other = otel_context.set_value("own", "value")

    def leave() -> object:
        otel_context.attach(other)
        block.__exit__(None, None, None)
        return otel_context.get_value("own")

    assert contextvars.copy_context().run(leave) == "value"
    assert len(logboek.logregels) == 1


def test_a_coroutine_that_is_closed_elsewhere(logboek: InMemoryLogboek) -> None:
    """As the garbage collector does with one that was never finished, in whatever thread it is."""

    @ldv.processing(ACTIVITY, name="werk")
    async def wait() -> None:
        await asyncio.sleep(60)

    loop = asyncio.new_event_loop()
    coroutine = wait()

    def begin() -> None:
        with pytest.raises(RuntimeError):  # without a task there is nobody who could wait
            coroutine.send(None)

    contextvars.copy_context().run(begin)
    thread = threading.Thread(target=coroutine.close)
    thread.start()
    thread.join()
    loop.close()
    assert len(logboek.logregels) == 1


def test_a_context_manager_around_a_generator(logboek: InMemoryLogboek) -> None:
    """`@contextmanager` above `@processing`: the Actie lasts for the block, and is its own to name."""

    @contextmanager
    @ldv.processing(ACTIVITY, name="werk")
    def open_dossier() -> Iterator[ldv.Actie | None]:
        ldv.data_subject(BSN, type="BSN")
        yield None

    with open_dossier():
        assert logboek.logregels == []
    assert about(logboek) == [True]
