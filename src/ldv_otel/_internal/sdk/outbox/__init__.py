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

from ldv_otel._internal.sdk.outbox.contract import OnRollback, Outbox
from ldv_otel.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["Outbox", "sqlalchemy"]


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


def _check(on_rollback: Any) -> None:
    if on_rollback not in ("nothing", "record"):
        raise ConfigurationError('on_rollback is to be "nothing" or "record". Logging did not start.')
