"""Records that commit in a transaction of SQLAlchemy, with sessions and with connections."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.orm import Session, sessionmaker

import ldv_otel as ldv
from ldv_otel._internal.delivery.outbox.sender import OutboxSender
from ldv_otel.attributes import OUTCOME_OF, ROLLED_BACK
from ldv_otel.testing import InMemoryLogboek
from tests.sdk.conftest import ACTIVITY, OTHER
from tests.sdk.outbox.conftest import Service

BSN, OTHER_BSN = "123456782", "999990019"
CHANGE = text("INSERT INTO kenteken (nummer) VALUES (:nummer)")


class Undone(Exception):
    """What the application rolls back for."""


@pytest.fixture(params=["nothing", "record"])
def service(request: pytest.FixtureRequest, engine: Engine, tmp_path: Path, backend: object) -> Iterator[Service]:
    """A service that logs nothing of what was rolled back, or a record with status Error."""
    del backend
    service = Service(tmp_path, ldv.outbox.sqlalchemy(engine, on_rollback=request.param, sends=False))
    yield service
    service.close()


def change(where: Any, nummer: str) -> None:
    """What the application is about."""
    where.execute(CHANGE, {"nummer": nummer})


def changes(engine: Engine) -> list[str]:
    """What the application did."""
    with engine.connect() as connection:
        return sorted(connection.execute(text("SELECT nummer FROM kenteken")).scalars())


def undone(service: Service, *names: str) -> list[tuple[str, str]]:
    """What is logged by the spool of Acties whose transaction was undone."""
    return [(name, "Error") for name in names] if service.outboxes[0].on_rollback == "record" else []


def test_a_committed_actie_is_one_record(engine: Engine, service: Service) -> None:
    """By the outbox, with its data subject, and not before the commit."""
    with Session(engine) as session, session.begin():
        with ldv.processing(ACTIVITY, name="Wijzig kenteken"):
            ldv.data_subject(BSN, type="BSN")
            change(session, "AB-12-CD")
        assert changes(engine) == []
        assert not service.waiting()
    assert service.logged() == ([("Wijzig kenteken", "Unset")], [])
    assert service.committed()[0].data_subject_id == service.pseudonym(BSN)
    assert changes(engine) == ["AB-12-CD"]


def test_a_rolled_back_actie_is_no_record_or_one_with_error(engine: Engine, service: Service) -> None:
    """Never a record of what did not happen."""
    with suppress(Undone), Session(engine) as session, session.begin():
        with ldv.processing(ACTIVITY, name="Wijzig kenteken"):
            change(session, "AB-12-CD")
        raise Undone
    assert service.logged() == ([], undone(service, "Wijzig kenteken"))
    assert [record.attributes[ROLLED_BACK] for record in service.spooled()] == ["true"] * len(service.spooled())
    assert changes(engine) == []
    assert service.installed.health().rolled_back == 1


def test_a_session_that_is_closed_without_commit(engine: Engine, service: Service) -> None:
    """Is rolled back, and so is what is on a connection that is closed."""
    with Session(engine) as session:
        session.begin()
        with ldv.processing(ACTIVITY, name="Sessie"):
            change(session, "A")
    with engine.connect() as connection:
        connection.begin()
        with ldv.processing(ACTIVITY, name="Verbinding"):
            change(connection, "B")
    assert service.logged() == ([], undone(service, "Sessie", "Verbinding"))


def test_an_exception_in_the_block(engine: Engine, service: Service) -> None:
    """Gives its record with status Error by the spool, and nothing goes into the transaction, which may be doomed."""
    with suppress(Undone), Session(engine) as session, session.begin(), ldv.processing(ACTIVITY, name="Mislukt"):
        change(session, "A")
        raise Undone
    with Session(engine) as session, session.begin(), suppress(Undone), ldv.processing(ACTIVITY, name="Toch"):
        change(session, "B")
        raise Undone
    assert service.logged() == ([], [("Mislukt", "Error"), ("Toch", "Error")])
    assert changes(engine) == ["B"]


def test_savepoints(engine: Engine, service: Service) -> None:
    """A record is in the savepoint that is open at the end of its block, and goes with it."""
    with Session(engine) as session, session.begin():
        with ldv.processing(ACTIVITY, name="Ervoor"):
            change(session, "A")
        outer = session.begin_nested()
        with ldv.processing(ACTIVITY, name="Buiten"):
            change(session, "B")
        with session.begin_nested(), ldv.processing(ACTIVITY, name="Vrijgegeven"):
            change(session, "C")
        outer.rollback()
        with session.begin_nested(), ldv.processing(ACTIVITY, name="Blijft"):
            change(session, "D")
        inner = session.begin_nested()
        with ldv.processing(ACTIVITY, name="Weg"):
            change(session, "E")
        inner.rollback()
    assert service.logged() == (
        [("Blijft", "Unset"), ("Ervoor", "Unset")],
        undone(service, "Buiten", "Vrijgegeven", "Weg"),
    )
    assert changes(engine) == ["A", "D"]


def test_a_savepoint_that_was_there_before_the_first_actie(engine: Engine, service: Service) -> None:
    """Is around it all the same; also where the driver of SQLite begins with the first change."""
    with Session(engine) as session, session.begin():
        change(session, "A")
        outer = session.begin_nested()
        with session.begin_nested(), ldv.processing(ACTIVITY, name="Weg"):
            change(session, "B")
        outer.rollback()
        with ldv.processing(ACTIVITY, name="Blijft"):
            change(session, "C")
    assert service.logged() == ([("Blijft", "Unset")], undone(service, "Weg"))
    assert changes(engine) == ["A", "C"]


def test_nested_acties(engine: Engine, service: Service) -> None:
    """Each has its record in the same transaction, the inner one below the outer."""
    with engine.begin() as connection, ldv.processing(ACTIVITY, name="Buiten") as outer:
        with ldv.processing(OTHER, name="Binnen"):
            ldv.data_subject(BSN, type="BSN")
            ldv.data_subject(OTHER_BSN, type="BSN")
        change(connection, "A")
    assert service.logged() == ([("Binnen", "Unset"), ("Binnen", "Unset"), ("Buiten", "Unset")], [])
    parents = {record.parent_span_id.hex() for record in service.committed() if record.name == "Binnen"}
    assert outer.span_id in parents


def test_an_actie_that_runs_longer_than_its_transaction(engine: Engine, service: Service) -> None:
    """Its record commits with the change, as it was then; its end is an outcome below it, with a flag."""
    with Session(engine) as session:
        session.begin()
        with ldv.processing(ACTIVITY, name="Langer") as actie:
            ldv.data_subject(BSN, type="BSN")
            change(session, "A")
            session.commit()
            ldv.ok()
    (record,), (outcome,) = service.committed(), service.spooled()
    assert (record.name, record.status.label, record.span_id.hex()) == ("Langer", "Unset", actie.span_id)
    assert record.data_subject_id == service.pseudonym(BSN)
    assert record.start_time_ms <= record.end_time_ms <= outcome.end_time_ms
    assert (outcome.status.label, outcome.flags) == ("Ok", ("after_commit",))
    assert (outcome.attributes[OUTCOME_OF], outcome.parent_span_id) == (actie.span_id, record.span_id)
    assert outcome.span_id != record.span_id


def test_an_error_after_the_commit(engine: Engine, service: Service) -> None:
    """Is the outcome of the record that committed."""
    with suppress(Undone), Session(engine) as session:
        session.begin()
        with ldv.processing(ACTIVITY, name="Langer"):
            change(session, "A")
            session.commit()
            raise Undone
    assert service.logged() == ([("Langer", "Unset")], [("Langer", "Error")])
    assert OUTCOME_OF in service.spooled()[0].attributes


def test_a_rollback_in_the_block(engine: Engine, service: Service) -> None:
    """Is as one after it."""
    with Session(engine) as session:
        session.begin()
        with ldv.processing(ACTIVITY, name="Terug"):
            change(session, "A")
            session.rollback()
    assert service.logged() == ([], undone(service, "Terug"))


def test_without_a_transaction_the_block_is_not_entered(engine: Engine, service: Service) -> None:
    """The message names the ways out; `outbox=False` is one, and goes by the spool."""
    entered = False
    with pytest.raises(ldv.ConfigurationError, match=r"outbox=session.*outbox=False"), ldv.processing(ACTIVITY):
        entered = True
    assert not entered
    with ldv.processing(ACTIVITY, name="Zonder", outbox=False) as actie:
        pass
    actie.outcome()
    with engine.connect() as connection, pytest.raises(ldv.ConfigurationError, match="has no open transaction"):
        ldv.processing(ACTIVITY, outbox=connection).__enter__()
    assert service.logged() == ([], [("Zonder", "Ok"), ("Zonder", "Unset")])


def test_a_session_begins_by_itself_with_its_first_statement(engine: Engine, service: Service) -> None:
    """From then on it has a transaction; before that, a block has none."""
    with Session(engine) as session:
        change(session, "A")
        with ldv.processing(ACTIVITY, name="Later"):
            change(session, "B")
        session.commit()
    assert service.logged() == ([("Later", "Unset")], [])


def test_a_session_that_is_named_begins(engine: Engine, service: Service) -> None:
    """As many services do it: a session of the framework, and a commit inside the block; or one after it."""
    with Session(engine) as session:
        with ldv.processing(ACTIVITY, name="Binnen vastgelegd", outbox=session):
            change(session, "A")
            session.commit()
        with ldv.processing(ACTIVITY, name="Erna vastgelegd", outbox=session):
            change(session, "B")
        session.commit()
        with ldv.processing(ACTIVITY, name="Nooit vastgelegd", outbox=session):
            change(session, "C")
    committed = [("Binnen vastgelegd", "Unset"), ("Erna vastgelegd", "Unset")]
    assert service.logged() == (committed, sorted([committed[0], *undone(service, "Nooit vastgelegd")]))
    assert changes(engine) == ["A", "B"]


def test_autocommit_is_an_error_when_the_block_is_entered(engine: Engine, service: Service) -> None:
    """Of the engine, of a connection, of the driver."""
    del service
    entered = []
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection, connection.begin():
        for named in (None, connection):
            with (
                pytest.raises(ldv.ConfigurationError, match="commits each statement by itself"),
                ldv.processing(ACTIVITY, outbox=named),
            ):
                entered.append(named)
    assert not entered


def test_two_open_transactions_are_not_guessed_between(engine: Engine, service: Service) -> None:
    """The block is not entered until one is named."""
    with engine.connect() as audit, Session(engine) as session:
        reading = audit.begin()
        session.begin()
        with pytest.raises(ldv.ConfigurationError, match="2 transactions"), ldv.processing(ACTIVITY):
            pass
        with ldv.processing(ACTIVITY, name="Genoemd", outbox=session):
            change(session, "A")
        reading.rollback()
        session.commit()
    assert service.logged() == ([("Genoemd", "Unset")], [])


def test_a_session_of_another_database_is_none_of_ours(engine: Engine, service: Service, tmp_path: Path) -> None:
    """It is neither taken for the current one nor accepted by name."""
    elsewhere = create_engine(f"sqlite:///{tmp_path / 'elsewhere.db'}")
    with Session(elsewhere) as foreign, foreign.begin():
        with pytest.raises(ldv.ConfigurationError, match="No transaction"), ldv.processing(ACTIVITY):
            pass
        with pytest.raises(ldv.ConfigurationError, match="none of the databases"):
            ldv.processing(ACTIVITY, outbox=foreign).__enter__()
        with pytest.raises(ldv.ConfigurationError, match="none of the databases"):
            ldv.processing(ACTIVITY, outbox="session").__enter__()
        with Session(engine) as session, session.begin(), ldv.processing(ACTIVITY, name="Onze"):
            change(session, "A")
    elsewhere.dispose()
    assert service.logged() == ([("Onze", "Unset")], [])


def test_the_transaction_of_another_thread_or_task_is_not_taken(engine: Engine, service: Service) -> None:
    """It is used there; an Actie here says by name that it belongs to it."""
    refused: list[BaseException] = []

    def work() -> None:
        try:
            with ldv.processing(ACTIVITY):
                pass
        except ldv.ConfigurationError as error:
            refused.append(error)

    async def main() -> None:
        with Session(engine) as session, session.begin():
            change(session, "A")
            await asyncio.create_task(task())
            with ldv.processing(ACTIVITY, name="Deze taak"):
                change(session, "B")

    async def task() -> None:
        work()

    with Session(engine) as session, session.begin():
        change(session, "C")
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    asyncio.run(main())
    assert len(refused) == 2
    assert service.logged() == ([("Deze taak", "Unset")], [])


def test_levels_that_a_transaction_cannot_keep(engine: Engine, service: Service) -> None:
    """`confirmed` would wait for a record that has not committed."""
    del service
    with Session(engine) as session, session.begin(), pytest.raises(ldv.ConfigurationError, match="confirmed"):
        ldv.processing(ACTIVITY, delivery="confirmed").__enter__()


def test_a_database_that_refuses_the_record(engine: Engine, service: Service) -> None:
    """The application gets an error to roll back for, which quotes nothing; the Actie counts as undone."""
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE ldv_outbox"))
    with (
        pytest.raises(ldv.LogboekUnavailable, match="ldv outbox apply") as refused,
        Session(engine) as session,
        session.begin(),
        ldv.processing(ACTIVITY, name="Zonder tabel"),
    ):
        change(session, "A")
    assert refused.value.__cause__ is None
    assert changes(engine) == []
    assert service.installed.health().refused_writes == 1
    assert [(record.name, record.status.label) for record in service.spooled()] == undone(service, "Zonder tabel")


def test_a_commit_that_the_database_refuses(engine: Engine, service: Service) -> None:
    """A deferred constraint fails in COMMIT: nothing happened, and that is what is on record."""
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE soort (id integer PRIMARY KEY)"))
        connection.execute(
            text("CREATE TABLE auto (soort integer REFERENCES soort (id) DEFERRABLE INITIALLY DEFERRED)")
        )
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda driver, _: driver.execute("PRAGMA foreign_keys=ON"))
        engine.dispose()
    with (
        pytest.raises(sqlalchemy.exc.IntegrityError),
        Session(engine) as session,
        session.begin(),
        ldv.processing(ACTIVITY, name="Geweigerd"),
    ):
        session.execute(text("INSERT INTO auto VALUES (7)"))
    assert service.logged() == ([], undone(service, "Geweigerd"))


def test_a_connection_that_breaks_in_the_commit(engine: Engine, service: Service) -> None:
    """Nobody knows whether it committed: it is counted, and no record says that it did or did not."""
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no connection to a server")
    with engine.connect() as other, pytest.raises(sqlalchemy.exc.OperationalError), engine.begin() as connection:
        backend = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with ldv.processing(ACTIVITY, name="In twijfel", outbox=connection):
            change(connection, "A")
        other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": backend})
        other.rollback()
    assert service.installed.health().in_doubt == 1
    assert service.logged() == ([], [])
    assert changes(engine) == []


def test_a_connection_that_breaks_before_the_commit(engine: Engine, service: Service) -> None:
    """Is a rollback like any other: the database undid it."""
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no connection to a server")
    with (
        engine.connect() as other,
        pytest.raises(sqlalchemy.exc.OperationalError),
        Session(engine) as session,
        session.begin(),
    ):
        backend = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with ldv.processing(ACTIVITY, name="Weg", outbox=session):
            change(session, "A")
        other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": backend})
        other.rollback()
        change(session, "B")
    assert service.logged() == ([], undone(service, "Weg"))
    assert service.installed.health().in_doubt == 0


def test_sessionmaker_and_a_session_on_a_connection(engine: Engine, service: Service) -> None:
    """The usual ways to a session."""
    with sessionmaker(engine).begin() as session, ldv.processing(ACTIVITY, name="Maker"):
        change(session, "A")
    with engine.begin() as connection, Session(connection) as session, ldv.processing(ACTIVITY, name="Daarop"):
        change(session, "B")
        session.flush()
    with engine.begin() as connection, Session(connection) as session:
        change(session, "C")
        with ldv.processing(ACTIVITY, name="Samen"):
            session.flush()
        session.commit()
    names = [name for name, _ in service.logged()[0]]
    assert names == sorted({"Maker", "Daarop", "Samen"})


def test_a_decorated_function(engine: Engine, service: Service) -> None:
    """Each call belongs to the transaction that is open when it is made."""

    @ldv.processing(ACTIVITY)
    def wijzig_kenteken(session: Session) -> None:
        change(session, "A")

    with Session(engine) as session, session.begin():
        wijzig_kenteken(session)
        wijzig_kenteken(session)
    assert service.logged() == ([("Wijzig kenteken", "Unset")] * 2, [])


def test_two_phase_commit(engine: Engine, service: Service) -> None:
    """The record is prepared with the change, and commits with it."""
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no two-phase commit")
    try:
        with engine.connect() as connection:
            transaction = connection.begin_twophase()
            with ldv.processing(ACTIVITY, name="Twee fasen"):
                change(connection, "A")
            transaction.prepare()
            transaction.commit()
    except sqlalchemy.exc.OperationalError:
        pytest.skip("max_prepared_transactions is 0 on this server")
    assert service.logged() == ([("Twee fasen", "Unset")], [])


def test_many_people_in_one_actie(engine: Engine, service: Service) -> None:
    """A few rows hold them all; each is a record with a place of its own."""
    with Session(engine) as session, session.begin(), ldv.processing(ACTIVITY, name="Selectie"):
        for number in range(1_000):
            ldv.data_subject(f"K{number}", type="personeelsnummer")
    assert len(service.committed()) == 1_000
    sink = InMemoryLogboek()
    OutboxSender(sink, service.outboxes[0].store()).run_once()
    assert sink.logregels == []


def test_what_an_outbox_cannot_be_in() -> None:
    """Said when it is made: a database in memory, or of another kind, or nothing of SQLAlchemy."""
    with pytest.raises(ldv.ConfigurationError, match="in memory"):
        ldv.outbox.sqlalchemy(create_engine("sqlite://"))
    with pytest.raises(ldv.ConfigurationError, match="str"):
        ldv.outbox.sqlalchemy("sqlite://")  # type: ignore[arg-type]
    with pytest.raises(ldv.ConfigurationError, match="on_rollback"):
        ldv.outbox.sqlalchemy(create_engine("sqlite://"), on_rollback="always")  # type: ignore[arg-type]
