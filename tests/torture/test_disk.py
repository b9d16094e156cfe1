"""Targets 9 and 10: a disk that is full, that fails, or that gives back other bytes than it was given."""

from __future__ import annotations

import errno
import functools
import itertools
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import ldv_otel as ldv
from ldv_otel._internal.cli.rendering import backlog_lines
from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.delivery.durable import DurableDelivery, drain
from ldv_otel._internal.delivery.spool.inspect import backlog_of, inspect_spools
from ldv_otel._internal.delivery.spool.quarantine import QUARANTINE_NAME
from ldv_otel._internal.delivery.spool.segment import SUFFIX, StoredRecord, scan_segment
from ldv_otel._internal.delivery.spool.writer import SpoolWriter
from ldv_otel._internal.record.logregel import decode_logregel, encode_logregel
from ldv_otel.errors import ConfigurationError, LogboekUnavailable
from ldv_otel.testing import InMemoryLogboek
from tests.support.chance import dice
from tests.torture.rig import hurry, log_through, orphaned_segments, record, size, wait_until

ACTIVITY = "https://register.example/activiteiten/marteling"
DISK_BYTES = 1 << 20
SEGMENT_BYTES = 64 << 10
_MORE_THAN_FITS = 10_000


class Away(InMemoryLogboek):
    """A Logboek that is away until it is told to answer."""

    away = True

    def send(self, batch: Batch) -> None:
        """Store, or be away."""
        if self.away:
            raise LogboekUnavailable("away", in_doubt=False)
        super().send(batch)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    with small_disk(tmp_path / "disk", DISK_BYTES) as path:
        yield path


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """A small volume: one and a half of the largest segments."""
    with small_disk(tmp_path / "volume", 12 << 20) as path:
        yield path


