"""Threads of our own that wait for a disk or a server while an event loop goes on.

The application's own means are not used: in asyncio's default executor a record would wait for whatever the application
has running there (for ever, where that waits for the record), and after `shutdown_default_executor()` it would be lost.
Where there is no loop of asyncio (under trio), or where no thread can be had (at the end of the interpreter), what is
to be done is done in place. It takes longer then, and that is all.
"""

from __future__ import annotations

import contextvars
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from ldv_otel._internal.config.daemon_thread import start_thread
from ldv_otel._internal.config.error_places import type_and_places
from ldv_otel.errors import LdvError

if TYPE_CHECKING:
    import asyncio

_logger = logging.getLogger(__name__)

Work = Callable[[], None]

#: What waits for one disk is committed together, so that more threads would wait for the same flush.
_MOST: Final = 64
_IDLE_SECONDS: Final = 10.0


class WaitingThreads:
    """Daemon threads that are started when there is work for them, and end when there has been none for a while.

    Work here ends by itself: it waits for a disk or a server, within their limits, and never for the application.
    """

    def __init__(self, most: int = _MOST, idle_seconds: float = _IDLE_SECONDS) -> None:
        self._most = most
        self._idle_seconds = idle_seconds
        self.begin()

    def begin(self) -> None:
        """Begin without threads, as a forked child does: it has none of them, and their work is its parent's."""
        # A lock of its own, because a thread of the parent may have held the one of before.
        self._changed = threading.Condition()
        self._work: deque[Work] = deque()
        self._threads = 0
        self._idle = 0

    def take(self, work: Work) -> bool:
        """Have a thread do this, soon; return False where no thread can be had."""
        with self._changed:
            self._work.append(work)
            wants_another = len(self._work) > self._idle and self._threads < self._most
            if wants_another and not self._start() and self._threads == 0:
                self._work.pop()
                return False
            self._changed.notify()
            return True

    def _start(self) -> bool:
        self._threads += 1
        if start_thread(self._run, "ldv-waiting") is None:
            self._threads -= 1
            return False
        return True

    def _run(self) -> None:
        while (work := self._next()) is not None:
            work()
            # Not kept while this thread waits: it holds what the application had in its hands.
            del work

    def _next(self) -> Work | None:
        """Wait for work; None when there has been none for a while, and this thread is counted no more."""
        with self._changed:
            while not self._work:
                self._idle += 1
                in_time = self._changed.wait(self._idle_seconds)
                self._idle -= 1
                if not in_time and not self._work:
                    self._threads -= 1
                    return None
            return self._work.popleft()


_threads: Final = WaitingThreads()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.begin)


def take(work: Work) -> bool:
    """Have a thread do this, soon; return False where no thread can be had."""
    return _threads.take(work)


def in_thread(work: Work) -> Awaitable[None]:
    """Have a thread do this, and return what waits for it and raises what it raises.

    It is done also if the task that waits is cancelled.
    """
    loop = running_loop()
    if loop is None:
        return _done_in_place(work)
    done: asyncio.Future[None] = loop.create_future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            context.run(work)
        except BaseException as error:
            # Without the place here, which leads to `done`: a ring of the two would outlive the call.
            places = error.__traceback__
            _hand_over(loop, done, error.with_traceback(places.tb_next if places is not None else None))
        else:
            _hand_over(loop, done, None)

    return done if _threads.take(run) else _done_in_place(work)


def do_off_loop(work: Work) -> None:
    """Do this now; under an event loop, have a thread do it, and do not wait.

    Raises:
        Exception: What `work` raises where there is no event loop; under one, that is logged.
    """
    if running_loop() is None:
        work()
    else:
        leave_to_thread(work)


def leave_to_thread(work: Work) -> None:
    """Have a thread do this, and do not wait; what it raises is logged."""
    context = contextvars.copy_context()

    def run() -> None:
        context.run(do_and_log, work)

    if not _threads.take(run):
        run()


def do_and_log(work: Work) -> None:
    """Do this now, and log what it raises: nobody waits for it."""
    try:
        work()
    except Exception as error:
        _tell(error)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop of asyncio that runs in this thread, without importing it for those who do not use it."""
    if "asyncio" not in sys.modules:
        return None
    from asyncio import get_running_loop

    try:
        return get_running_loop()
    except RuntimeError:  # by which it says that there is none
        return None


async def _done_in_place(work: Work) -> None:
    work()


def _hand_over(loop: asyncio.AbstractEventLoop, done: asyncio.Future[None], error: BaseException | None) -> None:
    """Give the task that waits its result, in its own thread."""
    try:
        loop.call_soon_threadsafe(_settle, done, error)
    except RuntimeError:  # the loop was closed meanwhile, and nobody waits
        if error is not None:
            _tell(error)


def _settle(done: asyncio.Future[None], error: BaseException | None) -> None:
    if done.done():  # cancelled: nobody waits for the error
        if error is not None:
            _tell(error)
    elif error is not None:
        done.set_exception(error)
    else:
        done.set_result(None)


def _tell(error: BaseException) -> None:
    """Log what nobody waits for."""
    # A sentence of ours quotes nothing; any other error may.
    reason = str(error) if isinstance(error, LdvError) else type_and_places(error)
    _logger.error("What was said of an Actie could not be put on disk. %s", reason)
