"""Decorating functions of all four kinds, so that each call, or each run of a generator, is one Actie.

A generator's Actie is current only while the generator's own code runs, not while its consumer does.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import logging
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry.context import Context

if TYPE_CHECKING:
    from asyncio import Future

_logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


class RunningCall(NamedTuple):
    """Something that was started and has to be finished, with the error that ended it, if any.

    Attributes:
        begin: What has to be done first, and may wait for a disk; what it raises ends the matter.
        blocks: Whether finishing may wait for a disk or a server.
    """

    context: Context
    begin: Callable[[], None] | None
    finish: Callable[[BaseException | None], None]
    blocks: bool


def wrap(function: Callable[P, R], start: Callable[[], RunningCall]) -> Callable[P, R]:
    """Return the function with `start()` before and `finish(...)` after each call of it."""
    if inspect.iscoroutinefunction(function):
        wrapper = _coroutine
    elif inspect.isasyncgenfunction(function):
        wrapper = _async_generator
    elif inspect.isgeneratorfunction(function):
        wrapper = _generator
    else:
        wrapper = _function
    return cast("Callable[P, R]", functools.wraps(function)(wrapper(function, start)))


@contextmanager
def _current(context: Context) -> Iterator[None]:
    token = otel_context.attach(context)
    try:
        yield
    finally:
        otel_context.detach(token)


def begin(running: RunningCall) -> None:
    """Do what has to be done first, here and now."""
    if running.begin is not None:
        running.begin()


@contextmanager
def _finished(running: RunningCall) -> Iterator[None]:
    error: BaseException | None = None
    try:
        yield
    except BaseException as raised:
        error = raised
        raise
    finally:
        running.finish(error)


@asynccontextmanager
async def _finished_off_loop(running: RunningCall) -> AsyncIterator[None]:
    error: BaseException | None = None
    try:
        yield
    except BaseException as raised:
        error = raised
        raise
    finally:
        await finish_off_loop(running, error)


async def begin_off_loop(running: RunningCall) -> None:
    """Do what has to be done first without holding up the event loop.

    A task that is cancelled meanwhile never runs its body: what was begun is then finished, as if it had been cancelled
    in its first line.
    """
    if running.begin is None:
        return
    import asyncio  # who gets here has it; who does not should not pay for it
    from concurrent import futures

    first, begun = running.begin, futures.Future[None]()

    def work() -> None:
        try:
            first()
        except BaseException as error:
            begun.set_exception(error)
            raise
        begun.set_result(None)

    try:
        await _in_thread(work)
    except asyncio.CancelledError as cancelled:
        error = cancelled
        begun.add_done_callback(lambda outcome: outcome.exception() or running.finish(error))
        raise


async def finish_off_loop(running: RunningCall, error: BaseException | None) -> None:
    """Finish without holding up the event loop: where that may wait, a thread waits."""
    if running.blocks:
        await _in_thread(functools.partial(running.finish, error))
    else:
        running.finish(error)


async def _in_thread(work: Callable[[], None]) -> None:
    """Wait for a thread to do this, which it does also if the task is cancelled meanwhile."""
    import asyncio

    context = contextvars.copy_context()
    await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, context.run, work))


def do_off_loop(work: Callable[[], None]) -> None:
    """Do this now; under an event loop, have a thread do it, and do not wait."""
    asyncio = sys.modules.get("asyncio")
    loop = asyncio._get_running_loop() if asyncio is not None else None  # as asyncio offers it to C
    if loop is None:
        work()
    else:
        loop.run_in_executor(None, contextvars.copy_context().run, work).add_done_callback(_tell)


def _tell(done: Future[None]) -> None:
    """Log what nobody waits for."""
    error = None if done.cancelled() else done.exception()
    if error is not None:
        _logger.error("What was said in a coroutine could not be put on disk. %s", error)


def _function(function: Callable[..., Any], start: Callable[[], RunningCall]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        running = start()
        begin(running)
        with _finished(running), _current(running.context):
            return function(*args, **kwargs)

    return wrapped


def _coroutine(function: Callable[..., Any], start: Callable[[], RunningCall]) -> Callable[..., Any]:
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        running = start()
        await begin_off_loop(running)
        async with _finished_off_loop(running):
            with _current(running.context):
                return await function(*args, **kwargs)

    return wrapped


def _generator(function: Callable[..., Any], start: Callable[[], RunningCall]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        running = start()
        begin(running)
        body: Generator[Any, Any, Any] = function(*args, **kwargs)
        resume: Callable[[], Any] = functools.partial(next, body)
        with _finished(running):
            while True:
                try:
                    with _current(running.context):
                        value = resume()
                except StopIteration as stop:
                    return stop.value
                try:
                    resume = functools.partial(body.send, (yield value))
                except BaseException as thrown:  # noqa: BLE001  (handed on to the generator, whatever it is)
                    resume = functools.partial(body.throw, thrown)

    return wrapped


def _async_generator(function: Callable[..., Any], start: Callable[[], RunningCall]) -> Callable[..., Any]:
    async def wrapped(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        running = start()
        await begin_off_loop(running)
        body: AsyncGenerator[Any, Any] = function(*args, **kwargs)
        resume: Callable[[], Awaitable[Any]] = body.__anext__
        async with _finished_off_loop(running):
            while True:
                try:
                    with _current(running.context):
                        value = await resume()
                except StopAsyncIteration:
                    return
                try:
                    resume = functools.partial(body.asend, (yield value))
                except BaseException as thrown:  # noqa: BLE001  (handed on to the generator, whatever it is)
                    resume = functools.partial(body.athrow, thrown)

    return wrapped
