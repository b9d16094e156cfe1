"""How long a citizen waits for the page of what was done with their data, in a Logboek of millions of rows.

Run: `python -m benchmarks.inzage [--rows N] [--times 50] [--keep DIR]`. It prints tables in Markdown.

How the figures are made:

- An embedded Logboek with 24 months of rows, made by `generating.py`. Among them are 1,000 about one person, in 400
  traces of 1 to 4 rows as all others, spread evenly; and 1,000 about another, each in an hour of its own, the worst
  there can be. Parts are merged, as they are in a Logboek at rest. A Register with 300 activities is in force.
- `ldv serve --demo` is a process of its own. Each page is asked for as often as `--times` says, after three that are
  not counted. The time is what the client waits, over loopback, from the request to the last byte.
- First paint, layout shift and weight are Chromium's own measures of the first page, with an empty cache.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import statistics
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple

import httpx
from benchmarks.generating import ACTIVITY, BEGIN, DAYS, RARE, Sample, load
from benchmarks.processors import cpu_ms
from benchmarks.stores import filled, serving
from playwright.sync_api import sync_playwright

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.register_table import apply_register
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.privacy.key_file import add_key, read_keys
from ldv_otel._internal.privacy.pseudonyms import KeyRing
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.register.register import ProcessingActivity, Register
from ldv_otel._internal.times.instants import ms_from_datetime

PERSON: Final = "999990019"
SPREAD: Final = "999990020"
RECORDS: Final = 1_000
PAINTS: Final = 9
TRACES_IN_INSERT: Final = 400_000
WARM_UPS: Final = 3
GOAL_MS: Final = 100
GOAL_BYTES: Final = 150_000
FIRST: Final = "first page, 1,000 records"
PAGES: Final = (
    (FIRST, PERSON, "/inzage"),
    ("a later page", PERSON, "/inzage?vanaf="),
    ("by processing activity", PERSON, "/inzage/verwerkingen"),
    ("first page, 1,000 records in 1,000 hours", SPREAD, "/inzage"),
    ("all of it as a file", PERSON, "/inzage/mijn-gegevens.csv"),
)
#: What a page shows first, and what moves after that, is known some frames after it has loaded.
MEASURES: Final = """async () => {
    const painted = () => performance.getEntriesByName('first-contentful-paint')[0];
    while (!painted()) await new Promise(done => setTimeout(done, 20));
    let shift = 0;
    new PerformanceObserver(list => { shift += list.getEntries().reduce((sum, one) => sum + one.value, 0); })
        .observe({type: 'layout-shift', buffered: true});
    await new Promise(done => setTimeout(done, 300));
    const [page] = performance.getEntriesByType('navigation');
    const all = [page, ...performance.getEntriesByType('resource')];
    const bytes = all.reduce((sum, one) => sum + one.decodedBodySize, 0);
    return {first_byte: page.responseStart, paint: painted().startTime, shift, bytes};
}"""


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--times", type=int, default=50, help="how often each page is asked for")
    parser.add_argument("--keep", type=Path, help="directory for the store; loaded rows are used again by the next run")
    wanted = parser.parse_args()
    with filled(wanted.keep, fill, wanted.rows) as directory, serving(directory, "--demo") as (ready, pid):
        server = Server(ready.removesuffix("/inzage"), pid)
        pages = {name: times(server, bsn, path, wanted.times) for name, bsn, path in PAGES}
        painted = paint(server.address)
    print(report(pages, painted, wanted))
    return 0


class Server(NamedTuple):
    """A running server; its process is on Linux."""

    address: str
    pid: int

    def cpu_ms(self) -> float:
        """Return what its process took of the processors so far."""
        return cpu_ms(self.pid)


def times(server: Server, bsn: str, path: str, count: int) -> tuple[list[float], float]:
    """Return how long a page took, in ms, each time; and its cost to the server, in ms of CPU, on average."""
    address, found = server.address, []
    with httpx.Client(base_url=address, headers={"Sec-Fetch-Site": "same-origin"}, timeout=60) as client:
        client.post("/inzage/aanmelden", data={"nummer": bsn})
        if "vanaf" in path:
            further = re.search(r"vanaf=([0-9a-f-]+)", client.get("/inzage").text)
            path += further[1] if further else ""
        before_ms = 0.0
        for number in range(count + WARM_UPS):
            if number == WARM_UPS:
                before_ms = server.cpu_ms()
            begin = time.perf_counter()
            client.get(path).raise_for_status()
            found.append((time.perf_counter() - begin) * 1_000)
    return found[WARM_UPS:], (server.cpu_ms() - before_ms) / count


def paint(address: str) -> dict[str, float]:
    """Return what Chromium measures of the first page: ms, bytes, and the shift as a share of the screen."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"{address}/inzage")
        page.get_by_label("Burgerservicenummer").fill(PERSON)
        with page.expect_navigation():
            page.get_by_role("button", name="Log in").click()
        found: list[dict[str, float]] = []
        for _ in range(PAINTS):
            page.goto("about:blank")
            page.context.new_cdp_session(page).send("Network.clearBrowserCache")
            page.goto(f"{address}/inzage")
            found.append(page.evaluate(MEASURES))
        browser.close()
    return {name: statistics.median(one[name] for one in found) for name in found[0]}


