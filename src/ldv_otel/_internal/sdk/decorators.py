"""Decorating what can be called, so that each call, or each run of a generator, is one Actie.

How a function was written says too little of how long its work lasts: a wrapper around `async def` is an ordinary
function, and so are a lambda that makes a coroutine and `sync_to_async`. So the result decides: where it is the work
itself (a coroutine, a task, a future or a generator), the Actie ends with it. The wrapper is of the kind of what it
wraps all the same, for frameworks ask.

A generator's Actie is current only while the generator's own code runs, not while its consumer does.
"""

from __future__ import annotations

import functools
import inspect
import sys
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from typing import Any, Final, ParamSpec, TypeVar, cast

from ldv_otel._internal.sdk.running_call import (
    RunningCall,
    begin,
    begin_off_loop,
    current,
    finish_off_loop,
    finish_with_future,
    finish_with_thread,
    finished,
    finished_off_loop,
    finished_on_error,
    finished_on_error_off_loop,
)
from ldv_otel._internal.sdk.waiting_threads import leave_to_thread
from ldv_otel.errors import ConfigurationError

P = ParamSpec("P")
R = TypeVar("R")

_WORK: Final = (Coroutine, Generator, AsyncGenerator)


def wrap(function: Callable[P, R], start: Callable[[], RunningCall]) -> Callable[P, R]:
    """Return the function with `start()` before and its `finish(...)` after each call of it.

    Raises:
        ConfigurationError: It is a class, or nothing that can be called.
    """
    if isinstance(function, staticmethod | classmethod):
        return cast("Callable[P, R]", type(function)(_wrap(function.__func__, start)))
    return _wrap(function, start)


def _wrap(function: Callable[P, R], start: Callable[[], RunningCall]) -> Callable[P, R]:
    if isinstance(function, type) or not callable(function):
        kind = "a class" if isinstance(function, type) else f"a {type(function).__name__}, which cannot be called"
        raise ConfigurationError(
            f"processing() decorates {kind}. Nothing would be logged as meant. Put it on the function or method that "
            "does the work, below decorators that make something else of it, such as @property."
        )
    if _is(inspect.iscoroutinefunction, function):
        wrapper = _coroutine
    elif _is(inspect.isasyncgenfunction, function):
        wrapper = _async_generator
    elif _is(inspect.isgeneratorfunction, function):
        wrapper = _generator
    else:
        wrapper = _function
    return cast("Callable[P, R]", functools.wraps(function)(wrapper(function, start)))


def _is(kind: Callable[[Any], bool], function: Any) -> bool:
    """Return whether a callable is of a kind of functions: itself, what it is a part of, or its `__call__`."""
    while isinstance(function, functools.partial):
        function = function.func
    return kind(function) or kind(type(function).__call__)


def _function(function: Callable[..., Any], start: Callable[[], RunningCall]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        running = start()
        begin(running)
        with finished_on_error(running), current(running.context):
            result = function(*args, **kwargs)
        work = _work_of(result, running)
        if work is not None:
            return work
        running.finish(None)
        return result

    return wrapped


def _coroutine(function: Callable[..., Any], start: Callable[[], RunningCall]) -> Callable[..., Any]:
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        running = start()
        await begin_off_loop(running)
        async with finished_on_error_off_loop(running):
            with current(running.context):
                result = await function(*args, **kwargs)
        work = _work_of(result, running)
        if work is not None:
            return work
        await finish_off_loop(running, None)
        return result

    return wrapped


def _generator(function: Callable[..., Any], start: Callable[[], RunningCall]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        # Nothing of it runs yet: wrong arguments begin no Actie.
        body: Generator[Any, Any, Any] = function(*args, **kwargs)
        running = start()
        begin(running)
        resume: Callable[[], Any] = functools.partial(next, body)
        with finished(running):
            while True:
                try:
                    with current(running.context):
                        value = resume()
                except StopIteration as stop:
                    return stop.value
                try:
                    resume = functools.partial(body.send, (yield value))
                except BaseException as thrown:  # handed on to the generator, whatever it is
                    resume = functools.partial(body.throw, thrown)

    return wrapped


def _async_generator(function: Callable[..., Any], start: Callable[[], RunningCall]) -> Callable[..., Any]:
    async def wrapped(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        body: AsyncGenerator[Any, Any] = function(*args, **kwargs)
        running = start()
        await begin_off_loop(running)
        resume: Callable[[], Awaitable[Any]] = body.__anext__
        async with finished_off_loop(running):
            while True:
                try:
                    with current(running.context):
                        value = await resume()
                except StopAsyncIteration:
                    return
                try:
                    resume = functools.partial(body.asend, (yield value))
                except BaseException as thrown:  # handed on to the generator, whatever it is
                    resume = functools.partial(body.athrow, thrown)

    return wrapped


def _work_of(result: Any, running: RunningCall) -> Any:
    """Return what stands for a result that is work, and finishes its call at its end; None if the result is no work.

    A future stays the object that it is: whoever made it may want to set it. A task is returned as a task of the same
    name that waits for it: whoever awaits that has the promise of the delivery level, and cancels both.
    """
    if isinstance(result, _WORK):
        return _used_later(result, running)
    if "asyncio" in sys.modules:
        import asyncio

        if isinstance(result, asyncio.Task):
            return result.get_loop().create_task(_used_later(result, running), name=result.get_name())
        if isinstance(result, asyncio.Future):
            result.add_done_callback(functools.partial(finish_with_future, running))
            return result
    if "concurrent.futures" in sys.modules:
        from concurrent import futures

        if isinstance(result, futures.Future):
            result.add_done_callback(functools.partial(finish_with_thread, running))
            return result
    return None


def _used_later(work: Any, running: RunningCall) -> Any:
    """Return work that finishes its call at its end, or when it is thrown away before its first line has run."""
    if isinstance(work, AsyncGenerator):
        wrapper = _async_generator
    elif isinstance(work, Generator) and not inspect.isawaitable(work):
        wrapper = _generator
    else:
        wrapper = _coroutine
    uses: list[RunningCall] = []

    def start() -> RunningCall:
        uses.append(running)
        return running._replace(begin=None)

    made = wrapper(lambda: work, start)()
    weakref.finalize(made, _finish_unused, running, uses)
    return made


def _finish_unused(running: RunningCall, uses: list[RunningCall]) -> None:
    """Finish a call whose result nobody used; Python calls this at any point of any thread, so another one does it."""
    if not uses:
        leave_to_thread(functools.partial(running.finish, None))
