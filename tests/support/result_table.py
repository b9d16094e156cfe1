"""Tables that tests leave row by row, as files, and that a make target runs and prints."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

_ROOT = Path(__file__).parents[2]


def run_and_print(
    tests: Sequence[str], results: Path, columns: Sequence[str], environment: Mapping[str, str], *, width: int
) -> tuple[int, list[list[Any]]]:
    """Run tests, print the rows that they left, and return pytest's exit code and the rows.

    Args:
        tests: Arguments of pytest; those of the command line are added.
        results: The directory of the rows; what is there from before goes.
        environment: What is set unless the caller's own environment has it.
        width: Of the table where it is not shown on a terminal.
    """
    shutil.rmtree(results, ignore_errors=True)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", *tests, *sys.argv[1:]]
    outcome = subprocess.run(command, cwd=_ROOT, env={**environment, **os.environ}, check=False)
    table = Table(*columns)
    rows = sorted(json.loads(path.read_text(encoding="utf-8")) for path in results.glob("*.json"))
    for row in rows:
        table.add_row(*map(str, row))
    Console(width=None if sys.stdout.isatty() else width).print(table)
    return outcome.returncode, rows
