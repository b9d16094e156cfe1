"""Records that commit in a transaction of asyncpg, or of an `AsyncConnection` of psycopg."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
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


@pytest.fixture
def address(postgresql: PostgresqlServer) -> str:
    """Of a fresh database."""
    return postgresql.conninfo(postgresql.new_database())


@pytest.fixture
def service(address: str, tmp_path: Path, backend: object) -> Iterator[Service]:
    """A service that logs what was rolled back with status Error."""
    del backend
    service = Service(tmp_path, ldv.outbox.database(address, on_rollback="record", sends=False))
    yield service
    service.close()
    connections._listening.clear()


@pytest.fixture(params=["psycopg", "asyncpg"])
def run(request: pytest.FixtureRequest, address: str) -> Callable[[Callable[[Any], Awaitable[None]]], None]:
    """Runs an application with a connection of each driver."""
    pytest.importorskip(request.param)

    async def main(work: Callable[[Any], Awaitable[None]]) -> None:
        driver: Any = import_module(request.param)
        connection = await (
            driver.AsyncConnection.connect(address, autocommit=True)
            if request.param == "psycopg"
            else driver.connect(address)
        )
        await connection.execute("CREATE TABLE kenteken (nummer varchar(20))")
        try:
            await work(connection)
        finally:
            await connection.close()

    return lambda work: asyncio.run(main(work))


async def change(connection: Any, nummer: str) -> None:
    """What the application is about."""
    await connection.execute(f"INSERT INTO kenteken (nummer) VALUES ('{nummer}')")


def test_committed_rolled_back_and_savepoints(run: Callable[[Any], None], service: Service) -> None:
    """As with the blocking drivers."""

    @ldv.processing(ACTIVITY, name="Versierd")
    async def decorated(connection: Any) -> None:
        await change(connection, "B")

    async def work(connection: Any) -> None:
        async with ldv.outbox.transaction(connection):
            async with ldv.processing(ACTIVITY, name="Vast"):
                await change(connection, "A")
            await decorated(connection)
            with suppress(Undone):
                async with ldv.outbox.transaction(connection):
                    async with ldv.processing(ACTIVITY, name="Savepoint weg"):
                        await change(connection, "C")
                    raise Undone
            async with ldv.outbox.transaction(connection), ldv.processing(ACTIVITY, name="Savepoint"):
                await change(connection, "D")
        with suppress(Undone):
            async with ldv.outbox.transaction(connection):
                async with ldv.processing(ACTIVITY, name="Terug", outbox=connection):
                    await change(connection, "E")
                raise Undone
        with suppress(Undone):
            async with ldv.outbox.transaction(connection), ldv.processing(ACTIVITY, name="Mislukt"):
                raise Undone

    run(work)
    assert service.logged() == (
        [("Savepoint", "Unset"), ("Vast", "Unset"), ("Versierd", "Unset")],
        [("Mislukt", "Error"), ("Savepoint weg", "Error"), ("Terug", "Error")],
    )


def test_longer_than_its_transaction(run: Callable[[Any], None], service: Service) -> None:
    """The record commits with the change; the end follows as an outcome."""

    async def work(connection: Any) -> None:
        block = ldv.outbox.transaction(connection)
        await block.__aenter__()
        async with ldv.processing(ACTIVITY, name="Langer"):
            await change(connection, "A")
            await block.__aexit__(None, None, None)

    run(work)
    assert service.logged() == ([("Langer", "Unset")], [("Langer", "Unset")])
    assert OUTCOME_OF in service.spooled()[0].attributes


def test_what_is_refused(run: Callable[[Any], None], service: Service) -> None:
    """A plain `with` of either kind, a transaction that is open already, none, and a table that is gone."""

    async def work(connection: Any) -> None:
        with pytest.raises(ldv.ConfigurationError, match="async with"), ldv.outbox.transaction(connection):
            pass
        with pytest.raises(ldv.ConfigurationError, match="No transaction"):
            async with ldv.processing(ACTIVITY):
                pass
        async with connection.transaction():
            await change(connection, "A")
            with pytest.raises(ldv.ConfigurationError, match="open on this connection"):
                async with ldv.outbox.transaction(connection):
                    pass
        async with ldv.outbox.transaction(connection):
            with pytest.raises(ldv.ConfigurationError, match="async with"), ldv.processing(ACTIVITY):
                pass
        await connection.execute("ALTER TABLE ldv_outbox RENAME TO elders")
        with pytest.raises(ldv.LogboekUnavailable, match="ldv outbox apply"):
            async with ldv.outbox.transaction(connection), ldv.processing(ACTIVITY, name="Zonder tabel"):
                await change(connection, "B")
        await connection.execute("ALTER TABLE elders RENAME TO ldv_outbox")

    run(work)
    assert service.logged() == ([], [("Zonder tabel", "Error")])
    assert service.installed.health().refused_writes == 1
