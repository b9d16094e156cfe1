"""The key that seals: where it is, that it is made only where nobody could miss another one, and what is said of it."""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.errors import translated
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.seal_key import new_signer, seal_status, sealed_with, signer_for
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.verification.verify import verify
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings, read_settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.delivery.durable import DurableDelivery
from ldv_otel._internal.delivery.level import Delivery
from ldv_otel._internal.delivery.memory import MemoryDelivery
from ldv_otel._internal.sdk.health import Health, health_of
from ldv_otel._internal.tamper.key_place import seal_key_file
from ldv_otel._internal.tamper.signing_key import read_signer
from ldv_otel.errors import ConfigurationError
from tests.clickhouse.conftest import empty_store
from tests.clickhouse.test_verify import record

EMBEDDED = LogboekAddress(scheme="chdb", path="/srv/logboek")
SERVER = LogboekAddress(scheme="clickhouse+https", host="server.example")


@pytest.fixture
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """A Logboek that was never sealed, and a key file for pseudonyms that says where the key belongs."""
    with empty_store("chdb", request) as settings:
        apply_schema(settings)
        yield msgspec.structs.replace(settings, keys=tmp_path / "keys.json")


def send(settings: Settings, count: int = 2) -> ClickHouseSink:
    """Store a batch as a process does; return its sink, closed."""
    sink = ClickHouseSink(settings)
    sink.open()
    sink.send(number_batch(new_writer_id(), 0, [record(number) for number in range(count)]))
    sink.close()
    return sink


def found(settings: Settings) -> list[tuple[str, int]]:
    """What a check says, whoever sealed."""
    with LogboekClient(settings) as client:
        return [(each.kind.value, each.records) for each in verify(client).findings]


def test_the_key_is_beside_that_of_pseudonyms() -> None:
    """Unless a setting names it; and nowhere when nothing is sealed."""
    assert seal_key_file(Settings(logboek=EMBEDDED)) == Path("/srv/logboek.seal.key")
    assert seal_key_file(Settings(logboek=SERVER, keys=Path("/etc/ldv/keys"))) == Path("/etc/ldv/keys.seal.key")
    assert seal_key_file(Settings(logboek=EMBEDDED, seal_key=Path("/a"))) == Path("/a")
    assert seal_key_file(Settings(logboek=SERVER)) is None
    off = read_settings({"LDV_LOGBOEK": "chdb:///srv/logboek", "LDV_SEAL": "0", "LDV_SEAL_KEY": "/a"})
    assert seal_key_file(off) is None


