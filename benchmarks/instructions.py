"""What logging costs a service in instructions, which are the same on a noisy machine; and whether that has grown.

Run: `python -m benchmarks.instructions [--check | --write]`, with valgrind. It prints a table; `--check` fails where a
path takes more than what was written down before, by more than 3%; `--write` writes that down. `--gate` does so for
five paths, as `make test` does.

Each path runs once under callgrind, in a process of its own, which counts 300 spans or requests after 100 that warm it
up. The figures are those of the application's thread, from the start of a span to its end; beside them stands what all
threads took, with exporting and the drain. Ids, keys and hashes are the same in each run, and the heap of what was
imported is left out of garbage collection, so that a tree gives the same count each time, within 0.2%.
The figures are of one Python and one SDK: `instructions.json` holds them by these, and for others `--check` says that
there is nothing to compare with.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import random
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Final

from benchmarks import callgrind, overhead

import ldv_otel as ldv
from ldv_otel._internal.sdk.attach import attach

FIGURES: Final = Path(__file__).with_name("instructions.json")
WARM_UP: Final = 100
COUNTED: Final = 300
MORE_ALLOWED: Final = 0.03


def technical_span_beside_another_exporter(_: Path) -> overhead.Service:
    """Return a service as `install()` leaves it, whose spans are no Acties."""
    provider = overhead.provider_with(overhead.batch_processor())
    attach(provider, overhead.ldv_to_nowhere())
    return overhead.spans(provider, overhead.TECHNICAL)


def actie_beside_another_exporter(_: Path) -> overhead.Service:
    """Return a service as `install()` leaves it, whose spans are Acties about a data subject."""
    provider = overhead.provider_with(overhead.batch_processor())
    attach(provider, overhead.ldv_to_nowhere())
    return overhead.acties(provider)


def durable_processor(directory: Path, **variables: str) -> ldv.LdvSpanProcessor:
    """Return our processor at level durable, whose Logboek is an address where nobody answers.

    Args:
        variables: More settings.
    """
    keys = {"active": "k1", "keys": [{"id": "k1", "secret": "for this benchmark only: not a secret"}]}
    key_file = directory / "keys.json"
    key_file.write_text(json.dumps(keys))
    key_file.chmod(0o600)
    environ = {
        "LDV_LOGBOEK": "clickhouse+http://127.0.0.1:9/ldv",
        "LDV_KEYS": str(key_file),
        "LDV_STATE": str(directory / "state"),
        "LDV_FLUSH_SECONDS": "0",
        **variables,
    }
    return ldv.LdvSpanProcessor.from_settings(ldv.read_settings(environ))


def durable_actie(directory: Path) -> overhead.Service:
    """Return a service at level durable."""
    return overhead.acties(overhead.provider_with(durable_processor(directory), sampler=ldv.LdvSampler()))


REFERENCE: Final = overhead.REFERENCE
REQUEST: Final = overhead.REQUEST
DURABLE: Final = "Actie with data subject, durable"
PATHS: Final[dict[str, Callable[[Path], overhead.Service]]] = {
    REFERENCE: overhead.VARIANTS[overhead.REFERENCE],
    "span that is no Actie, as installed, beside another exporter": technical_span_beside_another_exporter,
    "Actie with data subject, alone": overhead.VARIANTS[overhead.GOAL],
    "Actie with data subject, as installed, beside another exporter": actie_beside_another_exporter,
    DURABLE: durable_actie,
    "span marked by hand with data subject, alone": overhead.VARIANTS["span marked by hand with data subject, ldv"],
    REQUEST: overhead.VARIANTS[overhead.REQUEST],
    "request that is an Actie, as installed, beside another exporter": overhead.VARIANTS[overhead.REQUEST_GOAL],
}


#: What `make test` looks at: one of each kind.
GATED: Final = (
    REFERENCE,
    "span that is no Actie, as installed, beside another exporter",
    "Actie with data subject, as installed, beside another exporter",
    DURABLE,
    "request that is an Actie, as installed, beside another exporter",
)


def run_path(path: str) -> None:
    """Make spans in one way, and count."""
    random.seed(22)  # the SDK's ids
    counter = callgrind.Counter()
    with tempfile.TemporaryDirectory() as directory:
        service = PATHS[path](Path(directory))
        service.make_spans(WARM_UP)
        _flush(path, service)
        gc.collect()
        gc.freeze()
        counter.start()
        service.make_spans(COUNTED)
        counter.dump()
        _flush(path, service)
        counter.stop()
        sys.stdout.flush()
        os._exit(0)


def _flush(path: str, service: overhead.Service) -> None:
    if path != DURABLE:  # nobody takes those, and they are counted up to the disk
        service.provider.force_flush(600_000)


def measure(paths: list[str]) -> dict[str, callgrind.Instructions]:
    """Return the instructions of one span or request by path."""

    def of_one(path: str) -> callgrind.Instructions:
        counted = callgrind.instructions_of(["-m", "benchmarks.instructions", "--run", path])
        return callgrind.Instructions(*(round(count / COUNTED) for count in counted))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(paths, pool.map(of_one, paths), strict=True))


def machine() -> str:
    """Return what the figures hold for: this Python, how it was built, and the SDK."""
    build = f"{platform.python_implementation()} {platform.python_version()} {platform.python_compiler()}"
    return f"{build} {platform.machine()}, opentelemetry-sdk {version('opentelemetry-sdk')}"


def table(measured: dict[str, callgrind.Instructions], written: dict[str, int]) -> str:
    """Return the figures as a table in Markdown."""
    heads = ("instructions a span or request", "caller", "ratio", "written down", "more", "all threads")
    lines = [f"| {' | '.join(heads)} |", "| --- |" + " ---: |" * 5]
    for path, (caller, process) in measured.items():
        reference = measured.get(REQUEST if path.startswith("request") else REFERENCE)
        ratio = f"{caller / reference.caller:.2f}" if reference else ""
        before = written.get(path)
        cells = [f"{before:,}", f"{caller / before - 1:+.1%}"] if before else ["", ""]
        lines.append(f"| {path} | {caller:,} | {ratio} | {' | '.join(cells)} | {process:,} |")
    return "\n".join(lines)


def grown(measured: dict[str, callgrind.Instructions], written: dict[str, int]) -> list[str]:
    """Return the paths that take more on the caller's thread than written down, by more than is allowed."""
    return [
        path
        for path, (caller, _) in measured.items()
        if path in written and caller > written[path] * (1 + MORE_ALLOWED)
    ]


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description="What logging costs a service in instructions.")
    parser.add_argument("--check", action="store_true", help="fail where a path takes 3%% more than written down")
    parser.add_argument("--gate", action="store_true", help="as --check, for the five paths of `make test`")
    parser.add_argument("--write", action="store_true", help="write the figures down for this Python and SDK")
    parser.add_argument("--only", default="", help="paths whose name begins so")
    parser.add_argument("--run", choices=PATHS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run_path(options.run)
    figures: dict[str, dict[str, int]] = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    written = figures.get(machine(), {})
    checks = options.check or options.gate
    if reason := callgrind.why_not():
        print(f"Skipped: {reason}.")
        return 0
    if checks and not written:
        print(f"Skipped: nothing is written down for {machine()}; `--write` does that.")
        return 0
    measured = measure([path for path in (GATED if options.gate else PATHS) if path.startswith(options.only)])
    print(f"{machine()}\n\n{table(measured, written)}")
    if options.write:
        callers = {path: counted.caller for path, counted in measured.items()}
        figures[machine()] = {**written, **callers}
        FIGURES.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
    more = grown(measured, written) if checks else []
    for path in more:
        print(
            f"More instructions than written down by over {MORE_ALLOWED:.0%}: {path}. Make it cheaper, or, where what "
            "it does now is worth that, write it down with `python -m benchmarks.instructions --write` and say why."
        )
    return 1 if more else 0


if __name__ == "__main__":
    sys.exit(main())
