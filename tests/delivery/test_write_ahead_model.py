"""Any order of starts, ends, refusals by the disk, kills and adoptions, against what has to be on record."""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.delivery.durable import drain
from ldv_otel._internal.delivery.spool.write_ahead import ActieStart, encode_start
from ldv_otel._internal.delivery.spool.writer import SpoolWriter
from ldv_otel._internal.record.logregel import Logregel, actie_id, encode_logregel
from ldv_otel.errors import LogboekUnavailable
from ldv_otel.testing import InMemoryLogboek
from tests.delivery.test_write_ahead import record
from tests.support.chance import examples

ACTIES = 8
WRITER = "0011223344556677"

#: What the disk does: it is fine, the flush fails with the bytes in place, or nothing gets there.
disks = st.sampled_from(["fine"] * 6 + ["flush", "write"])
steps = st.lists(
    st.tuples(st.sampled_from(["begin", "name", "end", "end", "log"]), st.integers(0, ACTIES - 1), disks), max_size=60
)


class Killed(Exception):  # what happens, not what is wrong
    """The adopter is killed."""


class Fatal(InMemoryLogboek):
    """Kills whoever sends to it, after it has stored or before, so many times."""

    def __init__(self, kills: list[bool]) -> None:
        super().__init__()
        self.kills = kills

    def send(self, batch: Batch) -> None:
        """Store or not, and kill."""
        if not self.kills:
            super().send(batch)
        else:
            if self.kills.pop():
                super().send(batch)
            raise Killed


def refusing(disk: str) -> AbstractContextManager[object]:
    """The disk as it is for one step."""
    if disk == "fine":
        return nullcontext()
    called = {"flush": "fdatasync", "write": "pwrite"}[disk]
    return patch(f"ldv_otel._internal.delivery.spool.writer.os.{called}", side_effect=OSError(5, "Input/output error"))


class Service:
    """A process that runs Acties, and remembers what it asked of its spool and what it was told."""

    def __init__(self, base: Path, segment_bytes: int) -> None:
        self.spool = SpoolWriter(base, WRITER, segment_bytes=segment_bytes)
        #: Acties of which the start, the end, were tried; True where that was acknowledged.
        self.begun: dict[int, bool] = {}
        self.ended: dict[int, bool] = {}
        #: How many people were named while an Actie ran, and how many records there are of no such Actie.
        self.beside: Counter[int] = Counter()
        self.others = 0

    def begin(self, number: int) -> None:
        """Start an Actie."""
        if number not in self.begun:
            self.begun[number] = False
            self._start(number, record(number, f"begun {number}"))
            self.begun[number] = True

    def name(self, number: int) -> None:
        """Say of one that runs whom it is about."""
        if self._runs(number):
            other = record(1_000 + 100 * number + self.beside[number], f"beside {number}")
            self._start(number, other, more=True)
            self.beside[number] += 1

    def end(self, number: int) -> None:
        """End one that runs."""
        if self._runs(number):
            self.ended[number] = False
            ended = encode_logregel(record(number, f"ended {number}"))
            self.spool.append(ended, ended=actie_id(record(number)))
            self.ended[number] = True

    def log(self, _: int) -> None:
        """Log something that never said that it began."""
        self.spool.append(encode_logregel(record(5_000 + self.others, f"other {self.others}")))
        self.others += 1

    def check(self, names: Counter[str]) -> None:
        """Compare with what is on record."""
        for number in range(ACTIES):
            as_begun, as_ended, beside = (names[f"{kind} {number}"] for kind in ("begun", "ended", "beside"))
            if number in self.ended:
                # Refused to its caller, and yet on record: as what got to the disk.
                assert (as_begun, as_ended) == (0, 1) if self.ended[number] else as_begun + as_ended == 1
            elif number in self.begun:
                assert as_ended == 0
                assert as_begun == 1 if self.begun[number] else as_begun <= 1
            else:
                assert (as_begun, as_ended, beside) == (0, 0, 0)
            assert beside >= self.beside[number] * as_begun
            assert as_begun or not beside
        assert all(names[f"other {number}"] >= 1 for number in range(self.others))

    def _runs(self, number: int) -> bool:
        return self.begun.get(number, False) and number not in self.ended

    def _start(self, number: int, logregel: Logregel, *, more: bool = False) -> None:
        actie = actie_id(record(number))
        self.spool.append_start(actie, encode_start(ActieStart(actie, (logregel,))), more=more)


@settings(max_examples=examples(60))
@given(steps, st.lists(st.booleans(), max_size=4), st.sampled_from([600, 4_096]))
def test_each_actie_is_on_record_once(todo: list[tuple[str, int, str]], kills: list[bool], segment_bytes: int) -> None:
    """As ended where that was acknowledged, as begun where no end was tried, as one of the two in between."""
    with tempfile.TemporaryDirectory() as directory:
        base = Path(directory)
        service = Service(base, segment_bytes)
        for kind, number, disk in todo:
            with refusing(disk), suppress(LogboekUnavailable):
                getattr(service, kind)(number)
        assert service.spool.running == sum(service.begun[n] and not service.ended.get(n) for n in service.begun)
        service.spool.close()
        sink = Fatal(list(kills))
        for _ in range(len(kills) + 1):
            with suppress(Killed):
                drain(sink, base)
        assert [path.name for path in base.iterdir()] in ([], ["quarantine"])
    batches = [batch for batch in sink._batches.values() if batch.writer_id == WRITER]
    assert all(count == 1 for count in Counter(seq for batch in batches for seq in batch.seqs).values())
    service.check(Counter(logregel.name for logregel in sink.logregels))
