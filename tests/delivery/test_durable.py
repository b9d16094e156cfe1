from __future__ import annotations

import errno
import itertools
import os
import shutil
import threading
import time
from pathlib import Path

import msgspec
import pytest

from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.delivery.durable import DurableDelivery, drain
from ldv_otel._internal.delivery.sink import SinkTraits
from ldv_otel._internal.delivery.spool.ownership import hold, remove_spool
from ldv_otel._internal.delivery.spool.progress import FrozenBatch, Progress
from ldv_otel._internal.delivery.spool.quarantine import QUARANTINE_NAME, Quarantine
from ldv_otel._internal.delivery.spool.reader import OrphanSpool
from ldv_otel._internal.delivery.spool.segment import SUFFIX
from ldv_otel._internal.delivery.spool.writer import SpoolWriter
from ldv_otel._internal.delivery.stats import DeliveryStats
from ldv_otel._internal.record.logregel import Logregel, decode_logregel, encode_logregel
from ldv_otel.errors import BatchRefused, ConfigurationError, LogboekUnavailable
from ldv_otel.testing import InMemoryLogboek

NOON = 1_750_000_000_000


def record(number: int, name: str = "") -> Logregel:
    """A record with a number."""
    return Logregel(
        trace_id=bytes(8) + (number + 1).to_bytes(8, "big"),
        span_id=(number + 1).to_bytes(8, "big"),
        name=name or str(number),
        start_time_ms=NOON,
        end_time_ms=NOON,
    )


def names(logboek: InMemoryLogboek) -> list[str]:
    """What was stored, in order."""
    return [logregel.name for logregel in logboek.logregels]


@pytest.fixture
def sink() -> InMemoryLogboek:
    """A Logboek that outlives deliveries."""
    return InMemoryLogboek()


def left_over(base: Path, count: int, **options: int) -> Path:
    """The spool of a process that died with records nobody sent."""
    spool = SpoolWriter(base, "0011223344556677", **options)
    for number in range(count):
        spool.append(encode_logregel(record(number)))
    spool.close()
    return spool.directory


@pytest.mark.parametrize("in_process", [True, False])
def test_the_end_waits_for_a_store_in_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, in_process: bool
) -> None:
    """One that ends in the middle of a call to it crashes; a server is waited for only so long."""
    sink = InMemoryLogboek(traits=SinkTraits(in_process=in_process))
    began, goes_on, ended = threading.Event(), threading.Event(), threading.Event()
    send = sink.send

    def slow(batch: Batch) -> None:
        began.set()
        assert goes_on.wait(20)
        send(batch)
        ended.set()

    monkeypatch.setattr(sink, "send", slow)
    delivery = DurableDelivery(sink, tmp_path)
    delivery.submit(record(1))
    assert not delivery.flush(0.0)
    assert began.wait(20)
    # It goes on while the end waits, if that does.
    later = threading.Timer(0.3, goes_on.set)
    later.start()
    delivery.shutdown(0.0, stop_seconds=0.01)
    assert ended.is_set() == in_process
    goes_on.set()
    assert ended.wait(20)
    later.join()


def test_what_was_submitted_arrives_and_the_spool_is_gone(tmp_path: Path, sink: InMemoryLogboek) -> None:
    """In order, once, and nothing is left on disk."""
    delivery = DurableDelivery(sink, tmp_path)
    for number in range(300):
        delivery.submit(record(number))
    assert delivery.flush(20)
    assert names(sink) == [str(number) for number in range(300)]
    assert delivery.shutdown(20)
    assert list(tmp_path.iterdir()) == []


def test_a_record_is_on_disk_when_submit_returns(tmp_path: Path, sink: InMemoryLogboek) -> None:
    """Before anything was sent: the bytes can be read from the files, which only their owner may read."""
    sink.failures.extend(LogboekUnavailable("away") for _ in range(1_000))
    delivery = DurableDelivery(sink, tmp_path)
    delivery.submit(record(7))
    (segment,) = tmp_path.rglob(f"*{SUFFIX}")
    assert encode_logregel(record(7)) in segment.read_bytes()
    assert segment.stat().st_mode & 0o777 == 0o600
    assert segment.parent.stat().st_mode & 0o777 == 0o700
    assert not delivery.flush(0.1)
    assert delivery.pending == 1
    delivery.shutdown(0.1)
    assert segment.exists()


