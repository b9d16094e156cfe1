"""What a level costs who waits for it, and how long an event loop is held up meanwhile, in one run.

    python -m benchmarks.waiting [--seconds 3]

The first table is one thread with the embedded engine behind it; the next two are threads that wait until the Logboek
itself has their record, which share inserts. Then eight tasks do nothing but log (or flush), and a
ninth sleeps for 2 ms again and again, and notes how much later than that it is woken; a bare flush in a thread stands
beside that, and a plain `with` in a coroutine shows what is avoided. All but asyncio run in processes of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.sinks import Forgetful
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from tests.support.logboek import LogboekProcess

import ldv_otel as ldv
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.config.variables import DeliveryLevel
from ldv_otel._internal.delivery.durable import DurableDelivery
from ldv_otel._internal.delivery.sink import Sink
from ldv_otel._internal.privacy.pseudonyms import KeyRing, Pseudonymiser, new_key
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.sdk.processor import LdvSpanProcessor
from ldv_otel._internal.sdk.sampler import LdvSampler

ACTIVITY = "https://register.example/activiteiten/parkeren"
TASKS = 8
TURN_SECONDS = 0.002
_ZEROS = bytes(8 * 1024 * 1024)


class Bare:
    """One write of the size of a record, and a flush."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "bare"
        self._path.write_bytes(_ZEROS)
        self._descriptor = os.open(self._path, os.O_WRONLY)
        os.fsync(self._descriptor)

    def flush(self) -> None:
        """Write and flush."""
        os.pwrite(self._descriptor, b"x" * 344, 0)
        os.fdatasync(self._descriptor)


def a_service(directory: Path, sink: Sink | None = None) -> DurableDelivery:
    """A provider whose Acties go to a spool; for the whole of this process."""
    key = new_key("benchmark")
    provider = TracerProvider(sampler=LdvSampler())
    delivery = DurableDelivery(sink or Forgetful(), directory / "waiting")
    maker = LogregelMaker(Pseudonymiser(KeyRing([key], active=key.id)).subject)
    provider.add_span_processor(LdvSpanProcessor(maker, delivery))
    trace.set_tracer_provider(provider)
    return delivery


def row(name: str, counts: list[int], lags: list[float], seconds: float) -> str:
    """A line of the table."""
    ordered = sorted(lags)
    median, high = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    return (
        f"| {name} | {sum(counts) / seconds:,.0f} | {median * 1e3:.2f} | {high * 1e3:.2f} | {ordered[-1] * 1e3:.1f} |"
    )


def header(what: str) -> Iterator[str]:
    """The first lines of a table."""
    yield f"| {what} | a second | late by, median ms | 99 % | worst |"
    yield "| --- | ---: | ---: | ---: | ---: |"


def levels_table(directory: Path, seconds: float, _kind: str) -> Iterator[str]:
    """One thread that does nothing but log, into the embedded engine."""
    settings = Settings(logboek=LogboekAddress(scheme="chdb", path=str(directory / "logboek")))
    delivery = a_service(directory, ClickHouseSink(settings))
    bare = Bare(directory)

    def logged(level: DeliveryLevel, *, subject: bool = False) -> Callable[[], None]:
        def work() -> None:
            with ldv.processing(ACTIVITY, delivery=level):
                if subject:
                    ldv.data_subject("123456782", type="BSN")

        return work

    works: dict[str, Callable[[], None]] = {
        "write and flush, bare": bare.flush,
        "durable": logged("durable"),
        "write-ahead": logged("write-ahead"),
        "write-ahead, with a data subject named inside": logged("write-ahead", subject=True),
        "confirmed": logged("confirmed"),
    }
    yield "| one thread | us an Actie, median | 99 % |"
    yield "| --- | ---: | ---: |"
    times: dict[str, list[float]] = {name: [] for name in works}
    end = time.monotonic() + seconds * len(works)
    while time.monotonic() < end:
        # In turns, so that who else uses the disk slows all of them down alike.
        for name, work in works.items():
            stop = time.monotonic() + 0.05
            while time.monotonic() < stop:
                started = time.perf_counter()
                work()
                times[name].append(time.perf_counter() - started)
            delivery.flush(30)
    delivery.shutdown(10)
    for name, took in times.items():
        took.sort()
        yield f"| {name} | {statistics.median(took) * 1e6:,.0f} | {took[int(len(took) * 0.99)] * 1e6:,.0f} |"


