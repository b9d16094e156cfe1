"""What a record costs through a Collector and without, over all processes, in one run.

    python -m benchmarks.collector [--records 50000] [--rounds 3] [--output FILE]

Ways from a service to `ldv logboek`, each with four threads that make Acties with a data subject as fast as they can:

1. the plain SDK with a BatchSpanProcessor and OTLP/HTTP, through a Collector with confirmed.yaml, in batches of 512
   (the SDK's default) and of 5,000 (what ldv sends); its queue is made large enough that nothing is dropped, and a
   killed process would lose what is in it;
2. ldv, level `durable`, through the same Collector (`otlp+http`);
3. ldv, level `durable`, straight to the store (`clickhouse+http`).

Rates are from the first Actie until the Logboek has confirmed the last. CPU is user and system time: of the service
from the first Actie to its end, of the others meanwhile. Every round counts what is stored. Needs `make collector`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from tests.support.collector import CONFIGS, KEY_ID, KEY_SECRET, CollectorProcess, binary
from tests.support.logboek import SECRET, LogboekProcess

import ldv_otel as ldv
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings

ACTIVITY: Final = "https://register.example/activiteiten/parkeren"
THREADS: Final = 4
VARIANTS: Final = {
    "plain-512": "1. plain SDK, batches of 512, Collector",
    "plain-5000": "1. plain SDK, batches of 5,000, Collector",
    "ldv-otlp": "2. ldv over `otlp+http`, Collector",
    "ldv-direct": "3. ldv straight to the store",
}


class Cost(NamedTuple):
    """Of one round: seconds, and CPU seconds of each process."""

    wall: float
    service: float
    collector: float
    store: float
    stored: int

    @property
    def cpu(self) -> float:
        """Of all processes together."""
        return self.service + self.collector + self.store


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--work", choices=VARIANTS, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.work:
        work(wanted.work, wanted.records)
        return
    program = binary()
    if program is None:
        raise SystemExit("The Collector is not built: run `make collector`, which needs Go 1.26.")
    costs: dict[str, list[Cost]] = {variant: [] for variant in VARIANTS}
    with tempfile.TemporaryDirectory() as name, LogboekProcess(Path(name, "logboek")) as store:
        directory = Path(name)
        settings = Settings(logboek=LogboekAddress(scheme="clickhouse+http", host="127.0.0.1", port=store.port))
        apply_schema(settings, collector=True)
        environ = {
            "LDV_CLICKHOUSE_ENDPOINT": store.address,
            "LDV_CLICKHOUSE_TIMEOUT": "30s",
            "LDV_CLICKHOUSE_PASSWORD": SECRET,
        }
        with CollectorProcess(program, [without_tracing(directory)], directory, environ) as collector:
            for _ in range(wanted.rounds):
                for variant, rounds in costs.items():
                    rounds.append(one_round(variant, wanted.records, directory, collector, store))
    text = table(costs, wanted.records)
    print(text)
    if wanted.output:
        wanted.output.write_text(text + "\n", encoding="utf-8")


def without_tracing(directory: Path) -> Path:
    """Return confirmed.yaml without its pipeline to a tracing backend, which no variant has."""
    text = (CONFIGS / "confirmed.yaml").read_text(encoding="utf-8")
    cut = text.index("    # Take this pipeline out")
    path = directory / "confirmed-only.yaml"
    path.write_text(text[:cut], encoding="utf-8")
    return path


def one_round(variant: str, records: int, directory: Path, collector: CollectorProcess, store: LogboekProcess) -> Cost:
    """Run one service and return what it cost everybody."""
    settings = Settings(logboek=LogboekAddress(scheme="clickhouse+http", host="127.0.0.1", port=store.port))
    before, others = stored(settings), (cpu_of(collector.pid), cpu_of(store.pid))
    keys = directory / "keys.json"
    if not keys.exists():
        keys.write_text(
            json.dumps({"active": KEY_ID, "keys": [{"id": KEY_ID, "secret": KEY_SECRET}]}), encoding="utf-8"
        )
        keys.chmod(0o600)
    direct = variant == "ldv-direct"
    environ = {
        **os.environ,
        "BENCHMARK_OTLP": collector.url,
        "LDV_LOGBOEK": str(settings.logboek) if direct else f"otlp+http://127.0.0.1:{collector.port}",
        "LDV_KEYS": str(keys),
        "LDV_SPOOL": str(directory / "spool"),
        "LDV_STATE": str(directory / "state"),
    }
    command = [sys.executable, "-m", "benchmarks.collector", "--work", variant, "--records", str(records)]
    ran = subprocess.run(command, check=True, env=environ, stdout=subprocess.PIPE, text=True)
    wall, service = json.loads(ran.stdout.strip().splitlines()[-1])
    return Cost(
        wall,
        service,
        cpu_of(collector.pid) - others[0],
        cpu_of(store.pid) - others[1],
        stored(settings) - before,
    )


def work(variant: str, records: int) -> None:  # noqa: C901  (two services in one)
    """Be the service: make the records, wait until they are confirmed, print seconds and CPU seconds."""
    if variant.startswith("plain"):
        exporter = OTLPSpanExporter(endpoint=os.environ["BENCHMARK_OTLP"], timeout=60)
        batch = int(variant.partition("-")[2])
        processor = BatchSpanProcessor(exporter, max_queue_size=2 * records, max_export_batch_size=batch)
        provider = TracerProvider(resource=Resource({"service.name": "parkeren"}))
        provider.add_span_processor(processor)
        trace.set_tracer_provider(provider)
        tracer = trace.get_tracer("benchmark")

        def make(number: int) -> None:
            with tracer.start_as_current_span("Wijzig kenteken") as span:
                span.set_attribute("dpl.core.processing_activity_id", ACTIVITY)
                span.set_attribute("dpl.core.data_subject_id", str(100_000_000 + number))
                span.set_attribute("dpl.core.data_subject_id_type", "BSN")

        def finish() -> None:
            provider.force_flush(120_000)
            provider.shutdown()
    else:
        trace.set_tracer_provider(TracerProvider(resource=Resource({"service.name": "parkeren"})))
        ldv.install()

        def make(number: int) -> None:
            with ldv.processing(ACTIVITY, name="Wijzig kenteken"):
                ldv.data_subject(str(100_000_000 + number), type="BSN")

        def finish() -> None:
            if not ldv.force_flush(120):
                raise SystemExit("not everything was confirmed")

    started, cpu = time.perf_counter(), time.process_time()

    def make_some(first: int) -> None:
        for number in range(first, records, THREADS):
            make(number)

    threads = [threading.Thread(target=make_some, args=(first,)) for first in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    finish()
    print(json.dumps([time.perf_counter() - started, time.process_time() - cpu]))


def cpu_of(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stored(settings: Settings) -> int:
    """Return how many different records the Logboek holds."""
    with LogboekClient(settings) as client:
        return int(client.rows(Sql("SELECT uniqExact(trace_id, span_id) FROM logregel"))[0][0])


def table(costs: dict[str, list[Cost]], records: int) -> str:
    """Return medians over the rounds."""

    def median(rounds: list[Cost], field: str) -> float:
        found: float = statistics.median(getattr(cost, field) for cost in rounds)
        return found / records * 1e6

    reference = median(costs["plain-5000"], "cpu")
    lines = [
        "| way | records/s | service µs | Collector µs | store µs | CPU µs a record | ratio | stored |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for variant, rounds in costs.items():
        parts = [median(rounds, field) for field in ("service", "collector", "store", "cpu")]
        kept = min(cost.stored for cost in rounds) / records
        rate = 1e6 / median(rounds, "wall")
        cells = [f"{rate:,.0f}", *(f"{part:.0f}" for part in parts), f"{parts[-1] / reference:.2f}", f"{kept:.1%}"]
        lines.append(f"| {VARIANTS[variant]} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
