"""An outbox without an application: rows are put into it as an application would."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ldv_otel._internal.delivery.outbox.addresses import store_at
from ldv_otel._internal.delivery.outbox.dialects import rows_of
from ldv_otel._internal.delivery.outbox.store import OutboxStore
from ldv_otel._internal.record.logregel import Logregel, encode_logregel
from tests.support.postgresql import PostgresqlServer, postgresql

__all__ = ["postgresql"]

_NOON = 1_750_000_000_000


def record(number: int) -> Logregel:
    """A record whose name is its number."""
    span_id = (number + 1).to_bytes(8, "big")
    return Logregel(
        trace_id=b"outbox!!" + span_id,
        span_id=span_id,
        name=str(number),
        start_time_ms=_NOON + number,
        end_time_ms=_NOON + number,
    )


class Database:
    """A database with an outbox, and as many senders as a test wants."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._stores: list[OutboxStore] = []
        self.store().apply()

    def store(self) -> OutboxStore:
        """The outbox as one more sender uses it."""
        self._stores.append(store_at(self.address))
        return self._stores[-1]

    def close(self) -> None:
        """Give back every connection."""
        for store in self._stores:
            store.close()

    def execute(self, statement: str, *values: object) -> list[Any]:
        """Do what an application or a person could; return rows."""
        with self.store()._transaction() as cursor:
            cursor.execute(statement if "postgresql" in self.address else statement.replace("%s", "?"), values)
            return [] if "SELECT" not in statement else list(cursor.fetchall())

    def commit(self, *acties: Sequence[Logregel]) -> None:
        """Put Acties into it."""
        store = self.store()
        with store._transaction() as cursor:
            for records in acties:
                for row in rows_of([encode_logregel(each) for each in records]):
                    cursor.execute(store.dialect.insert, row)
        store.close()

    def end_leases(self) -> None:
        """Let as much time pass as a lease takes."""
        self.execute("UPDATE ldv_outbox_batch SET leased_until = 0")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A fresh one."""
    if request.param == "sqlite":
        path = tmp_path / "application.db"
        sqlite3.connect(path).close()
        path.touch()
        database = Database(f"sqlite:///{path}")
    else:
        server: PostgresqlServer = request.getfixturevalue("postgresql")
        database = Database(server.conninfo(server.new_database()))
    yield database
    database.close()
