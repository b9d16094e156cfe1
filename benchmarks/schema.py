"""What the table of Logregels costs and how fast it answers, beside two other tables with the same rows.

Run: `python -m benchmarks.schema [--rows N] [--merged] [--keep DIR] [--output FILE]`. It prints tables in Markdown.
`--rows 100000 --check` is for CI: it fails when a question does not take its access path, and looks at no times.

The tables: `logregel`, made by the package's own migrations and asked through its own functions, records built and all;
(1) the same columns in the order of the traces; (2) as the JVM peer makes it. `generating.py` has them, and the rows.

How the figures are made:

- A fifth of the rows is loaded and asked for, then the rest: so growth shows.
- Each question is asked with another key each time, after two that are not counted, with `use_query_condition_cache=0`
  or that cache emptied: with a key that comes again it would answer instead of the table. The files are in memory.
- The time is what the caller waits in this process: engine, driver, and for ours the building of the records.
- Granules are what was read, access paths included: rows read, by the engine's own count, over the rows in a granule
  of that table (2,048 in ours, 8,192 in the others).
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import clickhouse_connect
import msgspec
from benchmarks.generating import (
    ACTIVITY,
    JVM,
    MID,
    ROWS_IN_BATCH,
    SOURCES,
    TRACES_IN_BATCH,
    TYPED,
    Question,
    Sample,
    load,
    questions,
)

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.models import Cursor, Page, PageLimits
from ldv_otel._internal.clickhouse.queries.sql import ROW_ONCE
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.times.instants import ms_from_datetime

TABLES: Final = {"ours": "ldv.logregel", "(1)": "peers.typed", "(2)": "peers.jvm"}
ROWS_IN_GRANULE: Final = {"ours": 2_048, "(1)": 8_192, "(2)": 8_192}
WARM_UPS: Final = 2
TRACES_IN_INSERT: Final = 400_000  # a million rows, one block of the engine
MERGES_MAX_SECONDS: Final = 1_200
PAGE_MAX_BYTES: Final = 200_000_000  # of memory
GOAL_ROWS_A_SECOND: Final = 150_000
GOAL_BYTES_RATIO: Final = 0.85
GOAL_SUBJECT_RATIO: Final = 60
#: Of the table's granules, in the small run, where an hour or a batch is a good part of the whole.
CHECKED_SHARE: Final = 0.6
FRESH_YEAR: Final = 2026


class Figures(msgspec.Struct, frozen=True):
    """What asking one question several times gave; granules and found are medians."""

    ms: float
    median_ms: float
    granules: float
    found: float

    def __str__(self) -> str:
        """The figures as they stand in the report."""
        return f"{self.ms:,.1f} / {self.median_ms:,.1f} [{self.granules:,.0f}]"


#: By question, then by table.
Answers = dict[str, dict[str, Figures]]


class Measured(msgspec.Struct):
    """What has to be measured before everything is loaded, kept with the store."""

    rows: int
    fifth: Answers


class Asking(LogboekClient):
    """A client whose settings and queries can be varied."""

    more: Mapping[str, Any] = {"use_query_condition_cache": 0}
    once: Sql = ROW_ONCE

    def rows(
        self,
        query: Sql,
        parameters: Mapping[str, Any] | None = None,
        *,
        settings: Mapping[str, Any] | None = None,
        bytes_columns: Sequence[str] = (),
        self_proving: bool = False,
    ) -> list[tuple[Any, ...]]:
        """Run a query; see `LogboekClient.rows`."""
        return super().rows(
            Sql.verbatim(query.text.replace(ROW_ONCE.text, self.once.text)),
            parameters,
            settings={**(settings or {}), **self.more},
            bytes_columns=bytes_columns,
            self_proving=self_proving,
        )

    @contextlib.contextmanager
    def varied(self, more: Mapping[str, Any] = MappingProxyType({}), *, once: Sql = ROW_ONCE) -> Iterator[None]:
        """Ask with these settings too, or with another way to have each row once."""
        before = self.more, self.once
        self.more, self.once = {**self.more, **more}, once
        try:
            yield
        finally:
            self.more, self.once = before


class Bench:
    """A directory with the three tables, and what can be done with them."""

    def __init__(self, directory: Path, rows: int, repeats: int) -> None:
        self.settings = Settings(logboek=LogboekAddress(scheme="chdb", path=str(directory / "store")))
        self.repeats = repeats
        self.sample = Sample(rows)
        self._begin = time.monotonic()
        apply_schema(self.settings)
        self.client = Asking(self.settings)
        for statement in ("CREATE DATABASE IF NOT EXISTS peers", TYPED, JVM):
            self.client.command(Sql.verbatim(statement))
        # What an earlier run with this directory left when it was stopped.
        self.client.command(Sql.verbatim(f"ALTER TABLE logregel DROP PARTITION {FRESH_YEAR}"))
        self.sink = ClickHouseSink(self.settings)
        self.sink.open()
        self.driver = clickhouse_connect.get_client(interface="chdb", path=self.settings.logboek.path)

    def close(self) -> None:
        """Let go of the store."""
        self.driver.close()
        self.sink.close()
        self.client.close()

    def say(self, text: str) -> None:
        """Tell how far it is, on the error output."""
        print(f"{time.monotonic() - self._begin:7.0f} s  {text}", file=sys.stderr, flush=True)

    def one(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """Return the first value of a query."""
        return self.client.rows(Sql.verbatim(sql), parameters)[0][0]

    def of_table(self, expression: str, source: str, table: str) -> Any:
        """Return an expression over what one of the engine's tables says of a table's active parts."""
        sql = (
            f"SELECT {expression} FROM system.{source} WHERE active AND concat(database, '.', table) = {{table:String}}"
        )
        return self.one(sql, {"table": table})

    def fill(self, share: float, *, merged: bool) -> None:
        """Load the tables up to this share of the rows, as far as they are not, and let them merge."""
        self.sample = self.sample.part(share)
        for table in TABLES.values():
            loaded = self.of_table("sum(rows)", "parts", table) * 2 // 5  # 2.5 rows a trace, exactly, in whole cycles
            for first in range(loaded, self.sample.end, TRACES_IN_INSERT):
                end = min(first + TRACES_IN_INSERT, self.sample.end)
                load(self.client, table.removeprefix("ldv."), self.sample, first, end)
                self.say(f"{table}: {end * 5 // 2:,} rows")
            if merged:
                self.say(f"merging {table}")
                self.client.command(Sql.verbatim(f"OPTIMIZE TABLE {table} FINAL"))
        self.settle()

    def settle(self) -> None:
        """Wait until the engine has no more merges to do."""
        quiet_seconds = 0
        deadline = time.monotonic() + MERGES_MAX_SECONDS
        while quiet_seconds < 3 and time.monotonic() < deadline:  # it may be choosing the next
            quiet_seconds = 0 if self.one("SELECT count() FROM system.merges") else quiet_seconds + 1
            time.sleep(1)
        self.say("merges are done" if quiet_seconds else "it is still merging; going on")

    def ask(self, sample: Sample, labels: Iterable[str], batches: Sequence[Batch] = ()) -> Answers:
        """Ask the tables with these labels all questions."""
        answers: Answers = {}
        for question in self.questions(sample, batches):
            answers[question.name] = {}
            for label in labels:
                calls = self._calls(question, label)
                if calls:
                    answers[question.name][label] = self.measure(calls, ROWS_IN_GRANULE[label])
            texts = (f"{label} {figures}" for label, figures in answers[question.name].items())
            self.say(f"{question.name}: {', '.join(texts)}")
        return answers

    def questions(self, sample: Sample, batches: Sequence[Batch] = ()) -> list[Question]:
        """Return all questions with keys from these rows; read-back is asked for these batches, or for older ones."""
        times = self.repeats + WARM_UPS
        return questions(sample, self.client, self.sink, batches or sample.batches(self.client, times), times)

    def _calls(self, question: Question, label: str) -> list[Callable[[], object]]:
        if label == "ours":
            return [partial(question.ours, key) for key in question.keys]
        sql, bytes_columns = (question.typed, ("parent_span_id",)) if label == "(1)" else (question.jvm, ())
        if not sql:
            return []
        sent = [{name: value for name, value in key.items() if name != "batch"} for key in question.keys]
        return [partial(self.client.rows, Sql.verbatim(sql), key, bytes_columns=bytes_columns) for key in sent]

    def measure(self, calls: Sequence[Callable[[], object]], rows_in_granule: int = 2_048) -> Figures:
        """Run calls of one query each; return the figures of those that are no warm-up."""
        measured = [self._one_call(call) for call in calls][min(WARM_UPS, len(calls) - 1) :]
        times, rows, found = zip(*measured, strict=True)
        granules = math.ceil(statistics.median(rows) / rows_in_granule)
        return Figures(min(times), statistics.median(times), granules, statistics.median(found))

    def _one_call(self, call: Callable[[], object]) -> tuple[float, int, int]:
        self.client.command(Sql("SYSTEM DROP QUERY CONDITION CACHE"))  # for the sink, which has a client of its own
        first, second = self._rows_read(), self._rows_read()
        start = time.perf_counter()
        answer = call()
        elapsed_ms = (time.perf_counter() - start) * 1_000
        # Reading the counter counts as well: as much as between the first two readings.
        rows = self._rows_read() - second - (second - first)
        records = answer.records if isinstance(answer, Page) else answer
        return elapsed_ms, max(rows, 0), len(records) if isinstance(records, list | frozenset) else 0

    def _rows_read(self) -> int:
        return int(self.one("SELECT value FROM system.events WHERE event = 'SelectedRows'"))


def main() -> int:
    """Run the benchmark; return 1 when `--check` finds an access path that is not taken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=11, help="times each question is asked, beside two warm-ups")
    parser.add_argument("--inserts", type=int, default=100, help="inserts of 5,000 rows")
    parser.add_argument("--merged", action="store_true", help="merge to one part a partition before asking")
    parser.add_argument("--keep", type=Path, help="directory for the store; loaded rows are used again by the next run")
    parser.add_argument("--output", type=Path, help="file for the report, instead of printing it")
    parser.add_argument("--check", action="store_true", help="only check that each question takes its access path")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ldv-schema-") as scratch:
        directory: Path = wanted.keep or Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        bench = Bench(directory, wanted.rows, wanted.repeats)
        try:
            if wanted.check:
                return check(bench)
            report = run(bench, directory / "measured.json", wanted)
        finally:
            bench.close()
    if wanted.output:
        wanted.output.write_text(report, encoding="utf-8")
    else:
        print(report)
    return 0


