from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import pytest

from ldv_otel._internal.delivery.durable import DurableDelivery, drain
from ldv_otel._internal.delivery.memory import MemoryDelivery
from ldv_otel._internal.delivery.spool import segment as segments
from ldv_otel._internal.delivery.spool.inspect import inspect_spools
from ldv_otel._internal.delivery.spool.quarantine import QUARANTINE_NAME, Quarantine
from ldv_otel._internal.delivery.spool.segment import SUFFIX
from ldv_otel._internal.delivery.spool.write_ahead import ActieStart, encode_start
from ldv_otel._internal.delivery.spool.writer import SpoolWriter
from ldv_otel._internal.record.logregel import Logregel, Status, actie_id, encode_logregel
from ldv_otel.errors import LogboekUnavailable
from ldv_otel.testing import InMemoryLogboek

NOON = 1_750_000_000_000
WRITER = "0011223344556677"


def record(number: int, name: str = "", *, status: Status = Status.UNSET) -> Logregel:
    """A record with a number."""
    return Logregel(
        trace_id=bytes(8) + (number + 1).to_bytes(8, "big"),
        span_id=(number + 1).to_bytes(8, "big"),
        name=name or str(number),
        start_time_ms=NOON,
        end_time_ms=NOON,
        status=status,
    )


def a_start(number: int, *names: str) -> ActieStart:
    """The start of the Actie with that record."""
    begun = record(number, f"begun {number}", status=Status.ERROR)
    return ActieStart(actie_id(begun), (begun, *(record(1_000 + number, name) for name in names)))


class Life:
    """A process that writes a spool and then is gone, without an end of its own."""

    def __init__(self, base: Path, **options: int) -> None:
        self.spool = SpoolWriter(base, WRITER, **options)

    def begin(self, number: int, *names: str) -> None:
        """Start an Actie."""
        begun = a_start(number, *names)
        self.spool.append_start(begun.actie, encode_start(begun))

    def add(self, number: int, logregel: Logregel) -> None:
        """Say more of one."""
        actie = a_start(number).actie
        self.spool.append_start(actie, encode_start(ActieStart(actie, (logregel,))), more=True)

    def end(self, number: int) -> None:
        """End an Actie, or log one that never said that it began."""
        logregel = record(number)
        self.spool.append(encode_logregel(logregel), ended=actie_id(logregel))

    def kill(self) -> Path:
        """Be gone; return what is left."""
        self.spool.close()
        return self.spool.directory


@pytest.fixture
def sink() -> InMemoryLogboek:
    """A Logboek."""
    return InMemoryLogboek()


def names(logboek: InMemoryLogboek) -> list[str]:
    """What was stored, in order."""
    return [logregel.name for logregel in logboek.logregels]


def seqs(logboek: InMemoryLogboek) -> list[int]:
    """Their places."""
    return [seq for batch in logboek._batches.values() for seq in batch.seqs]


def test_only_what_never_ended_is_logged_as_begun(tmp_path: Path, sink: InMemoryLogboek) -> None:
    """And the places of the writer have no gaps: starts are not counted among them."""
    life = Life(tmp_path)
    for number in range(6):
        life.begin(number)
    for number in (3, 0, 5):
        life.end(number)
    life.end(9)
    life.kill()
    assert drain(sink, tmp_path) == (7, 0)
    assert names(sink) == ["3", "0", "5", "9", "begun 1", "begun 2", "begun 4"]
    assert seqs(sink) == list(range(7))
    assert list(tmp_path.iterdir()) == []


def test_what_was_said_later_is_in_it(tmp_path: Path, sink: InMemoryLogboek) -> None:
    """A better record of the Actie itself, and records beside it; and nothing of an Actie that does not run."""
    life = Life(tmp_path)
    life.begin(1, "first person")
    life.add(1, record(1, "begun, and about somebody"))
    life.add(1, record(2_000, "second person"))
    life.add(2, record(2, "never begun"))
    life.kill()
    drain(sink, tmp_path)
    assert names(sink) == ["begun, and about somebody", "first person", "second person"]


