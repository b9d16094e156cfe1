"""What a thousand tenants take in one process: memory, threads and files, while their Logboeken answer or are away.

    python -m benchmarks.tenants [--tenants 1000] [--away]

Each is measured in a process of its own, in this order: without tenants, with the file read, after one Actie of each
tenant, and when all of it was delivered. `--away` has every Logboek refuse connections. The Logboek takes what it gets
and forgets it, so what a driver takes is not in the figures.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.sinks import Forgetful
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import ldv_otel as ldv
from ldv_otel._internal.config.settings import read_service_settings
from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.privacy.key_file import add_key
from ldv_otel._internal.sdk.attach import attach
from ldv_otel._internal.sdk.tenant_context import set_tenant_names
from ldv_otel._internal.sdk.tenants import processors
from ldv_otel._internal.sdk.tenants.processor import TenantsProcessor
from ldv_otel.errors import LogboekUnavailable

ACTIVITY = "https://register.example/activiteiten/parkeren"


class Away(Forgetful):
    """Refuses connections."""

    def open(self) -> None:
        """Refuse."""
        raise LogboekUnavailable("It is away.", in_doubt=False)

    def send(self, batch: Batch) -> None:
        """Refuse."""
        del batch
        self.open()


def figures(caption: str, started: float) -> None:
    """Print a row."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    megabytes = pages * resource.getpagesize() / 1_000_000
    files = sum(1 for _ in Path("/proc/self/fd").iterdir())
    seconds = time.monotonic() - started
    print(f"| {caption} | {megabytes:.0f} MB | {threading.active_count()} | {files} | {seconds:.1f} s |", flush=True)


def write_file(directory: Path, count: int) -> list[str]:
    """Write a file of Logboeken, with a key for each, and return the ids."""
    ids = [f"g{number:04}" for number in range(count)]
    entries = []
    for name in ["quarantine", *ids]:
        add_key(directory / f"{name}.json", name=name)
        entries.append(f"logboek: clickhouse+https://ldv@logboek.invalid/{name}\n    keys: {name}.json\n")
    tenants = "".join(f"  - id: {name}\n    {entry}" for name, entry in zip(ids, entries[1:], strict=True))
    quarantine = entries[0].replace("    keys", "  keys")
    (directory / "logboeken.yaml").write_text(f"quarantine:\n  {quarantine}tenants:\n{tenants}", encoding="utf-8")
    return ids


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenants", type=int, default=1_000)
    parser.add_argument("--away", action="store_true")
    options = parser.parse_args()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        measure(Path(name), options.tenants, away=options.away)


def measure(directory: Path, count: int, *, away: bool) -> None:
    """Print a table."""
    ids = write_file(directory, count)
    vars(processors).update(make_sink=lambda _: Away() if away else Forgetful())
    started = time.monotonic()
    print(f"| {count} tenants, Logboeken {'away' if away else 'there'} | RSS | threads | open files | after |")
    print("| --- | ---: | ---: | ---: | ---: |")
    figures("without tenants", started)
    settings = read_service_settings(
        {"LDV_LOGBOEKEN": str(directory / "logboeken.yaml"), "LDV_SPOOL": str(directory / "spool")}
    )
    processor = TenantsProcessor.from_settings(settings)
    provider = TracerProvider()
    attach(provider, processor)
    trace.set_tracer_provider(provider)
    set_tenant_names(processor.choice)
    figures("the file is read, keys compared", started)
    for turn in (1, 10):
        for _ in range(turn):
            for tenant_id in ids:
                with ldv.tenant(tenant_id), ldv.processing(ACTIVITY, name="doe") as actie:
                    actie.data_subject("123456782", type="BSN")
        figures(f"{turn} Actie{'s' if turn > 1 else ''} more of each", started)
    processor.flush(30.0)
    figures("flushed" if not away else "30 s later", started)
    health = processor.health()
    print(f"\nconfirmed {health.confirmed}, pending {health.pending}, lost {health.lost}")
    processor.close()


if __name__ == "__main__":
    main()
