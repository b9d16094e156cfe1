"""What a service with an outbox does at its start, with its own sender, with several databases, and in users' tests."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

import ldv_otel as ldv
from ldv_otel import testing
from ldv_otel._internal.delivery.durable import DurableDelivery
from ldv_otel._internal.delivery.outbox import sender as sending
from ldv_otel._internal.sdk.health import Health, with_outboxes
from ldv_otel._internal.sdk.outbox.installed import InstalledOutboxes
from ldv_otel.testing import InMemoryLogboek
from tests.sdk.conftest import ACTIVITY
from tests.sdk.outbox.conftest import Service
from tests.support.postgresql import PostgresqlServer

CHANGE = text("INSERT INTO kenteken (nummer) VALUES ('A')")


def installed(engine: Engine, base: Path, sink: InMemoryLogboek) -> InstalledOutboxes:
    """An outbox as `install()` makes it, with a sender."""
    delivery = DurableDelivery(InMemoryLogboek(), base / "spool")
    return InstalledOutboxes([ldv.outbox.sqlalchemy(engine)], delivery, lambda _: (), lambda: sink)


def test_tables_of_a_newer_format_stop_the_start(engine: Engine, tmp_path: Path) -> None:
    """The message says which database, and what to do; nothing listens."""
    store = ldv.outbox.sqlalchemy(engine).store()
    store.apply()
    store.close()
    with engine.begin() as connection:
        connection.execute(text("UPDATE ldv_outbox_format SET format = 7"))
    with pytest.raises(ldv.ConfigurationError, match=r"format 7.*left alone.*Upgrade.*Logging did not start"):
        installed(engine, tmp_path, InMemoryLogboek()).open()


def test_missing_tables_are_waited_for(engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A migration may be what the process is for; the log names the command."""
    outboxes = installed(engine, tmp_path, InMemoryLogboek())
    with caplog.at_level(logging.WARNING):
        outboxes.open()
    outboxes.close()
    assert "ldv outbox apply" in caplog.text


def test_a_database_that_is_away_does_not_stop_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither does it in a log line hold a password."""
    pytest.importorskip("psycopg")
    engine = create_engine(f"postgresql+psycopg://ldv:geheim@/zaken?host={tmp_path}")
    outboxes = installed(engine, tmp_path, InMemoryLogboek())
    with caplog.at_level(logging.WARNING):
        outboxes.open()
    outboxes.close()
    assert "cannot be reached" in caplog.text
    assert "geheim" not in caplog.text


def test_its_own_sender_delivers(
    engine: Engine, tmp_path: Path, backend: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without anybody asking, soon after the commit; and `health()` counts it."""
    del backend
    monkeypatch.setattr(sending, "_GATHER_SECONDS", 0.01)
    service = Service(tmp_path, ldv.outbox.sqlalchemy(engine, sends=False))
    sink = InMemoryLogboek()
    outboxes = InstalledOutboxes(
        [ldv.outbox.sqlalchemy(engine)], service.delivery, service.processor.records_so_far, lambda: sink
    )
    outboxes.open()
    service.processor.outboxes = outboxes
    with Session(engine) as session, session.begin(), ldv.processing(ACTIVITY, name="Snel"):
        session.execute(CHANGE)
    deadline = time.monotonic() + 30
    while not sink.logregels and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [record.name for record in sink.logregels] == ["Snel"]
    assert outboxes.flush(30)
    health = with_outboxes(Health(installed=True), outboxes.health())
    assert (health.confirmed, health.pending, health.quarantined, health.ok) == (1, 0, 0, True)
    assert health.outbox is not None
    assert list(health.outbox.databases) == [ldv.outbox.sqlalchemy(engine).name]
    outboxes.close()
    service.close()


