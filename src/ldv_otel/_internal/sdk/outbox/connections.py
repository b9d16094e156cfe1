"""An outbox for connections of psycopg 3, asyncpg and sqlite3 themselves: their transactions are begun and ended here.

These drivers say nothing of commits and rollbacks, so the transaction is a `with` block of ours around theirs.
"""

from __future__ import annotations

import inspect
import itertools
import sqlite3
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from ldv_otel._internal.delivery.outbox.addresses import sqlite_path, store_at
from ldv_otel._internal.delivery.outbox.dialects import POSTGRESQL, SQLITE, insert_rows
from ldv_otel._internal.delivery.outbox.store import OutboxStore
from ldv_otel._internal.sdk._private import uninstrumented
from ldv_otel._internal.sdk.outbox.contract import OnRollback
from ldv_otel._internal.sdk.outbox.current_task import current_task
from ldv_otel._internal.sdk.outbox.transaction import ASYNC_WITH, OpenTransaction, not_taken
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
        name = getattr(getattr(connection, "info", None), "dbname", None)
        return name is not None and self.is_called(name)

    def is_called(self, name: str) -> bool:
        """Whether this is a database of PostgreSQL with that name."""
        # Not the host, which has several names; two databases of one name on two hosts are two here, and refused.
        return self.dialect is not SQLITE and _database_of(self._address) in ("", name)


def transaction(connection: Any) -> TransactionBlock:
    """Begin a transaction, and commit it at the end of the block; an exception rolls it back.

    Inside another block of the same connection it is a savepoint. Acties in the block belong to it. Nothing else may
    commit or roll back on the connection meanwhile.

    Args:
        connection: Of psycopg 3, asyncpg or sqlite3, to the database of an outbox that `install()` was given. For an
            `AsyncConnection` and asyncpg write `async with`, here and around the Acties.

    Raises:
        ConfigurationError: It is none of those; or a transaction is open on it already, of which nobody could say here
            when it ends.
    """
    return TransactionBlock(connection)


