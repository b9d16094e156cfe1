"""What durable delivery costs, beside one flush of the same disk and beside the plain SDK with OTLP, in one run.

    python -m benchmarks.delivery [--seconds 3] [--backlog 1000000] [--only spool service ...] [--output FILE]

Everything runs against a sink that takes every batch and forgets it, so that it is our own cost that shows; one line
has the embedded engine, and the last tables are those of `benchmarks.waiting`. CPU is user and system time of the whole
process, all threads.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.sinks import Forgetful
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import ldv_otel as ldv
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id
from ldv_otel._internal.delivery.durable import DurableDelivery
from ldv_otel._internal.delivery.spool.writer import SpoolWriter
from ldv_otel._internal.privacy.pseudonyms import KeyRing, Pseudonymiser, new_key
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.record.logregel import Logregel, encode_logregel
from ldv_otel._internal.sdk.processor import LdvSpanProcessor
from ldv_otel._internal.sdk.sampler import LdvSampler
from ldv_otel._internal.times.instants import now_ms

MARKED = {
    "dpl.core.processing_activity_id": "https://register.example/activiteiten/parkeren",
    "dpl.core.data_subject_id": "5d41402abc4b2a76b9719d911017c592",
    "dpl.core.data_subject_id_type": "BSN",
}
ACTIVITY = "https://register.example/activiteiten/parkeren"


def a_record() -> Logregel:
    """A record of ordinary size, some 300 bytes."""
    moment_ms = now_ms()
    return Logregel(
        trace_id=secrets.token_bytes(16),
        span_id=secrets.token_bytes(8),
        parent_span_id=secrets.token_bytes(8),
        name="Wijzig kenteken",
        start_time_ms=moment_ms,
        end_time_ms=moment_ms,
        processing_activity_id=ACTIVITY,
        data_subject_id=secrets.token_bytes(16),
        data_subject_id_type="BSN",
        key_id="2026-11-22",
        attributes={"dpl.objects.algorithm_id": "https://algoritmes.example/parkeren/1"},
        resource='{"service.name":"parkeervergunningen","service.version":"1.0"}',
    )


def cpu_seconds() -> float:
    """User and system time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def per_second(threads: int, seconds: float, work: Callable[[], object]) -> float:
    """How often the work was done in a second, by so many threads."""
    counts = [0] * threads
    stop = time.monotonic() + seconds

    def loop(number: int) -> None:
        while time.monotonic() < stop:
            work()
            counts[number] += 1

    workers = [threading.Thread(target=loop, args=(number,)) for number in range(threads)]
    started = time.monotonic()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.monotonic() - started)


@contextmanager
def flushing(directory: Path, payload: bytes) -> Iterator[Callable[[], None]]:
    """Give one write and flush after the other in a zero-filled file."""
    path = directory / "bare"
    size = 8 * 1024 * 1024
    path.write_bytes(bytes(size))
    descriptor = os.open(path, os.O_WRONLY)
    os.fsync(descriptor)
    offset = 0

    def flush() -> None:
        nonlocal offset
        os.pwrite(descriptor, payload, offset)
        os.fdatasync(descriptor)
        offset = (offset + len(payload)) % (size - len(payload))

    yield flush
    os.close(descriptor)
    path.unlink()


def spool_rates(directory: Path, seconds: float, payload: bytes, logged: Callable[[], None]) -> Iterator[str]:
    """Commits a second with 1, 8 and 32 threads, against the bare flush of the same minute."""
    yield "| | records/s | us each | against one flush |"
    yield "| --- | ---: | ---: | ---: |"
    with flushing(directory, payload) as flush:
        rate = per_second(1, seconds, flush)
    yield f"| one flush, bare | {rate:,.0f} | {1e6 / rate:.0f} | 1.00x |"
    for threads in (1, 8, 32):
        spool = SpoolWriter(directory, new_writer_id())
        found = per_second(threads, seconds, functools.partial(spool.append, payload))
        spool.close()
        ratio = f"{rate / found:.2f}x the time" if threads == 1 else f"{found / rate:.1f}x the rate"
        yield f"| spool, {threads} threads | {found:,.0f} | {1e6 / found:.1f} | {ratio} |"
    # Appends are what a disk does; a whole Actie is made under Python's lock before that.
    for threads in (1, 8, 32):
        found = per_second(threads, seconds, logged)
        yield f"| whole Acties, {threads} threads | {found:,.0f} | {1e6 / found:.1f} | {found / rate:.2f}x the rate |"


