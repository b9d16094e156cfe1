"""One open transaction of the application, with the Acties that belong to it and what becomes of their records."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from ldv_otel._internal.delivery.outbox.dialects import rows_of
from ldv_otel._internal.record.logregel import Logregel, encode_logregel
from ldv_otel._internal.sdk._private import uninstrumented
from ldv_otel._internal.sdk.outbox.doubts import Doubt
from ldv_otel.errors import LogboekUnavailable

if TYPE_CHECKING:
    from ldv_otel._internal.delivery.outbox.store import OutboxStore
    from ldv_otel._internal.sdk.span_state import LiveSpan

#: Writes rows (number of records, bytes) into the transaction, with the driver's own means; returns the database's
#: number of the transaction where that is known by then.
Insert = Callable[[Sequence[tuple[int, bytes]]], "int | None"]


#: Runs a function with these arguments, and waits for what a driver in it has to do.
RunWaiting = Callable[..., Awaitable[object]]

ASYNC_WITH: Final = (
    "The driver of this database waits for the event loop, and a plain `with` cannot. The block was not entered. Write "
    "`async with ldv.processing(...)`; a decorated coroutine needs a transaction that has reached the database already."
)


class Fate(Enum):
    """What became of a transaction."""

    OPEN = "open"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    IN_DOUBT = "in doubt"


class _Written(NamedTuple):
    """The records of an Actie that ended, as they stand in the transaction.

    Attributes:
        savepoints: How many savepoints were open around them.
        size: How many they are.
        records: Themselves, where those that are rolled back are asked for.
    """

    savepoints: int
    size: int
    records: Sequence[Logregel]


class TransactionWatcher(Protocol):
    """Is told what a transaction comes to; the installed outboxes implement it."""

    def records_so_far(self, live_span: LiveSpan) -> Sequence[Logregel]:
        """Return the records of an Actie that runs, as they are at the moment of a commit."""

    def rolled_back(self, count: int, records: Sequence[Logregel]) -> None:
        """Take note that so many records were undone, and log those that are asked for as failed."""

    def refused(self, count: int) -> None:
        """Take note that a database did not take so many records; the application has its error."""

    def in_doubt(self, doubt: Doubt) -> None:
        """Take note that nobody knows whether a transaction with Acties committed."""

    def committing(self) -> None:
        """Take note that records are about to commit, or have."""


def not_taken(error: Exception) -> LogboekUnavailable:
    """Return what the application gets where its database refused a record."""
    # The type only: its text may quote what the statement held.
    return LogboekUnavailable(
        f"The database did not take the record of an Actie ({type(error).__name__}). Nothing of it is stored. Roll the "
        "transaction back: committed as it is, its change would have no record. Are the tables of the outbox there "
        "(`ldv outbox apply`)?",
        in_doubt=False,
    )


class OpenTransaction:
    """A transaction from its first Actie on; used by the thread that has the transaction.

    Args:
        insert: Writes rows into the innermost savepoint that is open.
        keeps: Whether records that are rolled back are asked for, and so have to be kept until the end.
        run_waiting: Runs a function so that the driver in it may wait for an event loop, which is below `async with`
            only; None where the driver does not wait for one.
        may_wait: Says whether it can wait where it is called.
        store: Gives its database, where that can be asked later what became of it.

    Attributes:
        fate: What became of it.
        number: The database's own of it, once something is written; None where it has none.
        watcher: Set when the first Actie enters.
    """

    def __init__(
        self,
        insert: Insert,
        *,
        keeps: bool,
        run_waiting: RunWaiting | None = None,
        may_wait: Callable[[], bool] = lambda: True,
        store: Callable[[], OutboxStore] | None = None,
    ) -> None:
        self.fate = Fate.OPEN
        self.number: int | None = None
        self._store = store
        self.run_waiting = run_waiting
        self.may_wait = may_wait
        self.keeps = keeps
        self.watcher: TransactionWatcher | None = None
        self._insert = insert
        self._savepoints: list[str] = []
        self._written: list[_Written] = []
        self._running: list[LiveSpan] = []
        self._has_rows = False

    def enter(self, live_span: LiveSpan, watcher: TransactionWatcher) -> None:
        """Have an Actie belong to this transaction."""
        self.watcher = watcher
        self._running.append(live_span)

    def leave(self, live_span: LiveSpan) -> None:
        """Let go of an Actie that ended."""
        self._running = [running for running in self._running if running is not live_span]

    def write(self, records: Sequence[Logregel]) -> None:
        """Put the records of an Actie into the transaction.

        Raises:
            LogboekUnavailable: The database did not take them.
        """
        try:
            with uninstrumented():
                number = self._insert(rows_of([encode_logregel(record) for record in records]))
        except Exception as error:  # the driver's own errors, whatever they are
            raise not_taken(error) from None
        self._has_rows = True
        self.number = number or self.number
        self._written.append(_Written(len(self._savepoints), len(records), records if self.keeps else ()))

    def before_commit(self) -> None:
        """Write what runs longer than the transaction, as it is now: its change is not to commit without a record.

        Raises:
            LogboekUnavailable: The database did not take it; so the commit is not to happen.
        """
        running, self._running = self._running, []
        for live_span in running:
            if self.watcher is not None and (records := self.watcher.records_so_far(live_span)):
                self.write(records)
                live_span.record.committed_before_end = True
        if self._has_rows and self.watcher is not None:
            self.watcher.committing()

    def committed(self) -> None:
        """Take note that it committed."""
        self.fate = Fate.COMMITTED
        self._forget()

    def rolled_back(self) -> None:
        """Take note that all of it was undone."""
        self.fate = Fate.ROLLED_BACK
        self._undo(0)
        self._forget()

    def unknown(self) -> None:
        """Take note that its commit failed in such a way that nobody knows whether it happened."""
        self.fate = Fate.IN_DOUBT
        if self._has_rows and self.watcher is not None:
            self.watcher.in_doubt(self.doubt(self._written))
        self._forget()

    def doubt(self, written: Sequence[_Written]) -> Doubt:
        """Return what is to be asked about records of this transaction."""
        records = [record for each in written for record in each.records]
        return Doubt(self.number, self._store, sum(each.size for each in written), records)

    def savepoint(self, name: str) -> None:
        """Take note of a savepoint that begins."""
        self._savepoints.append(name)

    def release(self, name: str) -> None:
        """Take note that what is inside a savepoint belongs to what is around it from now on."""
        if name in self._savepoints:
            around = self._depth_of(name)
            del self._savepoints[around:]
            self._written = [each._replace(savepoints=min(each.savepoints, around)) for each in self._written]

    def roll_back_to(self, name: str) -> None:
        """Take note that what is inside a savepoint was undone."""
        # One that was there before the first Actie is around them all.
        around = self._depth_of(name) if name in self._savepoints else -1
        self._undo(around + 1)
        del self._savepoints[max(around, 0) :]

    def _depth_of(self, name: str) -> int:
        return len(self._savepoints) - 1 - self._savepoints[::-1].index(name)

    def _undo(self, savepoints: int) -> None:
        undone = [each for each in self._written if each.savepoints >= savepoints]
        self._written = [each for each in self._written if each.savepoints < savepoints]
        if undone and self.watcher is not None:
            self.watcher.rolled_back(sum(each.size for each in undone), [r for each in undone for r in each.records])

    def _forget(self) -> None:
        self._written.clear()
        self._running.clear()
