"""An outbox in a database that SQLAlchemy 2 connects to: what its events say of sessions, connections and savepoints.

Events of connections say everything that happens in the database, whether a `Session` or Core does it. A session says
that it has begun before it has a connection; that is why its own events are heard too.

`commit` is heard before the database commits, and nothing afterwards says that it did; a failure comes by
`handle_error`. A session that is closed without a commit gives `rollback` on its connection, as does a `with` block.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import MissingGreenlet, SQLAlchemyError
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.pool import PoolProxiedConnection, StaticPool
from sqlalchemy.util import greenlet_spawn
from sqlalchemy.util.concurrency import in_greenlet

from ldv_otel._internal.delivery.outbox.dialects import DIALECTS, POSTGRESQL, RETURNING_NUMBER, SQLITE
from ldv_otel._internal.delivery.outbox.store import OutboxStore
from ldv_otel._internal.sdk.outbox.contract import OnRollback
from ldv_otel._internal.sdk.outbox.current_task import current_task
from ldv_otel._internal.sdk.outbox.transaction import ASYNC_WITH, Fate, OpenTransaction
from ldv_otel.errors import ConfigurationError

_logger = logging.getLogger(__name__)

#: The statement with the marks of each style of driver.
_MARKS: Final = {
    "format": POSTGRESQL.insert,
    "pyformat": POSTGRESQL.insert,
    "numeric_dollar": POSTGRESQL.insert.replace("%s", "$1", 1).replace("%s", "$2", 1),
}
#: The driver by which a sender, which is a thread, connects where the application's own waits in an event loop.
_BLOCKING: Final = {"postgresql": "postgresql+psycopg", "sqlite": "sqlite"}


class _LocallyOpen(threading.local):
    """What is open in this thread: connections of each outbox, and sessions, with the task that began them."""

    def __init__(self) -> None:
        self.connections: weakref.WeakKeyDictionary[Connection, object] = weakref.WeakKeyDictionary()
        self.sessions: weakref.WeakKeyDictionary[Session, object] = weakref.WeakKeyDictionary()


_sessions_in_thread: Final = _LocallyOpen()
_listening: Final = threading.Lock()


def _note_session(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        _sessions_in_thread.sessions[session] = current_task()


def _forget_session(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        _sessions_in_thread.sessions.pop(session, None)


class SqlAlchemyOutbox:
    """An outbox in the database of an engine; see `ldv_otel.outbox.sqlalchemy`."""

    def __init__(self, engine: Any, on_rollback: OnRollback, *, sends: bool) -> None:
        inner = getattr(engine, "sync_engine", engine)
        if not isinstance(inner, Engine):
            raise ConfigurationError(
                f"ldv.outbox.sqlalchemy was given a {type(engine).__name__}. Logging did not start. Give it the Engine "
                "or AsyncEngine that the application's sessions use."
            )
        self._engine = inner
        self.name = inner.url.set(query={}).render_as_string(hide_password=True)
        self.on_rollback = on_rollback
        self.sends = sends
        self.run_waiting = greenlet_spawn if inner.dialect.is_async else None
        self._open_in_thread = _LocallyOpen()
        self._transactions: weakref.WeakKeyDictionary[Connection, OpenTransaction] = weakref.WeakKeyDictionary()
        self._savepoints: weakref.WeakKeyDictionary[Connection, int] = weakref.WeakKeyDictionary()
        if inner.dialect.name not in DIALECTS or inner.dialect.paramstyle not in ("qmark", *_MARKS):
            raise ConfigurationError(
                f"An outbox cannot be in a database of the kind {inner.dialect.name!r}. Logging did not start. "
                f"Supported: {', '.join(sorted(DIALECTS))}."
            )
        if inner.dialect.name == "sqlite" and (
            isinstance(inner.pool, StaticPool) or inner.url.database in (None, "", ":memory:")
        ):
            raise ConfigurationError(
                "An outbox cannot be in an SQLite database in memory: it would end with the process, and its records "
                "with it. Logging did not start. Give the engine a file."
            )

    def listen(self) -> None:
        """Begin to see the transactions of the engine."""
        for name, hear in (
            ("begin", self._on_begin),
            ("commit", self._on_commit),
            ("rollback", self._on_rollback),
            ("savepoint", self._on_savepoint),
            ("release_savepoint", self._on_release),
            ("rollback_savepoint", self._on_roll_back_to),
            ("begin_twophase", self._on_begin_twophase),
            ("prepare_twophase", self._on_prepare),
            ("commit_twophase", self._on_commit_twophase),
            ("rollback_twophase", self._on_rollback_twophase),
            ("handle_error", self._on_error),
        ):
            event.listen(self._engine, name, hear)
        with _listening:
            if not event.contains(Session, "after_transaction_create", _note_session):
                event.listen(Session, "after_transaction_create", _note_session)
                event.listen(Session, "after_transaction_end", _forget_session)

    def store(self) -> OutboxStore:
        """Return the database by connections as the engine's, or by a blocking driver where that one waits in a loop.

        They come from no pool of the application's: it may be small, and a process that is forked from this one would
        share them.
        """
        engine = self._engine
        dialect = DIALECTS[engine.dialect.name]
        if engine.dialect.is_async:
            engine = create_engine(engine.url.set(drivername=_BLOCKING[dialect.name]), poolclass=NullPool)
        pool = engine.pool.recreate()

        def connect() -> PoolProxiedConnection:
            connection = pool.connect()
            connection.detach()
            return connection

        return OutboxStore(dialect, connect)

    def open_here(self) -> Sequence[OpenTransaction]:
        """Return the transactions of this engine that are open in this thread and task."""
        task = current_task()
        # What was ended in another thread is still noted here.
        connections = [
            connection
            for connection, begun in list(self._open_in_thread.connections.items())
            if begun is task and connection.in_transaction()
        ]
        for session, begun in list(_sessions_in_thread.sessions.items()):
            if begun is task and session.in_transaction() and self._is_ours(session):
                connection = self._connection_of(session)
                if connection not in connections:
                    connections.append(connection)
        return [self._open(connection) for connection in connections]

    def named(self, named: object) -> OpenTransaction | None:
        """Return the transaction of a session, which begins one if it has none, or the open one of a connection."""
        named = getattr(named, "sync_session", getattr(named, "sync_connection", named))
        if isinstance(named, Session):
            if self._is_elsewhere(named):
                return None
            # A session begins by itself with its first statement; that it is named makes this one its first.
            return self._open(self._connection_of(named))
        if isinstance(named, Connection) and named.engine.pool is self._engine.pool:
            if not named.in_transaction():
                raise ConfigurationError(
                    "The connection of this processing has no open transaction. The block was not entered. Begin one "
                    "around it: `with connection.begin():`."
                )
            return self._open(named)
        return None

    def _is_ours(self, session: Session) -> bool:
        """Whether all of a session is in this database; of one with several databases nobody knows which is meant."""
        try:
            return session.get_bind().engine.pool is self._engine.pool
        except SQLAlchemyError:
            return False

    def _is_elsewhere(self, session: Session) -> bool:
        """Whether all of a session is in another database; one with several may be named, for it commits in each."""
        try:
            return session.get_bind().engine.pool is not self._engine.pool
        except SQLAlchemyError:
            return False

    def _connection_of(self, session: Session) -> Connection:
        bind = session.bind if isinstance(session.bind, Connection) else self._engine
        try:
            return session.connection(bind_arguments={"bind": bind})
        except MissingGreenlet:
            raise ConfigurationError(ASYNC_WITH) from None

    def _open(self, connection: Connection) -> OpenTransaction:
        transaction = self._transactions.get(connection)
        if transaction is None or transaction.fate is not Fate.OPEN:
            self._check_begun(connection)
            transaction = OpenTransaction(
                _Insert(connection),
                keeps=self.on_rollback == "record",
                run_waiting=self.run_waiting,
                may_wait=in_greenlet,
                store=self.store,
            )
            self._transactions[connection] = transaction
        return transaction

    def _check_begun(self, connection: Connection) -> None:
        """See that the database is in a transaction, or will be with the first statement.

        Raises:
            ConfigurationError: Each statement commits by itself.
        """
        driver = connection.connection.driver_connection
        option = connection.get_execution_options().get("isolation_level")
        adapted = connection.connection.dbapi_connection
        autocommit = option == "AUTOCOMMIT" or getattr(adapted, "autocommit", False) is True
        if connection.dialect.name == "sqlite" and not autocommit and not getattr(driver, "in_transaction", True):
            if getattr(driver, "isolation_level", "") is None:
                autocommit = True
            else:
                # Python's driver begins with the first change only. A savepoint would begin one of its own before
                # that, and commit it when it is released.
                try:
                    connection.exec_driver_sql("BEGIN")
                except MissingGreenlet:
                    raise ConfigurationError(ASYNC_WITH) from None
        if autocommit:
            raise ConfigurationError(
                f"The connection to {self.name} commits each statement by itself, so no record can commit together "
                'with a change. The block was not entered. Use an engine without isolation_level="AUTOCOMMIT" for it, '
                "or processing(..., outbox=False) where nothing is changed in this database."
            )

    def _on_begin(self, connection: Connection) -> None:
        self._open_in_thread.connections[connection] = current_task()
        self._savepoints.setdefault(connection, 0)
        self._settle(connection)

    def _on_begin_twophase(self, connection: Connection, _: object) -> None:
        self._on_begin(connection)

    def _on_commit(self, connection: Connection) -> None:
        transaction = self._transactions.get(connection)
        if transaction is not None and transaction.fate is Fate.OPEN:
            transaction.before_commit()
            # Taken back by `_on_error`.
            transaction.fate = Fate.COMMITTED
        self._open_in_thread.connections.pop(connection, None)

    def _on_prepare(self, connection: Connection, _: object) -> None:
        transaction = self._transactions.get(connection)
        if transaction is not None and transaction.fate is Fate.OPEN:
            transaction.before_commit()

    def _on_commit_twophase(self, connection: Connection, *_: object) -> None:
        self._on_commit(connection)

    def _on_rollback(self, connection: Connection) -> None:
        transaction = self._transactions.pop(connection, None)
        if transaction is not None and transaction.fate is Fate.OPEN:
            transaction.rolled_back()
        self._open_in_thread.connections.pop(connection, None)

    def _on_rollback_twophase(self, connection: Connection, *_: object) -> None:
        self._on_rollback(connection)

    def _on_savepoint(self, connection: Connection, _: object) -> None:
        # The event comes before SQLAlchemy has made up the name: a number that a connection counts.
        self._savepoints[connection] = number = self._savepoints.get(connection, 0) + 1
        transaction = self._transactions.get(connection)
        if transaction is not None:
            transaction.savepoint(f"sa_savepoint_{number}")

    def _on_release(self, connection: Connection, name: str, _: object) -> None:
        transaction = self._transactions.get(connection)
        if transaction is not None:
            transaction.release(name)

    def _on_roll_back_to(self, connection: Connection, name: str, _: object) -> None:
        transaction = self._transactions.get(connection)
        if transaction is not None and transaction.fate is Fate.OPEN:
            transaction.roll_back_to(name)

    def _on_error(self, context: ExceptionContext) -> None:
        connection = context.connection
        transaction = self._transactions.get(connection) if connection is not None else None
        if connection is None or transaction is None or transaction.fate is not Fate.COMMITTED:
            return
        # A commit is the last thing on a connection before the next `begin`, so this is its failure.
        del self._transactions[connection]
        if context.is_disconnect:
            transaction.unknown()
        else:
            transaction.rolled_back()

    def _settle(self, connection: Connection) -> None:
        """Note that what was committed on a connection before it begins anew is so."""
        transaction = self._transactions.pop(connection, None)
        if transaction is not None and transaction.fate is Fate.COMMITTED:
            transaction.committed()


class _Insert:
    """Writes rows on a connection; it does not keep the connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = weakref.ref(connection)

    def __call__(self, rows: Sequence[tuple[int, bytes]]) -> int | None:
        connection = self._connection()
        if connection is None:
            raise ConfigurationError("The connection of this processing is closed.")
        if connection.dialect.name == "sqlite":
            # A list makes it one round for all of them; one row is cheaper by itself.
            connection.exec_driver_sql(SQLITE.insert, list(rows) if len(rows) > 1 else rows[0])
            return None
        statement = _MARKS[connection.dialect.paramstyle]
        number = int(connection.exec_driver_sql(statement, rows[0]).scalar_one())
        if len(rows) > 1:
            # As `insert_rows`, over a connection that has no cursor of its own to give.
            connection.exec_driver_sql(statement.removesuffix(RETURNING_NUMBER), list(rows[1:]))
        return number
