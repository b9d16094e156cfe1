"""Commits of Acties that end under an event loop: a thread commits all that wait together, and the loop goes on.

Without this each `async with` would take a thread of its own to wait for the disk. The record is made where the Actie
ends; its bytes go to one thread, which commits what has come meanwhile with one flush, and wakes each loop once for all
its tasks. Threads are those of `waiting_threads.py`: started for the first commit, anew after a fork.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, NamedTuple

from ldv_otel._internal.delivery.level import Delivery, EndedActie
from ldv_otel._internal.sdk.waiting_threads import running_loop, take
from ldv_otel.errors import LogboekUnavailable

if TYPE_CHECKING:
    import asyncio

#: With one flush; what waits beyond that is next.
_MOST_AT_A_TIME: Final = 4_096


class _Waiting(NamedTuple):
    """An Actie whose commit a task waits for.

    Attributes:
        refused: Told why the disk refused it, whether its task still waits or not.
    """

    actie: EndedActie
    refused: Callable[[LogboekUnavailable], None]
    loop: asyncio.AbstractEventLoop
    committed: asyncio.Future[None]


class LoopQueue:
    """What waits to be committed by a delivery, from any number of loops; one thread commits it, while there is some.

    Args:
        delivery: Commits Acties together.
    """

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._changing = threading.Condition()
        self._waiting: deque[_Waiting] = deque()
        self._at_work = False
        self._alone = 0

    def add(self, waiting: _Waiting) -> None:
        """Have it committed by a thread, or here where none can be had."""
        self._after_fork()
        with self._changing:
            self._waiting.append(waiting)
            if self._at_work:
                return
            self._at_work = True
        if not take(self._work):
            self._work()

    def do_alone(self, work: Callable[[], None]) -> bool:
        """Have a thread do what cannot be committed together; return False where no thread can be had."""
        self._after_fork()
        with self._changing:
            self._alone += 1

        def run() -> None:
            try:
                work()
            finally:
                self._end_alone()

        if take(run):
            return True
        self._end_alone()
        return False

    def _end_alone(self) -> None:
        with self._changing:
            self._alone -= 1
            self._changing.notify_all()

    def settle(self, seconds: float) -> bool:
        """Wait until nothing waits to be committed; return whether that came true."""
        self._after_fork()
        with self._changing:
            return self._changing.wait_for(lambda: not (self._at_work or self._alone), seconds)

    def _after_fork(self) -> None:
        if self._pid != os.getpid():
            # A forked child has none of the parent's threads, and what waited is the parent's.
            self._begin()

    def _work(self) -> None:
        try:
            while batch := self._next():
                self._commit(batch)
        except BaseException:
            # Interrupted in a main thread that works in place: the next one starts anew.
            with self._changing:
                self._at_work = False
                self._changing.notify_all()
            raise

    def _commit(self, batch: Sequence[_Waiting]) -> None:
        refusal = self._refusal_of(batch)
        loops: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
        for waiting in batch:
            if refusal is not None:
                waiting.refused(refusal)
            loops.setdefault(waiting.loop, []).append(waiting.committed)
        for loop, futures in loops.items():
            # A closed loop: nobody waits, and a refusal was logged.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_settle, futures)

    def _next(self) -> list[_Waiting]:
        with self._changing:
            count = min(len(self._waiting), _MOST_AT_A_TIME)
            batch = [self._waiting.popleft() for _ in range(count)]
            if not batch:
                self._at_work = False
                self._changing.notify_all()
            return batch

    def _refusal_of(self, batch: Sequence[_Waiting]) -> LogboekUnavailable | None:
        try:
            self._delivery.commit_together([waiting.actie for waiting in batch])
        except LogboekUnavailable as error:
            return LogboekUnavailable(str(error), in_doubt=error.in_doubt)
        except Exception as error:  # whatever it is: a task that is never woken would wait for ever
            return LogboekUnavailable(
                f"A Logregel could not be committed ({type(error).__name__}); please report this. It may or may not be "
                "stored. The application has to decide whether its processing may stand without it."
            )
        return None


def _settle(futures: Sequence[asyncio.Future[None]]) -> None:
    for committed in futures:
        if not committed.done():  # cancelled: nobody waits
            committed.set_result(None)


class LoopCommits:
    """The commits that one task waits for: of the Acties that end while this collects.

    Args:
        loop: The event loop that runs the task.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pending: set[asyncio.Future[None]] = set()

    @contextlib.contextmanager
    def collecting(self) -> Iterator[None]:
        """Collect the commits of what ends in this block, in this thread, instead of waiting for the disk there."""
        token = _collecting.set(self)
        try:
            yield
        finally:
            # Where a server runs a coroutine in one context after the other, there is nothing to take back.
            with contextlib.suppress(ValueError):
                _collecting.reset(token)

    @property
    def pending(self) -> bool:
        """Whether something is not on disk yet."""
        return bool(self._pending)

    def takes(self, *, of_processing: bool) -> bool:
        """Say whether what ends now is to be added here: the one Actie that this was made for."""
        del of_processing
        return True

    def add(self, queue: LoopQueue, actie: EndedActie, refused: Callable[[LogboekUnavailable], None]) -> None:
        """Have an Actie committed, without waiting for it.

        Args:
            refused: Called, in any thread, where the disk refused it.
        """
        queue.add(_Waiting(actie, refused, self._loop, self._awaited()))

    def _awaited(self) -> asyncio.Future[None]:
        """Return what is waited for until it is done, and no longer: a stream lasts, and the Acties in it are many."""
        committed: asyncio.Future[None] = self._loop.create_future()
        self._pending.add(committed)
        committed.add_done_callback(self._pending.discard)
        return committed

    async def wait(self) -> None:
        """Wait until each that was added by now is on disk, or refused."""
        if len(self._pending) == 1:
            # As a rule; `wait` would take a future more.
            await next(iter(self._pending))
        elif self._pending:
            import asyncio

            await asyncio.wait(self._pending)


class RequestCommits(LoopCommits):
    """The commits that the answer of a request waits for: of Acties that end on its loop, and were made by rules.

    A `processing` waits for itself, so that it can raise. What runs in another thread may wait there. And what goes on
    after the answer still leaves its commits to the thread: they end as well, and nobody waits.
    """

    def takes(self, *, of_processing: bool) -> bool:
        """Say no for what waits for itself, and where so much waits that the loop had better be held up."""
        return not of_processing and len(self._pending) < _MOST_AT_A_TIME and running_loop() is self._loop

    def add_alone(self, queue: LoopQueue, work: Callable[[], None]) -> bool:
        """Have a thread do what cannot be committed together; return False where no thread can be had.

        Args:
            work: Hands an Actie to delivery, and raises nothing.
        """
        done = self._awaited()

        def run() -> None:
            try:
                work()
            finally:
                with contextlib.suppress(RuntimeError):  # a closed loop: nobody waits
                    self._loop.call_soon_threadsafe(_settle, (done,))

        if queue.do_alone(run):
            return True
        done.cancel()
        return False


_collecting: ContextVar[LoopCommits | None] = ContextVar("ldv_otel.loop_commits", default=None)
#: The commits that are collected here; None where an Actie waits for the disk itself.
current: Final = _collecting.get


def loop_commits() -> LoopCommits | None:
    """Return what collects commits for the task that runs here; None outside an event loop of asyncio."""
    loop = running_loop()
    return LoopCommits(loop) if loop is not None else None
