"""What level `durable` costs a service on an event loop: rate, CPU, and how late its timers are.

Run: `python -m benchmarks.event_loop [--seconds 3] [--repeats 3]`. It prints a table.

`async with` by 8 and by 64 tasks, beside the SDK's span alone; and FastAPI by ASGI, 16 requests at a time, each of them
an Actie by a mapping rule, beside a BatchSpanProcessor alone. Each variant runs in a process of its own, in turns; the
ratio is that of the same round, and the median of the rounds is shown. Nobody answers for the Logboek.
A timer of 5 ms runs beside it: it is late by what holds up the loop.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, NamedTuple

import fastapi
from benchmarks import overhead, serving
from benchmarks.instructions import durable_processor
from opentelemetry import trace

import ldv_otel as ldv
from ldv_otel._internal.sdk.asgi_answers import hold_answers_of
from ldv_otel._internal.sdk.attach import attach

REQUESTS_AT_A_TIME: Final = 16
_TIMER_SECONDS: Final = 0.005
_MS: Final = 1_000
_US: Final = 1_000_000


class Measured(NamedTuple):
    """What a variant did.

    Attributes:
        rate: Acties, spans or requests a second.
        cpu_us: CPU of all threads, each.
        late_ms: How late the timer was, 99th percentile.
    """

    rate: float
    cpu_us: float
    late_ms: float


Once = Callable[[int], Awaitable[None]]


def plain_spans(_: Path) -> Once:
    """Return what makes one span, with a BatchSpanProcessor."""
    tracer = overhead.provider_with(overhead.batch_processor()).get_tracer("event loop")

    async def once(_: int) -> None:
        with tracer.start_as_current_span(overhead.NAME, attributes=overhead.TECHNICAL):
            pass

    return once


def acties(directory: Path) -> Once:
    """Return what makes one durable Actie."""
    overhead.provider_with(durable_processor(directory), sampler=ldv.LdvSampler())

    async def once(number: int) -> None:
        async with ldv.processing(overhead.ACTIVITY, name=overhead.NAME, attributes=overhead.OWN):
            ldv.data_subject(overhead.BSNS[number % len(overhead.BSNS)], type="BSN")

    return once


def requests_on_loop(directory: Path) -> Once:
    """Return what serves one request that is a durable Actie by a rule, and flushes on the loop."""
    rules = directory / "rules.yaml"
    rules.write_text(serving.RULES)
    provider = overhead.provider_with(overhead.batch_processor())
    attach(provider, durable_processor(directory, LDV_RULES=str(rules)))
    return serving.one_request(provider, overhead.BSNS)


def requests(directory: Path) -> Once:
    """Return the same with what `install()` adds to FastAPI."""
    hold_answers_of(fastapi.FastAPI)
    return requests_on_loop(directory)


def plain_requests(_: Path) -> Once:
    """Return what serves one request, with a BatchSpanProcessor."""
    return serving.one_request(overhead.provider_with(overhead.batch_processor()), overhead.BSNS)


VARIANTS: Final[dict[str, tuple[Callable[[Path], Once], int, str]]] = {
    "span, BatchSpanProcessor, 8 tasks": (plain_spans, 8, ""),
    "durable `async with`, 8 tasks": (acties, 8, "span, BatchSpanProcessor, 8 tasks"),
    "span, BatchSpanProcessor, 64 tasks": (plain_spans, 64, ""),
    "durable `async with`, 64 tasks": (acties, 64, "span, BatchSpanProcessor, 64 tasks"),
    "request, BatchSpanProcessor": (plain_requests, REQUESTS_AT_A_TIME, ""),
    "request that is a durable Actie by a rule": (requests, REQUESTS_AT_A_TIME, "request, BatchSpanProcessor"),
    "the same, flushed on the loop": (requests_on_loop, REQUESTS_AT_A_TIME, "request, BatchSpanProcessor"),
}


async def run(once: Once, tasks: int, seconds: float) -> Measured:
    """Do it in so many tasks for so long."""
    count, late, running = 0, [], True

    async def timer() -> None:
        while running:
            due = time.perf_counter() + _TIMER_SECONDS
            await asyncio.sleep(_TIMER_SECONDS)
            late.append(time.perf_counter() - due)

    async def task() -> None:
        nonlocal count
        while running:
            count += 1
            await once(count)
            # Nothing else may have waited, and without this the loop would do nothing but this task.
            await asyncio.sleep(0)

    async def stop() -> None:
        nonlocal running
        await asyncio.sleep(seconds)
        running = False

    await once(0)
    cpu, began = time.process_time(), time.perf_counter()
    await asyncio.gather(timer(), stop(), *(task() for _ in range(tasks)))
    cpu, took = time.process_time() - cpu, time.perf_counter() - began
    return Measured(count / took, cpu / count * _US, statistics.quantiles(late, n=100)[-1] * _MS)


def measure(variant: str, seconds: float) -> Measured:
    """Run a variant in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.event_loop", "--run", variant, "--seconds", str(seconds)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return Measured(*json.loads(answer.stdout.splitlines()[-1]))


def table(rounds: list[dict[str, Measured]]) -> str:
    """Return the medians as a table in Markdown."""
    lines = ["| | a second | rate, ratio | CPU us | timer late, p99 ms |", "| --- |" + " ---: |" * 4]
    for variant, (_, _, reference) in VARIANTS.items():
        measured = Measured(*map(statistics.median, zip(*(done[variant] for done in rounds), strict=True)))
        ratios = [done[variant].rate / done[reference].rate for done in rounds] if reference else []
        ratio = f"{statistics.median(ratios):.2f}" if ratios else ""
        lines.append(f"| {variant} | {measured.rate:,.0f} | {ratio} | {measured.cpu_us:.0f} | {measured.late_ms:.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What level durable costs a service on an event loop.")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each variant in each round")
    parser.add_argument("--repeats", type=int, default=3, help="rounds")
    parser.add_argument("--run", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        make, tasks, _ = VARIANTS[options.run]
        with tempfile.TemporaryDirectory() as directory:
            once = make(Path(directory))
            print(json.dumps(asyncio.run(run(once, tasks, options.seconds))), flush=True)
            provider = trace.get_tracer_provider()
            getattr(provider, "shutdown", print)()
        return
    rounds = [{variant: measure(variant, options.seconds) for variant in VARIANTS} for _ in range(options.repeats)]
    print(f"Python {sys.version.split()[0]}, medians of {options.repeats} rounds of {options.seconds:g} s\n")
    print(table(rounds))


if __name__ == "__main__":
    main()
