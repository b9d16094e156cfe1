"""A Logboek that has to be set up otherwise: the service starts, keeps its records, and goes on when it was."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema, migrations, schema_status
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import Batch, new_writer_id, number_batch
from ldv_otel._internal.delivery.durable import DurableDelivery, retry_quarantine
from ldv_otel._internal.delivery.spool.quarantine import QUARANTINE_NAME, Quarantine
from ldv_otel._internal.privacy.key_file import add_key
from ldv_otel._internal.sdk.processor import LdvSpanProcessor
from ldv_otel.errors import ConfigurationError, LogboekSetupError, SchemaError
from tests.support import faults
from tests.support.logboek import LogboekProcess, settings_at
from tests.torture.rig import hurry, record, wait_until

_databases = itertools.count()
_processes: list[LogboekProcess] = []


@pytest.fixture
def front(logboek_process: LogboekProcess) -> Iterator[faults.FaultFront]:
    """A front before the served Logboek."""
    _processes.append(logboek_process)
    with faults.FaultFront(logboek_process.port) as opened:
        yield opened


@pytest.fixture
def behind(front: faults.FaultFront) -> Settings:
    """A Logboek without tables, asked through the front."""
    return settings_at(front.port, f"set_up_{next(_databases)}")


def run(settings: Settings, *statements: str) -> None:
    """Do what an administrator does."""
    statements = tuple(each.replace("DB.", f"{settings.logboek.database}.") for each in statements)
    if statements[0].startswith(("DROP", "RENAME")):
        _processes[-1].directly(*statements)
        return
    with LogboekClient(settings, database="default") as client:
        for statement in statements:
            client.command(Sql.verbatim(statement))


def count(settings: Settings) -> int:
    """Rows that a reader sees."""
    with LogboekClient(settings) as client:
        return int(client.rows(Sql("SELECT count() FROM logregels"))[0][0])


def newer(settings: Settings) -> None:
    """Have another service, of a newer version, bring the tables up to date."""
    latest = migrations()[-1].version
    run(settings, f"INSERT INTO DB.ldv_schema (version, name) VALUES ({latest + 1}, 'newer')")


def no_longer_newer(settings: Settings) -> None:
    """Go back."""
    latest = migrations()[-1].version
    run(settings, f"ALTER TABLE DB.ldv_schema DELETE WHERE version > {latest} SETTINGS mutations_sync = 1")


Change = Callable[[Settings], object]


def drop_table(settings: Settings) -> None:
    """By mistake."""
    run(settings, "DROP TABLE DB.logregel SYNC")


def drop_database(settings: Settings) -> None:
    """By mistake."""
    run(settings, f"DROP DATABASE IF EXISTS {settings.logboek.database} SYNC")


#: What an administrator has done, and what the message says is to be done about it.
BROKEN: dict[str, tuple[Change, Change, str]] = {
    "no database": (drop_database, apply_schema, "ldv schema apply"),
    "no table": (drop_table, apply_schema, "ldv schema apply"),
    "no versions": (lambda settings: run(settings, "DROP TABLE DB.ldv_schema SYNC"), apply_schema, "ldv schema apply"),
    "newer tables": (newer, no_longer_newer, "Upgrade ldv_otel"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_service_starts_keeps_and_goes_on_by_itself(
    behind: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Each of these may pass without the service: it says so at the start, and records wait on disk."""
    hurry(monkeypatch)
    break_it, repair, advice = BROKEN[name]
    apply_schema(behind)
    break_it(behind)
    add_key(tmp_path / "keys.json")
    settings = msgspec.structs.replace(behind, spool=tmp_path / "spool", keys=tmp_path / "keys.json")
    processor = LdvSpanProcessor.from_settings(settings)
    assert advice in caplog.text
    assert "starts without its Logboek" in caplog.text
    processor.delivery.submit(record(1))
    assert not processor.delivery.flush(0.3)
    repair(behind)
    assert processor.delivery.flush(20)
    assert count(behind) == 1
    processor.shutdown()


