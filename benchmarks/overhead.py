"""What logging costs a service: time per span with and without ldv_otel, and the time to import it.

Run: `python -m benchmarks.overhead [--spans N] [--repeats R]`. It prints a table in Markdown.

How the variants are kept comparable:

- `processing` uses the global tracer provider, and background threads and memory of one variant should not weigh on
  another. So each variant has a process of its own, started once; all but one of them wait.
- A round runs every variant once; the next round starts with the next variant. What the machine does meanwhile then
  falls on all of them, so a ratio is taken within each round, and the median of these is printed.
- The clock of the calling thread counts its own CPU time only; wall time is what the service waits, other threads'
  turns included; the clock of the process runs on until everything is exported or confirmed, with all its threads.
- A request goes through FastAPI with OpenTelemetry's instrumentation, by ASGI, without a server; it makes three spans,
  and with ldv one of them is an Actie by a mapping rule. The same again by HTTP, with uvicorn, asked
  by another process.
- Every span has three attributes, is the current span, and ends in the same call. Queues hold a whole round: a variant
  that drops spans would look cheap. The garbage collector runs as in a service.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, NamedTuple

import fastapi
from benchmarks import serving
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, DEFAULT_ON, Sampler

import ldv_otel as ldv
from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.delivery.memory import MemoryDelivery
from ldv_otel._internal.delivery.sink import SinkTraits
from ldv_otel._internal.privacy.key_file import add_key
from ldv_otel._internal.privacy.pseudonyms import KeyRing, Pseudonymiser, new_key
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.rules.rules import read_rules
from ldv_otel._internal.sdk.asgi_answers import hold_answers_of
from ldv_otel._internal.sdk.attach import attach
from ldv_otel._internal.sdk.span_rules import SpanMapper
from ldv_otel.attributes import DATA_SUBJECT_ID, DATA_SUBJECT_ID_TYPE, PROCESSING_ACTIVITY_ID

QUEUE_RECORDS: Final = 65_536
GOAL_RATIO: Final = 1.3
REQUEST_GOAL_RATIO: Final = 1.05
GOAL_IMPORT_MS: Final = 50
IMPORTS: Final = 10

ACTIVITY: Final = "https://register.example/activiteiten/kenteken-wijzigen"
NAME: Final = "Wijzig kenteken"
OWN: Final = {"parkeren.zone": "centrum", "parkeren.vergunning": "bewoner"}
TECHNICAL: Final = {"http.route": "/vergunningen/{id}", **OWN}
MARKED: Final = {PROCESSING_ACTIVITY_ID: ACTIVITY, **OWN}
BSNS: Final = [str(100_000_000 + 7_919 * number) for number in range(1_000)]


class NullExporter(SpanExporter):
    """Accepts and forgets."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Take spans."""
        del spans
        return SpanExportResult.SUCCESS


class NullSink:
    """A `Sink` that accepts and forgets."""

    traits: Final = SinkTraits()

    def open(self) -> None:
        """Be ready."""

    def send(self, batch: Batch) -> None:
        """Take a batch."""

    def read_back(self, batch: Batch) -> frozenset[int]:
        """Say that all of it is there; nothing asks, because `send` never fails."""
        return frozenset(batch.seqs)

    def close(self) -> None:
        """Do nothing."""


class Service(NamedTuple):
    """A service that makes spans in one way.

    Attributes:
        make_spans: Makes this many spans, and ends them; or serves this many requests.
        provider: Its `force_flush` tells whether everything was exported or confirmed.
    """

    make_spans: Callable[[int], None]
    provider: TracerProvider


def one_by_one(make_span: Callable[[int], None]) -> Callable[[int], None]:
    """Return what calls for each number."""

    def make_spans(count: int) -> None:
        for number in range(count):
            make_span(number)

    return make_spans


def batch_processor() -> SpanProcessor:
    """Return the SDK's own processor with a queue that holds a round."""
    return BatchSpanProcessor(NullExporter(), max_queue_size=QUEUE_RECORDS)


