"""Decorating functions of all four kinds, so that each call, or each run of a generator, is one Actie.

A generator's Actie is current only while the generator's own code runs, not while its consumer does.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry.context import Context

P = ParamSpec("P")
R = TypeVar("R")


class Running(NamedTuple):
    """Something that was started and has to be finished, with the error that ended it, if any.

    Attributes:
        blocks: Whether finishing may wait for a disk or a server.
    """

    context: Context
    finish: Callable[[BaseException | None], None]
    blocks: bool


def wrap(function: Callable[P, R], start: Callable[[], Running]) -> Callable[P, R]:
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


@contextmanager
def _finished(running: Running) -> Iterator[None]:
    error: BaseException | None = None
    try:
        yield
    except BaseException as raised:
        error = raised
        raise
    finally:
        running.finish(error)


@asynccontextmanager
async def _finished_off_loop(running: Running) -> AsyncIterator[None]:
    error: BaseException | None = None
    try:
        yield
    except BaseException as raised:
        error = raised
        raise
    finally:
        await finish_off_loop(running, error)


async def finish_off_loop(running: Running, error: BaseException | None) -> None:
    """Finish without holding up the event loop: where that may wait, a thread waits."""
    if not running.blocks:
        running.finish(error)
        return
    import asyncio  # noqa: PLC0415  (who gets here has it; who does not should not pay for it)

    await asyncio.to_thread(running.finish, error)


def _function(function: Callable[..., Any], start: Callable[[], Running]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        running = start()
        with _finished(running), _current(running.context):
            return function(*args, **kwargs)

    return wrapped


def _coroutine(function: Callable[..., Any], start: Callable[[], Running]) -> Callable[..., Any]:
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        running = start()
        async with _finished_off_loop(running):
            with _current(running.context):
                return await function(*args, **kwargs)

    return wrapped


def _generator(function: Callable[..., Any], start: Callable[[], Running]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        running = start()
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


def _async_generator(function: Callable[..., Any], start: Callable[[], Running]) -> Callable[..., Any]:
    async def wrapped(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        running = start()
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
