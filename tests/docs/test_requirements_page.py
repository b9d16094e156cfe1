"""docs/requirements.md: each requirement has its line, and what a line names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINES = re.findall(
    r"^\| (LDV-[AXLR]\d+) .*\|(.*)\|(.*)\|$",
    (ROOT / "docs" / "requirements.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)
NUMBERS = {"A": 13, "X": 4, "L": 7, "R": 7}


def test_each_requirement_has_one_line() -> None:
    """In the order of the standard's parts."""
    assert [name for name, _, _ in LINES] == [
        f"LDV-{part}{number}" for part, last in NUMBERS.items() for number in range(1, last + 1)
    ]


@pytest.mark.parametrize(("name", "modules", "tests"), LINES, ids=[line[0] for line in LINES])
def test_what_a_line_names_exists(name: str, modules: str, tests: str) -> None:
    """A module that was moved, or a test that was renamed, leaves a requirement without proof."""
    named = re.findall(r"`([\w/.]+)`", modules)
    assert named, name
    for module in named:
        assert (ROOT / "src" / "ldv_otel" / "_internal" / module).is_file(), module
    shown = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", tests)
    assert shown, name
    for file, test in shown:
        text = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(rf"^ *(async )?def {test or 'test_'}", text, re.MULTILINE), (file, test)
