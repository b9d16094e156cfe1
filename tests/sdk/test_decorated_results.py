"""What is decorated is judged by its result: the Actie lasts as long as the work, and the caller gets what it got."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import trio
import trio.lowlevel
from asgiref.sync import async_to_sync, sync_to_async
from fastapi import FastAPI
from opentelemetry import trace
from starlette.testclient import TestClient

import ldv_otel as ldv
from ldv_otel import Logregel, Status
from ldv_otel.testing import InMemoryLogboek
from tests.sdk.conftest import ACTIVITY

PATIENCE_SECONDS = 30
processing = functools.partial(ldv.processing, ACTIVITY, name="werk")


async def work(number: int = 1) -> int:
    """Name a data subject after a moment, as work does that asks another system first."""
    await asyncio.sleep(0.002)
    ldv.data_subject("123456782", type="BSN")
    return number + 1


async def failing() -> None:
    """Fail after a moment."""
    await asyncio.sleep(0)
    raise KeyError


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator as half the libraries have it: an ordinary function around whatever it is."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def in_a_thread(number: int = 1) -> int:
    """Work that blocks, for `sync_to_async`."""
    time.sleep(0.002)
    ldv.data_subject("123456782", type="BSN")
    return number + 1


class Desk:
    """Objects and methods that are decorated."""

    async def __call__(self, number: int = 1) -> int:
        """Work asynchronously, though an object is no coroutine function."""
        return await work(number)

    @processing()
    @staticmethod
    def below_static(number: int = 1) -> int:
        """A decorator above `@staticmethod`."""
        return in_a_thread(number)

    @processing()
    @classmethod
    async def below_class(cls, number: int = 1) -> int:
        """A decorator above `@classmethod`."""
        assert cls is Desk
        return await work(number)

    @staticmethod
    @processing()
    def above(number: int = 1) -> int:
        """The other way round."""
        return in_a_thread(number)


def only(logboek: InMemoryLogboek) -> Logregel:
    """The one record; it is about the person that the work named."""
    (record,) = logboek.logregels
    assert record.data_subject_id == logboek.pseudonym("123456782", type="BSN")
    return record


ASYNCHRONOUS: dict[str, Callable[..., Awaitable[Any]]] = {
    "async def": work,
    "functools.wraps over async def": plain(work),
    "twice": plain(plain(work)),
    "object with async __call__": Desk(),
    "partial of async def": functools.partial(work),
    "partial of an object": functools.partial(Desk()),
    "lambda": lambda number=1: work(number),
    "sync_to_async": sync_to_async(in_a_thread),
    "functools.wraps over sync_to_async": plain(sync_to_async(in_a_thread)),
    "def that returns a task": lambda number=1: asyncio.get_running_loop().create_task(work(number), name="its name"),
    "def that returns gather": lambda number=1: asyncio.gather(work(number)),
    "classmethod": Desk.below_class,
}


@pytest.mark.parametrize("name", ASYNCHRONOUS)
def test_an_actie_lasts_as_long_as_what_is_awaited(logboek: InMemoryLogboek, name: str) -> None:
    """The person that it names at its end is in its record; the result is the result."""
    function = ASYNCHRONOUS[name]
    decorated = function if name == "classmethod" else processing()(function)
    # Frameworks choose by this whether they call in a thread.
    assert inspect.iscoroutinefunction(decorated) >= inspect.iscoroutinefunction(function)

    async def main() -> Any:
        return await decorated(4)

    assert asyncio.run(main()) in (5, [5])
    assert only(logboek).status is Status.UNSET


@pytest.mark.parametrize(
    "function",
    [plain(failing), lambda: asyncio.ensure_future(failing()), lambda: asyncio.gather(failing())],
    ids=["wraps", "task", "gather"],
)
def test_an_error_after_the_call_is_the_acties(logboek: InMemoryLogboek, function: Callable[[], Any]) -> None:
    """It arrives at whoever awaits, as without us."""

    async def main() -> None:
        with pytest.raises(KeyError):
            await processing()(function)()

    asyncio.run(main())
    (record,) = logboek.logregels
    assert (record.status, record.attributes["exception.type"]) == (Status.ERROR, "KeyError")


def test_a_task_keeps_its_name_and_is_cancelled(logboek: InMemoryLogboek) -> None:
    """Cancelling what the call returned cancels the work; that is no failure."""
    inner: list[asyncio.Task[Any]] = []

    def start() -> asyncio.Task[Any]:
        inner.append(asyncio.get_running_loop().create_task(asyncio.sleep(PATIENCE_SECONDS), name="verzenden"))
        return inner[0]

    async def main() -> None:
        task = processing()(start)()
        assert task.get_name() == "verzenden"
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert inner[0].cancelled()

    asyncio.run(main())
    (record,) = logboek.logregels
    assert record.status is Status.UNSET


def test_a_future_stays_what_it_is(logboek: InMemoryLogboek) -> None:
    """Whoever made it sets it, and its error that nobody looked at is still reported by asyncio."""
    said: list[dict[str, Any]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: said.append(context))
        futures = [loop.create_future()]
        assert processing()(lambda: futures[0])() is futures[0]
        assert logboek.logregels == []
        futures.pop().set_exception(ValueError())
        await asyncio.sleep(0)
        gc.collect()

    asyncio.run(main())
    (record,) = logboek.logregels
    assert record.status is Status.ERROR
    assert ["never retrieved" in context["message"] for context in said] == [True]


def test_work_in_a_pool_of_threads(logboek: InMemoryLogboek) -> None:
    """The Actie ends with the thread's work."""
    with ThreadPoolExecutor(1) as pool:
        future: Future[int] = processing()(lambda: pool.submit(in_a_thread, 1))()
        assert future.result(PATIENCE_SECONDS) == 2
        failed: Future[int] = processing()(lambda: pool.submit(int, "x"))()
        assert isinstance(failed.exception(PATIENCE_SECONDS), ValueError)
    # Of the thread, which has no context of ours, the person is another record.
    assert sorted(record.status.label for record in logboek.logregels if record.name == "werk") == ["Error", "Unset"]


