"""An outbox in a database of Django: the transaction is that of `atomic`.

Django has no hook for a rollback. A callback of `on_commit` is called after the commit, and is dropped when its
savepoint or transaction is rolled back: that it goes is what shows it. It also goes when another callback, called
before it, raises; then the connection is back in autocommit, which it never is while a transaction is rolled back.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, Final

from django.db import connections, transaction

from ldv_otel._internal.delivery.outbox.dialects import DIALECTS, POSTGRESQL, SQLITE, insert_rows
from ldv_otel._internal.delivery.outbox.store import OutboxStore
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.sdk.outbox.contract import OnRollback
from ldv_otel._internal.sdk.outbox.transaction import Fate, OpenTransaction, TransactionWatcher
from ldv_otel.errors import ConfigurationError

#: Django's own marks, whatever the driver's are.
_INSERT: Final = {"postgresql": POSTGRESQL.insert, "sqlite": SQLITE.insert.replace("?", "%s")}


class DjangoOutbox:
    """An outbox in the database of an alias; see `ldv_otel.outbox.django`."""

    def __init__(self, using: str, on_rollback: OnRollback, *, sends: bool) -> None:
        self._using = using
        self.name = f"django:{using}"
        self.on_rollback = on_rollback
        self.sends = sends
        self.run_waiting = None
        connection = connections[using]
        if connection.vendor not in DIALECTS:
            raise ConfigurationError(
                f"An outbox cannot be in a database of the kind {connection.vendor!r}. Logging did not start. "
                f"Supported: {', '.join(sorted(DIALECTS))}."
            )
        if connection.vendor == "sqlite" and connection.is_in_memory_db():
            raise ConfigurationError(
                "An outbox cannot be in an SQLite database in memory: it would end with the process, and its records "
                "with it. Logging did not start. Let DATABASES name a file."
            )
        self._dialect = DIALECTS[connection.vendor]

    def listen(self) -> None:
        """Do nothing: what is open is asked of Django."""

    def store(self) -> OutboxStore:
        """Return the database by a connection of the sender's own, with Django's settings."""

        def connect() -> Any:
            wrapper = connections[self._using].copy()
            wrapper.connect()
            return wrapper.connection

        return OutboxStore(self._dialect, connect)

    def open_here(self) -> Sequence[OpenTransaction]:
        """Return the transaction of `atomic` that is open in this thread or task."""
        connection = connections[self._using]
        return [DjangoTransaction(connection, self)] if connection.in_atomic_block else []

    def named(self, named: object) -> OpenTransaction | None:
        """Return the open transaction of an alias, or of a connection of Django."""
        connection = connections[self._using]
        if named not in (self._using, connection):
            return None
        if not connection.in_atomic_block:
            raise ConfigurationError(
                f"The database {self._using!r} of this processing is in no `atomic` block, so each statement commits "
                "by itself. The block was not entered. Put `with transaction.atomic():` around it."
            )
        return DjangoTransaction(connection, self)


class DjangoTransaction(OpenTransaction):
    """The `atomic` that is open when an Actie is entered, for that Actie alone."""

    def __init__(self, connection: Any, outbox: DjangoOutbox) -> None:
        super().__init__(self._insert_rows, keeps=outbox.on_rollback == "record", store=outbox.store)
        self._connection = connection

    def enter(self, live_span: object, watcher: TransactionWatcher) -> None:
        """See what becomes of the transaction while the Actie runs."""
        del live_span
        self.watcher = watcher
        transaction_ref = weakref.ref(self)

        def becomes(fate: Fate) -> None:
            entered = transaction_ref()
            if entered is not None:
                entered.fate = fate

        self._watch(
            lambda: becomes(Fate.COMMITTED), lambda: becomes(Fate.ROLLED_BACK), lambda: becomes(Fate.ROLLED_BACK)
        )

    def write(self, records: Sequence[Logregel]) -> None:
        """Put the records of an Actie into the transaction, and see what becomes of them."""
        super().write(records)
        watcher = self.watcher
        if watcher is None:
            return
        count, kept = len(records), records if self.keeps else ()
        doubt = self.doubt(self._written[-1:])
        self._watch(watcher.committing, lambda: watcher.rolled_back(count, kept), lambda: watcher.in_doubt(doubt))

    def _insert_rows(self, rows: Sequence[tuple[int, bytes]]) -> int | None:
        with self._connection.cursor() as cursor:
            return insert_rows(cursor, _INSERT[self._connection.vendor], rows)

    def _watch(
        self, committed: Callable[[], None], rolled_back: Callable[[], None], in_doubt: Callable[[], None]
    ) -> None:
        hook = _Hook(self._connection, committed, rolled_back, in_doubt)
        transaction.on_commit(hook, using=self._connection.alias)


class _Hook:
    """A callback of `on_commit` that is heard when it is called, and when it is dropped by a rollback."""

    def __init__(
        self,
        connection: Any,
        committed: Callable[[], None],
        rolled_back: Callable[[], None],
        in_doubt: Callable[[], None],
    ) -> None:
        self._committed = committed
        self._dropped = weakref.finalize(self, _dropped, weakref.ref(connection), rolled_back, in_doubt)
        # A process that ends in a transaction says nothing of it, as one that is killed.
        self._dropped.atexit = False

    def __call__(self) -> None:
        self._dropped.detach()
        self._committed()


def _dropped(connection_ref: Callable[[], Any], rolled_back: Callable[[], None], in_doubt: Callable[[], None]) -> None:
    connection = connection_ref()
    if connection is not None and getattr(connection.connection, "closed", False):
        # It broke: perhaps in the commit, which Django does not say.
        in_doubt()
    elif connection is None or not connection.autocommit:
        rolled_back()