def ldv_to_nowhere() -> ldv.LdvSpanProcessor:
    """Return our processor at level `memory`, with a sink that forgets."""
    maker = LogregelMaker(Pseudonymiser(KeyRing([new_key("k1")], active="k1")).subject)
    return ldv.LdvSpanProcessor(maker, MemoryDelivery(NullSink(), queue_records=QUEUE_RECORDS))


def ldv_to_chdb(directory: Path) -> SpanProcessor:
    """Return our processor at level `memory`, with an embedded Logboek, set up as `install()` does."""
    add_key(directory / "keys.json")
    environ = {
        "LDV_LOGBOEK": f"chdb://{directory}/logboek",
        "LDV_KEYS": str(directory / "keys.json"),
        "LDV_DELIVERY": "memory",
        "LDV_STATE": str(directory / "state"),
        "LDV_QUEUE_RECORDS": str(QUEUE_RECORDS),
    }
    return ldv.LdvSpanProcessor.from_settings(ldv.read_settings(environ))


def provider_with(*processors: SpanProcessor, sampler: Sampler = DEFAULT_ON) -> TracerProvider:
    """Return a provider with these processors, set as the global one of this process."""
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    for processor in processors:
        provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    return provider


def spans(provider: TracerProvider, attributes: dict[str, str]) -> Service:
    """Return a service that makes spans with attributes known beforehand."""
    tracer = provider.get_tracer("overhead")

    def make_span(_: int) -> None:
        with tracer.start_as_current_span(NAME, attributes=attributes):
            pass

    return Service(one_by_one(make_span), provider)


def spans_with_subject(provider: TracerProvider) -> Service:
    """Return a service that names the data subject in the span's own attributes."""
    tracer = provider.get_tracer("overhead")

    def make_span(number: int) -> None:
        attributes = {
            PROCESSING_ACTIVITY_ID: ACTIVITY,
            DATA_SUBJECT_ID: BSNS[number % len(BSNS)],
            DATA_SUBJECT_ID_TYPE: "BSN",
        }
        with tracer.start_as_current_span(NAME, attributes=attributes):
            pass

    return Service(one_by_one(make_span), provider)


def acties(provider: TracerProvider) -> Service:
    """Return a service that uses `processing` and `data_subject`."""

    def make_span(number: int) -> None:
        with ldv.processing(ACTIVITY, name=NAME, attributes=OWN):
            ldv.data_subject(BSNS[number % len(BSNS)], type="BSN")

    return Service(one_by_one(make_span), provider)


def requests(*others: SpanProcessor, processor: ldv.LdvSpanProcessor | None = None, by_http: bool = False) -> Service:
    """Return a service that serves requests, and keeps a Logboek as `install()` makes it do."""
    provider = provider_with(*others)
    if processor is not None:
        attach(provider, processor)
        hold_answers_of(fastapi.FastAPI)  # as `install()` does
    service = serving.service_with_server if by_http else serving.service
    return Service(service(provider, BSNS), provider)


def ldv_with_rules(directory: Path) -> ldv.LdvSpanProcessor:
    """Return our processor at level `memory`, with a sink that forgets, and a rule for the requests."""
    rules = directory / "rules.yaml"
    rules.write_text(serving.RULES)
    pseudonymiser = Pseudonymiser(KeyRing([new_key("k1")], active="k1"))
    return ldv.LdvSpanProcessor(
        LogregelMaker(pseudonymiser.subject),
        MemoryDelivery(NullSink(), queue_records=QUEUE_RECORDS),
        mapper=SpanMapper(read_rules(rules), pseudonymiser.subject),
    )


def unsampled_acties_only() -> Service:
    """Return a service whose technical spans nobody wants."""
    processor = ldv_to_nowhere()
    sampler = ldv.LdvSampler(ALWAYS_OFF, may_be_actie=processor.may_be_actie)
    return spans(provider_with(batch_processor(), processor, sampler=sampler), TECHNICAL)


