"""Runs the stages of `make test` one after the other, goes on after one that failed, and says at the end what did.

python tests/stages.py            all stages
python tests/stages.py types      those whose name begins so
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
BIN: Final = Path(sys.executable).parent
RESULTS: Final = ROOT / ".test-results"
#: The order of sets is the same each time too, so that a run that was green stays green (`tests/support/chance.py`).
HASH_SEED: Final = "0"

STAGES: Final[dict[str, list[str]]] = {
    "format": ["ruff", "format", "--check", "."],
    "lint": ["ruff", "check", "."],
    "types": ["mypy"],
    "doors": ["basedpyright"],
    "imports": ["lint-imports"],
    "tests": ["pytest", "-n", "2", "--dist", "loadfile", "--ignore", "tests/processes", "--ignore", "tests/torture"],
    "schema": ["python", "-m", "benchmarks.schema", "--rows", "100000", "--check"],
    # Most of it is waiting, so there are more workers than cores.
    "processes": ["pytest", "-n", "3", "--dist", "worksteal", "tests/processes", "tests/torture"],
}


def run(name: str, command: list[str]) -> bool:
    """Run one stage; return whether it succeeded."""
    program, *arguments = command
    if program == "pytest":
        arguments += [f"--junitxml={RESULTS / name}.xml"]
    print(f"\n=== {name}: {' '.join(command)}", flush=True)
    environment = {"PYTHONHASHSEED": HASH_SEED, **os.environ}
    return subprocess.run([BIN / program, *arguments], cwd=ROOT, env=environment, check=False).returncode == 0


def skipped_tests() -> Counter[str]:
    """Return how many tests were skipped, by reason."""
    reasons: Counter[str] = Counter()
    for file in sorted(RESULTS.glob("*.xml")):
        # Written by pytest a moment ago.
        for skipped in ET.parse(file).iter("skipped"):  # noqa: S314
            reasons[skipped.get("message") or "without a reason"] += 1
    return reasons


def main() -> int:
    """Run the stages that the command line names, or all; return the exit code."""
    RESULTS.mkdir(exist_ok=True)
    for old in RESULTS.glob("*.xml"):
        old.unlink()
    wanted = tuple(sys.argv[1:]) or ("",)
    outcomes: list[tuple[str, float, bool]] = []
    for name, command in STAGES.items():
        if name.startswith(wanted):
            began = time.monotonic()
            succeeded = run(name, command)
            outcomes.append((name, time.monotonic() - began, succeeded))
    print("\n=== what ran")
    for name, seconds, succeeded in outcomes:
        print(f"{name:10} {seconds:6.0f} s  {'ok' if succeeded else 'FAILED'}")
    for reason, count in skipped_tests().items():
        print(f"skipped {count}: {reason}")
    return 0 if outcomes and all(succeeded for _, _, succeeded in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