def report(pages: dict[str, tuple[list[float], float]], painted: dict[str, float], wanted: argparse.Namespace) -> str:
    """Return the tables."""
    lines = [
        f"`python -m benchmarks.inzage --rows {wanted.rows} --times {wanted.times}`",
        "",
        "| page | p50 | p95 | CPU of the server | goal |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    for name, (found, cpu) in pages.items():
        median = statistics.median(found)
        goal = f"{GOAL_MS} ms: {'met' if median <= GOAL_MS else 'missed'}" if name == FIRST else ""
        cells = f"{median:,.0f} ms | {statistics.quantiles(found, n=20)[-1]:,.0f} ms | {cpu:,.0f} ms"
        lines.append(f"| {name} | {cells} | {goal} |")
    weight = painted["bytes"]
    lines += [
        "",
        "| in Chromium | median | goal |",
        "| --- | ---: | --- |",
        f"| first byte of the first page | {painted['first_byte']:,.0f} ms | |",
        f"| first paint with content | {painted['paint']:,.0f} ms | |",
        f"| layout shift | {painted['shift']:.3f} | 0: {'missed' if painted['shift'] else 'met'} |",
        (
            f"| weight, with stylesheet and icon, not compressed | {weight / 1_000:,.0f} kB | "
            f"{GOAL_BYTES // 1_000} kB: {'met' if weight < GOAL_BYTES else 'missed'} |"
        ),
    ]
    return "\n".join(lines)


def fill(directory: Path, rows: int) -> None:
    """Make the rows, those about the person and the Register, unless they are there."""
    if (directory / "filled").exists():
        return
    settings = Settings(logboek=LogboekAddress(scheme="chdb", path=str(directory / "store")))
    add_key(directory / "keys.json")
    apply_schema(settings)
    sample = Sample(rows)
    with LogboekClient(settings) as client:
        for first in range(0, sample.traces, TRACES_IN_INSERT):
            load(client, "logregel", sample, first, min(first + TRACES_IN_INSERT, sample.traces))
        sink = ClickHouseSink(settings)
        sink.open()
        ring = read_keys(directory / "keys.json")
        for person, traces in ((PERSON, 400), (SPREAD, RECORDS)):
            sink.send(number_batch(new_writer_id(), 0, _about(person, ring, traces)))
        sink.close()
        client.command(Sql("OPTIMIZE TABLE logregel FINAL"))
        entries = [
            ProcessingActivity(
                id=f"{ACTIVITY}{number}",
                name=f"Activiteit {number}",
                purpose="Een doel in woorden, zoals een register dat heeft",
                legal_ground="Een wet, artikel 1",
                retention="P10Y",
            )
            for number in range(RARE.stop)
        ]
        apply_register(client, Register(entries))
    (directory / "filled").touch()


def _about(person: str, ring: KeyRing, traces: int) -> list[Logregel]:
    """Return 1,000 records about somebody, in so many traces that are spread evenly over the 24 months."""
    found = []
    for number in range(RECORDS):
        place = number * traces // RECORDS
        begin_ms = ms_from_datetime(BEGIN + timedelta(days=DAYS) * (place / traces)) + number
        found.append(
            Logregel(
                trace_id=hashlib.sha256(f"{person} {place}".encode()).digest()[:16],
                span_id=os.urandom(8),
                name=f"Handeling {number}",
                start_time_ms=begin_ms,
                end_time_ms=begin_ms + 40,
                processing_activity_id=f"{ACTIVITY}{place % 7}",
                data_subject_id=ring.pseudonym("BSN", person),
                data_subject_id_type="BSN",
                key_id=ring.active.id,
            )
        )
    return found


if __name__ == "__main__":
    sys.exit(main())