@pytest.mark.parametrize("ended", [False, True])
def test_a_long_actie_is_taken_along_and_holds_nothing(tmp_path: Path, sink: InMemoryLogboek, *, ended: bool) -> None:
    """Segments that are confirmed go, and its start is neither lost nor logged when it ended after all."""
    delivery = DurableDelivery(sink, tmp_path, segment_bytes=4_096)
    delivery.begin(a_start(9_000, "one beside it"))
    for number in range(400):
        delivery.begin(a_start(number))
        delivery.submit(record(number))
    assert delivery.flush(20)
    (directory,) = tmp_path.iterdir()
    # The one in use, the one before it while it is read, and one that is made ahead.
    assert len(list(directory.glob(f"*{SUFFIX}"))) <= 3
    assert delivery.running == 1
    if ended:
        delivery.submit(record(9_000))
    assert delivery.shutdown(20) is True
    assert directory.exists() is not ended
    drain(sink, tmp_path)
    assert names(sink)[400:] == (["9000"] if ended else ["begun 9000", "one beside it"])
    assert seqs(sink) == list(range(401 if ended else 402))
    assert list(tmp_path.iterdir()) == []


def test_an_adopter_that_is_gone_too_changes_nothing(tmp_path: Path, sink: InMemoryLogboek) -> None:
    """Adopted halfway, again and again: what never ended is logged once."""

    class Cut(InMemoryLogboek):
        """Stores, and loses every answer after the first so many."""

        def send(self, batch: object) -> None:
            """Store, then break off."""
            super().send(batch)  # type: ignore[arg-type]  # handed on as it is
            raise ZeroDivisionError("killed here")

    life = Life(tmp_path)
    for number in range(5):
        life.begin(number)
    life.end(0)
    life.kill()
    cut = Cut()
    cut._batches = sink._batches
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            drain(cut, tmp_path)
        if len(sink.logregels) == 5:
            break
    drain(sink, tmp_path)
    assert names(sink) == ["0", "begun 1", "begun 2", "begun 3", "begun 4"]
    assert seqs(sink) == list(range(5))


