"""What each process takes: memory and disk, idle and at a steady pace; and how long commands take to start.

    python -m benchmarks.footprint [--rate 2000] [--seconds 60]

A service logs at level `durable` to `ldv logboek`, and another one through a Collector to the same, if it was built
(`make collector`); `ldv serve` answers a question a second meanwhile. Memory is resident, from /proc; that of a service
stands beside a service with plain OpenTelemetry that makes the same spans. A command's start is the best of five.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import httpx
from tests.support.collector import CollectorProcess, binary
from tests.support.logboek import SECRET, LogboekProcess
from tests.support.serving import ServeProcess

from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.privacy.key_file import add_key

COMMANDS: Final = ("--version", "--help", "status --help", "serve --help", "verify --help")
_IDLE_SECONDS: Final = 5
#: Makes Acties at a pace, and tells when it is ready and when it ends.
SERVICE: Final = """
import sys, time
import ldv_otel as ldv
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
rate, seconds, kind = float(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
if kind == "ldv":
    ldv.install()
else:
    trace.set_tracer_provider(TracerProvider())
tracer = trace.get_tracer("service")
print("ready", flush=True)
sys.stdin.readline()
begun = time.monotonic()
for number in range(int(rate * seconds)):
    if kind == "ldv":
        with ldv.processing("https://register.example/activiteiten/parkeren", name="Wijzig kenteken"):
            ldv.data_subject("123456782", type="BSN")
    else:
        with tracer.start_as_current_span("Wijzig kenteken"):
            pass
    if (early := begun + number / rate - time.monotonic()) > 0.002:
        time.sleep(early)
print("made", round((time.monotonic() - begun) / seconds, 2), flush=True)
sys.stdin.readline()
print(ldv.force_flush() if kind == "ldv" else True, flush=True)
"""


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def size_mib(directory: Path) -> float:
    """Return what the files of a directory take; of those that go meanwhile, nothing."""
    total = 0
    for path in directory.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_blocks * 512
    return total / (1 << 20)


class Service:
    """A service at a steady pace, in a process of its own."""

    def __init__(self, environ: Mapping[str, str], rate: float, seconds: float, kind: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "OTEL_"))}
        ours_in, theirs_in = os.pipe(), os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVICE, str(rate), str(seconds), kind],
            env=clean | dict(environ),
            stdin=ours_in[0],
            stdout=theirs_in[1],
        )
        os.close(ours_in[0])
        os.close(theirs_in[1])
        self._orders, self._says = os.fdopen(ours_in[1], "w"), os.fdopen(theirs_in[0])
        self.line()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def line(self) -> str:
        """Wait for the next line that it says."""
        return self._says.readline().strip()

    def go(self) -> None:
        """Let it go on."""
        self._orders.write("\n")
        self._orders.flush()


@contextmanager
def everything(directory: Path) -> Iterator[tuple[dict[str, int], dict[str, dict[str, str]], ServeProcess]]:
    """Give the servers' processes by name, the variables of each kind of service, and `ldv serve`."""
    keys = directory / "keys.json"
    add_key(keys)
    with ExitStack() as owned:
        logboek = owned.enter_context(LogboekProcess(directory / "logboek"))
        common = {"LDV_KEYS": str(keys), "LDV_STATE": str(directory / "state"), "OTEL_SERVICE_NAME": "service"}
        direct = common | {
            "LDV_LOGBOEK": f"clickhouse+http://127.0.0.1:{logboek.port}/ldv",
            "LDV_LOGBOEK_PASSWORD": SECRET,
        }
        apply_schema(read_settings(direct), collector=True)
        serving = direct | {"LDV_ORGANISATION": "Voorbeeld", "LDV_SERVE_URL": "https://logboek.example"}
        serve = ServeProcess(serving, "--without-authentication", log=directory / "serve.log")
        owned.callback(serve.stop)
        processes, services = {"ldv logboek": logboek.pid, "ldv serve": serve.pid}, {"a service": direct}
        program = binary()
        if program is not None:
            collector = owned.enter_context(
                CollectorProcess(
                    program,
                    ["buffered.yaml"],
                    directory,
                    {
                        "LDV_CLICKHOUSE_ENDPOINT": logboek.address,
                        "LDV_CLICKHOUSE_PASSWORD": SECRET,
                        "LDV_CLICKHOUSE_USER": "default",
                    },
                )
            )
            processes["Collector, buffered"] = collector.pid
            services["a service, through the Collector"] = common | {
                "LDV_LOGBOEK": f"otlp+http://127.0.0.1:{collector.port}",
                "LDV_STATE": str(directory / "other"),
            }
        yield processes, services, serve


def measure(directory: Path, rate: float, seconds: float) -> None:
    """Print memory and disk of each process."""
    with everything(directory) as (processes, environs, serve):
        services = {name: Service(environ, rate, seconds, "ldv") for name, environ in environs.items()}
        services["plain OpenTelemetry"] = Service({}, rate, seconds, "plain")
        pids = processes | {name: service.pid for name, service in services.items()}
        time.sleep(_IDLE_SECONDS)
        idle = {name: resident_mib(pid) for name, pid in pids.items()}
        most, spool = dict(idle), 0.0
        for service in services.values():
            service.go()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            httpx.post(
                f"{serve.base}/processing-activities", json={"traceId": "07" * 16}, timeout=30
            ).raise_for_status()
            time.sleep(1)
            most = {name: max(most[name], resident_mib(pid)) for name, pid in pids.items()}
            spool = max(spool, size_mib(directory / "state"))
        paces = {name: service.line() for name, service in services.items()}
        for service in services.values():
            service.go()
        delivered = {name: service.line() for name, service in services.items()}
        print(f"{rate:,.0f} records a second for {seconds:.0f} s; time taken, 1.0 for that pace: {paces}")
        print(f"delivered: {delivered}\n")
        print("| process | resident idle, MiB | at that pace |\n| --- | ---: | ---: |")
        for name in pids:
            print(f"| {name} | {idle[name]:.0f} | {most[name]:.0f} |")
        print(f"\nSpool of the service, at most: {spool:.1f} MiB. ", end="")
        print(f"Logboek, just after: {size_mib(directory / 'logboek'):.1f} MiB.")


def starts() -> None:
    """Print how long commands take to start."""
    print("\n| command | best of 5, s |\n| --- | ---: |")
    with tempfile.TemporaryDirectory() as pycache:
        environ = {**os.environ, "PYTHONPYCACHEPREFIX": pycache, "PYTHONDONTWRITEBYTECODE": ""}
        for command in COMMANDS:
            times = []
            for _ in range(6):
                begun = time.perf_counter()
                program = [sys.executable, "-m", "ldv_otel._internal.cli", *command.split()]
                subprocess.run(program, env=environ, check=True, capture_output=True)
                times.append(time.perf_counter() - begun)
            print(f"| `ldv {command}` | {min(times[1:]):.2f} |")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="What each process takes.")
    parser.add_argument("--rate", type=float, default=2_000)
    parser.add_argument("--seconds", type=float, default=60)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        measure(Path(directory), wanted.rate, wanted.seconds)
    starts()


if __name__ == "__main__":
    main()
