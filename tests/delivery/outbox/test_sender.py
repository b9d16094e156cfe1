"""Senders of an outbox: what is committed is sent once, whatever happens to a sender."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.delivery.outbox import sender as sender_module
from ldv_otel._internal.delivery.outbox.addresses import store_at
from ldv_otel._internal.delivery.outbox.sender import OutboxSender, retry_refused
from ldv_otel._internal.delivery.outbox.store import OutboxAway, OutboxFormat, OutboxStore
from ldv_otel._internal.delivery.sink import SinkTraits
from ldv_otel.errors import BatchRefused, ConfigurationError, LogboekUnavailable
from ldv_otel.testing import InMemoryLogboek
from tests.delivery.outbox.conftest import Database, record


class Refusing(InMemoryLogboek):
    """Refuses records of these names as data, for as long as they are in the list."""

    def __init__(self, *refused: str) -> None:
        super().__init__()
        self.refused = set(refused)

    def send(self, batch: Batch) -> None:
        """Store a batch, or nothing of it."""
        if any(logregel.name in self.refused for logregel in batch.logregels):
            raise BatchRefused("this record is refused")
        super().send(batch)


def names(sink: InMemoryLogboek) -> list[int]:
    """What is stored."""
    return sorted(int(logregel.name) for logregel in sink.logregels)


def test_what_is_committed_is_sent_once_and_removed(database: Database) -> None:
    """In batches of the size that the sink wants, with places that follow one another."""
    database.commit(*([record(number)] for number in range(25)), [record(number) for number in range(25, 300)])
    sink = InMemoryLogboek(traits=SinkTraits(batch_records=40))
    state = OutboxSender(sink, database.store()).run_once()
    assert names(sink) == list(range(300))
    assert (state.confirmed, state.waiting, state.in_batches, state.oldest_ms) == (300, 0, 0, None)
    batches = list(sink._batches.values())
    assert max(len(batch.seqs) for batch in batches) == 40
    assert sorted(seq for batch in batches for seq in batch.seqs) == list(range(300))
    assert len({batch.writer_id for batch in batches}) == 1
    assert OutboxSender(sink, database.store()).run_once().confirmed == 0


def test_several_senders_share_an_outbox(database: Database) -> None:
    """Each record is sent by one of them, under a place of its own."""
    database.commit(*([record(number)] for number in range(400)))
    sinks = [InMemoryLogboek(traits=SinkTraits(batch_records=10)) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        sent = [pool.submit(OutboxSender(sink, store_at(database.address)).run_once) for sink in sinks]
        assert sum(each.result().confirmed for each in sent) == 400
    assert sorted(number for sink in sinks for number in names(sink)) == list(range(400))
    places = [(batch.writer_id, seq) for sink in sinks for batch in sink._batches.values() for seq in batch.seqs]
    assert len(places) == len(set(places)) == 400


def test_a_batch_of_a_dead_sender_is_taken_over_and_read_back_first(database: Database) -> None:
    """The same block under the same token; what is there already is not sent again."""
    database.commit([record(1)], [record(2)])
    sink = InMemoryLogboek()
    dead = database.store()
    assert dead.claim("dead", "deadbeefdeadbeef", 0, most_rows=10, batch_records=10) == 2
    frozen = dead.take("dead")
    assert frozen is not None
    assert not frozen.sent_before
    # It sent them, and died before it could note that.
    sink.open()
    logregels = (record(1), record(2))
    sink.send(Batch(writer_id=frozen.writer_id, seqs=(0, 1), logregels=logregels, payloads=tuple(frozen.payloads)))
    waiting = OutboxSender(sink, database.store()).run_once()
    assert (waiting.in_batches, waiting.confirmed) == (2, 0)
    database.end_leases()
    sends: list[Batch] = []
    sink.send = sends.append  # type: ignore[method-assign, assignment]
    taken_over = OutboxSender(sink, database.store()).run_once()
    assert (taken_over.taken_over, taken_over.confirmed, taken_over.in_batches) == (1, 2, 0)
    assert sends == []
    assert names(sink) == [1, 2]


def test_a_lease_that_another_has_is_not_renewed(database: Database) -> None:
    """The first lets go of the batch; the second removes it, which the first may do too."""
    database.commit([record(1)])
    first, second = database.store(), database.store()
    first.claim("first", "00000000000000aa", 0, most_rows=10, batch_records=10)
    frozen = first.take("first")
    assert frozen is not None
    assert first.renew("first", frozen)
    assert second.take("second") is None
    database.end_leases()
    assert second.take("second") is not None
    assert not first.renew("first", frozen)
    second.settle(frozen, [])
    first.settle(frozen, [])
    assert database.store().backlog().in_batches == 0


def test_a_refused_record_is_kept_apart_and_can_be_sent_again(database: Database) -> None:
    """Found by halving, with its reason; the others pass, and later it fills the place that it left."""
    database.commit(*([record(number)] for number in range(20)))
    sink = Refusing("7")
    state = OutboxSender(sink, database.store()).run_once()
    assert (state.confirmed, state.refused) == (19, 1)
    assert names(sink) == [number for number in range(20) if number != 7]
    (refused,) = database.store().refused()
    assert (refused.seq, refused.reason) == (7, "this record is refused")
    assert retry_refused(sink, database.store()) == (0, 1)
    sink.refused.clear()
    assert retry_refused(sink, database.store()) == (1, 0)
    assert names(sink) == list(range(20))
    assert database.store().refused() == []


def test_bytes_that_are_no_record_are_refused(database: Database) -> None:
    """Whoever put them there; what is beside them is sent."""
    database.commit([record(1)])
    database.execute("INSERT INTO ldv_outbox (format, records, payload) VALUES (1, 1, %s)", b"rubbish")
    sink = InMemoryLogboek()
    state = OutboxSender(sink, database.store()).run_once()
    assert (names(sink), state.refused) == ([1], 1)
    assert "not a Logregel" in database.store().refused()[0].reason


def test_an_outage_of_the_logboek(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records wait in their frozen batch, the lease is renewed, and the state says why."""
    monkeypatch.setattr(sender_module, "_GATHER_SECONDS", 0.01)
    sink = InMemoryLogboek()
    sink.failures += [LogboekUnavailable("away", in_doubt=False) for _ in range(3)]
    sender = OutboxSender(sink, database.store())
    assert sender.start()
    database.commit([record(1)])
    sender.note_commit()
    assert sender.flush(30)
    assert names(sink) == [1]
    assert sender.state.retried >= 3
    sender.stop(10)