class TransactionBlock:
    """What `transaction` returns: for `with`, or `async with` where the driver waits for an event loop."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._block: AbstractContextManager[None] | None = None
        self._waiting_block: AbstractAsyncContextManager[None] | None = None

    def __enter__(self) -> None:
        """Begin.

        Raises:
            ConfigurationError: See `transaction`.
        """
        self._block = _blocking(self._connection)
        self._block.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, places: TracebackType | None
    ) -> bool | None:
        """Commit, or roll back."""
        block, self._block = self._block, None
        return block.__exit__(kind, error, places) if block is not None else None

    async def __aenter__(self) -> None:
        """Begin; otherwise as `__enter__`."""
        self._waiting_block = _waiting(self._connection)
        await self._waiting_block.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, places: TracebackType | None
    ) -> bool | None:
        """Commit, or roll back."""
        block, self._waiting_block = self._waiting_block, None
        return await block.__aexit__(kind, error, places) if block is not None else None


def _opened_on(connection: Any) -> OpenTransaction | None:
    """Return the transaction of the block of ours that is open on a connection."""
    return next((opened for _, _, other, opened in _open.blocks if other is connection), None)


def _outbox_of(connection: Any, outboxes: Sequence[DatabaseOutbox]) -> DatabaseOutbox:
    if len(outboxes) != 1:
        raise ConfigurationError(
            f"ldv.outbox.transaction was given a {type(connection).__name__} that belongs to {len(outboxes)} of the "
            "outboxes that install() was given; it has to be one. The block was not entered. Give install() "
            "outbox=ldv.outbox.database(address) with the address of that database."
        )
    return outboxes[0]


@contextmanager
def _noted(outbox: DatabaseOutbox, connection: Any, opened: OpenTransaction) -> Iterator[None]:
    """Have the Acties in a block find its transaction."""
    begun = (current_task(), outbox, connection, opened)
    _open.blocks.append(begun)
    try:
        yield
    finally:
        _open.blocks.remove(begun)


_ALREADY: Final = (
    "A transaction is open on this connection already, so the end of this block would not commit it. The block was not "
    "entered. Commit or roll back what is open; an SQLite connection needs no statement before."
)


@contextmanager
def _blocking(connection: Any) -> Iterator[None]:
    around = _opened_on(connection)
    if around is not None:
        with _savepoint(connection, around):
            yield
        return
    if inspect.iscoroutinefunction(getattr(connection, "execute", None)):
        raise ConfigurationError(
            f"The driver of this {type(connection).__name__} waits for the event loop. The block was not entered. "
            "Write `async with ldv.outbox.transaction(connection)`."
        )
    outbox = _outbox_of(connection, [outbox for outbox in _listening if outbox.is_of(connection)])
    on_sqlite = isinstance(connection, sqlite3.Connection)
    if connection.in_transaction if on_sqlite else connection.info.transaction_status:
        raise ConfigurationError(_ALREADY)
    opened = OpenTransaction(
        _Inserting(connection, outbox.dialect.insert), keeps=outbox.on_rollback == "record", store=outbox.store
    )
    with (
        _on_sqlite(connection, opened) if on_sqlite else _on_psycopg(connection, opened),
        _noted(outbox, connection, opened),
    ):
        yield


@asynccontextmanager
async def _waiting(connection: Any) -> AsyncIterator[None]:
    around = _opened_on(connection)
    if around is not None:
        async with _waiting_savepoint(connection, around):
            yield
        return
    in_transaction = getattr(connection, "is_in_transaction", None)
    if in_transaction is not None:  # asyncpg, which does not say where it is connected to
        name = await connection.fetchval("SELECT current_database()")
        outboxes = [outbox for outbox in _listening if outbox.is_called(name)]
        insert, begun = _ASYNCPG_INSERT, in_transaction()
    else:
        outboxes = [outbox for outbox in _listening if outbox.is_of(connection)]
        insert, begun = POSTGRESQL.insert, bool(outboxes) and connection.info.transaction_status
    outbox = _outbox_of(connection, outboxes)
    if begun:
        raise ConfigurationError(_ALREADY)
    inserting = _Deferring(connection, insert)
    opened = OpenTransaction(
        inserting,
        keeps=outbox.on_rollback == "record",
        run_waiting=inserting.run_waiting,
        may_wait=lambda: _deferred.get() is not None,
        store=outbox.store,
    )
    inserting.opened = weakref.ref(opened)
    with _ending(connection, opened) as end:
        async with connection.transaction():
            with _noted(outbox, connection, opened):
                yield
            await inserting.run_waiting(opened.before_commit)
            end.committing = True


class _End:
    """How far the end of a transaction came."""

    committing = False


@contextmanager
def _ending(connection: Any, opened: OpenTransaction) -> Iterator[_End]:
    """Say what a transaction around the block came to; unknown where the connection broke while it was committed."""
    end = _End()
    try:
        yield end
    except BaseException:
        if end.committing and _is_broken(connection):
            opened.unknown()
        else:
            opened.rolled_back()
        raise
    if end.committing:
        opened.committed()
    else:
        opened.rolled_back()


def _is_broken(connection: Any) -> bool:
    return bool(connection.is_closed() if hasattr(connection, "is_closed") else connection.broken)


@asynccontextmanager
async def _waiting_savepoint(connection: Any, opened: OpenTransaction) -> AsyncIterator[None]:
    name = f"ldv_{next(_numbers)}"
    await connection.execute(f"SAVEPOINT {name}")
    opened.savepoint(name)
    try:
        yield
    except BaseException:
        await connection.execute(f"ROLLBACK TO SAVEPOINT {name}")
        await connection.execute(f"RELEASE SAVEPOINT {name}")
        opened.roll_back_to(name)
        raise
    await connection.execute(f"RELEASE SAVEPOINT {name}")
    opened.release(name)


#: What is to be inserted when a function that was run in `run_waiting` is done; None elsewhere.
_deferred: Final[ContextVar[list[tuple[int, bytes]] | None]] = ContextVar("ldv_otel.outbox.deferred", default=None)
_ASYNCPG_INSERT: Final = POSTGRESQL.insert.replace("%s", "$1", 1).replace("%s", "$2", 1)


class _Deferring:
    """Writes rows on a connection whose driver waits for an event loop: when the function is done that asked for it.

    Attributes:
        opened: The transaction, once it is made.
    """

    def __init__(self, connection: Any, statement: str) -> None:
        self._connection = connection
        self._statement = statement
        self.opened: Callable[[], OpenTransaction | None] = lambda: None

    def __call__(self, rows: Sequence[tuple[int, bytes]]) -> int | None:
        deferred = _deferred.get()
        if deferred is None:
            raise ConfigurationError(ASYNC_WITH)
        deferred += rows
        return None

    async def run_waiting(self, function: Callable[..., object], *arguments: object) -> None:
        """Run a function, and then insert what it wants to be inserted.

        Raises:
            LogboekUnavailable: The database did not take it.
        """
        rows: list[tuple[int, bytes]] = []
        token = _deferred.set(rows)
        try:
            function(*arguments)
        finally:
            _deferred.reset(token)
        try:
            with uninstrumented():
                for row in rows:
                    if self._statement is _ASYNCPG_INSERT:
                        number = await self._connection.fetchval(self._statement, *row)
                    else:
                        (number,) = await (await self._connection.execute(self._statement, row)).fetchone()
                    if (opened := self.opened()) is not None:
                        opened.number = number
        except Exception as error:  # the driver's own errors, whatever they are
            opened = self.opened()
            if opened is not None and opened.watcher is not None:
                opened.watcher.refused(sum(count for count, _ in rows))
            raise not_taken(error) from None


@contextmanager
def _on_psycopg(connection: Any, opened: OpenTransaction) -> Iterator[None]:
    # psycopg refuses `commit()` and `rollback()` inside, and ends the block by its own exception `Rollback`.
    with _ending(connection, opened) as end, connection.transaction():
        yield
        opened.before_commit()
        end.committing = True


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

    def __call__(self, rows: Sequence[tuple[int, bytes]]) -> int | None:
        if isinstance(self._connection, sqlite3.Connection) and not self._connection.in_transaction:
            raise ConfigurationError("The transaction was ended inside its block.")
        cursor = self._connection.cursor()
        number = insert_rows(cursor, self._statement, rows)
        cursor.close()
        return number


def _database_of(address: str) -> str:
    """Return the name of the database in an address, which holds no password; empty where it names none."""
    path = sqlite_path(address)
    return str(path) if path is not None else address.partition("://")[2].partition("?")[0].partition("/")[2]
