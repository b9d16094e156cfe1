"""What sealing and verifying cost: CPU and bytes a row with and without, and rows a second of `ldv verify`.

Run: `python -m benchmarks.tamper [--rows 1000000] [--batch 500]`. The two Logboeken are embedded, each in a process of
its own, one after the other. CPU is that of the process, the engine included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ldv_otel import Logregel
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.verification.verify import verify
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import Batch, new_writer_id, number_batch
from ldv_otel._internal.tamper.manifest import SEALER_NAME, Sealer
from ldv_otel._internal.tamper.note import NoteSigner

_START_MS: Final = 1_764_000_000_000
_BYTES: Final = Sql("""
SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase() AND table = 'logregel'
""")


def records(first: int, count: int) -> list[Logregel]:
    """Records of a service with two activities: random ids, as they are."""
    noise = os.urandom(48 * count)
    return [
        Logregel(
            trace_id=noise[48 * at : 48 * at + 16],
            span_id=noise[48 * at + 16 : 48 * at + 24],
            parent_span_id=noise[48 * at + 24 : 48 * at + 32],
            name="Wijzig kenteken",
            start_time_ms=_START_MS + first + at,
            end_time_ms=_START_MS + first + at + 5 + noise[48 * at] % 16,
            processing_activity_id=f"https://register.example/activiteiten/{noise[48 * at + 1] % 2}",
            data_subject_id=noise[48 * at + 32 : 48 * at + 48],
            data_subject_id_type="BSN",
            key_id="2025-11",
            attributes={"dpl.objects.dataset": f"register {noise[48 * at + 2] % 20}"},
            resource='{"service.name":"parkeervergunning","service.version":"1.2"}',
        )
        for at in range(count)
    ]


def batches(rows: int, size: int) -> Iterator[Batch]:
    """Batches of one writer."""
    writer = new_writer_id()
    for first in range(0, rows, size):
        yield number_batch(writer, first, records(first, size))


def measure(directory: Path, rows: int, size: int, *, sealed: bool) -> dict[str, Any]:
    """Fill a Logboek and verify it."""
    address = LogboekAddress(scheme="chdb", path=str(directory / f"logboek-{sealed}"))
    settings = Settings(logboek=address, seal=sealed, seal_key=directory / "seal.key")
    sink = ClickHouseSink(settings)
    sink.open()
    cpu = wall = 0.0
    with LogboekClient(settings) as client:
        for batch in batches(rows, size):
            begun_cpu, begun = time.process_time(), time.perf_counter()
            sink.send(batch)
            cpu += time.process_time() - begun_cpu
            wall += time.perf_counter() - begun
        client.command(Sql("OPTIMIZE TABLE logregel FINAL"))
        result = {"cpu": cpu / rows * 1e6, "wall": wall / rows * 1e6, "bytes": client.rows(_BYTES)[0][0] / rows}
        if sealed:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            begun_cpu, begun = time.process_time(), time.perf_counter()
            verification = verify(client)
            if not verification.complete:
                sys.exit(f"a figure of something else is none: {verification.findings}")
            result |= {
                "verify_cpu": (time.process_time() - begun_cpu) / rows * 1e6,
                "verify_rows": rows / (time.perf_counter() - begun),
                "verify_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
            }
    sink.close()
    return result


def sealing_us(size: int, repeats: int = 7) -> float:
    """Return the least CPU a record, in us, of making manifests of batches of a size."""
    sealer = Sealer(NoteSigner(SEALER_NAME, bytes(32)))
    content, seqs = records(0, size), range(size)
    times = []
    for _ in range(repeats):
        begun = time.process_time()
        sealer.seal("0123456789abcdef", seqs, content, _START_MS)
        times.append(time.process_time() - begun)
    return min(times) / size * 1e6


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--one", choices=("sealed", "plain"), help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.home, options.rows, options.batch, sealed=options.one == "sealed")))
        return
    with tempfile.TemporaryDirectory() as home:
        plain, sealed = (
            json.loads(
                subprocess.run(
                    [sys.executable, "-m", "benchmarks.tamper", "--rows", str(options.rows), "--batch",
                     str(options.batch), "--one", one, "--home", home],
                    check=True, capture_output=True, text=True,
                ).stdout
            )
            for one in ("plain", "sealed")
        )  # fmt: skip
    print(f"making a manifest, us of CPU a record: {sealing_us(options.batch):.2f} at {options.batch} a batch")
    for name, unit in (("cpu", "us of CPU a row"), ("wall", "us a row"), ("bytes", "bytes a row")):
        ratio = sealed[name] / plain[name]
        print(f"{unit}: {plain[name]:.2f} plain, {sealed[name]:.2f} sealed, {ratio:.4f}x")
    print(f"ldv verify: {sealed['verify_rows']:,.0f} rows/s, {sealed['verify_cpu']:.2f} us of CPU a row, "
          f"{sealed['verify_mb']:.0f} MB more")  # fmt: skip


if __name__ == "__main__":
    main()
