"""A few threads for the drainers of many Logboeken: each does a turn of whichever is due.

A Logboek that is away must hold up nobody else, also where it answers nothing until a time is up. So a turn counts as
*slow* after a moment, and another thread takes its place; a drainer whose last turn failed has threads apart, of
which there are few. At one server only some drainers have a turn at a time, none more while one of them is slow, and
one alone after a slow turn failed there. There are never more threads than `_MOST`, whatever is away.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from time import monotonic
from typing import Final, NamedTuple, Protocol

from ldv_otel._internal.config.daemon_thread import start_thread
from ldv_otel._internal.delivery.repeated_line import RepeatedLine
from ldv_otel._internal.delivery.turns import Pause, Turns

_logger = logging.getLogger(__name__)

#: Turns at a time of drainers whose Logboek answers, slow ones not counted.
_READY: Final = 6
#: Turns at a time of drainers whose last turn failed.
_FAILING: Final = 4
#: Turns at a time at one server.
_AT_A_SERVER: Final = 4
#: Threads at most.
_MOST: Final = 32
#: A turn that takes longer than this may well take until a time is up.
_SLOW_SECONDS: Final = 1.0
#: How long a thread without work stays.
_IDLE_SECONDS: Final = 10.0
#: How long a drainer waits that has nothing to send, unless it is woken: then it looks for spools of the dead.
_REST_SECONDS: Final = 10.0


class TurnTaker(Protocol):
    """What takes turns in these threads."""

    @property
    def server(self) -> str:
        """Which server a turn may have to wait for."""

    @property
    def hurried(self) -> bool:
        """Whether somebody waits for it."""

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop."""

    def turns(self) -> Turns[None]:
        """Give its turns."""

    def resumed(self, *, stopping: bool) -> bool:
        """Take notice that a turn comes after one that failed."""

    def expect(self, pause: Pause, wake: Callable[[], None]) -> bool:
        """Have `wake` called when what it waits for is there; say whether it is already."""


class SharedThreads(NamedTuple):
    """Threads that a drainer shares with others, and the server that it may have to wait for there."""

    threads: DrainerThreads
    server: str


class _Place:
    """The place of one drainer in the order of turns."""

    def __init__(self, taker: TurnTaker) -> None:
        self.taker = taker
        self.turns = taker.turns()
        self.pause = Pause(0.0)
        self.begun = False
        #: Counts up with each time that it is put in order, so that an older entry of the heap is known as such.
        self.entry = 0
        self.began: float | None = None
        self.failed = False
        self.woken = False
        self.ended = threading.Event()