def test_a_new_logboek_is_sealed_with_nothing_configured(fresh: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """From the first record, with a key for its owner only, whose public key is shown once."""
    sink = send(fresh)
    path = seal_key_file(fresh)
    assert path is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = str(read_signer(path, "LDV_SEAL_KEY").key)
    send(fresh)
    assert (sink.seal_state.key, sink.seal_state.problem, sink.seal_state.unsealed) == (key, "", 0)
    assert [key in line for line in caplog.messages] == [True]
    assert found(fresh) == []


def test_what_was_stored_before_sealing_is_not_called_tampering(fresh: Settings) -> None:
    """An older Logboek: its rows are not sealed, and those from now on are."""
    send(msgspec.structs.replace(fresh, seal=False), 3)
    send(fresh)
    assert found(fresh) == [("not sealed", 3)]
    with LogboekClient(fresh) as client:
        assert verify(client).ok


def test_a_lost_key_is_not_replaced_in_silence(fresh: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """Logging goes on unsealed, which an error, the state and the status say, once each; a person makes the new key."""
    path = seal_key_file(fresh)
    assert path is not None
    send(fresh)
    old = read_signer(path, "LDV_SEAL_KEY").key
    path.rename(path.with_name("copy"))
    caplog.clear()
    sink = ClickHouseSink(fresh)
    for _ in range(2):
        sink.open()
        sink.send(number_batch(new_writer_id(), 0, [record(9)]))
        sink.close()
    assert not path.exists()
    assert sink.seal_state.unsealed == 2
    assert "was sealed before" in sink.seal_state.problem
    assert [line.levelno for line in caplog.records] == [logging.ERROR]
    with LogboekClient(fresh) as client:
        status = seal_status(fresh, client)
    assert (status.key, status.problem) == ("", sink.seal_state.problem)
    assert found(fresh) == [("not sealed", 1)] * 2
    new = new_signer(fresh).key
    send(fresh)
    with LogboekClient(fresh) as client:
        kinds = [each.kind.value for each in verify(client, keys=[old.public]).findings]
        assert "unknown key" in kinds
        assert "unknown key" in [each.kind.value for each in verify(client, keys=[new.public]).findings]
        assert verify(client, keys=[old.public, new.public]).ok
    with pytest.raises(ConfigurationError, match="No new one was made"):
        new_signer(fresh)


def test_a_key_that_comes_back_is_used_by_the_process_that_missed_it(
    fresh: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked for again after a while: here at once."""
    path = seal_key_file(fresh)
    assert path is not None
    send(fresh)
    path.rename(path.with_name("copy"))
    sink = ClickHouseSink(fresh)
    sink.open()
    writer = new_writer_id()
    sink.send(number_batch(writer, 0, [record(0)]))
    path.with_name("copy").rename(path)
    monkeypatch.setattr("ldv_otel._internal.clickhouse.sealing._SEARCH_SECONDS", 0.0)
    sink.send(number_batch(writer, 1, [record(1)]))
    assert (sink.seal_state.problem, sink.seal_state.unsealed) == ("", 1)
    # And one that goes later is not missed by a process that has it.
    path.unlink()
    sink.close()
    sink.open()
    sink.send(number_batch(writer, 2, [record(2)]))
    sink.close()
    assert sink.seal_state.unsealed == 1
    assert found(fresh) == [("not sealed", 1)]


def test_a_machine_without_a_place_for_a_key_says_so(fresh: Settings) -> None:
    """A server Logboek without any key file."""
    nowhere = Settings(logboek=SERVER)
    with LogboekClient(fresh) as client, pytest.raises(ConfigurationError, match="no place for a key"):
        signer_for(nowhere, client)
    assert "no place for a key" in seal_status(nowhere, None).problem
    assert seal_status(msgspec.structs.replace(nowhere, seal=False), None).problem == ""


def test_an_account_that_may_not_look_makes_no_key(fresh: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of roles that were made before sealing: it is said what to do."""
    with LogboekClient(fresh) as client:

        def refused(_: Sql) -> list[tuple[str]]:
            with translated(client.address):
                raise ConfigurationError("Not enough privileges.")

        monkeypatch.setattr(client, "rows", refused)
        with pytest.raises(ConfigurationError, match="ldv schema roles --apply"):
            sealed_with(client)
    path = seal_key_file(fresh)
    assert path is not None
    assert not path.exists()


def test_health_says_how_records_are_sealed(fresh: Settings, tmp_path: Path) -> None:
    """The public key; and when the key is lost, why and how many records have no seal. Both levels ask their sink."""

    def health(spool: str = "") -> Health:
        sink = ClickHouseSink(fresh)
        delivery: Delivery = DurableDelivery(sink, tmp_path / spool) if spool else MemoryDelivery(sink, queue_records=9)
        delivery.submit(record(1))
        assert delivery.shutdown(30.0)
        return health_of(delivery.stats(), logboek="", flags={})

    keys = seal_key_file(fresh)
    assert keys is not None
    sealing = health()
    assert sealing.seal_key == str(read_signer(keys, "LDV_SEAL_KEY").key)
    assert (sealing.seal_problem, sealing.unsealed, sealing.ok) == ("", 0, True)
    keys.unlink()
    for lost in (health(), health("spool")):
        assert "was sealed before" in lost.seal_problem
        assert (lost.seal_key, lost.unsealed, lost.ok) == ("", 1, True)