REFERENCE: Final = "span, BatchSpanProcessor"
GOAL: Final = "Actie with data subject, ldv"
REQUEST: Final = "request, BatchSpanProcessor"
REQUEST_BY_HTTP: Final = "request by HTTP, BatchSpanProcessor"
REQUEST_GOAL: Final = "request that is an Actie, BatchSpanProcessor and ldv"
VARIANTS: Final[dict[str, Callable[[Path], Service]]] = {
    "span, no processor": lambda _: spans(provider_with(), TECHNICAL),
    REFERENCE: lambda _: spans(provider_with(batch_processor()), TECHNICAL),
    GOAL: lambda _: acties(provider_with(ldv_to_nowhere(), sampler=ldv.LdvSampler())),
    "Actie with data subject, ldv, into chDB": lambda directory: acties(
        provider_with(ldv_to_chdb(directory), sampler=ldv.LdvSampler())
    ),
    "Actie with data subject, BatchSpanProcessor and ldv": lambda _: acties(
        provider_with(batch_processor(), ldv_to_nowhere(), sampler=ldv.LdvSampler())
    ),
    "span marked by hand, ldv": lambda _: spans(provider_with(ldv_to_nowhere(), sampler=ldv.LdvSampler()), MARKED),
    "span marked by hand with data subject, ldv": lambda _: spans_with_subject(
        provider_with(ldv_to_nowhere(), sampler=ldv.LdvSampler())
    ),
    "unsampled span, BatchSpanProcessor": lambda _: spans(
        provider_with(batch_processor(), sampler=ALWAYS_OFF), TECHNICAL
    ),
    "unsampled span, BatchSpanProcessor and ldv": lambda _: spans(
        provider_with(batch_processor(), ldv_to_nowhere(), sampler=ldv.LdvSampler(ALWAYS_OFF)), TECHNICAL
    ),
    "unsampled span, BatchSpanProcessor and ldv, LDV_RECORD=acties": lambda _: unsampled_acties_only(),
    "unsampled Actie with data subject, BatchSpanProcessor and ldv": lambda _: acties(
        provider_with(batch_processor(), ldv_to_nowhere(), sampler=ldv.LdvSampler(ALWAYS_OFF))
    ),
    REQUEST: lambda _: requests(batch_processor()),
    "request that is no Actie, BatchSpanProcessor and ldv": lambda _: requests(
        batch_processor(), processor=ldv_to_nowhere()
    ),
    "request that is an Actie, ldv alone": lambda directory: requests(processor=ldv_with_rules(directory)),
    REQUEST_GOAL: lambda directory: requests(batch_processor(), processor=ldv_with_rules(directory)),
    REQUEST_BY_HTTP: lambda _: requests(batch_processor(), by_http=True),
    "request by HTTP that is an Actie, BatchSpanProcessor and ldv": lambda directory: requests(
        batch_processor(), processor=ldv_with_rules(directory), by_http=True
    ),
}


class Cost(NamedTuple):
    """Microseconds per span."""

    caller: float
    process: float
    wall: float


def measure(service: Service, count: int) -> Cost:
    """Return what a round of spans costs each."""
    gc.collect()
    process = time.process_time_ns()
    wall = time.perf_counter_ns()
    caller = time.thread_time_ns()
    service.make_spans(count)
    caller = time.thread_time_ns() - caller
    wall = time.perf_counter_ns() - wall
    if not service.provider.force_flush(60_000):
        raise RuntimeError("Spans were lost or late, so these times mean nothing. Use fewer spans in a round.")
    process = time.process_time_ns() - process
    return Cost(*(nanoseconds / 1_000 / count for nanoseconds in (caller, process, wall)))


def work(variant: str, directory: Path, orders: Connection) -> None:
    """Measure one variant, in a process of its own, each time a number of spans is ordered; 0 ends it."""
    service = VARIANTS[variant](directory)
    while count := orders.recv():
        orders.send(measure(service, count))
    service.provider.shutdown()


def measure_all(count: int, repeats: int, directory: Path) -> dict[str, list[Cost]]:
    """Return the costs of all variants, one for each round."""
    context = multiprocessing.get_context("spawn")
    workers = {}
    for variant in VARIANTS:
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(variant, directory, theirs), daemon=True)
        process.start()
        theirs.close()
        workers[variant] = (process, ours)
    costs: dict[str, list[Cost]] = {variant: [] for variant in VARIANTS}
    order = list(VARIANTS)
    for repeat in range(-1, repeats):  # the round before the first warms up
        for variant in order:
            _, orders = workers[variant]
            orders.send(count)
            cost: Cost = orders.recv()
            if repeat >= 0:
                costs[variant].append(cost)
        order.append(order.pop(0))
    for process, orders in workers.values():
        orders.send(0)
        process.join()
    return costs