def confirmed_table(directory: Path, seconds: float, kind: str) -> Iterator[str]:
    """Writers that each wait until the Logboek has their record: in the process (`chdb`), or that of `ldv logboek`."""
    yield f"| `confirmed`, {kind} | a second | ms an Actie, median | 99 % |"
    yield "| --- | ---: | ---: | ---: |"
    with _logboek(directory / "logboek", kind) as address:
        delivery = a_service(directory, ClickHouseSink(Settings(logboek=address)))
        for writers in (1, 8, 32):
            took: list[float] = []
            stop = time.monotonic() + seconds

            def work(stop: float = stop, took: list[float] = took) -> None:
                while time.monotonic() < stop:
                    began = time.perf_counter()
                    with ldv.processing(ACTIVITY, delivery="confirmed"):
                        pass
                    took.append(time.perf_counter() - began)

            threads = [threading.Thread(target=work) for _ in range(writers)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            took.sort()
            rate, high = len(took) / seconds, took[int(len(took) * 0.99)]
            yield f"| {writers} writers | {rate:,.0f} | {statistics.median(took) * 1e3:.1f} | {high * 1e3:.1f} |"
        delivery.shutdown(10)


@contextmanager
def _logboek(directory: Path, kind: str) -> Iterator[LogboekAddress]:
    if kind == "chdb":
        yield LogboekAddress(scheme="chdb", path=str(directory))
        return
    with LogboekProcess(directory) as server:
        address = LogboekAddress(scheme="clickhouse+http", host="127.0.0.1", port=server.port, database="ldv")
        apply_schema(Settings(logboek=address))
        yield address


async def _measured(name: str, work: Callable[[], Awaitable[None]], seconds: float) -> str:
    stop, counts, lags = time.monotonic() + seconds, [0] * TASKS, []

    async def loop(number: int) -> None:
        while time.monotonic() < stop:
            await work()
            counts[number] += 1

    async def turn() -> None:
        while time.monotonic() < stop:
            started = time.perf_counter()
            await asyncio.sleep(TURN_SECONDS)
            lags.append(time.perf_counter() - started - TURN_SECONDS)

    await asyncio.gather(turn(), *(loop(number) for number in range(TASKS)))
    return row(name, counts, lags, seconds)


async def _asyncio_rows(directory: Path, seconds: float) -> list[str]:
    bare = Bare(directory)

    async def nothing() -> None:
        await asyncio.sleep(TURN_SECONDS)

    async def in_thread() -> None:
        await asyncio.to_thread(bare.flush)

    def logged(level: DeliveryLevel) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            async with ldv.processing(ACTIVITY, delivery=level):
                pass

        return work

    @ldv.processing(ACTIVITY)
    async def decorated() -> None:
        """Do nothing."""

    async def held_up() -> None:
        with ldv.processing(ACTIVITY):
            await asyncio.sleep(0)

    works: dict[str, Callable[[], Awaitable[None]]] = {
        "nothing": nothing,
        "`asyncio.to_thread`: write and flush, bare": in_thread,
        "`async with`, durable": logged("durable"),
        "decorated coroutine, durable": decorated,
        "`async with`, write-ahead (two commits)": logged("write-ahead"),
        "`async with`, confirmed by a sink that forgets": logged("confirmed"),
        "plain `with` in a coroutine, durable": held_up,
    }
    return [await _measured(name, work, seconds) for name, work in works.items()]


def asyncio_table(directory: Path, seconds: float) -> Iterator[str]:
    """Asyncio."""
    delivery = a_service(directory)
    yield from header(f"asyncio, {TASKS} tasks")
    yield from asyncio.run(_asyncio_rows(directory, seconds))
    delivery.shutdown(10)


def gevent_table(directory: Path, seconds: float, kind: str) -> Iterator[str]:
    """Gevent, in this process, which is patched or not."""
    gevent = importlib.import_module("gevent")  # in a process of its own, patched before this module is there
    bare = Bare(directory)
    delivery = a_service(directory)

    def logged(level: DeliveryLevel) -> Callable[[], None]:
        def work() -> None:
            with ldv.processing(ACTIVITY, delivery=level):
                pass

        return work

    works: dict[str, Callable[[], Any]] = {
        "nothing": lambda: gevent.sleep(TURN_SECONDS),
        "its pool of threads: write and flush, bare": lambda: gevent.get_hub().threadpool.apply(bare.flush),
        "`with`, durable": logged("durable"),
        "`with`, write-ahead (two commits)": logged("write-ahead"),
    }
    yield from header(f"gevent, {kind}, {TASKS} greenlets")
    for name, work in works.items():
        yield _measured_by_greenlets(gevent, name, work, seconds)
    delivery.shutdown(10)


def _measured_by_greenlets(gevent: Any, name: str, work: Callable[[], Any], seconds: float) -> str:
    stop, counts, lags = time.monotonic() + seconds, [0] * TASKS, []

    def loop(number: int) -> None:
        while time.monotonic() < stop:
            work()
            counts[number] += 1

    def turn() -> None:
        while time.monotonic() < stop:
            started = time.perf_counter()
            gevent.sleep(TURN_SECONDS)
            lags.append(time.perf_counter() - started - TURN_SECONDS)

    gevent.joinall([gevent.spawn(turn), *(gevent.spawn(loop, number) for number in range(TASKS))], raise_error=True)
    return row(name, counts, lags, seconds)


_PATCH = "import sys\nif sys.argv[3] == 'patched':\n    from gevent import monkey\n    monkey.patch_all()\n"
_RUN = "import json, pathlib\nfrom benchmarks import waiting\ntable = getattr(waiting, sys.argv[4])\n"
_PRINT = "print(json.dumps(list(table(pathlib.Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]))))\n"


def tables(directory: Path, seconds: float) -> Iterator[str]:
    """All tables."""
    yield from _elsewhere("levels_table", directory / "levels", seconds)
    for kind in ("chdb", "ldv logboek"):
        yield from ("", *_elsewhere("confirmed_table", directory / kind, seconds, kind))
    yield from ("", *asyncio_table(directory, seconds))
    for kind in ("patched", "not patched"):
        yield from ("", *_elsewhere("gevent_table", directory / kind, seconds, kind))


def _elsewhere(table: str, directory: Path, seconds: float, kind: str = "") -> list[str]:
    """Make a table in a process of its own."""
    directory.mkdir()
    command = [sys.executable, "-c", _PATCH + _RUN + _PRINT, str(directory), str(seconds), kind, table]
    lines: list[str] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return lines


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        print("\n".join(tables(Path(name), wanted.seconds)))


if __name__ == "__main__":
    main()