def run(bench: Bench, saved: Path, wanted: argparse.Namespace) -> str:
    """Measure everything; return the report."""
    fifth = measure_fifth(bench, saved, merged=wanted.merged)
    bench.fill(1.0, merged=wanted.merged)
    full = bench.ask(bench.sample, TABLES)
    sections = [
        heading(bench, wanted),
        answers_section(bench, fifth, full),
        company_section(bench),
        once_section(bench),
        bytes_section(bench),
        inserts_section(bench, wanted.inserts, full),
    ]
    if not wanted.keep:
        sections.append(clean_up_section(bench))
    bench.client.command(Sql.verbatim(f"ALTER TABLE logregel DROP PARTITION {FRESH_YEAR}"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    sections.append(f"The process took at most {peak:.1f} GiB of memory, loading and merging included.")
    return "\n\n".join(sections) + "\n"


def measure_fifth(bench: Bench, saved: Path, *, merged: bool) -> Answers:
    """Return what a fifth of the rows gave: now, or in an earlier run with this directory."""
    if saved.exists():
        known = msgspec.json.decode(saved.read_bytes(), type=Measured)
        if known.rows == bench.sample.rows:
            return known.fifth
    bench.fill(0.2, merged=merged)
    fifth = bench.ask(bench.sample, ["ours"])
    saved.write_bytes(msgspec.json.encode(Measured(bench.sample.rows, fifth)))
    return fifth


def check(bench: Bench) -> int:
    """Say of each question whether it read little, and much once its access path was closed."""
    bench.sample = bench.sample.part(1.0)
    load(bench.client, "logregel", bench.sample, 0, bench.sample.end)
    all_granules = bench.of_table("sum(marks)", "parts", TABLES["ours"])
    problems = 0
    for question in bench.questions(bench.sample):
        calls = [partial(question.ours, key) for key in question.keys]
        taken = bench.measure(calls).granules
        fine = taken <= CHECKED_SHARE * all_granules
        text = f"{taken:.0f} of {all_granules} granules"
        if question.without:
            with bench.client.varied({question.without: 0}):
                closed = bench.measure(calls).granules
            fine = fine and closed >= 1.5 * taken
            text += f", {closed:.0f} with {question.without}=0"
        print(f"{'ok    ' if fine else 'FAILED'} {question.name}: {text}")
        problems += not fine
    return 1 if problems else 0


def heading(bench: Bench, wanted: argparse.Namespace) -> str:
    """Return what was run, on what."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    options = "".join(f" --{name} {getattr(wanted, name)}" for name in ("rows", "repeats", "inserts"))
    machine = f"{len(os.sched_getaffinity(0))} cores and {pages * size / 2**30:.0f} GiB of memory"
    engine = f"ClickHouse engine {bench.one('SELECT version()')} in the process (chDB)"
    return (
        f"`python -m benchmarks.schema{options}{' --merged' if wanted.merged else ''}`: "
        f"{bench.sample.end * 5 // 2:,} rows on {machine}, {engine}, Python {platform.python_version()}. "
        "Goals are for 50 million rows. Figures: ms, least / median [granules read, median]."
    )


def answers_section(bench: Bench, fifth: Answers, full: Answers) -> str:
    """Return the questions, with growth, goals and verdicts."""
    rows = []
    goals = {question.name: question.goal_ms for question in bench.questions(bench.sample)}
    for name, answers in full.items():
        ours, goal = answers["ours"], goals[name]
        verdict = "" if not goal else "met" if ours.median_ms <= goal else "missed"
        rows.append(
            [
                name,
                f"{ours.found:,.0f}",
                str(fifth[name]["ours"]) if name in fifth else "-",
                f"**{ours}**",
                *(str(answers.get(label, "-")) for label in ("(1)", "(2)")),
                f"{goal} ms" if goal else "-",
                verdict,
            ]
        )
    header = ["question", "found", "ours, a fifth of the rows", "ours", "(1) typed", "(2) JVM", "goal", "verdict"]
    ratio = _ratio(full, "records of a data subject")
    return (
        f"### Questions, {_parts_of(bench)}\n\n{_table(header, rows)}\n\n"
        f"A data subject: {ratio:,.0f} times faster than (2); goal {GOAL_SUBJECT_RATIO} times: "
        f"{'met' if ratio >= GOAL_SUBJECT_RATIO else 'missed'}."
    )


def _ratio(full: Answers, name: str) -> float:
    return full[name]["(2)"].median_ms / full[name]["ours"].median_ms


def company_section(bench: Bench) -> str:
    """Return what it takes to read all records of the company, page by page."""
    subject = bytes.fromhex(bench.one("SELECT lower(hex(sipHash128('company')))"))
    found, pages, slowest_ms = 0, 0, 0.0
    after: Cursor | None = None
    start = time.perf_counter()
    with bench.client.varied({"max_memory_usage": PAGE_MAX_BYTES}):
        while True:
            before = time.perf_counter()
            page = read.by_subject(bench.client, [subject], PageLimits(after=after, limit=1_000))
            slowest_ms = max(slowest_ms, (time.perf_counter() - before) * 1_000)
            found, pages, after = found + len(page.records), pages + 1, page.following
            if after is None:
                break
    seconds = time.perf_counter() - start
    expected = bench.one("SELECT count() FROM logregel WHERE data_subject_id_type = 'KVK'")
    return (
        f"### The company\n\nAll its records, {found:,} of {expected:,}, in {pages} pages of 1,000 by cursor: "
        f"{seconds:.1f} s, the slowest page {slowest_ms:,.0f} ms, each within {PAGE_MAX_BYTES // 10**6} MB of memory "
        "(the engine's limit for a query)."
    )


def once_section(bench: Bench) -> str:
    """Return what it costs a reader that no row shows twice, and that he asks in plain SQL."""
    plain = Sql("ORDER BY start_time, span_id")
    rows = []
    asked = [question for question in bench.questions(bench.sample) if "read-back" not in question.name]
    for question in asked:
        calls = [partial(question.ours, key) for key in question.keys]
        once = bench.measure(calls)
        with bench.client.varied(once=plain):
            without = bench.measure(calls)
        view = _view(question)
        in_sql = (
            str(bench.measure([partial(bench.client.rows, Sql.verbatim(view), key) for key in question.keys]))
            if view
            else "-"
        )
        rows.append([question.name, str(without), str(once), in_sql])
        bench.say(f"second line, {question.name}: {without} -> {once}, view {in_sql}")
    since = bench.sample.moment(0.5)
    period = {"since": ms_from_datetime(since), "until": ms_from_datetime(since + timedelta(days=30))}
    for name, sql in _OVERVIEWS.items():
        without, once = (
            bench.measure(
                [partial(bench.client.rows, Sql.verbatim(sql.replace("{from}", table)), period)] * (WARM_UPS + 3)
            )
            for table in ("logregel_shown", "logregels")
        )
        rows.append([name, str(without), "-", str(once)])
        bench.say(f"second line, {name}: {without} -> {once}")
    header = ["question", "doubles would show", "each row once", "plain SQL: the view, each row once"]
    return f"### The second line: what hiding doubles costs\n\n{_table(header, rows)}"


_MONTH: Final = (
    "{from} WHERE start_time >= fromUnixTimestamp64Milli({since:Int64}) "
    "AND start_time < fromUnixTimestamp64Milli({until:Int64})"
)
_OVERVIEWS: Final = {
    "count of everything": "SELECT count() FROM {from}",
    "count of a month": f"SELECT count() FROM {_MONTH}",
    "records by name in a month": f"SELECT name, count() FROM {_MONTH} GROUP BY name",
    "export of a month (hash of all columns)": f"SELECT sum(cityHash64(*)) FROM {_MONTH}",
}
_VIEWS: Final = {
    "records of a data subject": "logregels_van(subject = {subject:String})",
    "a trace": "logregels_trace(trace_id = {trace:String})",
    "the caller, by an outbound span": "logregels_aanroeper(trace_id = {trace:String}, span_id = {span:String})",
    "what was done for a foreign span": "logregels_aangeroepen(trace_id = {trace:String}, span_id = {span:String})",
    "the company's first page": "logregels_van(subject = {subject:String})",
    "first page": "logregels_activiteit(activiteit = {activity:String}, "
    "vanaf = fromUnixTimestamp64Milli({since:Int64}, 'UTC'), tot = fromUnixTimestamp64Milli({until:Int64}, 'UTC'))",
}


def _view(question: Question) -> str:
    """Return the question in plain SQL, where there is a view for it."""
    name = "first page" if question.name.startswith("first page") else question.name
    return f"SELECT * FROM {_VIEWS[name]} LIMIT 101" if name in _VIEWS else ""


def bytes_section(bench: Bench) -> str:
    """Return bytes a row, by table, column and access path."""
    totals, columns = {}, {}
    for label, table in TABLES.items():
        totals[label] = bench.of_table("sum(bytes_on_disk) / sum(rows)", "parts", table)
        columns[label] = _by_name(bench, "parts_columns", "column", "sum(column_bytes_on_disk) / sum(rows)", table)
    locators = _by_name(bench, "projection_parts", "name", "sum(bytes_on_disk)", TABLES["ours"])
    count = bench.of_table("sum(rows)", "parts", TABLES["ours"])
    index = bench.of_table("sum(secondary_indices_compressed_bytes) / sum(rows)", "parts", TABLES["ours"])
    paths = {f"projection {name}": size / count for name, size in locators.items()} | {"index rare_activities": index}
    names = sorted(columns["ours"], key=columns["ours"].__getitem__, reverse=True)
    rows = [[name, f"{columns['ours'][name]:.2f}", f"{columns['(1)'][name]:.2f}"] for name in names]
    rows += [[name, f"{size:.2f}", "-"] for name, size in sorted(paths.items())]
    rows.append(["**all**", f"**{totals['ours']:.2f}**", f"**{totals['(1)']:.2f}**"])
    ratio = totals["ours"] / totals["(1)"]
    short = totals["(1)"] - columns["(1)"]["data_subject_id"] / 2  # of hashes, so half the bytes are half the size
    return (
        f"### Bytes a row\n\n{_table(['column or access path', 'ours', '(1) typed'], rows)}\n\n"
        f"(2) takes {totals['(2)']:.1f}. Ours / (1) = {ratio:.3f}; goal {GOAL_BYTES_RATIO}: "
        f"{'met' if ratio <= GOAL_BYTES_RATIO else 'missed'}. (1) has the whole HMAC of 32 bytes; with the 16 "
        f"bytes of ours it would take about {short:.1f}, and the ratio be {totals['ours'] / short:.2f}."
    )


def _by_name(bench: Bench, source: str, name: str, expression: str, table: str) -> dict[str, float]:
    sql = (
        f"SELECT {name}, {expression} FROM system.{source} "
        f"WHERE active AND concat(database, '.', table) = {{table:String}} GROUP BY {name}"
    )
    return {found: float(size) for found, size in bench.client.rows(Sql.verbatim(sql), {"table": table})}


def inserts_section(bench: Bench, count: int, full: Answers) -> str:
    """Return how fast batches of 5,000 are stored, and what is answered while they arrive."""
    rows = []
    for label, table in TABLES.items():
        seconds, whole = _insert_blocks(bench, table, count)
        rows.append([f"{label}: the engine alone (Native blocks)", *_rates(seconds, whole, label == "ours")])
        bench.say(" | ".join(rows[-1]))
    batches = bench.sample.arriving(bench.client, count)
    start = time.perf_counter()
    seconds = [_timed(partial(bench.sink.send, batch)) for batch in batches]
    rows.append(
        ["ours: `ClickHouseSink.send` (Python included)", *_rates(seconds, time.perf_counter() - start, goal=True)]
    )
    bench.say(" | ".join(rows[-1]))
    # Else the parts of which this is about would be gone before the last question.
    bench.client.command(Sql("SYSTEM STOP MERGES logregel"))
    state = _parts_of(bench)
    times = bench.repeats + WARM_UPS
    fresh = bench.ask(bench.sample.after(count), ["ours"], (batches * times)[:times])
    bench.client.command(Sql("SYSTEM START MERGES logregel"))
    asked = [[name, str(answers["ours"]), str(full[name]["ours"])] for name, answers in fresh.items()]
    header = ["", "rows/s, by the median", "rows/s, the whole run", "goal", "verdict"]
    return (
        f"### Inserts of {ROWS_IN_BATCH:,} rows\n\nOne client, {count} inserts, merges going on.\n\n"
        f"{_table(header, rows)}\n\n"
        f"### Questions while rows arrive, {state}\n\nAsked for records of the rows that just came.\n\n"
        f"{_table(['question', 'fresh rows', 'before'], asked)}"
    )


def _insert_blocks(bench: Bench, table: str, count: int) -> tuple[list[float], float]:
    """Insert prepared blocks into an empty twin of a table, so that only the engine's work counts."""
    twin = f"{table}_twin"
    bench.client.command(Sql.verbatim(f"CREATE OR REPLACE TABLE {twin} AS {table}"))
    sql = SOURCES[table.removeprefix("ldv.")]
    blocks = [
        bench.driver.raw_query(
            f"SELECT * FROM ({sql}) LIMIT {ROWS_IN_BATCH}",
            bench.sample.parameters(bench.sample.traces + number * TRACES_IN_BATCH, TRACES_IN_BATCH),
            fmt="Native",
        )
        for number in range(count)
    ]
    start = time.perf_counter()
    settings = {"async_insert": 0, "max_insert_threads": 1}
    seconds = [
        _timed(partial(bench.driver.raw_insert, twin, insert_block=block, fmt="Native", settings=settings))
        for block in blocks
    ]
    whole = time.perf_counter() - start
    bench.client.command(Sql.verbatim(f"DROP TABLE {twin}"))
    return seconds, whole


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _rates(seconds: Sequence[float], whole: float, goal: bool) -> list[str]:
    rate = ROWS_IN_BATCH / statistics.median(seconds)
    verdict = ("met" if rate >= GOAL_ROWS_A_SECOND else "missed") if goal else ""
    return [
        f"{rate:,.0f}",
        f"{ROWS_IN_BATCH * len(seconds) / whole:,.0f}",
        f"{GOAL_ROWS_A_SECOND:,}" if goal else "-",
        verdict,
    ]


def clean_up_section(bench: Bench) -> str:
    """Return what it costs to clean up one activity of a year, or a year."""
    rows = [["before", "-", *_state(bench)]]
    acts = {
        "`ALTER TABLE ... DELETE`, one activity of 2024": (
            f"ALTER TABLE logregel DELETE IN PARTITION 2024 WHERE processing_activity_id = '{ACTIVITY}{MID[0]}' "
            "SETTINGS mutations_sync = 1"
        ),
        "`DELETE FROM` (lightweight), one activity of 2024": (
            f"DELETE FROM logregel IN PARTITION 2024 WHERE processing_activity_id = '{ACTIVITY}{MID[1]}'"
        ),
        "`DROP PARTITION 2024`": "ALTER TABLE logregel DROP PARTITION 2024",
    }
    for name, statement in acts.items():
        took = _timed(partial(bench.client.command, Sql.verbatim(statement)))
        rows.append([name, f"{took:.1f} s", *_state(bench)])
        bench.say(" | ".join(rows[-1]))
    header = ["act", "took", "rows left", "MB on disk", "parts with all locators", "a data subject after it"]
    return f"### Cleaning up\n\n{_table(header, rows)}"


def _state(bench: Bench) -> list[str]:
    table = TABLES["ours"]
    by_name = {question.name: question for question in bench.questions(bench.sample)}
    question = by_name["records of a data subject"]
    return [
        format(bench.one("SELECT count() FROM logregel"), ","),
        f"{bench.of_table('sum(bytes_on_disk)', 'parts', table) / 1e6:,.0f}",
        bench.of_table("concat(countIf(length(projections) = 3), ' of ', count())", "parts", table),
        str(bench.measure([partial(question.ours, key) for key in question.keys])),
    ]


def _parts_of(bench: Bench) -> str:
    texts = (f"{label} {bench.of_table('count()', 'parts', table)}" for label, table in TABLES.items())
    return f"parts: {', '.join(texts)}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
