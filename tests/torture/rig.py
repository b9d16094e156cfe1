"""What the torture tests share: sizes and dice, the oracle, the verdict, and a Logboek in a file.

Sizes are those of continuous integration unless `LDV_TORTURE` says `full`, or a share of that (`0.1`);
`LDV_TEST_SEED` repeats a run.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery import drainer
from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.delivery.durable import DurableDelivery
from ldv_otel._internal.delivery.retry import RetryPolicy
from ldv_otel._internal.delivery.sink import SinkTraits
from ldv_otel._internal.delivery.spool.quarantine import QUARANTINE_NAME
from ldv_otel._internal.delivery.spool.segment import SUFFIX
from ldv_otel._internal.privacy.pseudonyms import KeyRing, Pseudonymiser, new_key
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.sdk import _private
from ldv_otel._internal.sdk.attach import attach
from ldv_otel._internal.sdk.processor import LdvSpanProcessor

_SHARE: Final = float((os.environ.get("LDV_TORTURE") or "0").replace("full", "1"))
_NOON: Final = 1_750_000_000_000
#: What ends with it was written whole: no part of a line does.
_LINE_END: Final = "."


def size(ci: int, full: int) -> int:
    """Return the number for this kind of run; a share of the full one is never less than that of CI."""
    return max(ci, round(full * _SHARE))


def record(number: int, text: str = "") -> Logregel:
    """Return a record whose span id is its number, and whose name says so too."""
    span_id = (number + 1).to_bytes(8, "big")
    return Logregel(
        trace_id=b"torture!" + span_id,
        span_id=span_id,
        name=span_id.hex(),
        start_time_ms=_NOON + number,
        end_time_ms=_NOON + number,
        attributes={"dpl.text": text} if text else {},
    )


@dataclass
class Oracle:
    """What was issued and what was acknowledged; lives in a process that is never killed."""

    issued: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)

    def note(self, line: str) -> None:
        """Take over `i SPAN_ID` (issued) or `a SPAN_ID` (acknowledged); anything torn by a kill says nothing."""
        kind, _, span_id = line.partition(" ")
        if kind == "i":
            self.issued.add(span_id)
        elif kind == "a":
            self.issued.add(span_id)
            self.acknowledged.add(span_id)

    def verdict(self, stored: Iterable[str]) -> Verdict:
        """Compare with the span ids of everything a reader finds."""
        counts = Counter(stored)
        return Verdict(
            lost=self.acknowledged - counts.keys(),
            doubled={span_id for span_id, count in counts.items() if count > 1},
            foreign=counts.keys() - self.issued,
        )


@dataclass(frozen=True)
class Verdict:
    """Three sets that have to be empty."""

    lost: set[str]
    doubled: set[str]
    foreign: set[str]

    @property
    def clean(self) -> bool:
        """Whether they are."""
        return not (self.lost or self.doubled or self.foreign)

    def __str__(self) -> str:
        """Counts, for a message."""
        return f"lost {len(self.lost)}, doubled {len(self.doubled)}, foreign {len(self.foreign)}"


def span_ids(settings: Settings, table: str) -> list[str]:
    """Return the span ids of a table (raw) or view; a row whose content is not what was issued counts as foreign."""
    column = "lower(hex(span_id))" if table == "logregel" else "span_id"
    told = f"if(attributes['dpl.told'] != '', attributes['dpl.told'], name) != {column}"
    with LogboekClient(settings) as client:
        rows = client.rows(Sql.verbatim(f"SELECT if({told}, 'altered:' || {column}, {column}) FROM {table}"))
    return [str(row[0]) for row in rows]


class Forge:
    """A process that has imported everything and forks the processes that are to be killed: 5 ms instead of 500.

    Each of them begins with a byte through the gate, and tells the oracle through a pipe what it does.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self.oracle = Oracle()
        self._ready, self._settled = threading.Event(), threading.Event()
        gate, self._gate = os.pipe()
        pipe, self._oracle = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-B", "-m", "tests.torture.forge", str(gate), str(self._oracle)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            pass_fds=(gate, self._oracle),
            env={**os.environ, **(environ or {})},
        )
        os.close(gate)
        self._listener = threading.Thread(target=self._listen, args=(pipe,), daemon=True)
        self._listener.start()

    def fork(self, workload: str, *arguments: str) -> int:
        """Return the id of a new process that waits at the gate."""
        self._ready.clear()
        assert self._process.stdin
        self._process.stdin.write(json.dumps([workload, *arguments]) + "\n")
        self._process.stdin.flush()
        return int(self._answer())

    def open_gate(self) -> None:
        """Let the process begin."""
        os.write(self._gate, b"g")

    def wait_ready(self) -> None:
        """Wait until it says that it is ready."""
        assert self._ready.wait(60)

    def reap(self) -> int:
        """Wait for its end; return its exit status, negative for a signal."""
        return int(self._answer())

    def settle(self) -> None:
        """Wait until the oracle has heard everything that processes which have ended told it."""
        self._settled.clear()
        os.write(self._oracle, b"settled\n")
        assert self._settled.wait(60)

    def __enter__(self) -> Self:
        """Return the forge."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it, and hear the oracle's pipe out."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()
        os.close(self._gate)
        os.close(self._oracle)
        self._listener.join(30)

    def _answer(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "the forge is gone"
        return line

    def _listen(self, pipe: int) -> None:
        with os.fdopen(pipe, encoding="ascii", errors="replace") as lines:
            for line in lines:
                if line == "ready\n":
                    self._ready.set()
                elif line == "settled\n":
                    self._settled.set()
                else:
                    self.oracle.note(line.removesuffix("\n"))


class FileLogboek:
    """A `Sink` that appends batches to a file and deduplicates by token: it outlives whoever writes to it."""

    traits: Final = SinkTraits()

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._batches: dict[str, tuple[str, list[int], list[str]]] = {}

    def open(self) -> None:
        """Read what is there."""
        self._batches = {}
        if self._path.exists():
            for line in self._path.read_text(encoding="ascii").splitlines():
                # Who is killed within a write leaves a part of its line, and got no confirmation of it.
                if line.endswith(_LINE_END):
                    token, writer_id, seqs, names = json.loads(line.removesuffix(_LINE_END))
                    self._batches[token] = (writer_id, seqs, names)
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def send(self, batch: Batch) -> None:
        """Append a batch in one write, unless its token is known."""
        if batch.token in self._batches:
            return
        entry = (batch.writer_id, list(batch.seqs), [logregel.name for logregel in batch.logregels])
        # A line of its own, also after one that was torn.
        line = f"\n{json.dumps([batch.token, *entry])}{_LINE_END}\n".encode()
        assert os.write(self._descriptor, line) == len(line)
        os.fsync(self._descriptor)
        self._batches[batch.token] = entry

    def read_back(self, batch: Batch) -> frozenset[int]:
        """Return which places of its writer are there."""
        stored = {seq for writer_id, seqs, _ in self._batches.values() if writer_id == batch.writer_id for seq in seqs}
        return frozenset(stored & set(batch.seqs))

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def names(self) -> list[str]:
        """Return the names, which are span ids, of all rows."""
        self.open()
        self.close()
        return [name for _, _, names in self._batches.values() for name in names]


def log_through(delivery: DurableDelivery) -> LdvSpanProcessor:
    """Have `processing` log to a delivery."""
    key = new_key("torture")
    processor = LdvSpanProcessor(LogregelMaker(Pseudonymiser(KeyRing([key], active=key.id)).subject), delivery)
    if _private.current_provider() is None:
        trace.set_tracer_provider(_private.StandInProvider(shutdown_on_exit=False))
    provider = _private.current_provider()
    assert isinstance(provider, TracerProvider)
    attach(provider, processor)
    return processor


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the pauses out of delivery: a test of a hundred outages is not a test of patience."""
    monkeypatch.setattr(drainer, "_GATHER_SECONDS", 0.005)
    monkeypatch.setattr(drainer, "OPENING", RetryPolicy(first_pause_seconds=0.05, longest_pause_seconds=0.05))
    monkeypatch.setattr(
        drainer, "SENDING", RetryPolicy(first_pause_seconds=0.02, longest_pause_seconds=0.05, suspicion_seconds=20.0)
    )


def strace(pid: int, *options: str) -> subprocess.Popen[str]:
    """Attach to a process; return when its calls are watched.

    Skips the test, with the reason, where that cannot be done.
    """
    if shutil.which("strace") is None:
        pytest.skip("strace is missing; install the package strace (Debian: apt-get install -y strace)")
    tracer = subprocess.Popen(
        ["strace", "-p", str(pid), *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert tracer.stderr
    line = tracer.stderr.readline()
    if "attached" not in line:
        tracer.kill()
        tracer.communicate()
        pytest.skip(f"strace may not trace here: {line.strip()}")
    return tracer


def orphaned_segments(base: Path, *living: str) -> list[Path]:
    """Return the segments in spools whose owners are gone."""
    # Not `Path.glob`: it raises when a directory that it has seen is taken away.
    found = map(Path, glob.glob(f"{glob.escape(str(base))}/*/*{SUFFIX}"))  # noqa: PTH207  (as above)
    return [path for path in found if path.parent.name not in (QUARANTINE_NAME, *living)]


def wait_until(test: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something another thread or process does."""
    end = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