def test_a_generator_that_a_function_returns(logboek: InMemoryLogboek) -> None:
    """Current while its own code runs, and over at its end; `send` and the result pass."""

    def numbers() -> Iterator[Any]:
        assert trace.get_current_span().get_span_context().is_valid
        received = yield 1
        ldv.data_subject("123456782", type="BSN")
        yield received

    generator: Any = processing()(plain(numbers))()
    assert next(generator) == 1
    assert not trace.get_current_span().get_span_context().is_valid
    assert generator.send("sent") == "sent"
    assert logboek.logregels == []
    assert list(generator) == []
    assert only(logboek).status is Status.UNSET


def test_an_async_generator_that_a_function_returns(logboek: InMemoryLogboek) -> None:
    """As a generator."""

    async def numbers() -> AsyncIterator[int]:
        yield 1
        ldv.data_subject("123456782", type="BSN")
        yield 2

    async def main() -> list[int]:
        return [number async for number in processing()(plain(numbers))()]

    assert asyncio.run(main()) == [1, 2]
    assert only(logboek).status is Status.UNSET


def test_a_coroutine_that_returns_a_generator(logboek: InMemoryLogboek) -> None:
    """What streams an answer is made in a coroutine, and runs after it."""

    async def stream() -> Iterator[int]:
        return (in_a_thread(number) for number in range(2))

    numbers = asyncio.run(processing()(stream)())
    assert logboek.logregels == []
    assert list(numbers) == [1, 2]
    assert only(logboek).status is Status.UNSET


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize(
    "function", [plain(work), lambda: (number for number in (1, 2))], ids=["coroutine", "generator"]
)
def test_a_result_that_nobody_uses_is_on_record(logboek: InMemoryLogboek, function: Callable[[], Any]) -> None:
    """The function has run, whatever becomes of its result."""
    unused = processing()(function)()
    assert logboek.logregels == []
    del unused
    gc.collect()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not logboek.logregels:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert [record.status for record in logboek.logregels] == [Status.UNSET]


def test_static_and_class_methods(logboek: InMemoryLogboek) -> None:
    """In either order, by the class and by an object."""
    assert Desk.below_static(1) == Desk().below_static(1) == Desk.above(1) == 2
    assert asyncio.run(Desk().below_class(1)) == 2
    assert len(logboek.logregels) == 4


@pytest.mark.parametrize(
    "nothing", [property(lambda self: self), Desk, 5, functools.cached_property(lambda self: self)], ids=type
)
def test_what_cannot_be_decorated_says_so(nothing: Any) -> None:
    """At the decoration, not at the first call."""
    with pytest.raises(ldv.ConfigurationError, match=r"processing\(\) decorates a .*Put it on the function"):
        processing()(nothing)


def test_wrong_arguments_begin_no_actie(logboek: InMemoryLogboek) -> None:
    """Of a generator, whose body is not reached: an Actie that began would never end."""

    @processing()
    def numbers() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError):
        list(numbers(5))  # type: ignore[call-arg]  # that is the point
    assert logboek.logregels == []


def test_under_trio(logboek: InMemoryLogboek) -> None:
    """A coroutine of a plain wrapper, with another loop."""

    async def read() -> int:
        await trio.lowlevel.checkpoint()
        ldv.data_subject("123456782", type="BSN")
        return 2

    assert trio.run(processing()(plain(read))) == 2
    assert only(logboek).status is Status.UNSET


def test_async_to_sync(logboek: InMemoryLogboek) -> None:
    """Django's way to call a coroutine from a view: the Actie is around all of it."""
    assert processing()(async_to_sync(work))(1) == 2
    assert only(logboek).status is Status.UNSET


class Endpoint:
    """An object as an endpoint, which FastAPI awaits because its `__call__` is asynchronous."""

    async def __call__(self) -> dict[str, int]:
        """Answer after a moment."""
        return {"number": await work()}


@pytest.mark.parametrize(
    "endpoint",
    [Endpoint(), Endpoint().__call__, plain(Endpoint().__call__)],
    ids=["an object", "its method", "a plain function around it"],
)
def test_endpoints_of_fastapi(logboek: InMemoryLogboek, endpoint: Callable[..., Any]) -> None:
    """It serves what it serves without us, and the record is about whom it was."""
    app = FastAPI()
    app.get("/plain")(endpoint)
    app.get("/logged")(processing()(endpoint))
    with TestClient(app, raise_server_exceptions=False) as client:
        answers = [(answer.status_code, answer.text) for answer in map(client.get, ("/plain", "/logged"))]
    assert answers[0] == answers[1]
    assert [record.status for record in logboek.logregels if record.name == "werk"] == [Status.UNSET]