def test_a_full_disk_delays_only_what_never_ended(
    tmp_path: Path, sink: InMemoryLogboek, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ended is sent from a full disk; the rest follows when there is room."""
    life = Life(tmp_path)
    life.begin(1)
    life.end(2)
    directory = life.kill()
    real = segments.make_segment

    def full(where: Path, number: int, writer_id: str, *, size: int = segments.SEGMENT_BYTES) -> Path:
        if where == directory:
            raise OSError(28, "No space left on device")
        return real(where, number, writer_id, size=size)

    with monkeypatch.context() as patched:
        patched.setattr(segments, "make_segment", full)
        assert drain(sink, tmp_path) == (1, 0)
    assert directory.exists()
    assert drain(sink, tmp_path) == (1, 0)
    assert names(sink) == ["2", "begun 1"]
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_start_costs_itself_only(tmp_path: Path, sink: InMemoryLogboek) -> None:
    """It is kept aside and counted like any damage; the end of its Actie is logged."""
    life = Life(tmp_path)
    for number in range(4):
        life.begin(number)
    life.end(1)
    life.end(2)
    directory = life.kill()
    (path,) = directory.glob(f"*{SUFFIX}")
    data = bytearray(path.read_bytes())
    for number in (1, 3):
        data[data.index(encode_start(a_start(number))) + 3] ^= 0xFF
    path.write_bytes(data)
    drain(sink, tmp_path)
    assert names(sink) == ["1", "2", "begun 0"]
    assert len(Quarantine(tmp_path / QUARANTINE_NAME).segments()) == 1
    assert not directory.exists()


def test_a_start_that_cannot_be_understood_is_kept_aside(tmp_path: Path, sink: InMemoryLogboek) -> None:
    """Sound bytes, and no start: not thrown away."""
    life = Life(tmp_path)
    life.spool.append_start(b"x" * 24, b"no start")
    life.begin(1)
    life.kill()
    drain(sink, tmp_path)
    assert names(sink) == ["begun 1"]
    assert len(Quarantine(tmp_path / QUARANTINE_NAME).segments()) == 1


def test_an_end_that_was_refused_leaves_the_start(
    tmp_path: Path, sink: InMemoryLogboek, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is logged when the process is gone: as the end if that got to the disk after all, as begun otherwise; once."""
    life = Life(tmp_path)
    life.begin(1)
    life.begin(2)

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("ldv_otel._internal.delivery.spool.writer.os.fdatasync", fail)
        with pytest.raises(LogboekUnavailable):
            life.end(1)
    with monkeypatch.context() as patched:
        patched.setattr("ldv_otel._internal.delivery.spool.writer.os.pwrite", lambda *_: fail(0))
        with pytest.raises(LogboekUnavailable):
            life.end(2)
    life.end(3)
    assert life.spool.running == 2
    life.kill()
    drain(sink, tmp_path)
    assert sorted(names(sink)) == ["1", "3", "begun 2"]


def test_a_start_that_was_refused_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller hears it, and does not begin."""
    life = Life(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(
            "ldv_otel._internal.delivery.spool.writer.os.pwrite", lambda *_: (_ for _ in ()).throw(OSError(28, "full"))
        )
        with pytest.raises(LogboekUnavailable, match="full"):
            life.begin(1)
    assert life.spool.running == 0
    life.kill()


def test_a_spool_of_version_1_is_read(tmp_path: Path, sink: InMemoryLogboek) -> None:
    """Left by the version before: it knew no starts."""
    life = Life(tmp_path)
    life.end(1)
    (path,) = life.kill().glob(f"*{SUFFIX}")
    data = bytearray(path.read_bytes())
    data[8:10] = (1).to_bytes(2, "little")
    data[36:40] = struct.pack("<I", zlib.crc32(bytes(data[:36])))
    path.write_bytes(data)
    assert drain(sink, tmp_path) == (1, 0)


def test_a_forked_child_begins_anew(tmp_path: Path, sink: InMemoryLogboek) -> None:
    """What runs in the parent does not run in the child, and what the child says of it is not said twice."""
    delivery = DurableDelivery(sink, tmp_path)
    delivery.begin(a_start(1))
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            delivery.begin(a_start(1, "from the child"), more=True)
            os.write(write, b"%d" % delivery.running)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 10) == b"0"
    os.close(read)
    os.close(write)
    assert delivery.running == 1
    delivery.submit(record(1))
    assert delivery.running == 0
    assert delivery.shutdown(20)
    drain(sink, tmp_path)
    assert names(sink) == ["1"]


def test_memory_cannot_give_it(sink: InMemoryLogboek) -> None:
    """It says so before the work begins."""
    delivery = MemoryDelivery(sink, queue_records=10)
    assert not delivery.writes_ahead(None)
    assert delivery.writes_ahead("write-ahead")
    with pytest.raises(LogboekUnavailable, match="write-ahead"):
        delivery.begin(a_start(1))
    delivery.shutdown(1)


def test_the_status_tells_what_runs(tmp_path: Path) -> None:
    """Of a process that lives and of one that is gone."""
    life = Life(tmp_path)
    life.begin(1)
    life.begin(2)
    life.end(1)
    (alive,) = inspect_spools(tmp_path)
    assert (alive.alive, alive.pid, alive.running, alive.pending) == (True, os.getpid(), 1, 1)
    life.kill()
    (gone,) = inspect_spools(tmp_path)
    assert (gone.alive, gone.running, gone.pending) == (False, 1, 1)
