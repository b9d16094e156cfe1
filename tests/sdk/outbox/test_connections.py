"""Records that commit in a transaction of psycopg 3 or sqlite3 themselves."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import ldv_otel as ldv
from ldv_otel._internal.sdk.outbox import connections
from ldv_otel.attributes import OUTCOME_OF
from tests.sdk.conftest import ACTIVITY
from tests.sdk.outbox.conftest import Service
from tests.support.postgresql import PostgresqlServer


class Undone(Exception):
    """What the application rolls back for."""


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a fresh database."""
    if request.param == "sqlite":
        path = tmp_path / "application.db"
        path.touch()
        return f"sqlite:///{path}"
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    return server.conninfo(server.new_database())


@pytest.fixture
def connection(address: str) -> Iterator[Any]:
    """The application's own."""
    connection: Any
    if address.startswith("sqlite"):
        connection = sqlite3.connect(address.removeprefix("sqlite:///"))
    else:
        connection = import_module("psycopg").connect(address)
    connection.execute("CREATE TABLE kenteken (nummer varchar(20))")
    connection.commit()
    yield connection
    connection.close()


@pytest.fixture(params=["nothing", "record"])
def service(request: pytest.FixtureRequest, address: str, tmp_path: Path, backend: object) -> Iterator[Service]:
    """A service that logs nothing of what was rolled back, or a record with status Error."""
    del backend
    service = Service(tmp_path, ldv.outbox.database(address, on_rollback=request.param, sends=False))
    yield service
    service.close()
    connections._listening.clear()


def change(connection: Any, nummer: str) -> None:
    """What the application is about."""
    connection.execute(f"INSERT INTO kenteken (nummer) VALUES ('{nummer}')")


def changes(connection: Any) -> list[str]:
    """What the application did."""
    numbers = [number for (number,) in connection.execute("SELECT nummer FROM kenteken ORDER BY nummer").fetchall()]
    connection.commit()
    return numbers


def undone(service: Service, *names: str) -> list[tuple[str, str]]:
    """What is logged by the spool of Acties whose transaction was undone."""
    return [(name, "Error") for name in names] if service.outboxes[0].on_rollback == "record" else []


def test_committed_and_rolled_back(connection: Any, service: Service) -> None:
    """One record with the change, and none without it."""
    with ldv.outbox.transaction(connection):
        with ldv.processing(ACTIVITY, name="Vast"):
            change(connection, "A")
        with ldv.processing(ACTIVITY, name="Ook", outbox=connection):
            change(connection, "B")
    with suppress(Undone), ldv.outbox.transaction(connection):
        with ldv.processing(ACTIVITY, name="Terug"):
            change(connection, "C")
        raise Undone
    assert service.logged() == ([("Ook", "Unset"), ("Vast", "Unset")], undone(service, "Terug"))
    assert changes(connection) == ["A", "B"]


def test_savepoints(connection: Any, service: Service) -> None:
    """A block inside a block is one."""
    with ldv.outbox.transaction(connection):
        with suppress(Undone), ldv.outbox.transaction(connection):
            with ldv.processing(ACTIVITY, name="Weg"):
                change(connection, "A")
            raise Undone
        with ldv.outbox.transaction(connection), ldv.processing(ACTIVITY, name="Blijft"):
            change(connection, "B")
    assert service.logged() == ([("Blijft", "Unset")], undone(service, "Weg"))
    assert changes(connection) == ["B"]


def test_longer_than_its_transaction(connection: Any, service: Service) -> None:
    """The record commits with the change; the end follows as an outcome."""
    block = ldv.outbox.transaction(connection)
    block.__enter__()
    with ldv.processing(ACTIVITY, name="Langer"):
        change(connection, "A")
        block.__exit__(None, None, None)
    assert service.logged() == ([("Langer", "Unset")], [("Langer", "Unset")])
    assert OUTCOME_OF in service.spooled()[0].attributes
    assert changes(connection) == ["A"]


def test_what_is_refused(connection: Any, service: Service, tmp_path: Path) -> None:
    """A block without a transaction, a transaction without a block, and a connection to elsewhere."""
    entered = []
    for named, message in ((None, "No transaction"), (connection, "in no `with"), ("x", "none of the databases")):
        with pytest.raises(ldv.ConfigurationError, match=message), ldv.processing(ACTIVITY, outbox=named):
            entered.append(named)
    change(connection, "A")
    with pytest.raises(ldv.ConfigurationError, match="open on this connection"), ldv.outbox.transaction(connection):
        entered.append("begun")
    connection.rollback()
    elsewhere = sqlite3.connect(tmp_path / "elsewhere.db")
    with pytest.raises(ldv.ConfigurationError, match="belongs to 0"), ldv.outbox.transaction(elsewhere):
        entered.append("elsewhere")
    elsewhere.close()
    assert not entered
    assert service.logged() == ([], [])


def test_a_commit_inside_the_block(connection: Any, service: Service) -> None:
    """Is refused by psycopg, and noticed on SQLite."""
    error = ldv.ConfigurationError if isinstance(connection, sqlite3.Connection) else Exception
    with pytest.raises(error), ldv.outbox.transaction(connection):
        change(connection, "A")
        connection.commit()
    with ldv.outbox.transaction(connection), ldv.processing(ACTIVITY, name="Daarna"):
        change(connection, "B")
    assert service.logged() == ([("Daarna", "Unset")], [])
