"""A connection that breaks while a transaction commits: the database is asked what became of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

import ldv_otel as ldv
from ldv_otel._internal.sdk._private import uninstrumented
from ldv_otel._internal.sdk.outbox import connections
from ldv_otel._internal.sdk.outbox.contract import Outbox
from ldv_otel._internal.sdk.outbox.doubts import Doubt, Doubts
from tests.sdk.conftest import ACTIVITY
from tests.sdk.outbox.conftest import Service
from tests.support.postgresql import PostgresqlServer
from tests.support.postgresql_proxy import PostgresqlProxy

CHANGE = "INSERT INTO kenteken (nummer) VALUES ('A')"
Make = Callable[[PostgresqlProxy, str, str], tuple[Outbox, Callable[[], None]]]


def by_psycopg(proxy: PostgresqlProxy, database: str, on_rollback: Any) -> tuple[Outbox, Callable[[], None]]:
    """Bare connections."""
    psycopg = import_module("psycopg")

    def work() -> None:
        with (
            psycopg.connect(proxy.conninfo(database)) as connection,
            ldv.outbox.transaction(connection),
            ldv.processing(ACTIVITY, name="In twijfel"),
        ):
            connection.execute(CHANGE)

    return ldv.outbox.database(proxy.conninfo(database), on_rollback=on_rollback, sends=False), work


def by_async_psycopg(proxy: PostgresqlProxy, database: str, on_rollback: Any) -> tuple[Outbox, Callable[[], None]]:
    """Bare connections whose driver waits for an event loop."""
    psycopg = import_module("psycopg")

    async def work() -> None:
        async with (
            await psycopg.AsyncConnection.connect(proxy.conninfo(database)) as connection,
            ldv.outbox.transaction(connection),
            ldv.processing(ACTIVITY, name="In twijfel"),
        ):
            await connection.execute(CHANGE)

    return ldv.outbox.database(proxy.conninfo(database), on_rollback=on_rollback, sends=False), lambda: asyncio.run(
        work()
    )


def by_asyncpg(proxy: PostgresqlProxy, database: str, on_rollback: Any) -> tuple[Outbox, Callable[[], None]]:
    """Bare connections of the other driver."""
    asyncpg = import_module("asyncpg")

    async def work() -> None:
        connection = await asyncpg.connect(host=proxy.host, user="ldv", database=database)
        try:
            async with ldv.outbox.transaction(connection), ldv.processing(ACTIVITY, name="In twijfel"):
                await connection.execute(CHANGE)
        finally:
            connection.terminate()

    return ldv.outbox.database(proxy.conninfo(database), on_rollback=on_rollback, sends=False), lambda: asyncio.run(
        work()
    )


def by_sqlalchemy(proxy: PostgresqlProxy, database: str, on_rollback: Any) -> tuple[Outbox, Callable[[], None]]:
    """An engine."""
    engine = create_engine(proxy.url(database))

    def work() -> None:
        try:
            with engine.begin() as connection, ldv.processing(ACTIVITY, name="In twijfel"):
                connection.execute(text(CHANGE))
        finally:
            engine.dispose()

    return ldv.outbox.sqlalchemy(engine, on_rollback=on_rollback, sends=False), work


def by_async_sqlalchemy(proxy: PostgresqlProxy, database: str, on_rollback: Any) -> tuple[Outbox, Callable[[], None]]:
    """An engine that waits for an event loop."""
    url = f"postgresql+asyncpg://ldv@/{database}?host={proxy.host}"
    engine = create_async_engine(url)

    async def work() -> None:
        try:
            async with engine.begin() as connection, ldv.processing(ACTIVITY, name="In twijfel"):
                await connection.execute(text(CHANGE))
        finally:
            await engine.dispose()

    return ldv.outbox.sqlalchemy(engine, on_rollback=on_rollback, sends=False), lambda: asyncio.run(work())


def by_django(proxy: PostgresqlProxy, database: str, on_rollback: Any) -> tuple[Outbox, Callable[[], None]]:
    """Django, which does not say that a commit was in doubt."""
    import django
    from django.conf import settings
    from django.db import connections as aliases
    from django.db import transaction

    if not settings.configured:
        settings.configure(SECRET_KEY="none", LOGGING_CONFIG=None)
        django.setup()
    described = {"ENGINE": "django.db.backends.postgresql", "NAME": database, "USER": "ldv", "HOST": proxy.host}
    aliases.settings[database] = aliases.configure_settings({"default": {}, database: described})[database]

    def work() -> None:
        try:
            with (
                transaction.atomic(using=database),
                ldv.processing(ACTIVITY, name="In twijfel"),
                aliases[database].cursor() as cursor,
            ):
                cursor.execute(CHANGE)
        finally:
            aliases[database].close()

    return ldv.outbox.django(database, on_rollback=on_rollback, sends=False), work


WAYS = [by_psycopg, by_async_psycopg, by_asyncpg, by_sqlalchemy, by_async_sqlalchemy, by_django]


class Broken:
    """A database that is reached by a way that breaks when a test says so.

    Attributes:
        address: The database itself.
    """

    def __init__(self, server: PostgresqlServer, proxy: PostgresqlProxy) -> None:
        self.database = server.new_database()
        self.address = server.conninfo(self.database)
        self.server, self.proxy = server, proxy
        self._connect = import_module("psycopg").connect
        with self._connect(self.address) as direct:
            direct.execute("CREATE TABLE kenteken (nummer varchar(20))")

    def changes(self) -> int:
        """How often the application did what it is about."""
        with self._connect(self.address) as direct:
            return int(direct.execute("SELECT count(*) FROM kenteken").fetchone()[0])


@pytest.fixture
def broken(postgresql: PostgresqlServer, backend: object) -> Iterator[Broken]:
    """A fresh database."""
    del backend
    with PostgresqlProxy(postgresql.host) as proxy:
        yield Broken(postgresql, proxy)
    connections._listening.clear()


def settled(service: Service) -> bool:
    """Wait until nothing is in doubt any more."""
    deadline = time.monotonic() + 60
    while service.installed.health().in_doubt:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.__name__))
@pytest.mark.parametrize("on_rollback", ["nothing", "record"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_what_became_of_a_commit_in_doubt(
    way: Make, on_rollback: str, moment: Any, broken: Broken, tmp_path: Path
) -> None:
    """Cut on either side of the commit, by each driver: change, record and what is said of a rollback agree."""
    proxy = broken.proxy
    outbox, work = way(proxy, broken.database, on_rollback)
    service = Service(tmp_path, outbox)
    try:
        work()
        proxy.breaks = moment
        with pytest.raises(Exception, match=r"."):
            work()
        assert proxy.cuts == 1
        assert settled(service)
        work()
        changes = broken.changes()
        committed = moment == "after"
        assert changes == 2 + committed
        undone = [("In twijfel", "Error")] if on_rollback == "record" and not committed else []
        assert service.logged() == ([("In twijfel", "Unset")] * changes, undone)
        assert service.installed.health().rolled_back == (not committed)
    finally:
        service.close()


def test_a_database_that_is_away_is_asked_again(postgresql: object, tmp_path: Path, backend: object) -> None:
    """The server itself is killed when it has committed: the answer comes when it is back, and is that of its log."""
    # Not that of the other tests, which have connections to it; that one shows that there is a server to be had.
    del postgresql, backend
    with PostgresqlServer() as server, PostgresqlProxy(server.host) as proxy:
        broken = Broken(server, proxy)
        outbox, work = by_psycopg(proxy, broken.database, "record")
        service = Service(tmp_path, outbox)
        try:
            proxy.breaks = "after"
            with suppress(Exception):
                work()
            server.stop("immediate")
            server.start()
            assert settled(service)
            assert service.logged() == ([("In twijfel", "Unset")], [])
            assert broken.changes() == 1
        finally:
            service.close()
            connections._listening.clear()


def test_an_application_that_may_only_insert(postgresql: PostgresqlServer, tmp_path: Path, backend: object) -> None:
    """The number of a transaction comes with the insert, and needs no right to read the table."""
    del backend
    database = postgresql.new_database()
    psycopg = import_module("psycopg")
    address = postgresql.conninfo(database)
    service = Service(tmp_path, ldv.outbox.database(address, sends=False))
    try:
        with psycopg.connect(address, autocommit=True) as direct:
            direct.execute("DO $$ BEGIN CREATE ROLE writes; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
            direct.execute("GRANT INSERT ON ldv_outbox TO writes")
            direct.execute("SET ROLE writes")
            with ldv.outbox.transaction(direct), ldv.processing(ACTIVITY, name="Vast"):
                pass
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                direct.execute("SELECT * FROM ldv_outbox")
        assert service.logged() == ([("Vast", "Unset")], [])
    finally:
        service.close()
        connections._listening.clear()


def test_what_has_no_number_stays_in_doubt() -> None:
    """It is counted and nobody is asked; and of very many the oldest are given up, so that memory is bounded."""
    doubts = Doubts(lambda _: None, uninstrumented)
    for _ in range(3):
        doubts.add(Doubt(None, None, 1, ()))
    assert doubts.open == 3
    doubts.close(1)
    assert doubts.open == 3