@contextmanager
def otlp_endpoint() -> Iterator[str]:
    """An HTTP server that takes OTLP and forgets it, in a process of its own so that its CPU is not counted."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # the library's name
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    child = os.fork()
    if child == 0:
        server.serve_forever()
        os._exit(0)
    yield f"http://127.0.0.1:{server.server_port}/v1/traces"
    os.kill(child, 9)
    os.waitpid(child, 0)


class DurableService(NamedTuple):
    """A service that logs.

    Attributes:
        logged: Logs one Actie.
        delivery: Where its records go: to a sink that forgets.
    """

    logged: Callable[[], None]
    delivery: DurableDelivery


def durable_service(directory: Path) -> DurableService:
    """Return the service of this process; OpenTelemetry takes the first provider for good."""
    key = new_key("benchmark")
    provider = TracerProvider(sampler=LdvSampler())
    delivery = DurableDelivery(Forgetful(), directory)
    provider.add_span_processor(
        LdvSpanProcessor(LogregelMaker(Pseudonymiser(KeyRing([key], active=key.id)).subject), delivery)
    )
    trace.set_tracer_provider(provider)

    def logged() -> None:
        with ldv.processing(ACTIVITY, name="Wijzig kenteken"):
            ldv.data_subject("123456782", type="BSN")

    return DurableService(logged, delivery)


def service_cost(directory: Path, seconds: float, rate: float, endpoint: str, service: DurableService) -> Iterator[str]:
    """CPU of a service at a steady rate: plain SDK with OTLP, and ours, until everything is delivered.

    What the pace itself costs is left out of all; what as many bare flushes at the same pace cost is shown apart.
    """
    count = int(rate * seconds)
    logged, delivery = service
    payload = encode_logregel(a_record())
    idle = {threads: paced(bool, count, rate, bool, threads) for threads in (1, 8)}
    tracer_alone = TracerProvider().get_tracer("floor")
    with flushing(directory, payload) as flush:
        flush_cost = paced(flush, count, rate, bool) - idle[1]

        def span_and_flush() -> None:
            with tracer_alone.start_as_current_span("Wijzig kenteken", attributes=MARKED):
                pass
            flush()

        floors = {threads: paced(span_and_flush, count, rate, bool, threads) - idle[threads] for threads in (1, 8)}

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint), max_queue_size=100_000))
    tracer = provider.get_tracer("plain")

    def plain() -> None:
        with tracer.start_as_current_span("Wijzig kenteken") as span:
            span.set_attribute("dpl.core.processing_activity_id", ACTIVITY)
            span.set_attribute("dpl.core.data_subject_id", "5d41402abc4b2a76b9719d911017c592")
            span.set_attribute("dpl.core.data_subject_id_type", "BSN")

    yield f"| at {rate:,.0f}/s | CPU us a record | without the flushes | ratio | beside span and flush |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for threads in (1, 8):
        of_threads = f", {threads} threads" if threads > 1 else ""
        of_plain = paced(plain, count, rate, lambda: provider.force_flush(60_000), threads) - idle[threads]
        yield f"| plain SDK, BatchSpanProcessor, OTLP/HTTP{of_threads} | {of_plain:.1f} | {of_plain:.1f} | 1.00 | |"
        yield f"| the SDK's span and a bare flush: the floor{of_threads} | {floors[threads]:.1f} | | | 1.00 |"
        cost = paced(logged, count, rate, lambda: delivery.flush(60), threads) - idle[threads]
        # Several threads share flushes, so there it is the whole that counts.
        counted = cost - flush_cost if threads == 1 else cost
        without = f"{counted:.1f}" if threads == 1 else "-"
        ratios = f"{counted / of_plain:.2f} | {cost / floors[threads]:.2f}"
        yield f"| ldv, durable{of_threads} | {cost:.1f} | {without} | {ratios} |"
    yield f"| a bare flush at that pace | {flush_cost:.1f} | | | |"
    provider.shutdown()


def paced(work: Callable[[], object], count: int, rate: float, finish: Callable[[], object], threads: int = 1) -> float:
    """CPU in us for each of `count` calls at a rate, by so many threads, up to where everything is delivered."""
    before, started = cpu_seconds(), time.monotonic()

    def loop(first: int) -> None:
        for number in range(first, count, threads):
            work()
            ahead = started + (number + 1) / rate - time.monotonic()
            if ahead > 0.002:  # sleeping less than that costs more than it saves
                time.sleep(ahead)

    workers = [threading.Thread(target=loop, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    finish()
    return (cpu_seconds() - before) / count * 1e6


def backlog(directory: Path, records: int) -> Iterator[str]:
    """Making, adopting and draining a backlog."""
    yield "| | records/s | seconds | memory grew by |"
    yield "| --- | ---: | ---: | ---: |"
    payload = encode_logregel(a_record())
    spool = SpoolWriter(directory / "backlog", new_writer_id())
    started = time.monotonic()
    for _ in range(0, records, 4_096):
        spool.append(*[payload] * 4_096)
    spool.close()
    took = time.monotonic() - started
    yield f"| bulk into the spool | {records / took:,.0f} | {took:.1f} | |"
    before = peak_mib()
    delivery = DurableDelivery(Forgetful(), directory / "backlog")
    started = time.monotonic()
    delivery.submit(a_record())
    yield f"| ready to serve with that backlog | | {time.monotonic() - started:.3f} | |"
    while any(path.suffix == ".segment" for path in (directory / "backlog" / spool.writer_id).glob("*")):
        time.sleep(0.05)
    took = time.monotonic() - started
    yield f"| drained | {records / took:,.0f} | {took:.1f} | {peak_mib() - before:.0f} MiB |"
    delivery.shutdown(10)


def peak_mib() -> float:
    """Highest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def bulk_subjects(directory: Path, count: int) -> Iterator[str]:
    """`data_subjects` with numbers out of a generator, into the spool."""
    key = new_key("benchmark")
    provider = TracerProvider(sampler=LdvSampler())
    delivery = DurableDelivery(Forgetful(), directory / "bulk")
    maker = LogregelMaker(Pseudonymiser(KeyRing([key], active=key.id)).subject)
    provider.add_span_processor(LdvSpanProcessor(maker, delivery))
    with provider.get_tracer("bulk").start_as_current_span(
        "x", attributes={"dpl.core.processing_activity_id": ACTIVITY}
    ):
        started = time.monotonic()
        ldv.data_subjects((f"{100_000_000 + number:09d}" for number in range(count)), type="BSN")
        took = time.monotonic() - started
    yield f"`data_subjects`, {count:,} people: {count / took:,.0f} a second into the spool."
    delivery.shutdown(30)


