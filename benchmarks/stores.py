"""Stores of many rows for the benchmarks that ask a server, and the server."""

from __future__ import annotations

import multiprocessing
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def filled(keep: Path | None, fill: Callable[[Path, int], None], rows: int) -> Iterator[Path]:
    """Give a directory that `fill` was called with, for the length of a block or for ever.

    Args:
        keep: The directory; None for one that goes with the block.

    Raises:
        SystemExit: `fill` failed, and said why.
    """
    with tempfile.TemporaryDirectory(prefix="ldv-benchmark-") as scratch:
        directory = keep or Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        # In a process of its own, which lets go of the directory for good.
        loading = multiprocessing.get_context("spawn").Process(target=fill, args=(directory, rows))
        loading.start()
        loading.join()
        if loading.exitcode:
            raise SystemExit(1)
        yield directory


@contextmanager
def serving(directory: Path, *arguments: str, **variables: str) -> Iterator[tuple[str, int]]:
    """Run `ldv serve` on the store and keys of a directory for the length of a block; give address and process id."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LDV_")} | {
        "LDV_LOGBOEK": f"chdb://{directory / 'store'}",
        "LDV_KEYS": str(directory / "keys.json"),
        "LDV_SERVE_REQUESTS_PER_MINUTE": "1000000",
        **variables,
    }
    command = [sys.executable, "-m", "ldv_otel._internal.cli", "serve", *arguments, "--listen", "127.0.0.1:0"]
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            if process.stdout is None or not select.select([process.stdout], [], [], 60)[0]:
                raise RuntimeError("the server did not start")
            yield process.stdout.readline().removeprefix("Ready: ").strip(), process.pid
        finally:
            process.terminate()