def test_several_databases(tmp_path: Path, backend: object) -> None:
    """An outbox each: the open one is taken, and one is named where both are open."""
    del backend
    engines = [create_engine(f"sqlite:///{tmp_path / name}.db") for name in ("zaken", "personen")]
    for engine in engines:
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE kenteken (nummer varchar(20))"))
    service = Service(tmp_path, *(ldv.outbox.sqlalchemy(engine, sends=False) for engine in engines))
    cases, persons = engines
    with persons.begin() as connection, ldv.processing(ACTIVITY, name="Personen"):
        connection.execute(CHANGE)
    with cases.begin() as connection, persons.begin():
        with pytest.raises(ldv.ConfigurationError, match="2 transactions"), ldv.processing(ACTIVITY):
            pass
        with ldv.processing(ACTIVITY, name="Zaken", outbox=connection):
            connection.execute(CHANGE)
    assert service.logged() == ([("Personen", "Unset"), ("Zaken", "Unset")], [])
    for engine in engines:
        engine.dispose()
    service.close()


def test_the_rights_that_the_page_names_are_enough(
    postgresql: PostgresqlServer, tmp_path: Path, backend: object
) -> None:
    """An application that may only insert commits its records, and cannot read them."""
    del backend
    database = postgresql.new_database()
    owner = create_engine(postgresql.url(database))
    store = ldv.outbox.sqlalchemy(owner).store()
    store.apply()
    store.close()
    with owner.begin() as connection:
        for statement in (
            "CREATE TABLE kenteken (nummer varchar(20))",
            "DROP ROLE IF EXISTS applicatie",
            "CREATE ROLE applicatie LOGIN",
            "GRANT INSERT ON kenteken, ldv_outbox TO applicatie",
            "GRANT SELECT ON ldv_outbox_format TO applicatie",
        ):
            connection.execute(text(statement))
    service = Service(tmp_path, ldv.outbox.sqlalchemy(owner, sends=False))
    application = create_engine(postgresql.url(database).replace("ldv@", "applicatie@"))
    outboxes = InstalledOutboxes(
        [ldv.outbox.sqlalchemy(application, sends=False)],
        service.delivery,
        service.processor.records_so_far,
        InMemoryLogboek,
    )
    outboxes.open()
    service.processor.outboxes = outboxes
    with application.begin() as connection, ldv.processing(ACTIVITY, name="Alleen erbij"):
        connection.execute(CHANGE)
    with application.connect() as connection, pytest.raises(Exception, match="permission denied"):
        connection.execute(text("SELECT payload FROM ldv_outbox"))
    assert service.logged() == ([("Alleen erbij", "Unset")], [])
    application.dispose()
    owner.dispose()
    service.close()


def test_users_tests_need_no_database() -> None:
    """`testing.logboek()` takes an Actie that names its session, and one that does not."""
    with testing.logboek() as logboek:
        with ldv.processing(ACTIVITY, name="Een", outbox=object()):
            pass
        with ldv.processing(ACTIVITY, name="Twee"):
            pass
    assert [record.name for record in logboek.logregels] == ["Een", "Twee"]


def test_an_outbox_after_logging_was_set_up(tmp_path: Path) -> None:
    """As under `opentelemetry-instrument`: the first `install()` with one adds it; until then naming one is refused."""
    script = """
import sys
import ldv_otel as ldv
from sqlalchemy import create_engine
ldv.install()
try:
    ldv.processing("https://register.example/a", outbox=object()).__enter__()
except ldv.ConfigurationError as error:
    assert "install(outbox=...)" in str(error), error
engine = create_engine(sys.argv[1])
outbox = ldv.outbox.sqlalchemy(engine)
store = outbox.store(); store.apply(); store.close()
ldv.install(outbox=outbox)
ldv.install(outbox=outbox)
with engine.begin(), ldv.processing("https://register.example/a", name="Later"):
    pass
assert ldv.force_flush(60)
health = ldv.health()
assert (health.confirmed, health.ok, len(health.outbox.databases)) == (1, True, 1), health
"""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "OTEL_"))}
    result = subprocess.run(
        [sys.executable, "-c", script, f"sqlite:///{tmp_path / 'application.db'}"],
        env={**clean, "LDV_LOGBOEK": f"chdb://{tmp_path}/logboek", "LDV_STATE": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