def into_engine(directory: Path, records: int) -> Iterator[str]:
    """The same with the embedded engine behind it."""
    settings = Settings(logboek=LogboekAddress(scheme="chdb", path=str(directory / "logboek")))
    delivery = DurableDelivery(ClickHouseSink(settings), directory / "engine")
    before, started = cpu_seconds(), time.monotonic()
    some = [encode_logregel(a_record()) for _ in range(4_096)]
    for _ in range(0, records, 4_096):
        delivery.submit_encoded(some)
    delivery.flush(300)
    took = time.monotonic() - started
    cpu = (cpu_seconds() - before) / records * 1e6
    yield f"Through the embedded engine: {records / took:,.0f} records/s, {cpu:.1f} us of CPU each, engine included."
    delivery.shutdown(10)


def waiting(seconds: float) -> Iterator[str]:
    """How long event loops are held up; in a process of its own, because it sets a tracer provider."""
    command = [sys.executable, "-m", "benchmarks.waiting", "--seconds", str(seconds)]
    yield subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--backlog", type=int, default=1_000_000)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--only", choices=["spool", "service", "backlog", "bulk", "engine", "waiting"], nargs="*")
    wanted = parser.parse_args()
    payload = encode_logregel(a_record())
    lines = [f"Records of {len(payload)} bytes; {os.cpu_count()} cores.", ""]
    with otlp_endpoint() as endpoint, tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        service = durable_service(directory / "service")
        sections: dict[str, Callable[[], Iterator[str]]] = {
            "spool": lambda: spool_rates(directory, wanted.seconds, payload, service.logged),
            "service": lambda: service_cost(directory, wanted.seconds * 2, 2_000, endpoint, service),
            "backlog": lambda: backlog(directory, wanted.backlog),
            "bulk": lambda: bulk_subjects(directory, min(wanted.backlog, 1_000_000)),
            "engine": lambda: into_engine(directory, min(wanted.backlog, 500_000)),
            "waiting": lambda: waiting(wanted.seconds),
        }
        for section, measure in sections.items():
            if not wanted.only or section in wanted.only:
                lines += [*measure(), ""]
        service.delivery.shutdown(60)
    text = "\n".join(lines) + "\n"
    if wanted.output:
        wanted.output.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
