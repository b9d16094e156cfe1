"""A record that commits in the application's own database transaction: `ldv_otel.outbox`.

engine = create_engine(...)
ldv_otel.install(outbox=ldv_otel.outbox.sqlalchemy(engine))

with Session(engine) as session, session.begin():
    with ldv_otel.processing("https://...", name="Wijzig kenteken") as actie:
        actie.data_subject(bsn, type="BSN")
        session.execute(...)
# Committed: exactly one Logregel. Rolled back: none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ldv_otel._internal.delivery.outbox.dialects import DIALECTS
from ldv_otel._internal.sdk.outbox.connections import DatabaseOutbox, transaction
from ldv_otel._internal.sdk.outbox.contract import OnRollback, Outbox
from ldv_otel.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["Outbox", "database", "django", "sqlalchemy", "statements", "transaction"]


def sqlalchemy(engine: Engine | AsyncEngine, *, on_rollback: OnRollback = "nothing", sends: bool = True) -> Outbox:
    """Return an outbox in the database of a SQLAlchemy 2 engine: PostgreSQL, or SQLite in a file.

    An Actie belongs to the transaction that is open when its block is entered: of a `Session` with this engine, or of a
    `Connection` of it.

    Args:
        engine: The one that the application's sessions use.
        on_rollback: What becomes of an Actie that ended well and whose transaction was rolled back: `nothing`, or a
            `record` with status Error, by the spool.
        sends: Whether this process also sends what is in the outbox. Others with the same outbox do, or
            `ldv outbox drain`.

    Raises:
        ConfigurationError: There can be no outbox in that database, or SQLAlchemy 2 is not installed.
    """
    _check(on_rollback)
    try:
        from ldv_otel._internal.sdk.outbox.sqlalchemy_hooks import SqlAlchemyOutbox
    except ImportError as error:
        raise ConfigurationError(
            f"ldv.outbox.sqlalchemy needs SQLAlchemy 2 ({error}). Logging did not start. Install sqlalchemy."
        ) from error
    return SqlAlchemyOutbox(engine, on_rollback, sends=sends)


def database(address: str, *, on_rollback: OnRollback = "nothing", sends: bool = True) -> Outbox:
    """Return an outbox for connections of psycopg 3, asyncpg or sqlite3 themselves.

    An Actie belongs to the block `with ldv.outbox.transaction(connection):` that is open when its own is entered.

    Args:
        address: `postgresql://...`, as libpq knows it, or `sqlite:///PATH`; by it a sender connects.
        on_rollback: See `sqlalchemy`.
        sends: See `sqlalchemy`.

    Raises:
        ConfigurationError: There can be no outbox in that database, or psycopg is not installed.
    """
    _check(on_rollback)
    return DatabaseOutbox(address, on_rollback, sends=sends)


def django(using: str = "default", *, on_rollback: OnRollback = "nothing", sends: bool = True) -> Outbox:
    """Return an outbox in a database of Django: PostgreSQL, or SQLite in a file.

    An Actie belongs to the `transaction.atomic` that is open when its block is entered, be it that of
    `ATOMIC_REQUESTS`. One that runs longer than that has its record after the commit, by the spool, for Django says
    nothing before it commits.

    Args:
        using: Alias of the database.
        on_rollback: See `sqlalchemy`.
        sends: See `sqlalchemy`.

    Raises:
        ConfigurationError: There can be no outbox in that database, or Django is not installed.
    """
    _check(on_rollback)
    try:
        from ldv_otel._internal.sdk.outbox.django_hooks import DjangoOutbox
    except ImportError as error:
        raise ConfigurationError(
            f"ldv.outbox.django needs Django ({error}). Logging did not start. Install django."
        ) from error
    return DjangoOutbox(using, on_rollback, sends=sends)


def statements(dialect: str) -> tuple[str, ...]:
    """Return the statements that make the tables, for a migration: `postgresql` or `sqlite`.

    Raises:
        ConfigurationError: There can be no outbox in that kind of database.
    """
    if dialect not in DIALECTS:
        raise ConfigurationError(f"An outbox cannot be in a database of the kind {dialect!r}.")
    return DIALECTS[dialect].tables


def _check(on_rollback: Any) -> None:
    if on_rollback not in ("nothing", "record"):
        raise ConfigurationError('on_rollback is to be "nothing" or "record". Logging did not start.')
