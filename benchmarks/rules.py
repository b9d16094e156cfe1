"""What mapping rules and the privacy shield cost a span: time of a look-up, and of the end of a span.

Run: `python -m benchmarks.rules [--rules N] [--spans N] [--repeats R]`. It prints two tables in Markdown.

- A look-up is timed by itself: `Rules.find` on a span's name, kind, scope and attributes; also with another name or
  path each time, which a caller can bring about.
- Spans are made and ended with a `BatchSpanProcessor` that throws them away, alone and with ours beside it: with and
  without rules, about nobody and about somebody. Each round runs every variant;
  ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from benchmarks.overhead import NullExporter, NullSink
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

from ldv_otel._internal.config.yaml_file import parse_yaml
from ldv_otel._internal.delivery.memory import MemoryDelivery
from ldv_otel._internal.privacy.pseudonyms import KeyRing, Pseudonymiser, new_key
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.rules.rule_file import Rule, RuleFile
from ldv_otel._internal.rules.rules import Rules
from ldv_otel._internal.sdk.attach import attach
from ldv_otel._internal.sdk.processor import LdvSpanProcessor
from ldv_otel._internal.sdk.sampler import LdvSampler
from ldv_otel._internal.sdk.span_rules import SpanMapper

GOAL_US: Final = 2.0
QUEUE_RECORDS: Final = 65_536
REFERENCE: Final = "BatchSpanProcessor alone"

#: As a service has them: most tell by route, some by name, scope, a glob or a regular expression.
FORMS: Final = (
    'match: {kind: server, attributes: {http.route: "/dienst#/{bsn}", http.request.method: GET}}',
    'match: {kind: server, attributes: {http.route: "/onderdeel#/*"}}',
    'match: {kind: consumer, name: "taak-#.*"}',
    'match: {name: {regex: "rpc#/[A-Z][a-z]+"}}',
    'match: {scope: "app.module#", attributes: {app.soort: [a, b]}}',
)
NAMES: Final = [f"GET /iets/{number}" for number in range(50_000)]
SERVER: Final = {
    "http.method": "GET",
    "http.route": "/gezondheid",
    "http.target": "/gezondheid?volledig=1",
    "http.scheme": "https",
    "net.host.name": "dienst.example",
    "http.user_agent": "probe/1.0",
    "http.status_code": 200,
}
SOMEBODY: Final = {**SERVER, "http.route": "/dienst0/{bsn}", "http.target": "/dienst0/123456782?volledig=1"}


def rules_of(count: int) -> Rules:
    """Return so many rules, of all forms."""
    rules = [
        f"  - {FORMS[number % len(FORMS)]}\n    activity: https://register.example/#\n"
        "    subject: {path: bsn, type: BSN}\n".replace("#", str(number))
        for number in range(count)
    ]
    return Rules(parse_yaml("rules:\n" + "".join(rules), "benchmark", RuleFile).rules)


def lookups(rules: Rules) -> dict[str, Callable[[int], Rule | None]]:
    """Return look-ups, each of the span with a number."""
    scope = "opentelemetry.instrumentation.asgi"
    names = itertools.cycle(NAMES)  # far more than are remembered, so that none of them ever is
    db = {"db.system": "postgresql", "db.statement": "SELECT 1"}
    return {
        "a technical span": lambda _: rules.find("SELECT", "client", scope, db),
        "a request of another route": lambda _: rules.find("GET /gezondheid", "server", scope, SERVER),
        "a request with a name of its own each time": lambda _: rules.find(next(names), "server", scope, SERVER),
        "a request with a route of its own each time": lambda _: rules.find(
            "GET", "server", scope, {**SERVER, "http.route": next(names)}
        ),
        "a request that a rule wants": lambda _: rules.find("GET", "server", scope, SOMEBODY),
    }


def microseconds(call: Callable[[int], Any], count: int) -> float:
    """Return the time of one call in µs of this thread."""
    gc.collect()
    began = time.thread_time_ns()
    for number in range(count):
        call(number)
    return (time.thread_time_ns() - began) / count / 1_000


def provider(rules: Rules | None, *, ours: bool = True, shielded: bool = True) -> TracerProvider:
    """Return a provider with a listener that forgets, and ours before it."""
    found = TracerProvider(sampler=LdvSampler(), shutdown_on_exit=False)
    found.add_span_processor(BatchSpanProcessor(NullExporter(), max_queue_size=QUEUE_RECORDS))
    if ours:
        maker = LogregelMaker(Pseudonymiser(KeyRing([new_key("k1")], active="k1")).subject)
        delivery = MemoryDelivery(NullSink(), queue_records=QUEUE_RECORDS)
        processor = LdvSpanProcessor(maker, delivery, mapper=SpanMapper(rules, maker.pseudonymise))
        if shielded:
            attach(found, processor)
        else:
            found.add_span_processor(processor)
    return found


def spans(found: TracerProvider, attributes: dict[str, Any]) -> Callable[[int], None]:
    """Return what makes and ends a span."""
    tracer = found.get_tracer("benchmark")

    def make(_: int) -> None:
        tracer.start_span("GET", kind=SpanKind.SERVER, attributes=attributes).end()

    return make


def variants(rules: Rules) -> Iterator[tuple[str, TracerProvider, Callable[[int], None]]]:
    """Return the variants: their names, what flushes them, and what makes their spans."""
    for name, made, attributes in (
        (REFERENCE, provider(None, ours=False), SERVER),
        ("ldv, about nobody, no rules, not shielded", provider(None, shielded=False), SERVER),
        ("ldv, about nobody, no rules", provider(None), SERVER),
        ("ldv, about nobody, rules", provider(rules), SERVER),
        ("ldv, an Actie of a rule, not shielded", provider(rules, shielded=False), SOMEBODY),
        ("ldv, an Actie of a rule", provider(rules), SOMEBODY),
    ):
        yield name, made, spans(made, dict(attributes))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What mapping rules and the privacy shield cost a span.")
    parser.add_argument("--rules", type=int, default=50)
    parser.add_argument("--spans", type=int, default=5_000, help="spans in a round")
    parser.add_argument("--repeats", type=int, default=15, help="rounds")
    options = parser.parse_args()
    rules = rules_of(options.rules)
    print(f"{options.rules} rules; {options.repeats} rounds of {options.spans:,}\n")
    print("| look-up, us | least | median | |\n| --- | ---: | ---: | --- |")
    for name, call in lookups(rules).items():
        wanted = call(0) is not None
        times = [microseconds(call, options.spans) for _ in range(options.repeats)]
        goal = "" if wanted else "met" if statistics.median(times) < GOAL_US else f"missed ({GOAL_US} us)"
        print(f"| {name} | {min(times):.2f} | {statistics.median(times):.2f} | {goal} |")
    measured: dict[str, list[float]] = {}
    running = list(variants(rules))
    for repeat in range(-1, options.repeats):  # the round before the first warms up
        for name, made, make in running:
            cost = microseconds(make, options.spans)
            made.force_flush()
            if repeat >= 0:
                measured.setdefault(name, []).append(cost)
        running.append(running.pop(0))
    print("\n| a span, us | least | median | ratio |\n| --- | ---: | ---: | ---: |")
    for name, times in measured.items():
        ratio = statistics.median(one / other for one, other in zip(times, measured[REFERENCE], strict=True))
        print(f"| {name} | {min(times):.1f} | {statistics.median(times):.1f} | {ratio:.2f} |")
    for _, made, _ in running:
        made.shutdown()


if __name__ == "__main__":
    main()