class DrainerThreads:
    """Threads that are started when there is something to be done, and end when there was nothing for a while.

    Args:
        quiet: Entered by each thread; as for `Drainer`.
    """

    def __init__(self, quiet: Callable[[], AbstractContextManager[object]] = nullcontext) -> None:
        self._quiet = quiet
        self._lines: dict[str, RepeatedLine] = {}
        self._lasting: list[TurnTaker] = []
        self._begin()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """Begin without threads, as a forked child does; its drainers come anew."""
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._places: dict[TurnTaker, _Place] = {}
        self._order: list[tuple[float, int, _Place]] = []
        self._numbers = itertools.count()
        self._running: set[_Place] = set()
        #: Servers that made a turn slow which then failed.
        self._slow_servers: set[str] = set()
        self._threads = self._idle = self._starting = 0
        for taker in self._lasting:
            place = self._places[taker] = _Place(taker)
            self._put(place, 0.0, notify=False)

    def last(self, taker: TurnTaker) -> None:
        """Let something take turns in this process and in those that are forked from it."""
        self._lasting.append(taker)
        self.add(taker)

    @property
    def count(self) -> int:
        """How many threads there are."""
        return self._threads

    def line_of(self, server: str) -> RepeatedLine:
        """Return the line of the log about a server that is away: one for all Logboeken there."""
        line = self._lines.get(server)
        if line is None:
            line = self._lines.setdefault(server, RepeatedLine(_logger, logging.WARNING))
        return line

    def add(self, taker: TurnTaker) -> bool:
        """Let something take turns from here on; say whether there is a thread for it."""
        if self._pid != os.getpid():
            self._begin()  # forked in C, without hooks
        with self._changed:
            if taker not in self._places:
                place = self._places[taker] = _Place(taker)
                self._put(place, 0.0)
            return self._see_to_threads()

    def wake(self, taker: TurnTaker) -> None:
        """Let it have a turn now, unless it waits because something failed and nobody stops it."""
        with self._changed:
            place = self._places.get(taker)
            if place is None:
                return
            if place in self._running:
                place.woken = True
            elif not place.pause.failed or taker.stopping:
                self._put(place, 0.0)
                self._see_to_threads()

    def wait_ended(self, taker: TurnTaker, timeout_seconds: float) -> None:
        """Wait until it takes no turns any more."""
        with self._changed:
            place = self._places.get(taker)
        if place is not None:
            place.ended.wait(timeout_seconds)

    def _put(self, place: _Place, seconds: float, *, notify: bool = True) -> None:
        place.entry = next(self._numbers)
        heapq.heappush(self._order, (monotonic() + seconds, place.entry, place))
        if notify:
            self._changed.notify()

    def _see_to_threads(self) -> bool:
        """Let one thread be idle as long as there is something to be done: it sees what is due, and what is slow."""
        if self._idle + self._starting == 0 and self._threads < _MOST:
            self._threads += 1
            self._starting += 1
            if start_thread(self._work, "ldv-drainers") is None:
                self._threads -= 1
                self._starting -= 1
        return self._threads > 0

    def _work(self) -> None:
        with self._changed:
            self._starting -= 1
        try:
            with self._quiet():
                while (place := self._next()) is not None:
                    self._take_turn(place)
        finally:
            with self._changed:
                self._threads -= 1
                # What takes turns sees to its own errors; should one come through, others still have theirs.
                if self._places and not self._idle:
                    self._see_to_threads()

    def _next(self) -> _Place | None:
        """Wait for a turn that is due; None where there was none for a while, and this thread is counted no more."""
        with self._changed:
            idle_since = monotonic()
            while True:
                now = monotonic()
                place = self._due(now)
                if place is not None:
                    place.began = now
                    self._running.add(place)
                    self._see_to_threads()
                    return place
                if now - idle_since > _IDLE_SECONDS and (self._idle or not self._places):
                    return None
                self._idle += 1
                self._changed.wait(self._seconds_to_wait(now))
                self._idle -= 1

    def _seconds_to_wait(self, now: float) -> float:
        if not self._order:
            return _IDLE_SECONDS
        # What is due and has no thread may get one as soon as a turn counts as slow.
        first = self._order[0][0]
        return min(_IDLE_SECONDS, first - now if first > now else _SLOW_SECONDS / 4)

    def _due(self, now: float) -> _Place | None:
        """Take the first place that is due and may have a turn."""
        failing = [place for place in self._running if place.failed or self._is_slow(place, now)]
        room = {False: _READY - (len(self._running) - len(failing)), True: _FAILING - len(failing)}
        at_servers = Counter(place.taker.server for place in self._running)
        slow_now = {place.taker.server for place in self._running if self._is_slow(place, now)}
        later: list[tuple[float, int, _Place]] = []
        chosen = None
        while self._order and self._order[0][0] <= now and (room[False] > 0 or room[True] > 0):
            item = heapq.heappop(self._order)
            place = item[2]
            if item[1] != place.entry or place in self._running:
                continue  # it was put in order anew, or has its turn
            server = place.taker.server
            slow = server in self._slow_servers
            most = 0 if server in slow_now else 1 if slow else _AT_A_SERVER
            if room[place.failed or slow] > 0 and at_servers[server] < most:
                chosen = place
                break
            later.append(item)
            if len(later) >= len(self._places):
                break
        for item in later:
            heapq.heappush(self._order, item)
        return chosen

    @staticmethod
    def _is_slow(place: _Place, now: float) -> bool:
        return place.began is not None and now - place.began > _SLOW_SECONDS

    def _take_turn(self, place: _Place) -> None:
        taker = place.taker
        stopping = taker.stopping
        if place.pause.failed:
            taker.resumed(stopping=stopping)
        pause: Pause | None = None
        try:
            # A generator that has not begun takes nothing.
            answer, place.begun = stopping if place.begun else None, True
            pause = place.turns.send(answer)
        except StopIteration:
            pass  # it has ended
        finally:
            self._note(place, pause)

    def _note(self, place: _Place, pause: Pause | None) -> None:
        """Put a place in order after its turn."""
        taker, server = place.taker, place.taker.server
        # Before the lock: what was committed meanwhile is seen here, what comes later wakes it.
        is_there = pause is not None and bool(pause.records) and taker.expect(pause, lambda: self.wake(taker))
        with self._changed:
            now = monotonic()
            slow = self._is_slow(place, now)
            self._running.discard(place)
            place.began = None
            if pause is None:
                self._places.pop(taker, None)
                place.ended.set()
                self._changed.notify()
                return
            place.failed, place.pause = pause.failed, pause
            if not pause.failed:
                self._slow_servers.discard(server)
            elif slow:
                self._slow_servers.add(server)
            woken, place.woken = place.woken, False
            self._put(place, self._seconds(place, pause, at_once=is_there or woken))

    @staticmethod
    def _seconds(place: _Place, pause: Pause, *, at_once: bool) -> float:
        taker = place.taker
        if taker.stopping:
            return 0.0
        if pause.failed:
            return pause.seconds
        if at_once or (taker.hurried and pause.can_be_hurried):
            return 0.0
        return _REST_SECONDS if pause.idle else pause.seconds
