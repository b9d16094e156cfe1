"""Target 4: the power goes, again and again, and every acknowledged record is on disk.

The disk is one that is recorded (`power.py`): of what was not flushed, chance says what survives.
"""

from __future__ import annotations

import os
import random
import shutil
import threading
from pathlib import Path
from typing import TypeAlias

import pytest

from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.delivery.durable import DurableDelivery, drain
from ldv_otel._internal.delivery.spool.quarantine import QUARANTINE_NAME, Quarantine
from ldv_otel._internal.delivery.spool.write_ahead import ActieStart
from ldv_otel._internal.record.builder import interrupted
from ldv_otel._internal.record.logregel import actie_id, decode_logregel
from ldv_otel.errors import BatchRefused
from ldv_otel.testing import InMemoryLogboek
from tests.support.chance import dice
from tests.torture.power import Recording
from tests.torture.rig import Oracle, hurry, orphaned_segments, record, size

_THREADS = 4
_EACH = 40
_CUTS_A_LIFE = 10

#: `i`, `b` or `a` (issued, begun, acknowledged), and the name of a record.
Told: TypeAlias = tuple[str, str]


class Elsewhere(InMemoryLogboek):
    """A Logboek on another machine, which keeps its power; it tells the recording what it has stored, and when."""

    def __init__(self, stored: list[Batch], recording: Recording | None = None) -> None:
        super().__init__()
        self._recording = recording
        for batch in stored:
            self._batches[batch.token] = batch

    def send(self, batch: Batch) -> None:
        """Store, or refuse as data."""
        if any(refused(logregel.name) for logregel in batch.logregels):
            raise BatchRefused("not this one")
        super().send(batch)
        if self._recording is not None:
            self._recording.note("stored", batch)


def refused(name: str) -> bool:
    """Whether the Logboek refuses a record, which then has to be found in the quarantine."""
    return int(name, 16) % 50 == 0


def live(recording: Recording, base: Path, stored: list[Batch], first: int, *, size_bytes: int) -> None:
    """One life of a service on the disk: it adopts what is there, logs from its threads, and ends."""
    delivery = DurableDelivery(Elsewhere(stored, recording), base, segment_bytes=size_bytes)
    delivery.start_draining()

    def log(start: int) -> None:
        for number in range(start, start + _EACH):
            logregel = record(number)
            recording.note("i", logregel.name)
            if number % 3 == 0:
                delivery.begin(ActieStart(actie_id(logregel), (interrupted(logregel),)))
                recording.note("b", logregel.name)
            delivery.submit(logregel)
            recording.note("a", logregel.name)

    threads = [threading.Thread(target=log, args=(first + thread * _EACH,)) for thread in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    delivery.shutdown(60)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_the_power_may_go_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever of the rest is left: what was acknowledged comes out of the spool, once, unaltered, and nothing else.

    The next life goes on from one of the cuts, so that the power goes while another's spool is adopted too.
    """
    hurry(monkeypatch)
    chance = dice("power")
    cuts = size(60, 500)
    disk = tmp_path / "life-0"
    disk.mkdir()
    before: list[Told] = []
    stored: list[Batch] = []
    acknowledged = 0
    for life in range(cuts // _CUTS_A_LIFE):
        recording = Recording(disk)
        with recording.recorded():
            live(recording, disk / "state" / "spools", stored, life * 1_000, size_bytes=chance.choice((2_048, 16_384)))
        for number in range(_CUTS_A_LIFE):
            moment = chance.randrange(len(recording.events) + 1)
            happened = recording.events[:moment]
            told = [*before, *((kind, what[0]) for kind, what in happened if kind in {"i", "b", "a"})]
            here = [*stored, *(what[0] for kind, what in happened if kind == "stored")]
            image = tmp_path / f"cut-{life}-{number}"
            recording.cut(moment, chance, image)
            if number == _CUTS_A_LIFE - 1:
                shutil.copytree(image, tmp_path / f"life-{life + 1}")
            acknowledged += recovered(told, Elsewhere(here), image / "state" / "spools", f"{life}, event {moment}")
            shutil.rmtree(image)
        shutil.rmtree(disk)
        disk, before, stored = tmp_path / f"life-{life + 1}", told, here
    print(f"{cuts} cuts, {acknowledged} acknowledged in all of them: nothing lost, doubled or altered")


def recovered(told: list[Told], sink: Elsewhere, base: Path, where: str) -> int:
    """The next process sends what is left, and the verdict is empty; return how many records were acknowledged."""
    oracle, ended = Oracle(), {name for kind, name in told if kind == "a"}
    for kind, name in told:
        oracle.note(f"{kind.replace('b', 'a')} {name}")  # what has begun is on record too, ended or interrupted
    drain(sink, base)
    apart = Quarantine(base / QUARANTINE_NAME).records()
    names = []
    for logregel in (*sink.logregels, *(decode_logregel(each.payload) for each in apart)):
        issued = record(int(logregel.name, 16) - 1)
        whole = logregel == issued or (logregel.name not in ended and logregel == interrupted(issued))
        names.append(logregel.name if whole else f"altered:{logregel.name}")
    verdict = oracle.verdict(names)
    assert verdict.clean, f"life {where}: {verdict}"
    assert not orphaned_segments(base), where
    return len(oracle.acknowledged)


def test_a_write_that_was_not_flushed_may_be_gone(tmp_path: Path) -> None:
    """The disk of these tests itself: without a flush of the file, or of its directory, a cut may take it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    recording = Recording(disk)
    with recording.recorded():
        descriptor = os.open(disk / "a", os.O_WRONLY | os.O_CREAT)
        os.write(descriptor, b"flushed")
        os.fsync(descriptor)
        os.write(descriptor, b" and not")
        os.close(descriptor)
    found = set()
    chance = random.Random(0)  # guards nothing
    for number in range(40):
        recording.cut(len(recording.events), chance, tmp_path / str(number))
        path = tmp_path / str(number) / "a"
        found.add(path.read_bytes() if path.exists() else None)
    assert found == {None, b"flushed", b"flushed and not"}
