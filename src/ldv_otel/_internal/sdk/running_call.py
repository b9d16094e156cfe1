"""A call that is an Actie, from what has to be done first to its end, with and without an event loop."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from ldv_otel._internal.sdk.current_context import leave
from ldv_otel._internal.sdk.loop_commits import loop_commits
from ldv_otel._internal.sdk.waiting_threads import do_and_log, in_thread, leave_to_thread

if TYPE_CHECKING:
    import asyncio
    from concurrent import futures


class RunningCall(NamedTuple):
    """Something that was started and has to be finished, with the error that ended it, if any.

    Attributes:
        begin: What has to be done first, and may wait for a disk; what it raises ends the matter.
        end: Ends it, and may wait for a disk or a server.
        conclude: Raises, or adds to the error, what went wrong at the end.
        blocks: Whether `end` may wait for a disk or a server.
        collects: Whether what `end` waits for can be collected (`loop_commits.py`), and be waited for afterwards.
        run_waiting: Runs the end where a driver in it waits for the event loop (`outbox/`); None where none does.
    """

    context: Context
    begin: Callable[[], None] | None
    end: Callable[[BaseException | None], None]
    conclude: Callable[[BaseException | None], None]
    blocks: bool
    collects: bool
    run_waiting: Callable[..., Awaitable[object]] | None = None

    def finish(self, error: BaseException | None) -> None:
        """Finish it here and now."""
        self.end(error)
        self.conclude(error)


@contextmanager
def current(context: Context) -> Iterator[None]:
    """Make a context current for the length of a block."""
    token = otel_context.attach(context)
    try:
        yield
    finally:
        leave(token, context)


def begin(running: RunningCall) -> None:
    """Do what has to be done first, here and now."""
    if running.begin is not None:
        running.begin()


@contextmanager
def finished_on_error(running: RunningCall) -> Iterator[None]:
    """Finish what an exception ends; without one it goes on."""
    # The error is kept in no variable of ours: its traceback leads back here, and a ring would outlive the call.
    try:
        yield
    except BaseException as error:
        running.finish(error)
        raise


@contextmanager
def finished(running: RunningCall) -> Iterator[None]:
    """Finish at the end of a block, however it ends."""
    with finished_on_error(running):
        yield
    running.finish(None)


@asynccontextmanager
async def finished_on_error_off_loop(running: RunningCall) -> AsyncIterator[None]:
    """Do as `finished_on_error` without holding up the event loop."""
    try:
        yield
    except BaseException as error:
        await finish_off_loop(running, error)
        raise


@asynccontextmanager
async def finished_off_loop(running: RunningCall) -> AsyncIterator[None]:
    """Do as `finished` without holding up the event loop."""
    async with finished_on_error_off_loop(running):
        yield
    await finish_off_loop(running, None)


async def begin_off_loop(running: RunningCall) -> None:
    """Do what has to be done first without holding up the event loop.

    A task that is cancelled meanwhile never runs its body: what was begun is then finished, as if it had been cancelled
    in its first line.
    """
    if running.begin is None:
        return
    import asyncio  # who gets here has it; who does not should not pay for it
    from concurrent import futures

    first, begun = running.begin, futures.Future[bool]()

    def work() -> None:
        try:
            first()
        except BaseException:
            # Not the error: its traceback leads to this future, and a ring of the two would outlive the call.
            begun.set_result(False)
            raise
        begun.set_result(True)

    try:
        await in_thread(work)
    except asyncio.CancelledError as cancelled:
        begun.add_done_callback(functools.partial(_finish_cancelled, running, type(cancelled)))
        raise


def _finish_cancelled(running: RunningCall, kind: type[BaseException], begun: futures.Future[bool]) -> None:
    """Finish what was begun when its task was cancelled already; what could not be begun is over."""
    if begun.result():
        running.finish(kind())


async def finish_off_loop(running: RunningCall, error: BaseException | None) -> None:
    """Finish without holding up the event loop: where that may wait, a thread waits, for all tasks at once if it can.

    What is finished stays so if the task that waits is cancelled.
    """
    if running.run_waiting is not None:
        await running.run_waiting(running.finish, error)
        return
    if not running.blocks:
        running.finish(error)
        return
    commits = loop_commits() if running.collects else None
    if commits is None:
        await in_thread(functools.partial(running.finish, error))
        return
    with commits.collecting():
        running.end(error)
    await commits.wait()
    running.conclude(error)


def finish_with_future(running: RunningCall, future: asyncio.Future[Any]) -> None:
    """Finish as a future of asyncio has ended, without holding up its loop."""
    # Not `exception()`, by which asyncio takes it that somebody looked, and does not say any more that nobody did.
    finish = functools.partial(running.finish, future._exception)
    if running.blocks:
        leave_to_thread(finish)
    else:
        do_and_log(finish)


def finish_with_thread(running: RunningCall, future: futures.Future[Any]) -> None:
    """Finish as the work of a thread has ended, in that thread."""
    do_and_log(functools.partial(running.finish, None if future.cancelled() else future.exception()))
