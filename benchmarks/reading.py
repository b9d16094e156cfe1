"""How long readers wait while others write: the named questions beside the same questions on the JVM peer's schema.

Run: `python -m benchmarks.reading [--rows N] [--readers 16] [--rate 5000] [--seconds 60] [--pause S] [--keep DIR]`.
It prints a table in Markdown. `--keep` takes the directory of `benchmarks.schema --keep` too: the rows need not be made
again.

How the figures are made:

- The engine is a process of its own (`ldv logboek`) with 24 months of rows in both tables, made by `generating.py`,
  and a Register with a term for every activity, so that hiding what is past its term costs what it costs.
- First ours, then the peer: readers in four processes ask each question in turn with another key each time, without a
  pause or with one after each answer that is `--pause` on average, while one writer sends a batch of as many records as
  `--rate` says every second to the table that is asked.
- The time is what a reader waits: driver, HTTP, engine, and for ours the building of the records. What is asked in the
  first tenth of the time is not counted.
- All of it shares one machine, readers and writer included; with more readers than cores the figures are a queue's.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import random
import select
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import clickhouse_connect
import msgspec
from benchmarks.generating import ACTIVITY, RARE, ROWS_IN_BATCH, SOURCES, TRACES_IN_BATCH, Sample, questions
from benchmarks.schema import Bench
from benchmarks.stores import filled

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.models import PageLimits
from ldv_otel._internal.clickhouse.register_table import apply_register
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.register.register import ProcessingActivity, Register

KEYS: Final = 200
PROCESSES: Final = 4
WARM_UP_SHARE: Final = 0.1
GOAL_P99_MS: Final = 200
GOAL_RATIO: Final = 60
SUBJECT: Final = "records of a data subject"

Key = dict[str, Any]


def _by_activity(client: LogboekClient, key: Key) -> object:
    return read.by_activity(client, key["activity"], PageLimits(since_ms=key["since"], until_ms=key["until"]))


#: How ours answers, by the names that `generating.questions` gives.
OURS: Final[dict[str, Callable[[LogboekClient, Key], object]]] = {
    SUBJECT: lambda client, key: read.by_subject(client, [bytes.fromhex(key["subject"])]),
    "a trace": lambda client, key: read.by_trace(client, key["trace"]),
    "what was done for a foreign span": lambda client, key: read.by_foreign(client, key["trace"], key["span"]),
    "first page of a frequent activity in a day": _by_activity,
    "first page of a middling activity in a month": _by_activity,
}


class Work(msgspec.Struct, frozen=True):
    """What one process of readers does.

    Attributes:
        sql: The peer's text for each question; empty when ours is asked.
        counted_from: On the clock of `time.time`, as is `end`.
        pause: Seconds between an answer and the next question, on average.
    """

    port: int
    readers: int
    keys: dict[str, list[Key]]
    sql: dict[str, str]
    counted_from: float
    end: float
    pause: float
    seed: int


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--readers", type=int, default=16)
    parser.add_argument("--rate", type=int, default=ROWS_IN_BATCH, help="records a second, at most 5,000")
    parser.add_argument("--seconds", type=int, default=60, help="for each of the two tables")
    parser.add_argument("--pause", type=float, default=0, help="seconds that a reader reads an answer, on average")
    parser.add_argument("--keep", type=Path, help="directory for the store; loaded rows are used again by the next run")
    wanted = parser.parse_args()
    with filled(wanted.keep, _fill, wanted.rows) as directory, served(directory / "store") as port:
        print(run(port, Sample(wanted.rows).part(1.0), wanted))
    return 0


def run(port: int, sample: Sample, wanted: argparse.Namespace) -> str:
    """Ask both tables; return the report."""
    settings = _settings(port)
    apply_schema(settings)
    sink = ClickHouseSink(settings)
    sink.open()
    with LogboekClient(settings) as client:
        entries = [
            ProcessingActivity(id=f"{ACTIVITY}{number}", name="x", retention="P10Y") for number in range(RARE.stop)
        ]
        apply_register(client, Register(entries), amend=True)
        found = {question.name: question for question in questions(sample, client, sink, [], KEYS)}
        keys = {name: list(found[name].keys) for name in OURS}
        sql = {name: found[name].jvm for name in OURS}
        batches = sample.arriving(client, wanted.seconds)
    ours_writes = [lambda batch=batch: sink.send(_first(batch, wanted.rate)) for batch in batches]
    ours, ours_written = measure(port, keys, {}, ours_writes, wanted)
    peer, peer_written = measure(port, keys, sql, _peer_writes(port, sample, wanted), wanted)
    sink.close()
    _clean(port)
    return _report(ours, peer, f"{ours_written:,.0f} and {peer_written:,.0f}", wanted)


def measure(
    port: int,
    keys: dict[str, list[Key]],
    sql: dict[str, str],
    writes: Sequence[Callable[[], object]],
    wanted: argparse.Namespace,
) -> tuple[dict[str, list[float]], float]:
    """Let all readers ask while the writer writes; return their times in ms, and how many records a second came in."""
    begin = time.time() + 5  # until all have started
    end = begin + wanted.seconds
    counted_from = begin + WARM_UP_SHARE * wanted.seconds
    shares = [len(range(first, wanted.readers, PROCESSES)) for first in range(PROCESSES)]
    work = [
        msgspec.to_builtins(Work(port, share, keys, sql, counted_from, end, wanted.pause, seed))
        for seed, share in enumerate(shares)
        if share
    ]
    with multiprocessing.get_context("spawn").Pool(len(work)) as pool:
        answers = pool.map_async(_read_all, work)
        written = _write_all(writes, begin, end)
        times: dict[str, list[float]] = defaultdict(list)
        for answer in answers.get():
            for name, found in answer.items():
                times[name] += found
    return times, written * wanted.rate / wanted.seconds


def _write_all(writes: Sequence[Callable[[], object]], begin: float, end: float) -> int:
    """Write once a second as long as it lasts; return how many times it was."""
    for number, write in enumerate(writes):
        time.sleep(max(begin + number - time.time(), 0))
        if time.time() >= end:
            return number
        write()
    return len(writes)


def _read_all(given: dict[str, Any]) -> dict[str, list[float]]:
    """Ask with all readers of one process; return their times in ms."""
    work = msgspec.convert(given, Work)
    times: dict[str, list[float]] = defaultdict(list)
    threads = [threading.Thread(target=_read, args=(work, number, times)) for number in range(work.readers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def _read(work: Work, number: int, times: dict[str, list[float]]) -> None:
    draw = random.Random(f"{work.seed} {number}")  # keys to ask for, no secrets
    with LogboekClient(_settings(work.port)) as client:
        while True:
            for name in draw.sample(list(work.keys), len(work.keys)):
                key = draw.choice(work.keys[name])
                start = time.perf_counter()
                if work.sql:
                    client.rows(Sql.verbatim(work.sql[name]), key)
                else:
                    OURS[name](client, key)
                elapsed_ms = (time.perf_counter() - start) * 1_000
                now = time.time()
                if now - elapsed_ms / 1_000 >= work.counted_from:
                    times[name].append(elapsed_ms)
                if now >= work.end:
                    return
                time.sleep(draw.uniform(0, 2 * work.pause))


def _first(batch: Any, rows: int) -> Any:
    return msgspec.structs.replace(batch, seqs=batch.seqs[:rows], logregels=batch.logregels[:rows])


def _peer_writes(port: int, sample: Sample, wanted: argparse.Namespace) -> list[Callable[[], object]]:
    """Return what inserts the same rows into the peer's table, as blocks that are made beforehand, too."""
    driver = clickhouse_connect.get_client(host="127.0.0.1", port=port, database="peers", compress=False)
    blocks = []
    for number in range(wanted.seconds):
        parameters = sample.parameters(sample.traces + number * TRACES_IN_BATCH, TRACES_IN_BATCH)
        sql = f"{SOURCES['peers.jvm']} LIMIT {int(wanted.rate)}"
        blocks.append(driver.raw_query(sql, parameters=parameters, fmt="Native"))
    return [lambda block=block: driver.raw_insert("peers.jvm", insert_block=block, fmt="Native") for block in blocks]  # type: ignore[misc]


