"""Exceptions from the lint are decided for a kind of file, once, with a reason; those for a single line stay few."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: In src, tests, examples, benchmarks and collector-config together.
MOST = 90


def test_exceptions_for_a_line_are_few() -> None:
    """Where many lines need the same one, `pyproject.toml` decides it for the kind of file."""
    lines = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in ("src", "tests", "examples", "benchmarks", "collector-config")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"# (ruff: )?noqa: [A-Z]+[0-9]+", line)
    ]
    assert 0 < len(lines) < MOST, len(lines)