def test_threads_commit_together(tmp_path: Path, sink: InMemoryLogboek) -> None:
    """Every record of every thread is there once, with a place of its own."""
    delivery = DurableDelivery(sink, tmp_path)

    def work(start: int) -> None:
        for number in range(start, start + 200):
            delivery.submit(record(number))

    threads = [threading.Thread(target=work, args=(start * 200,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert delivery.shutdown(20)
    assert sorted(map(int, names(sink))) == list(range(1_600))


def test_segments_follow_one_another(tmp_path: Path) -> None:
    """A full segment is followed by the next, and one that is confirmed is unlinked."""
    spool = SpoolWriter(tmp_path, "w" * 16, segment_bytes=4_096)
    for number in range(100):
        spool.append(encode_logregel(record(number)))
    assert len(list(tmp_path.rglob(f"*{SUFFIX}"))) > 2
    spool.append(b"x" * 100_000)
    spool.close()


def test_a_short_life_takes_little_disk(tmp_path: Path) -> None:
    """Where each task has a process there are thousands of spools to keep and to read; a long life has large ones."""
    spool = SpoolWriter(tmp_path, "0011223344556677")
    for number in range(40):
        spool.append(*[b"x" * 1_000] * 500)
        if not number:
            assert sum(path.stat().st_size for path in spool.directory.iterdir()) < 1 << 20
    spool.close()
    sizes = [path.stat().st_size for path in sorted(spool.directory.glob(f"*{SUFFIX}"))]
    assert sizes == sorted(sizes)
    assert sizes[0] <= 1 << 16
    assert sizes[-1] == 8 << 20


def test_the_next_segment_is_made_ahead(tmp_path: Path) -> None:
    """When half of one is used, while others commit; no record of either gets lost in between."""
    spool = SpoolWriter(tmp_path, "0011223344556677", segment_bytes=4_096)
    spool.prepare()
    assert len(list(spool.directory.glob(f"*{SUFFIX}"))) == 1, "nothing is used yet"
    stop = threading.Event()

    def prepare() -> None:
        while not stop.is_set():
            spool.prepare()

    ahead = threading.Thread(target=prepare)
    ahead.start()
    wanted = [b"x" * (number % 1_000 + 1) for number in range(300)]
    for payload in wanted:
        spool.append(payload)
    stop.set()
    ahead.join()
    spool.close()
    assert [record.payload for record in OrphanSpool(spool.directory).records()] == wanted


def test_the_spool_of_a_dead_process_is_adopted(tmp_path: Path, sink: InMemoryLogboek) -> None:
    """By any living process that logs to the same Logboek; the records keep their writer and their places."""
    directory = left_over(tmp_path, 50, segment_bytes=4_096)
    delivery = DurableDelivery(sink, tmp_path)
    delivery.start_draining()
    delivery.submit(record(1_000))
    wait_until(lambda: not directory.exists() and len(sink.logregels) == 51)
    assert sorted(map(int, names(sink))) == [*range(50), 1_000]
    batches = [batch for batch in sink._batches.values() if batch.writer_id == "0011223344556677"]
    assert [seq for batch in batches for seq in batch.seqs] == list(range(50))
    assert delivery.shutdown(20)


def test_a_busy_process_adopts_too(tmp_path: Path, sink: InMemoryLogboek, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that always has something of its own to send: what a dead process left is sent all the same."""
    directory = left_over(tmp_path, 50, segment_bytes=4_096)
    monkeypatch.setattr("ldv_otel._internal.delivery.drainer._GATHER_SECONDS", 0.0)
    numbers = itertools.count(1_000)
    delivery = DurableDelivery(sink, tmp_path)
    send = sink.send

    def send_while_more_comes(batch: Batch) -> None:
        send(batch)
        if directory.exists():
            delivery.submit(record(next(numbers)))

    monkeypatch.setattr(sink, "send", send_while_more_comes)
    delivery.submit(record(next(numbers)))
    wait_until(lambda: not directory.exists())
    assert {str(number) for number in range(50)} <= set(names(sink))
    assert delivery.shutdown(20)


def test_a_living_spool_is_left_alone(tmp_path: Path, sink: InMemoryLogboek) -> None:
    """Its owner sends it."""
    other = SpoolWriter(tmp_path, "a" * 16)
    other.append(encode_logregel(record(1)))
    delivery = DurableDelivery(sink, tmp_path)
    delivery.submit(record(2))
    assert delivery.shutdown(20)
    assert names(sink) == ["2"]
    assert other.directory.exists()
    other.close()


def test_a_batch_that_was_under_way_is_sent_as_it_was(tmp_path: Path, sink: InMemoryLogboek) -> None:
    """The next process sends the same block under the same token, and reads it back: the Logboek may have it."""
    sent: list[str] = []

    class Forgetful(InMemoryLogboek):
        """Stores what it is sent, and loses the answer."""

        def send(self, batch: Batch) -> None:
            """Store, then break off."""
            super().send(batch)
            sent.append(batch.token)
            raise LogboekUnavailable("cut")

    first = DurableDelivery(Forgetful(), tmp_path)
    for number in range(10):
        first.submit(record(number))
    wait_until(lambda: bool(sent))
    first.shutdown(0.1)

    second = DurableDelivery(sink, tmp_path)
    second.start_draining()
    wait_until(lambda: len(sink.logregels) == 10)
    assert set(sink._batches) == {sent[0]}
    assert second.shutdown(20)


def test_a_refused_record_is_set_apart_and_its_neighbours_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Bisected down to the one, which is kept with its reason and counted."""

    class Picky(InMemoryLogboek):
        """Takes no bad records."""

        def send(self, batch: Batch) -> None:
            """Refuse the whole batch for one."""
            if any(logregel.name == "bad" for logregel in batch.logregels):
                raise BatchRefused("The Logboek answered CANNOT_PARSE_TEXT (6).", code=6)
            super().send(batch)

    sink = Picky()
    delivery = DurableDelivery(sink, tmp_path)
    for number in range(20):
        delivery.submit(record(number, "bad" if number == 13 else ""))
    assert not delivery.flush(20)
    assert delivery.pending == 0
    assert sorted(map(int, names(sink))) == [number for number in range(20) if number != 13]
    assert (delivery.confirmed, delivery.quarantined) == (19, 1)
    (refused,) = Quarantine(tmp_path / QUARANTINE_NAME).records()
    assert decode_logregel(refused.payload) == record(13, "bad")
    assert "CANNOT_PARSE_TEXT" in refused.reason
    assert "quarantined" in caplog.text
    delivery.shutdown(5)


def test_damage_costs_the_damaged_records_only(tmp_path: Path, sink: InMemoryLogboek) -> None:
    """They are counted, and the segment is kept aside for somebody to look at."""
    directory = left_over(tmp_path, 30)
    (segment,) = directory.glob(f"*{SUFFIX}")
    data = bytearray(segment.read_bytes())
    at = data.index(encode_logregel(record(12)))
    data[at + 3] ^= 0xFF
    segment.write_bytes(data)
    delivery = DurableDelivery(sink, tmp_path)
    delivery.start_draining()
    wait_until(lambda: not directory.exists())
    assert sorted(map(int, names(sink))) == [number for number in range(30) if number != 12]
    assert [path.name for path in (tmp_path / QUARANTINE_NAME).iterdir()] == [f"0011223344556677-{segment.name}"]
    delivery.shutdown(5)


def test_a_spool_of_a_newer_format_is_left_alone(
    tmp_path: Path, sink: InMemoryLogboek, caplog: pytest.LogCaptureFixture
) -> None:
    """An older version in a rolling upgrade must not touch it."""
    import struct
    import zlib

    directory = left_over(tmp_path, 3)
    (segment,) = directory.glob(f"*{SUFFIX}")
    data = bytearray(segment.read_bytes())
    data[8:10] = (99).to_bytes(2, "little")
    data[36:40] = struct.pack("<I", zlib.crc32(bytes(data[:36])))
    segment.write_bytes(data)
    delivery = DurableDelivery(sink, tmp_path)
    delivery.start_draining()
    wait_until(lambda: "newer ldv_otel" in caplog.text)
    assert delivery.shutdown(5)
    assert segment.read_bytes() == data
    assert sink.logregels == []


def test_a_directory_that_cannot_be_used_stops_the_start(tmp_path: Path, sink: InMemoryLogboek) -> None:
    """It names the variable."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="LDV_SPOOL"):
        DurableDelivery(sink, tmp_path / "file")


def test_after_shutdown_a_record_is_refused(tmp_path: Path, sink: InMemoryLogboek) -> None:
    """Not taken and lost: refused."""
    delivery = DurableDelivery(sink, tmp_path)
    assert delivery.shutdown(5)
    with pytest.raises(LogboekUnavailable, match="closed"):
        delivery.submit(record(1))
    assert delivery.lost == 1


def wait_until(test: object, seconds: float = 20) -> None:
    """Wait for something another thread does."""
    assert callable(test)
    event = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if test():
            return
        event.wait(0.02)
    raise AssertionError("it did not happen")


def test_confirmed_waits_for_the_logboek(tmp_path: Path, sink: InMemoryLogboek) -> None:
    """When `submit` returns, the record can be read in the Logboek."""
    delivery = DurableDelivery(sink, tmp_path)
    for number in range(3):
        delivery.submit(record(number), "confirmed")
        assert names(sink)[-1] == str(number)
    assert delivery.shutdown(5)


def test_who_waits_for_the_logboek_shares_its_inserts(
    tmp_path: Path, sink: InMemoryLogboek, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several that log again as soon as they are confirmed go together, where each first one went alone."""
    # So long that no machine is too slow for it; it ends when all have come.
    monkeypatch.setattr("ldv_otel._internal.delivery.drainer._GROUP_SECONDS", 3.0)
    sends: list[int] = []
    send = sink.send

    def counted(batch: Batch) -> None:
        sends.append(len(batch.seqs))
        send(batch)

    monkeypatch.setattr(sink, "send", counted)
    delivery = DurableDelivery(sink, tmp_path, level="confirmed")
    writers, each = 4, 10

    def write(writer: int) -> None:
        for number in range(each):
            delivery.submit(record(writer * each + number))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(sends) == writers * each
    assert len(sends) <= each + writers
    delivery.shutdown(10)


def test_one_that_waits_for_the_logboek_waits_for_no_other(
    tmp_path: Path, sink: InMemoryLogboek, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nobody beside it, its record goes at once."""
    monkeypatch.setattr("ldv_otel._internal.delivery.drainer._GROUP_SECONDS", 3_600.0)
    delivery = DurableDelivery(sink, tmp_path, level="confirmed")
    for number in range(5):
        delivery.submit(record(number))
    assert len(sink.logregels) == 5
    delivery.shutdown(10)


def test_confirmed_says_when_it_cannot_be_kept(tmp_path: Path, sink: InMemoryLogboek) -> None:
    """The Logboek is away: the caller hears it in time, and the record is sent later all the same."""
    sink.failures.extend(LogboekUnavailable("away") for _ in range(3))
    delivery = DurableDelivery(sink, tmp_path, level="confirmed", confirm_seconds=0.05)
    with pytest.raises(LogboekUnavailable, match="in the spool"):
        delivery.submit(record(1))
    assert delivery.flush(20)
    assert names(sink) == ["1"]
    assert delivery.shutdown(5)


def test_an_unexpected_error_does_not_end_the_sending(
    tmp_path: Path, sink: InMemoryLogboek, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug, or a library's surprise: it is logged, and the same records are tried again, once each."""
    sink.failures.append(ZeroDivisionError("surprise"))
    delivery = DurableDelivery(sink, tmp_path)
    for number in range(10):
        delivery.submit(record(number))
    assert delivery.flush(20)
    assert names(sink) == [str(number) for number in range(10)]
    assert "unexpectedly" in caplog.text
    assert delivery.shutdown(5)


def test_a_refused_record_does_not_cost_an_acknowledged_one(
    tmp_path: Path, sink: InMemoryLogboek, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes may be in the file all the same; only what was acknowledged counts, and all of that is sent."""
    delivery = DurableDelivery(sink, tmp_path)
    delivery.submit(record(0))

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("ldv_otel._internal.delivery.spool.writer.os.fdatasync", fail)
        with pytest.raises(LogboekUnavailable, match="Input/output error"):
            delivery.submit(record(1))
    for number in (2, 3, 4):
        delivery.submit(record(number))
    wait_until(lambda: delivery.pending == 0)
    assert not delivery.shutdown(20)
    assert names(sink) == ["0", "2", "3", "4"]
    assert list(tmp_path.iterdir()) == []


def test_a_record_larger_than_what_is_read_at_once(tmp_path: Path, sink: InMemoryLogboek) -> None:
    """It neither blocks its neighbours nor gets lost, in a segment of its own or not."""
    delivery = DurableDelivery(sink, tmp_path)
    sizes = [10, 5_000_000, 10, 12_000_000, 10]
    for number, size in enumerate(sizes):
        delivery.submit(record(number, str(number) * size))
    assert delivery.flush(60)
    assert [len(name) for name in names(sink)] == sizes
    assert delivery.shutdown(20)


def test_starting_beside_an_eager_adopter(tmp_path: Path) -> None:
    """A spool is held before it can be found, so nobody takes it away while it is being made."""
    stop = threading.Event()

    def adopt() -> None:
        while not stop.is_set():
            for directory in tmp_path.iterdir():
                if directory.name.startswith("."):
                    continue
                try:
                    os.close(hold(directory))
                except OSError:
                    continue
                remove_spool(directory)

    adopter = threading.Thread(target=adopt)
    adopter.start()
    try:
        for number in range(100):
            spool = SpoolWriter(tmp_path, f"{number:016d}", segment_bytes=4_096)
            spool.append(b"x")
            spool.close()
    finally:
        stop.set()
        adopter.join()


def test_a_spool_that_somebody_removed_refuses(tmp_path: Path, sink: InMemoryLogboek) -> None:
    """An acknowledgement on a file without a name would be worth nothing."""
    delivery = DurableDelivery(sink, tmp_path)
    shutil.rmtree(tmp_path)
    with pytest.raises(LogboekUnavailable, match="removed"):
        delivery.submit(record(1))
    assert delivery.lost == 1


@pytest.mark.parametrize("call", ["pwrite", "rename", "fsync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_spool_that_cannot_be_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """No directory, and no file held open. A full disk may pass: until then records are refused."""

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    base = tmp_path / "spools"
    base.mkdir()
    held = len(list(Path("/proc/self/fd").iterdir()))
    with monkeypatch.context() as patched:
        patched.setattr(os, call, fail)
        if number == errno.EROFS:
            with pytest.raises(ConfigurationError, match="Read-only file system"):
                SpoolWriter(base, "0011223344556677")
            spool = None
        else:
            spool = SpoolWriter(base, "0011223344556677")
            for _ in range(2):
                with pytest.raises(LogboekUnavailable, match=r"No space left|quota exceeded"):
                    spool.append(b"x")
        assert list(base.iterdir()) == []
        assert len(list(Path("/proc/self/fd").iterdir())) == held
    if spool is not None:
        spool.append(b"x")
        assert spool.committed_records == 1
        spool.close()
        with pytest.raises(LogboekUnavailable, match="closed"):
            spool.append(b"x")


def test_a_full_disk_at_the_start_does_not_keep_others_from_being_sent(
    tmp_path: Path, sink: InMemoryLogboek, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spools of dead processes are what fills it: they are drained all the same, and then there is room."""
    left_over(tmp_path, 20)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        delivery = DurableDelivery(sink, tmp_path)
        delivery.start_draining()
        wait_until(lambda: len(names(sink)) == 20)
        with pytest.raises(LogboekUnavailable, match="No space left"):
            delivery.submit(record(99))
        assert drain(InMemoryLogboek(), tmp_path) == (0, 0)
    delivery.submit(record(100))
    assert not delivery.shutdown(20), "one record was refused"
    assert names(sink)[-1] == "100"
    assert list(tmp_path.iterdir()) == []


def test_a_fork_that_ran_no_hooks_is_noticed(tmp_path: Path, sink: InMemoryLogboek) -> None:
    """UWSGI forks in C: the worker must not write into its parent's segment."""
    delivery = DurableDelivery(sink, tmp_path)
    delivery.submit(record(1))
    parent = delivery.writer_id
    delivery._pid = os.getpid() - 1
    delivery._spool.abandon = lambda: None  # type: ignore[method-assign, union-attr]  # the parent still needs it
    delivery.submit(record(2))
    assert delivery.writer_id != parent
    assert delivery.flush(20)
    delivery.shutdown(5)


def test_nothing_acknowledged_during_shutdown_is_deleted(tmp_path: Path, sink: InMemoryLogboek) -> None:
    """Threads that still log while the process is told to stop: stored, or left in the spool, or refused."""
    for round_number in range(10):
        delivery = DurableDelivery(sink, tmp_path)
        acknowledged: list[int] = []

        def work(start: int, delivery: DurableDelivery = delivery, told: list[int] = acknowledged) -> None:
            for number in range(start, start + 500):
                try:
                    delivery.submit(record(number))
                except LogboekUnavailable:
                    return
                told.append(number)
                time.sleep(0.0005)

        begin = 10_000 * round_number
        threads = [threading.Thread(target=work, args=(begin + 1_000 * index,)) for index in range(2)]
        for thread in threads:
            thread.start()
        time.sleep(0.05)
        delivery.shutdown(0.2)
        for thread in threads:
            thread.join()
        drain(sink, tmp_path)
        assert set(acknowledged) <= {int(name) for name in names(sink)}


def test_a_damaged_last_record_is_kept_aside(tmp_path: Path, sink: InMemoryLogboek) -> None:
    """It may have been acknowledged: its segment is not thrown away."""
    directory = left_over(tmp_path, 5)
    (segment,) = directory.glob(f"*{SUFFIX}")
    data = bytearray(segment.read_bytes())
    data[data.index(encode_logregel(record(4))) + 3] ^= 0xFF
    segment.write_bytes(data)
    assert drain(sink, tmp_path) == (4, 0)
    assert len(Quarantine(tmp_path / QUARANTINE_NAME).segments()) == 1


def test_what_a_killed_start_left_is_taken_away(tmp_path: Path, sink: InMemoryLogboek) -> None:
    """A draft of a segment, and a spool that never got its name."""
    directory = left_over(tmp_path, 2)
    (directory / "000000000002.new").write_bytes(b"")
    unnamed = tmp_path / ".8899aabbccddeeff"
    unnamed.mkdir()
    os.utime(unnamed, (0, 0))
    assert drain(sink, tmp_path) == (2, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_spool_that_gets_its_name_while_others_adopt(
    tmp_path: Path, sink: InMemoryLogboek, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was seen a moment ago as a draft need not be there any more."""
    left_over(tmp_path, 2)
    seen = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: iter([path / ".0011223344556677", *seen(path)]))
    assert drain(sink, tmp_path) == (2, 0)


def test_the_spool_is_for_its_owner_only(tmp_path: Path, sink: InMemoryLogboek) -> None:
    """From the configured directory down."""
    delivery = DurableDelivery(sink, tmp_path / "configured" / "logboek")
    delivery.submit(record(1))
    for directory in (tmp_path / "configured", tmp_path / "configured" / "logboek"):
        assert directory.stat().st_mode & 0o777 == 0o700
    delivery.shutdown(20)


class CutOff(InMemoryLogboek):
    """Stores what it is sent, and loses every answer."""

    def send(self, batch: Batch) -> None:
        """Store, then break off."""
        super().send(batch)
        raise LogboekUnavailable("cut")


def sent_and_killed(base: Path, sink: InMemoryLogboek, count: int) -> Path:
    """A spool of which everything was sent when its process died, and no answer came."""
    delivery = DurableDelivery(sink, base)
    delivery.submit_encoded([encode_logregel(record(number)) for number in range(count)])
    wait_until(lambda: len(sink.logregels) == count)
    delivery.shutdown(0.1)
    (directory,) = (path for path in base.iterdir() if path.name != QUARANTINE_NAME)
    return directory


def test_a_batch_that_could_not_be_frozen_is_stored_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk it is sent without being noted; whoever adopts it forms other batches, and reads back first."""

    def full(_self: Progress, _batch: FrozenBatch) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    sink = CutOff()
    with monkeypatch.context() as patched:
        patched.setattr(Progress, "freeze", full)
        sent_and_killed(tmp_path, sink, 10)
    again = InMemoryLogboek(traits=SinkTraits(batch_records=3))
    again._batches = sink._batches
    assert drain(again, tmp_path) == (10, 0)
    assert names(again) == [str(number) for number in range(10)]


def test_a_batch_of_which_a_record_was_damaged_is_stored_once(tmp_path: Path) -> None:
    """It cannot be sent as it was, so its token is another; what the Logboek has of it is not sent again."""
    sink = CutOff()
    directory = sent_and_killed(tmp_path, sink, 10)
    (segment,) = directory.glob(f"*{SUFFIX}")
    data = bytearray(segment.read_bytes())
    data[data.index(encode_logregel(record(4))) + 3] ^= 0xFF
    segment.write_bytes(data)
    again = InMemoryLogboek()
    again._batches = sink._batches
    assert drain(again, tmp_path) == (9, 0)
    assert names(again) == [str(number) for number in range(10)]


@pytest.mark.parametrize("reachable", [False, True])
def test_the_figures_tell_what_waits_and_for_how_long(tmp_path: Path, *, reachable: bool) -> None:
    """Whether the Logboek cannot be opened, or takes no batch."""

    class Away(InMemoryLogboek):
        """Is there or not."""

        away = True

        def open(self) -> None:
            """Refuse a connection."""
            if self.away and not reachable:
                raise LogboekUnavailable("away")
            super().open()

        def send(self, batch: Batch) -> None:
            """Take nothing."""
            if self.away:
                raise LogboekUnavailable("busy")
            super().send(batch)

    sink = Away()
    delivery = DurableDelivery(sink, tmp_path)
    assert delivery.stats() == DeliveryStats()
    for number in range(3):
        delivery.submit(msgspec.structs.replace(record(number), end_time_ms=NOON + 100 - number))
    wait_until(lambda: delivery.stats().in_doubt == (3 if reachable else 0) and delivery.stats().retried >= 1)
    found = delivery.stats()
    assert (found.pending, found.oldest_ms, found.confirmed, found.confirmed_ms) == (3, NOON + 100, 0, None)
    sink.away = False
    assert delivery.flush(20)
    found = delivery.stats()
    assert (found.pending, found.in_doubt, found.oldest_ms, found.confirmed) == (0, 0, None, 3)
    assert found.confirmed_ms is not None
    assert delivery.shutdown(5)


def test_an_interrupted_commit_acknowledges_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C between write and flush, in the thread that commits for others: they are refused, not told a lie."""
    spool = SpoolWriter(tmp_path, "0011223344556677")
    flush, reached = os.fdatasync, threading.Event()
    answers: list[str] = []

    def interrupted(_descriptor: int) -> None:
        reached.set()
        monkeypatch.setattr(os, "fdatasync", broken)
        while len(spool._forming.records) < 4:
            time.sleep(0.001)

    def broken(_descriptor: int) -> None:
        monkeypatch.setattr(os, "fdatasync", flush)
        raise KeyboardInterrupt

    def follow() -> None:
        try:
            spool.append(b"follower")
        except (LogboekUnavailable, KeyboardInterrupt) as error:
            answers.append(type(error).__name__)

    monkeypatch.setattr(os, "fdatasync", interrupted)
    threads = [threading.Thread(target=follow) for _ in range(4)]
    first = threading.Thread(target=spool.append, args=(b"first",))
    first.start()
    reached.wait()
    for thread in threads:
        thread.start()
    for thread in (first, *threads):
        thread.join()
    assert sorted(answers) == ["KeyboardInterrupt", *["LogboekUnavailable"] * 3]
    assert spool.committed_records == 1
    spool.append(b"after")
    assert spool.committed_records == 2
    spool.close()
    assert [record.payload for record in OrphanSpool(spool.directory).records() if record.payload != b"follower"] == [
        b"first",
        b"after",
    ]


def test_the_next_segment_is_made_by_one_at_a_time(tmp_path: Path) -> None:
    """Whoever makes it ahead does not put a fresh file over the one that a commit has just taken into use."""
    spool = SpoolWriter(tmp_path, "0011223344556677", segment_bytes=512)
    stop = threading.Event()

    def prepare() -> None:
        while not stop.is_set():
            spool.prepare()

    preparer = threading.Thread(target=prepare)
    preparer.start()
    try:
        for number in range(400):
            spool.append(b"%d" % number * 100)
    finally:
        stop.set()
        preparer.join()
        spool.close()
    assert [record.seq for record in OrphanSpool(spool.directory).records()] == list(range(400))