def _clean(port: int) -> None:
    """Take away what was written, for the next run with this directory."""
    with LogboekClient(_settings(port)) as client:
        client.command(Sql("ALTER TABLE logregel DROP PARTITION 2026"))
        client.command(Sql("ALTER TABLE peers.jvm DELETE WHERE startTime >= '2026-01-01' SETTINGS mutations_sync = 1"))


def _report(ours: dict[str, list[float]], peer: dict[str, list[float]], rates: str, wanted: argparse.Namespace) -> str:
    lines = [
        (
            f"`python -m benchmarks.reading --rows {wanted.rows} --readers {wanted.readers} --rate {wanted.rate} "
            f"--seconds {wanted.seconds} --pause {wanted.pause:g}`: {rates} records/s were written."
        ),
        "",
        "| question | ours: p50 | p99 | asked | peer: p50 | p99 | asked | p50, peer / ours |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in OURS:
        (our_50, our_99), (peer_50, peer_99) = _percentiles(ours[name]), _percentiles(peer[name])
        cells = [f"{our_50:,.0f} ms", f"{our_99:,.0f} ms", f"{len(ours[name]):,}"]
        cells += [f"{peer_50:,.0f} ms", f"{peer_99:,.0f} ms", f"{len(peer[name]):,}", f"{peer_50 / our_50:,.1f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    subject_99 = _percentiles(ours[SUBJECT])[1]
    ratio = _percentiles(peer[SUBJECT])[0] / _percentiles(ours[SUBJECT])[0]
    lines += [
        "",
        (
            f"A data subject: p99 {subject_99:,.0f} ms, goal {GOAL_P99_MS} ms: "
            f"{'met' if subject_99 <= GOAL_P99_MS else 'missed'}; {ratio:,.1f} times the peer, goal {GOAL_RATIO}: "
            f"{'met' if ratio >= GOAL_RATIO else 'missed'}."
        ),
    ]
    return "\n".join(lines)


def _percentiles(times: Sequence[float]) -> tuple[float, float]:
    """Return median and 99th percentile; of few times the latter is the largest."""
    if len(times) < 2:  # no quantiles of one
        return (times[0], times[0]) if times else (float("nan"), float("nan"))
    return statistics.median(times), statistics.quantiles(times, n=100, method="inclusive")[98]


def _settings(port: int) -> Settings:
    return Settings(logboek=LogboekAddress(scheme="clickhouse+http", host="127.0.0.1", port=port, database="ldv"))


def _fill(directory: Path, rows: int) -> None:
    bench = Bench(directory, rows, 1)
    bench.fill(1.0, merged=False)
    bench.close()


@contextlib.contextmanager
def served(path: Path) -> Iterator[int]:
    """Serve a store for the length of a block; give the port."""
    command = [
        sys.executable,
        "-m",
        "ldv_otel._internal.clickhouse.embedded",
        "--path",
        os.fspath(path),
        "--listen",
        "127.0.0.1:0",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None or not select.select([process.stdout], [], [], 60)[0]:
                raise RuntimeError("the Logboek did not start; its standard error says why")
            yield int(process.stdout.readline().rpartition(":")[2])
        finally:
            process.terminate()


if __name__ == "__main__":
    sys.exit(main())
