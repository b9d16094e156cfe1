"""Transactions whose connection broke while they committed: what became of each is asked of the database later.

PostgreSQL keeps for each transaction that got a number whether it committed (`txid_status`), for as long as its log of
them reaches back: some billions of transactions. An answer that never comes leaves a transaction in doubt for good;
its change and its record agree all the same.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Final, NamedTuple

from ldv_otel._internal.config.daemon_thread import start_thread
from ldv_otel._internal.delivery.clock import Clock, SystemClock
from ldv_otel._internal.delivery.outbox.store import OutboxAway, OutboxStore
from ldv_otel._internal.record.logregel import Logregel

_logger = logging.getLogger(__name__)

#: Transactions that are asked about; of more than these the oldest stay in doubt.
_MOST: Final = 1_000
#: Between two questions about one: a server that starts again takes seconds, one that was replaced minutes.
_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 30.0
#: After which nobody is asked any more.
_GIVE_UP_SECONDS: Final = 3_600.0


class Doubt(NamedTuple):
    """A transaction of which nobody knows whether it committed.

    Attributes:
        number: The database's own of it; None where it has none.
        store: Gives the database.
        size: How many records it has.
        records: Themselves, where those that are rolled back are asked for.
    """

    number: int | None
    store: Callable[[], OutboxStore] | None
    size: int
    records: Sequence[Logregel]


class Doubts:
    """Asks what became of transactions, in a thread that is there only while there are some.

    Args:
        rolled_back: Called once for each that turns out not to have committed.
        quiet: Entered by the thread; see `Drainer`.
    """

    def __init__(
        self,
        rolled_back: Callable[[Doubt], None],
        quiet: Callable[[], AbstractContextManager[object]],
        *,
        clock: Clock | None = None,
    ) -> None:
        self._rolled_back = rolled_back
        self._quiet = quiet
        self._clock = clock or SystemClock()
        self._changing = threading.Lock()
        self._open: list[tuple[Doubt, float]] = []
        self._given_up = 0
        self._pid = os.getpid()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    @property
    def open(self) -> int:
        """How many are in doubt, those included about which nobody is asked any more."""
        return len(self._open) + self._given_up

    def add(self, doubt: Doubt) -> None:
        """Ask about a transaction from now on."""
        with self._changing:
            if self._pid != os.getpid():
                # Those of before the fork are the parent's.
                self._open, self._given_up, self._pid, self._thread = [], 0, os.getpid(), None
            if doubt.number is None or doubt.store is None:
                self._given_up += 1
                return
            if len(self._open) >= _MOST:
                self._open.pop(0)
                self._given_up += 1
            self._open.append((doubt, self._clock.monotonic()))
            if self._thread is None:
                self._thread = start_thread(self._work, "ldv-doubts")

    def close(self, timeout_seconds: float) -> None:
        """Ask once more, and end."""
        self._stopping.set()
        thread = self._thread
        if thread is not None and self._pid == os.getpid():
            thread.join(timeout_seconds)

    def _work(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        with self._quiet():
            while True:
                last = self._clock.wait(self._stopping, pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
                for doubt, since in self._open.copy():
                    if (committed := self._fate(doubt)) is not None:
                        self._remove(doubt)
                        _logger.info("A transaction that was in doubt %s.", "committed" if committed else "did not")
                        if not committed:
                            self._rolled_back(doubt)
                    elif self._clock.monotonic() - since > _GIVE_UP_SECONDS:
                        self._remove(doubt, given_up=True)
                        _logger.error("Whether a transaction with Acties committed cannot be found out any more.")
                with self._changing:
                    if last or not self._open:
                        self._thread = None
                        return

    def _remove(self, doubt: Doubt, *, given_up: bool = False) -> None:
        with self._changing:
            self._open = [entry for entry in self._open if entry[0] is not doubt]
            self._given_up += given_up

    def _fate(self, doubt: Doubt) -> bool | None:
        """Return whether a transaction committed; None while it is not known."""
        if doubt.store is None or doubt.number is None:
            return None
        store = doubt.store()
        try:
            status = store.fate(doubt.number)
        except OutboxAway as error:
            _logger.debug("%s", str(error))
            return None
        finally:
            with suppress(OutboxAway):
                store.close()
        return {"committed": True, "aborted": False}.get(status)