@contextmanager
def small_disk(path: Path, size_bytes: int) -> Iterator[Path]:
    """Mount a disk of so many bytes."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(path)]
    tried = subprocess.run(mount, capture_output=True, text=True, check=False) if shutil.which("mount") else None
    if tried is None or tried.returncode:
        pytest.skip(f"a small disk takes the right to mount: {tried.stderr.strip() if tried else 'no mount here'}")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def fill(path: Path, leave: int = 0) -> None:
    """Take all space but so many bytes."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    with suppress(OSError):
        while os.write(descriptor, bytes(4096)):
            continue
    os.ftruncate(descriptor, max(os.fstat(descriptor).st_size - leave, 0))
    os.close(descriptor)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_full_disk_refuses_and_drains(disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Full at any moment: what was acknowledged is delivered, what was not raised, and the spool gets itself empty."""
    hurry(monkeypatch)
    del tmp_path
    chance = dice("disk full")
    for _ in range(size(20, 100)):
        sink = Away()
        delivery = DurableDelivery(sink, disk / "spools", segment_bytes=SEGMENT_BYTES)
        processor = log_through(delivery)
        fill(disk / "filler", leave=chance.randrange(DISK_BYTES // 2))
        acknowledged: set[str] = set()
        with pytest.raises(LogboekUnavailable, match="No space left"):
            for _ in range(_MORE_THAN_FITS):
                with ldv.processing(ACTIVITY) as actie:
                    actie.set_attribute("dpl.text", "x" * chance.randrange(2_000))
                acknowledged.add(actie.span_id)
        assert delivery.lost == 1
        fill(disk / "filler")
        sink.away = False
        assert not delivery.flush(60), "a refused record is not to be passed over"
        assert delivery.pending == 0
        stored = [logregel.span_id.hex() for logregel in sink.logregels]
        assert len(stored) == len(set(stored))
        assert acknowledged <= set(stored)
        assert len(stored) <= len(acknowledged) + 1
        processor.shutdown()
        assert list((disk / "spools").iterdir()) == []
        (disk / "filler").unlink()


@pytest.mark.timeout(900)
def test_a_small_volume_is_used_to_its_end_and_comes_back(volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments shrink with the room: most of it holds records, and after each outage it takes as many again."""
    hurry(monkeypatch)
    sink = Away()
    delivery = DurableDelivery(sink, volume / "spools")
    acknowledged = 0
    fitted = []
    for _ in range(3):
        sink.away = True
        before = acknowledged
        with pytest.raises(LogboekUnavailable, match="No space left"):
            while True:
                delivery.submit(record(acknowledged, "x" * 10_000))
                acknowledged += 1
        fitted.append((acknowledged - before) * 10_000)
        sink.away = False
        wait_until(lambda: delivery.pending == 0)
    print(f"bytes of records that fitted into 12 MiB, each time: {fitted}")
    assert min(fitted) > 6 << 20
    stored = [logregel.span_id for logregel in sink.logregels]
    assert len(stored) == len(set(stored)) == acknowledged
    delivery.shutdown(20)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("free", [8 << 20, 1 << 20, 100 << 10])
def test_what_another_program_leaves_is_enough(volume: Path, monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """However far a spool has got before: the next segment is as large as the room allows."""
    hurry(monkeypatch)
    sink = Away()
    delivery = DurableDelivery(sink, volume / "spools")
    number = 0
    with pytest.raises(LogboekUnavailable):
        while True:
            delivery.submit(record(number, "x" * 50_000))
            number += 1
    sink.away = False
    wait_until(lambda: delivery.pending == 0)
    fill(volume / "filler", leave=free)
    sink.away = True
    for more in range(number, number + free // 20_000):
        delivery.submit(record(more, "x" * 1_000))
    sink.away = False
    wait_until(lambda: delivery.pending == 0)
    delivery.shutdown(20)


@pytest.mark.timeout(900)
def test_a_refusal_takes_no_room_and_little_time(volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is asked, not filled up to find out; the log has one line for all refusals of a minute."""
    sink = Away()
    delivery = DurableDelivery(sink, volume / "spools")
    with pytest.raises(LogboekUnavailable):
        for number in range(_MORE_THAN_FITS):
            delivery.submit(record(number, "x" * 20_000))
    spools = volume / "spools"
    backlog = backlog_of(spools, inspect_spools(spools), record(0).end_time_ms + 3_600_000)
    assert backlog.full
    assert "THE DISK IS FULL" in "".join(backlog_lines(backlog, 1))
    free = os.statvfs(volume).f_bavail
    written: list[int] = []
    write = os.write

    def counted(descriptor: int, data: bytes) -> int:
        written.append(len(data))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", counted)
    began = time.monotonic()
    for number in range(200):
        with pytest.raises(LogboekUnavailable, match="No space left"):
            delivery.submit(record(number, "x" * 20_000))
    assert time.monotonic() - began < 20
    assert sum(written) < 1 << 20
    assert os.statvfs(volume).f_bavail == free
    sink.away = False
    delivery.shutdown(60)


@pytest.mark.timeout(900)
def test_a_smaller_record_still_finds_the_room_that_a_larger_one_did_not(volume: Path) -> None:
    """What is left of the present segment is not given up with a refusal that never touched it."""
    sink = Away()
    delivery = DurableDelivery(sink, volume / "spools")
    delivery.submit(record(0))
    fill(volume / "filler")
    for number in range(1, 10):
        with pytest.raises(LogboekUnavailable):
            delivery.submit(record(100 + number, "x" * 100_000))
        delivery.submit(record(number))
    sink.away = False
    delivery.shutdown(60)
    assert [logregel.name for logregel in sink.logregels] == [record(number).name for number in range(10)]


@pytest.mark.timeout(900)
def test_a_quota_that_only_refuses_is_met_with_smaller_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk has room, this account has not: after a few refusals a segment fits, and then they grow again."""
    hurry(monkeypatch)
    allowed = 200 << 10
    write = os.write

    def quota(descriptor: int, data: bytes) -> int:
        if os.fstat(descriptor).st_size + len(data) > allowed:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", quota)
    sink = InMemoryLogboek()
    delivery = DurableDelivery(sink, tmp_path / "spools")
    refused = 0
    for number in range(400):
        try:
            delivery.submit(record(number, "x" * 5_000))
        except LogboekUnavailable:
            refused += 1
    assert refused < 100
    delivery.shutdown(60)
    assert len(sink.logregels) == 400 - refused


@pytest.mark.timeout(900)
def test_the_application_keeps_its_own_exception_on_a_full_disk(disk: Path) -> None:
    """The refusal goes along with it as a note."""
    sink = Away()
    delivery = DurableDelivery(sink, disk / "spools", segment_bytes=SEGMENT_BYTES)
    processor = log_through(delivery)
    fill(disk / "filler")
    with pytest.raises(LogboekUnavailable):
        for _ in range(_MORE_THAN_FITS):
            with ldv.processing(ACTIVITY) as actie:
                actie.set_attribute("dpl.text", "x" * 2_000)
    with pytest.raises(KeyError, match="mine") as caught, ldv.processing(ACTIVITY) as actie:
        actie.set_attribute("dpl.text", "x" * 2_000)
        raise KeyError("mine")
    assert any("No space left" in note for note in caught.value.__notes__)
    sink.away = False
    processor.shutdown()


@pytest.mark.timeout(900)
def test_after_a_failed_flush_a_file_is_never_trusted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EIO may have dropped pages: acknowledgements go on in a new segment, and each of them is delivered."""
    flush, failing = os.fdatasync, dice("EIO")
    spool = SpoolWriter(tmp_path, "0011223344556677", segment_bytes=SEGMENT_BYTES)
    distrusted: set[int] = set()
    acknowledged: list[str] = []

    def flaky(descriptor: int) -> None:
        if failing.random() < 0.2:
            distrusted.add(spool._segment)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        flush(descriptor)

    monkeypatch.setattr(os, "fdatasync", flaky)
    for number in range(size(200, 2_000)):
        try:
            spool.append(encode_logregel(record(number)))
        except LogboekUnavailable:
            continue
        assert spool.committed[0] not in distrusted
        acknowledged.append(record(number).name)
    assert distrusted
    monkeypatch.undo()
    spool.close()
    sink = InMemoryLogboek()
    drain(sink, tmp_path)
    stored = [logregel.name for logregel in sink.logregels]
    assert len(stored) == len(set(stored))
    assert set(acknowledged) <= set(stored)


class Refusing:
    """Calls of the operating system that change a disk, of which one finds no space."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        self._at = at
        self.calls = 0
        for name in ("open", "write", "pwrite", "fsync", "fdatasync", "mkdir", "rename"):
            monkeypatch.setattr(os, name, functools.partial(self._call, getattr(os, name)))

    def _call(self, real: Callable[..., object], *given: object, **options: object) -> object:
        self.calls += 1
        if self.calls == self._at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*given, **options)


@pytest.mark.timeout(900)
def test_no_space_at_any_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever call of a life it is, from making the spool to taking it away: who is not told so finds the record."""
    hurry(monkeypatch)
    refused = 0
    for at in itertools.count(1):
        base = tmp_path / str(at)
        sink = InMemoryLogboek()
        acknowledged = set()
        with monkeypatch.context() as disturbed:
            disk = Refusing(disturbed, at)
            with suppress(ConfigurationError):  # at the start it is said at once
                delivery = DurableDelivery(sink, base / "spools", segment_bytes=1_024)
                for number in range(12):
                    try:
                        delivery.submit(record(number))
                    except LogboekUnavailable:
                        refused += 1
                    else:
                        acknowledged.add(record(number).name)
                delivery.shutdown(60)
        drain(sink, base / "spools")
        stored = [logregel.name for logregel in sink.logregels]
        assert len(stored) == len(set(stored)), at
        assert acknowledged <= set(stored), at
        assert not orphaned_segments(base / "spools"), at
        if disk.calls < at:
            break
    print(f"{at - 1} calls, {refused} records refused")
    assert refused


def flip_bits(data: bytearray, chance: random.Random) -> None:
    """Turn a few bits."""
    for _ in range(chance.randint(1, 5)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def truncate(data: bytearray, chance: random.Random) -> None:
    """Lose the end."""
    del data[chance.randrange(len(data)) :]


def zero_a_page(data: bytearray, chance: random.Random) -> None:
    """Lose a page in between."""
    start = chance.randrange(0, len(data), 512)
    data[start : start + 512] = bytes(len(data[start : start + 512]))


def scribble(data: bytearray, chance: random.Random) -> None:
    """Find something else's bytes in a stretch."""
    start = chance.randrange(len(data))
    end = min(start + chance.randrange(1, 2_000), len(data))
    data[start:end] = chance.randbytes(end - start)


MUTATIONS: dict[str, Callable[[bytearray, random.Random], None]] = {
    "bits": flip_bits,
    "end": truncate,
    "page": zero_a_page,
    "scribble": scribble,
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", MUTATIONS)
def test_damage_costs_nothing_but_what_it_hit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Every record whose bytes are whole is delivered, no other is made up, and damage between them is kept aside."""
    hurry(monkeypatch)
    chance = dice(f"damage {kind}")
    original = tmp_path / "original"
    spool = SpoolWriter(original, "0011223344556677", segment_bytes=8_192)
    for number in range(100):
        spool.append(encode_logregel(record(number, "x" * chance.randrange(200))))
    spool.close()
    hit = 0
    for _ in range(size(50, 250)):
        base = tmp_path / "copy"
        shutil.copytree(original, base)
        path = chance.choice(sorted(base.glob(f"*/*{SUFFIX}")))
        before = path.read_bytes()
        data = bytearray(before)
        MUTATIONS[kind](data, chance)
        path.write_bytes(data)
        (path.parent / "progress").write_bytes(chance.randbytes(chance.randrange(200)))
        records = scan_segment(before).records
        whole = [same(before, data, entry) for entry in records]
        damaged = {decode_logregel(entry.payload).name for entry, ok in zip(records, whole, strict=True) if not ok}
        hit += len(damaged)

        sink = InMemoryLogboek()
        delivery = DurableDelivery(sink, base)
        delivery.start_draining()
        wait_until(functools.partial(nothing_left, base, delivery.writer_id))
        assert delivery.shutdown(60)
        stored = [logregel.name for logregel in sink.logregels]
        assert sorted(stored) == sorted({record(number).name for number in range(100)} - damaged)
        if damaged and not all(whole[whole.index(False) :]) and whole[-1]:
            assert (base / QUARANTINE_NAME / f"{path.parent.name}-{path.name}").read_bytes() == data
        shutil.rmtree(base)
    assert hit


def nothing_left(base: Path, living: str) -> bool:
    """Whether the spools of the dead are empty."""
    return not orphaned_segments(base, living)


def same(before: bytes, after: bytearray, entry: StoredRecord) -> bool:
    """Whether a record's bytes are what they were."""
    start = entry.end - stored_length(entry)
    end = start + 16 + len(entry.payload)
    return bytes(after[start:end]) == before[start:end]


def stored_length(entry: StoredRecord) -> int:
    """How long a record is on disk."""
    return 16 + len(entry.payload) + (-len(entry.payload) % 8)
