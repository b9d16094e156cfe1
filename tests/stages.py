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
from collections import Counter, deque
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
BIN: Final = Path(sys.executable).parent
RESULTS: Final = ROOT / ".test-results"
#: The order of sets is the same each time too, so that a run that was green stays green (`tests/support/chance.py`).
HASH_SEED: Final = "0"

#: Branches are measured in this stage and the processes it starts; not in the stage that kills most of what it starts.
MEASURED: Final = ["coverage", "run", "-m", "pytest"]

STAGES: Final[dict[str, list[str]]] = {
    "format": ["ruff", "format", "--check", "."],
    "lint": ["ruff", "check", "."],
    "types": ["mypy"],
    "doors": ["basedpyright"],
    "imports": ["lint-imports"],
    # The site, with every link of it.
    "docs": ["mkdocs", "build", "--strict"],
    # The Collector's processor, in Go.
    "processor": ["python", "collector-config/build.py", "--test"],
    "tests": [*MEASURED, "-n", "2", "--dist", "loadfile", "--ignore", "tests/processes", "--ignore", "tests/torture"],
    "coverage": ["python", "tests/stages.py", "--branches"],
    "schema": ["python", "-m", "benchmarks.schema", "--rows", "100000", "--check"],
    # What logging costs, by instructions; skipped with a reason where they cannot be counted.
    "instructions": ["python", "-m", "benchmarks.instructions", "--gate"],
    # Most of it is waiting, so there are more workers than cores.
    "processes": ["pytest", "-n", "3", "--dist", "worksteal", "tests/processes", "tests/torture"],
}


#: So many lines of a stage that failed are shown again at the end, where a reader of a long log looks.
SHOWN_AGAIN: Final = 40


def run(name: str, command: list[str]) -> list[str] | None:
    """Run one stage; return None where it succeeded, and otherwise its last lines."""
    program, *arguments = command
    if "pytest" in command:
        arguments += [f"--junitxml={RESULTS / name}.xml"]
    print(f"\n=== {name}: {' '.join(command)}", flush=True)
    environment = {"PYTHONHASHSEED": HASH_SEED, **os.environ}
    last: deque[str] = deque(maxlen=SHOWN_AGAIN)
    with subprocess.Popen(
        [BIN / program, *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            last.append(line)
    return list(last) if process.returncode else None


def report_branches() -> int:
    """Join what the processes of the tests measured, and say which branches of `src` no test takes."""
    for command in (["combine", "--quiet"], ["report", "--skip-covered", "--sort=miss"]):
        done = subprocess.run([BIN / "coverage", *command], cwd=ROOT, check=False)
        if done.returncode:
            return done.returncode
    return 0


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
    if sys.argv[1:] == ["--branches"]:
        return report_branches()
    RESULTS.mkdir(exist_ok=True)
    for old in (*RESULTS.glob("*.xml"), *RESULTS.glob("coverage*")):
        old.unlink()
    wanted = tuple(sys.argv[1:]) or ("",)
    outcomes: list[tuple[str, float, list[str] | None]] = []
    for name, command in STAGES.items():
        if name.startswith(wanted):
            began = time.monotonic()
            failure = run(name, command)
            outcomes.append((name, time.monotonic() - began, failure))
    for name, _, failure in outcomes:
        if failure is not None:
            print(f"\n=== {name} failed; its last lines\n{''.join(failure)}", end="")
    print("\n=== what ran")
    for name, seconds, failure in outcomes:
        print(f"{name:12} {seconds:6.0f} s  {'ok' if failure is None else 'FAILED'}")
    for reason, count in skipped_tests().items():
        print(f"skipped {count}: {reason}")
    return 0 if outcomes and all(failure is None for _, _, failure in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