def test_a_sender_goes_on_when_the_database_was_away(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says so meanwhile."""
    monkeypatch.setattr(sender_module, "_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(sender_module, "_LOOK_SECONDS", 0.02)
    good = database.store()
    failures = iter(range(3))

    def connect() -> object:
        if next(failures, None) is not None:
            raise OSError("no route to host")
        return good._connect()

    sink = InMemoryLogboek()
    sender = OutboxSender(sink, OutboxStore(good.dialect, connect))
    database.commit([record(1)])
    sender.start()
    deadline = time.monotonic() + 30
    while names(sink) != [1] and time.monotonic() < deadline:
        time.sleep(0.02)
    sender.stop(10)
    assert names(sink) == [1]


def test_a_stopped_sender_leaves_what_it_cannot_send(database: Database) -> None:
    """In the database, for the next one; nothing is lost with the process."""
    sink = InMemoryLogboek()
    sink.failures += [LogboekUnavailable("away", in_doubt=False) for _ in range(50)]
    database.commit([record(1)])
    with pytest.raises(OutboxAway, match="did not take everything"):
        OutboxSender(sink, database.store()).run_once()
    database.end_leases()
    sink.failures.clear()
    OutboxSender(sink, database.store()).run_once()
    assert names(sink) == [1]


def test_tables_of_a_newer_format_are_left_alone(database: Database) -> None:
    """With an error that says what to do; no row is read or written."""
    database.commit([record(1)])
    database.execute("UPDATE ldv_outbox_format SET format = 2")
    store = database.store()
    for use in (store.check, store.apply, store.backlog, store.refused, lambda: store.take("a")):
        with pytest.raises(OutboxFormat, match="format 2, and this ldv_otel knows 1"):
            use()
    with pytest.raises(OutboxFormat, match="Upgrade ldv_otel"):
        OutboxSender(InMemoryLogboek(), database.store()).run_once()
    assert database.execute("SELECT count(*) FROM ldv_outbox")[0][0] == 1


def test_tables_that_are_missing(database: Database) -> None:
    """Are named with the command that makes them; making them twice changes nothing."""
    database.commit([record(1)])
    database.store().apply()
    assert database.store().backlog().waiting == 1
    for table in ("ldv_outbox_format", "ldv_outbox"):
        database.execute(f"DROP TABLE {table}")
    with pytest.raises(OutboxFormat, match="ldv outbox apply"):
        database.store().check()


def test_a_claim_of_which_nothing_is_known_uses_up_its_places(database: Database) -> None:
    """The connection breaks in COMMIT: the sender goes on as another writer, and never gives a place twice."""
    database.commit([record(1)])
    sink = InMemoryLogboek()
    sender = OutboxSender(sink, database.store())
    first = sender._writer_id
    claim = sender._store.claim

    def claims_and_breaks(*args: object, **kwargs: object) -> int:
        claim(*args, **kwargs)  # type: ignore[arg-type]
        sender._store.claim = claim  # type: ignore[method-assign]
        raise OutboxAway("the connection broke")

    sender._store.claim = claims_and_breaks  # type: ignore[method-assign]
    with pytest.raises(OutboxAway):
        sender.run_once()
    database.commit([record(2)])
    sender.run_once()
    assert names(sink) == [1, 2]
    places = {(batch.writer_id, seq) for batch in sink._batches.values() for seq in batch.seqs}
    assert len(places) == 2
    assert {writer for writer, _ in places} == {first, sender._writer_id}


def test_a_reader_of_the_backlog_does_not_wait_for_a_writer(database: Database) -> None:
    """The application may be in a transaction for long."""
    store = database.store()
    with store._transaction() as cursor:
        cursor.execute(store.dialect.insert, (1, b""))
        assert database.store().backlog().waiting == 0


def test_addresses(tmp_path: Path) -> None:
    """What is none is refused with what it should be; a database is never made by accident."""
    with pytest.raises(ConfigurationError, match="sqlite:///PATH"):
        store_at("mysql://localhost/x")
    with pytest.raises(ConfigurationError, match="no SQLite database"):
        store_at(f"sqlite:///{tmp_path / 'typo.db'}")
    assert not list(tmp_path.iterdir())
    with pytest.raises(OutboxAway, match="cannot be reached"):
        store_at(f"postgresql://ldv:geheim@/x?host={tmp_path}").check()


def test_a_restored_database_loses_nothing(tmp_path: Path) -> None:
    """Its senders give other places than those of before: a place that was used would be taken for stored already."""
    path, backup = tmp_path / "application.db", tmp_path / "backup.db"
    path.touch()
    database = Database(f"sqlite:///{path}")
    sink = InMemoryLogboek()
    database.commit([record(1)])
    database.close()
    shutil.copy(path, backup)
    OutboxSender(sink, database.store()).run_once()
    database.commit([record(2)])
    OutboxSender(sink, database.store()).run_once()
    database.close()
    shutil.copy(backup, path)
    database.commit([record(3)])
    OutboxSender(sink, database.store()).run_once()
    database.close()
    # What had been sent before the restore is sent once more, under another place.
    assert names(sink) == [1, 1, 2, 3]
    places = [(batch.writer_id, seq) for batch in sink._batches.values() for seq in batch.seqs]
    assert len(places) == len(set(places)) == 4