@pytest.mark.parametrize("name", [name for name in BROKEN if name != "no database"])
def test_what_happens_while_it_runs_is_noticed_and_waited_out(
    behind: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Nothing is stored in tables that are not ours to write to, and nothing is quarantined."""
    hurry(monkeypatch)
    break_it, repair, advice = BROKEN[name]
    apply_schema(behind)
    delivery = DurableDelivery(ClickHouseSink(behind), tmp_path)
    delivery.submit(record(1))
    assert delivery.flush(20)
    time.sleep(1.1)
    break_it(behind)
    delivery.submit(record(2))
    wait_until(lambda: advice in caplog.text)
    assert not delivery.flush(0.3)
    repair(behind)
    assert delivery.flush(20)
    assert count(behind) == (1 if name == "no table" else 2)
    assert delivery.stats().quarantined == 0
    assert delivery.shutdown(5)


def test_errors_of_the_service_itself_still_stop_it(behind: Settings, tmp_path: Path) -> None:
    """What no administrator of the Logboek can change: no key, and level `memory`, where no record can wait."""
    with pytest.raises(ConfigurationError, match="LDV_KEYS"):
        LdvSpanProcessor.from_settings(Settings(logboek=behind.logboek, keys=tmp_path / "none.json"))
    add_key(tmp_path / "keys.json")
    with pytest.raises(LogboekSetupError):
        LdvSpanProcessor.from_settings(Settings(logboek=behind.logboek, keys=tmp_path / "keys.json", delivery="memory"))


@pytest.mark.parametrize("code", [81, 516, 60, 497])
def test_an_answer_that_an_administrator_can_change_is_waited_out(
    front: faults.FaultFront, behind: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """From the very first request on."""
    hurry(monkeypatch)
    apply_schema(behind)
    front.add(faults.server_error(code, 404, "MADE_UP"))
    add_key(tmp_path / "keys.json")
    settings = msgspec.structs.replace(behind, spool=tmp_path / "spool", keys=tmp_path / "keys.json")
    processor = LdvSpanProcessor.from_settings(settings)
    processor.delivery.submit(record(1))
    front.clear()
    assert processor.delivery.flush(20)
    processor.shutdown()


def test_dropped_tables_come_back_with_the_command(behind: Settings) -> None:
    """All of them, also those that only readers miss; what is there is left alone."""
    apply_schema(behind)
    with LogboekClient(behind) as client:
        before = schema_status(client)
    assert (before.missing, before.problem()) == ((), "")
    run(behind, "DROP TABLE DB.logregel SYNC", "DROP TABLE DB.ldv_term SYNC")
    with LogboekClient(behind) as client:
        broken = schema_status(client)
    assert broken.missing == ("ldv_term", "logregel")
    assert "`ldv schema apply`" in broken.problem()
    assert len(apply_schema(behind)) == len(migrations())
    with LogboekClient(behind) as client:
        assert schema_status(client) == before
    assert apply_schema(behind) == []


def test_a_table_of_a_cluster_is_not_made_as_a_local_one(behind: Settings) -> None:
    """Its name went with it, so the command has to be given it."""
    apply_schema(behind)
    run(behind, "RENAME TABLE DB.logregel TO DB.logregel_local")
    with pytest.raises(SchemaError, match=r"ldv schema apply --cluster NAME"):
        apply_schema(behind)


def test_a_quarantined_record_fills_its_own_gap_when_it_is_sent_again(
    behind: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No number of its writer stays missing, and a second run changes nothing."""
    hurry(monkeypatch)
    apply_schema(behind)
    run(behind, "ALTER TABLE DB.logregel ADD CONSTRAINT no_two CHECK seq != 2")
    delivery = DurableDelivery(ClickHouseSink(behind), tmp_path)
    for number in range(5):
        delivery.submit(record(number))
    assert not delivery.flush(20)
    delivery.shutdown(5)
    quarantine = Quarantine(tmp_path / QUARANTINE_NAME)
    assert [refused.seq for refused in quarantine.records()] == [2]

    def missing() -> int:
        with LogboekClient(behind) as client:
            return sum(writer.missing for writer in read.writers(client))

    assert missing() == 1
    assert retry_quarantine(ClickHouseSink(behind), tmp_path) == (0, 1)
    assert len(quarantine.records()) == 1
    run(behind, "ALTER TABLE DB.logregel DROP CONSTRAINT no_two")
    assert retry_quarantine(ClickHouseSink(behind), tmp_path) == (1, 0)
    assert retry_quarantine(ClickHouseSink(behind), tmp_path) == (0, 0)
    assert (missing(), count(behind), quarantine.records()) == (0, 5, [])


def test_a_batch_of_before_is_not_stored_in_newer_tables(behind: Settings) -> None:
    """Noticed before the next batch, not at the next start."""
    apply_schema(behind)
    sink = ClickHouseSink(behind)
    sink.open()
    sink.send(a_batch())
    newer(behind)
    time.sleep(1.1)
    with pytest.raises(SchemaError, match="Upgrade"):
        sink.send(a_batch())
    no_longer_newer(behind)
    sink.send(a_batch())
    sink.close()
    assert count(behind) == 2


def a_batch() -> Batch:
    """One record."""
    return number_batch(new_writer_id(), 0, [record(next(_databases))])
