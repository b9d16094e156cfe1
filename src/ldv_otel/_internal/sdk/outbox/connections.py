"""An outbox for connections of psycopg 3 and sqlite3 themselves: their transactions are begun and ended here.

These drivers say nothing of commits and rollbacks, so the transaction is a `with` block of ours around theirs.
"""

from __future__ import annotations

import itertools
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from ldv_otel._internal.delivery.outbox.addresses import sqlite_path, store_at
from ldv_otel._internal.delivery.outbox.dialects import SQLITE
from ldv_otel._internal.delivery.outbox.store import OutboxStore
from ldv_otel._internal.sdk.outbox.contract import OnRollback
from ldv_otel._internal.sdk.outbox.current_task import current_task
from ldv_otel._internal.sdk.outbox.transaction import OpenTransaction
from ldv_otel.errors import ConfigurationError

_numbers: Final = itertools.count(1)


class _OpenBlocks(threading.local):
    """The blocks of `transaction` that are open in this thread, with the task that entered them."""

    def __init__(self) -> None:
        self.blocks: list[tuple[object, DatabaseOutbox, Any, OpenTransaction]] = []


_open: Final = _OpenBlocks()
#: The outboxes of this process that connections may belong to.
_listening: Final[list[DatabaseOutbox]] = []


class DatabaseOutbox:
    """An outbox in the database at an address; see `ldv_otel.outbox.database`."""

    def __init__(self, address: str, on_rollback: OnRollback, *, sends: bool) -> None:
        self._address = address
        self.dialect = store_at(address).dialect
        self.name = f"{self.dialect.name} {_database_of(address) or '(by its environment)'}"
        self.on_rollback = on_rollback
        self.sends = sends
        self.run_waiting = None

    def listen(self) -> None:
        """Let connections to this database belong here."""
        _listening.append(self)

    def store(self) -> OutboxStore:
        """Return the database by a connection of the sender's own."""
        return store_at(self._address)

    def open_here(self) -> Sequence[OpenTransaction]:
        """Return the blocks of `transaction` that are open in this thread and task."""
        task = current_task()
        return [opened for begun, outbox, _, opened in _open.blocks if outbox is self and begun is task]

    def named(self, named: object) -> OpenTransaction | None:
        """Return the open block of a connection."""
        for _, outbox, connection, opened in _open.blocks:
            if outbox is self and connection is named:
                return opened
        if self.is_of(named):
            raise ConfigurationError(
                "The connection of this processing is in no `with ldv.outbox.transaction(connection):`, so nothing "
                "says when its record would commit. The block was not entered. Put that around it."
            )
        return None

    def is_of(self, connection: Any) -> bool:
        """Whether a connection is one to this database, as far as it says so itself."""
        if isinstance(connection, sqlite3.Connection):
            if self.dialect is not SQLITE:
                return False
            file = connection.execute("PRAGMA database_list").fetchone()[2]
            return bool(file) and Path(file).resolve() == sqlite_path(self._address)
        info = getattr(connection, "info", None)
        return self.dialect is not SQLITE and getattr(info, "dbname", None) is not None and self._is_called(info)

    def _is_called(self, info: Any) -> bool:
        # Not the host, which has several names; two databases of one name on two hosts need `outbox=` anyway.
        return _database_of(self._address) in ("", info.dbname)


@contextmanager
def transaction(connection: Any) -> Iterator[None]:
    """Begin a transaction, and commit it at the end of the block; an exception rolls it back.

    Inside another block of the same connection it is a savepoint. Acties in the block belong to it. Nothing else may
    commit or roll back on the connection meanwhile.

    Args:
        connection: Of psycopg 3 or sqlite3, to the database of an outbox that `install()` was given.

    Raises:
        ConfigurationError: It is none of those; or a transaction is open on it already, of which nobody could say here
            when it ends.
    """
    for _, _, other, opened in _open.blocks:
        if other is connection:
            with _savepoint(connection, opened):
                yield
            return
    outboxes = [outbox for outbox in _listening if outbox.is_of(connection)]
    if len(outboxes) != 1:
        raise ConfigurationError(
            f"ldv.outbox.transaction was given a {type(connection).__name__} that belongs to {len(outboxes)} of the "
            "outboxes that install() was given; it has to be one. The block was not entered. Give install() "
            "outbox=ldv.outbox.database(address) with the address of that database."
        )
    (outbox,) = outboxes
    on_sqlite = isinstance(connection, sqlite3.Connection)
    if connection.in_transaction if on_sqlite else connection.info.transaction_status:
        raise ConfigurationError(
            "A transaction is open on this connection already, so the end of this block would not commit it. The block "
            "was not entered. Commit or roll back what is open; an SQLite connection needs no statement before."
        )
    opened = OpenTransaction(_Inserting(connection, outbox.dialect.insert), keeps=outbox.on_rollback == "record")
    begun = (current_task(), outbox, connection, opened)
    with _on_sqlite(connection, opened) if on_sqlite else _on_psycopg(connection, opened):
        _open.blocks.append(begun)
        try:
            yield
        finally:
            _open.blocks.remove(begun)


@contextmanager
def _on_psycopg(connection: Any, opened: OpenTransaction) -> Iterator[None]:
    committing = False
    try:
        # psycopg refuses `commit()` and `rollback()` inside, and ends the block by its own exception `Rollback`.
        with connection.transaction():
            yield
            opened.before_commit()
            committing = True
    except BaseException:
        if committing and connection.broken:
            opened.unknown()
        else:
            opened.rolled_back()
        raise
    if committing:
        opened.committed()
    else:
        opened.rolled_back()


@contextmanager
def _on_sqlite(connection: sqlite3.Connection, opened: OpenTransaction) -> Iterator[None]:
    # At once with the right to write, which the record needs: a transaction that asks for it later may be refused.
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        _check_still_open(connection)
        opened.before_commit()
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
            opened.rolled_back()
        else:
            opened.unknown()
        raise
    opened.committed()


def _check_still_open(connection: sqlite3.Connection) -> None:
    if not connection.in_transaction:
        raise ConfigurationError(
            "Something committed or rolled back in a block of ldv.outbox.transaction, by itself. Whether records and "
            "changes agree is not known. Leave both to the block."
        )


@contextmanager
def _savepoint(connection: Any, opened: OpenTransaction) -> Iterator[None]:
    name = f"ldv_{next(_numbers)}"
    # A savepoint of the same words in both: a name of ours, made of a number.
    connection.execute(f"SAVEPOINT {name}")
    opened.savepoint(name)
    try:
        yield
    except BaseException:
        connection.execute(f"ROLLBACK TO SAVEPOINT {name}")
        connection.execute(f"RELEASE SAVEPOINT {name}")
        opened.roll_back_to(name)
        raise
    connection.execute(f"RELEASE SAVEPOINT {name}")
    opened.release(name)


class _Inserting:
    """Writes rows on a connection of a driver."""

    def __init__(self, connection: Any, statement: str) -> None:
        self._connection = connection
        self._statement = statement

    def __call__(self, rows: Sequence[tuple[int, bytes]]) -> None:
        if isinstance(self._connection, sqlite3.Connection) and not self._connection.in_transaction:
            raise ConfigurationError("The transaction was ended inside its block.")
        cursor = self._connection.cursor()
        cursor.executemany(self._statement, rows)
        cursor.close()


def _database_of(address: str) -> str:
    """Return the name of the database in an address, which holds no password; empty where it names none."""
    path = sqlite_path(address)
    return str(path) if path is not None else address.partition("://")[2].partition("?")[0].partition("/")[2]
