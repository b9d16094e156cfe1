"""Records that commit in a transaction of SQLAlchemy's asyncio side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

import ldv_otel as ldv
from ldv_otel._internal.delivery.outbox.addresses import store_at
from tests.sdk.conftest import ACTIVITY
from tests.sdk.outbox.conftest import Service
from tests.support.postgresql import PostgresqlServer

BSN = "123456782"
CHANGE = text("INSERT INTO kenteken (nummer) VALUES (:nummer)")
DRIVERS = {"aiosqlite": "sqlite", "psycopg": "postgresql", "asyncpg": "postgresql"}

Opened = tuple[AsyncEngine, Service]


class Undone(Exception):
    """What the application rolls back for."""


@pytest.fixture(params=list(DRIVERS))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where SQLAlchemy connects to with each driver, a fresh database."""
    pytest.importorskip(request.param)
    if DRIVERS[request.param] == "sqlite":
        path = tmp_path / "application.db"
        path.touch()
        return f"sqlite+aiosqlite:///{path}"
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    return server.url(server.new_database(), request.param)


@pytest.fixture
def opened(url: str, tmp_path: Path, backend: object) -> Iterator[Callable[[], Any]]:
    """An engine of the loop that runs, and a service with an outbox in its database."""
    del backend
    services: list[Service] = []

    @asynccontextmanager
    async def open_() -> AsyncIterator[Opened]:
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE kenteken (nummer varchar(20))"))
        services.append(Service(tmp_path, ldv.outbox.sqlalchemy(engine, on_rollback="record", sends=False)))
        yield engine, services[0]
        await engine.dispose()

    yield open_
    for service in services:
        service.close()


def logged(opened: Callable[[], Any], work: Callable[[AsyncEngine], Awaitable[None]]) -> Any:
    """Run the application, and return what is logged by the outbox and by the spool."""
    services: list[Service] = []

    async def main() -> None:
        async with opened() as (engine, service):
            await work(engine)
            services.append(service)

    asyncio.run(main())
    return services[0].logged()


async def change(session: AsyncSession, nummer: str) -> None:
    """What the application is about."""
    await session.execute(CHANGE, {"nummer": nummer})


def test_committed_and_rolled_back(opened: Callable[[], Any]) -> None:
    """One record with the change, and one with Error where it was undone."""

    async def work(engine: AsyncEngine) -> None:
        async with AsyncSession(engine) as session, session.begin():
            async with ldv.processing(ACTIVITY, name="Vast"):
                ldv.data_subject(BSN, type="BSN")
                await change(session, "A")
            async with session.begin_nested(), ldv.processing(ACTIVITY, name="Savepoint"):
                await change(session, "B")
        with suppress(Undone):
            async with AsyncSession(engine) as session, session.begin():
                async with ldv.processing(ACTIVITY, name="Terug"):
                    await change(session, "C")
                raise Undone
        async with engine.begin(), ldv.processing(ACTIVITY, name="Core"):
            pass

    names = [("Core", "Unset"), ("Savepoint", "Unset"), ("Vast", "Unset")]
    assert logged(opened, work) == (names, [("Terug", "Error")])


def test_longer_than_its_transaction_and_an_exception(opened: Callable[[], Any]) -> None:
    """The record commits with the change; an exception goes by the spool."""

    async def work(engine: AsyncEngine) -> None:
        async with AsyncSession(engine) as session:
            await session.begin()
            async with ldv.processing(ACTIVITY, name="Langer"):
                await change(session, "A")
                await session.commit()
        with suppress(Undone):
            async with AsyncSession(engine) as session, session.begin(), ldv.processing(ACTIVITY, name="Mislukt"):
                raise Undone

    assert logged(opened, work) == ([("Langer", "Unset")], [("Langer", "Unset"), ("Mislukt", "Error")])


def test_tasks_side_by_side(opened: Callable[[], Any]) -> None:
    """Each task's Acties are in its own transaction."""

    async def one(engine: AsyncEngine, number: int) -> None:
        with suppress(Undone):
            async with AsyncSession(engine) as session, session.begin():
                async with ldv.processing(ACTIVITY, name=f"{number}"):
                    await asyncio.sleep(0.01 * (number % 3))
                    await change(session, f"{number}")
                if number % 2:
                    raise Undone

    async def work(engine: AsyncEngine) -> None:
        await asyncio.gather(*(one(engine, number) for number in range(6)))

    committed, spooled = logged(opened, work)
    assert committed == [("0", "Unset"), ("2", "Unset"), ("4", "Unset")]
    assert spooled == [("1", "Error"), ("3", "Error"), ("5", "Error")]


def test_a_decorated_coroutine_and_a_plain_with(opened: Callable[[], Any]) -> None:
    """The first needs a transaction that has reached the database; the second is refused when it is entered."""

    @ldv.processing(ACTIVITY, name="Versierd")
    async def wijzig(session: AsyncSession) -> None:
        await change(session, "B")

    async def work(engine: AsyncEngine) -> None:
        async with AsyncSession(engine) as session, session.begin():
            with pytest.raises(ldv.ConfigurationError, match="async with"), ldv.processing(ACTIVITY):
                pass
            await change(session, "A")
            async with ldv.processing(ACTIVITY, name="Genoemd", outbox=session):
                await wijzig(session)
            with pytest.raises(ldv.ConfigurationError, match="async with"), ldv.processing(ACTIVITY):
                pass
            await session.run_sync(in_place)

    def in_place(_: object) -> None:
        with ldv.processing(ACTIVITY, name="Ter plaatse"):
            pass

    names = [("Genoemd", "Unset"), ("Ter plaatse", "Unset"), ("Versierd", "Unset")]
    assert logged(opened, work) == (names, [])


def test_without_a_transaction(opened: Callable[[], Any]) -> None:
    """As with the blocking drivers."""

    async def work(engine: AsyncEngine) -> None:
        async with AsyncSession(engine):
            with pytest.raises(ldv.ConfigurationError, match="No transaction"):
                async with ldv.processing(ACTIVITY):
                    pass
        autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        async with autocommit.connect() as connection, connection.begin():
            with pytest.raises(ldv.ConfigurationError, match="commits each statement by itself"):
                async with ldv.processing(ACTIVITY, outbox=connection):
                    pass
        async with ldv.processing(ACTIVITY, name="Zonder", outbox=False):
            pass

    assert logged(opened, work) == ([], [("Zonder", "Unset")])


def test_the_tables_are_those_of_the_address(url: str, opened: Callable[[], Any]) -> None:
    """What commands find is what the application wrote, whichever driver it has."""

    async def work(engine: AsyncEngine) -> None:
        async with engine.begin(), ldv.processing(ACTIVITY, name="Hier"):
            pass
        store = store_at(url)
        assert store.backlog().waiting == 1
        store.close()

    logged(opened, work)