def ratio(costs: dict[str, list[Cost]], variant: str, clock: str) -> float:
    """Return the median over the rounds of a variant's cost over that of its reference in the same round."""
    kinds = {"request by HTTP": REQUEST_BY_HTTP, "request": REQUEST}
    reference = next((found for kind, found in kinds.items() if variant.startswith(kind)), REFERENCE)
    pairs = zip(costs[variant], costs[reference], strict=True)
    ratios: list[float] = [getattr(cost, clock) / getattr(reference, clock) for cost, reference in pairs]
    return statistics.median(ratios)


def table(costs: dict[str, list[Cost]]) -> str:
    """Return the costs as a table in Markdown."""
    clocks = {"caller": "calling thread", "wall": "wall", "process": "whole process"}
    heads = [f"{words}: min | median | ratio" for words in clocks.values()]
    lines = [f"| µs per span or request | {' | '.join(heads)} |", "| --- |" + " ---: |" * 3 * len(clocks)]
    for variant, measured in costs.items():
        cells = []
        for clock in clocks:
            times = [getattr(cost, clock) for cost in measured]
            cells += [f"{min(times):.1f}", f"{statistics.median(times):.1f}", f"{ratio(costs, variant, clock):.2f}"]
        lines.append(f"| {variant} | {' | '.join(cells)} |")
    return "\n".join(lines)


def import_times_ms() -> list[float]:
    """Return what `import ldv_otel` takes in fresh processes that have the SDK imported, all from compiled files."""
    program = "import opentelemetry.sdk.trace, opentelemetry.trace\nimport ldv_otel"
    command = [sys.executable, "-X", "importtime", "-c", program]
    times = []
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as compiled:
        environ["PYTHONPYCACHEPREFIX"] = compiled
        for _ in range(IMPORTS + 1):  # the first one compiles
            report = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stderr
            cumulative = {name.strip(): int(total) for _, total, name in (line.split("|") for line in _timed(report))}
            times.append(cumulative["ldv_otel"] / 1_000)
    return times[1:]


def _timed(report: str) -> list[str]:
    """Return the lines that hold times: all but the heading, and whatever else was written to standard error."""
    return [line for line in report.splitlines() if line.startswith("import time:") and "[us]" not in line]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What logging costs a service.")
    parser.add_argument("--spans", type=int, default=5_000, help="spans in a round")
    parser.add_argument("--repeats", type=int, default=21, help="rounds")
    options = parser.parse_args()
    if not 0 < options.spans <= QUEUE_RECORDS or options.repeats < 1:
        parser.error(f"--spans must be between 1 and {QUEUE_RECORDS}, and --repeats at least 1")
    with tempfile.TemporaryDirectory() as directory:
        costs = measure_all(options.spans, options.repeats, Path(directory))
    print(
        f"Python {sys.version.split()[0]}, {options.repeats} rounds of {options.spans:,} spans; ratio to: {REFERENCE}\n"
    )
    print(table(costs))
    print(f"\nGoal: {GOAL!r} at most {GOAL_RATIO} on the calling thread; {ratio(costs, GOAL, 'caller'):.2f} measured.")
    print(
        f"Goal: {REQUEST_GOAL!r} at most {REQUEST_GOAL_RATIO} of {REQUEST!r}, whole process; "
        f"{ratio(costs, REQUEST_GOAL, 'process'):.2f} measured."
    )
    times = import_times_ms()
    print(
        f"Import of ldv_otel over that of the SDK: {min(times):.0f} ms at best, {statistics.median(times):.0f} ms "
        f"in the median of {IMPORTS} processes; goal {GOAL_IMPORT_MS} ms (-X importtime itself makes it slower)."
    )


if __name__ == "__main__":
    main()
