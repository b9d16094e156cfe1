"""Records that commit in a transaction of Django."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import django
import pytest
from django.conf import settings
from django.db import connections, transaction

import ldv_otel as ldv
from tests.sdk.conftest import ACTIVITY
from tests.sdk.outbox.conftest import Service
from tests.support.postgresql import PostgresqlServer

BSN = "123456782"


class Undone(Exception):
    """What the application rolls back for."""


@pytest.fixture(params=["sqlite", "postgresql"])
def using(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The alias of a fresh database."""
    if not settings.configured:
        settings.configure(SECRET_KEY="none", LOGGING_CONFIG=None)
        django.setup()
    if request.param == "sqlite":
        database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "application.db")}
    else:
        server: PostgresqlServer = request.getfixturevalue("postgresql")
        database = {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": server.new_database(),
            "USER": "ldv",
            "HOST": server.host,
        }
    alias = f"{request.param}_{tmp_path.name}"
    connections.settings[alias] = connections.configure_settings({"default": {}, alias: database})[alias]
    with connections[alias].cursor() as cursor:
        cursor.execute("CREATE TABLE kenteken (nummer varchar(20))")
    yield alias
    connections[alias].close()
    del connections.settings[alias]


@pytest.fixture(params=["nothing", "record"])
def service(request: pytest.FixtureRequest, using: str, tmp_path: Path, backend: object) -> Iterator[Service]:
    """A service that logs nothing of what was rolled back, or a record with status Error."""
    del backend
    service = Service(tmp_path, ldv.outbox.django(using, on_rollback=request.param, sends=False))
    yield service
    service.close()


def change(using: str, nummer: str) -> None:
    """What the application is about."""
    with connections[using].cursor() as cursor:
        cursor.execute("INSERT INTO kenteken (nummer) VALUES (%s)", [nummer])


def changes(using: str) -> list[str]:
    """What the application did."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT nummer FROM kenteken ORDER BY nummer")
        return [nummer for (nummer,) in cursor.fetchall()]


def undone(service: Service, *names: str) -> list[tuple[str, str]]:
    """What is logged by the spool of Acties whose transaction was undone."""
    return [(name, "Error") for name in names] if service.outboxes[0].on_rollback == "record" else []


def test_a_committed_actie_is_one_record(using: str, service: Service) -> None:
    """By the outbox, with its data subject."""
    with transaction.atomic(using), ldv.processing(ACTIVITY, name="Wijzig kenteken"):
        ldv.data_subject(BSN, type="BSN")
        change(using, "A")
    assert service.logged() == ([("Wijzig kenteken", "Unset")], [])
    assert service.committed()[0].data_subject_id == service.pseudonym(BSN)
    assert changes(using) == ["A"]
    assert service.installed.health().rolled_back == 0


def test_a_rolled_back_actie(using: str, service: Service) -> None:
    """Of the whole, by an exception, by `set_rollback`, and by a connection that is closed."""
    with suppress(Undone), transaction.atomic(using):
        with ldv.processing(ACTIVITY, name="Fout"):
            change(using, "A")
        raise Undone
    with transaction.atomic(using):
        with ldv.processing(ACTIVITY, name="Gezet"):
            change(using, "B")
        transaction.set_rollback(True, using)
    with transaction.atomic(using):
        with ldv.processing(ACTIVITY, name="Gesloten"):
            change(using, "C")
        connections[using].close()
    assert service.logged() == ([], undone(service, "Fout", "Gesloten", "Gezet"))
    assert changes(using) == []
    assert service.installed.health().rolled_back == 3


def test_savepoints(using: str, service: Service) -> None:
    """A record goes with the savepoint that its block ended in."""
    with transaction.atomic(using):
        with ldv.processing(ACTIVITY, name="Blijft"):
            change(using, "A")
        with suppress(Undone), transaction.atomic(using):
            with ldv.processing(ACTIVITY, name="Weg"), transaction.atomic(using):
                change(using, "B")
            with transaction.atomic(using), ldv.processing(ACTIVITY, name="Binnenin weg"):
                change(using, "C")
            raise Undone
        with transaction.atomic(using), ldv.processing(ACTIVITY, name="Vrijgegeven"):
            change(using, "D")
    kept = [("Blijft", "Unset"), ("Vrijgegeven", "Unset")]
    assert service.logged() == (kept, undone(service, "Binnenin weg", "Weg"))
    assert changes(using) == ["A", "D"]


def test_an_exception_in_the_block(using: str, service: Service) -> None:
    """Gives its record with status Error by the spool."""
    with suppress(Undone), transaction.atomic(using), ldv.processing(ACTIVITY, name="Mislukt"):
        change(using, "A")
        raise Undone
    assert service.logged() == ([], [("Mislukt", "Error")])


def test_outside_atomic_the_block_is_not_entered(using: str, service: Service) -> None:
    """Django commits each statement by itself there; by name the message says so."""
    entered = []
    for named, message in ((None, "No transaction"), (using, "`atomic`"), (connections[using], "`atomic`")):
        with pytest.raises(ldv.ConfigurationError, match=message), ldv.processing(ACTIVITY, outbox=named):
            entered.append(named)
    assert not entered
    with ldv.processing(ACTIVITY, name="Zonder", outbox=False):
        pass
    with transaction.atomic(using), ldv.processing(ACTIVITY, name="Genoemd", outbox=using):
        change(using, "A")
    assert service.logged() == ([("Genoemd", "Unset")], [("Zonder", "Unset")])


def test_another_callback_that_raises_is_no_rollback(using: str, service: Service) -> None:
    """Django drops the callbacks after it: the transaction has committed all the same."""

    def fails() -> None:
        raise Undone

    with suppress(Undone), transaction.atomic(using):
        transaction.on_commit(fails, using)
        with ldv.processing(ACTIVITY, name="Vastgelegd"):
            change(using, "A")
    assert service.logged() == ([("Vastgelegd", "Unset")], [])
    assert service.installed.health().rolled_back == 0


def test_an_actie_that_runs_longer_than_its_transaction(using: str, service: Service) -> None:
    """Its record comes after the commit, by the spool, with a flag; of a rolled back one as after the block."""
    atomic = transaction.atomic(using)
    atomic.__enter__()
    with ldv.processing(ACTIVITY, name="Langer"):
        change(using, "A")
        atomic.__exit__(None, None, None)
    atomic = transaction.atomic(using)
    atomic.__enter__()
    with ldv.processing(ACTIVITY, name="Terug"):
        change(using, "B")
        transaction.set_rollback(True, using)
        atomic.__exit__(None, None, None)
    assert service.logged() == ([], sorted([("Langer", "Unset"), *undone(service, "Terug")]))
    assert service.spooled()[0].flags == ("after_commit",)


def test_what_an_outbox_cannot_be_in(using: str) -> None:
    """A database in memory, or of another kind."""
    del using
    connections.settings["memory"] = connections.configure_settings(
        {"default": {}, "memory": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
    )["memory"]
    with pytest.raises(ldv.ConfigurationError, match="in memory"):
        ldv.outbox.django("memory")
    del connections.settings["memory"]
    with pytest.raises(ldv.ConfigurationError, match="mysql"):
        ldv.outbox.statements("mysql")
    assert len(ldv.outbox.statements("sqlite")) == 5
