"""docs/privacy*.md and docs/serve*.md: every claim has its test, and every test that they name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["privacy.md", "privacy-readers.md", "serve.md", "serve-clients.md"])
def test_each_claim_points_at_tests_that_exist(page: str) -> None:
    """By file and name; a test that was renamed leaves a claim without proof."""
    claims, _, tests = (ROOT / "docs" / page).read_text(encoding="utf-8").partition("## The tests")
    listed = {
        int(number): names
        for number, names in re.findall(r"^(\d+)\. (.*?)(?=^\d+\. |\Z)", tests, re.MULTILINE | re.DOTALL)
    }
    assert {int(number) for number in re.findall(r"\[(\d+)\]", claims)} == set(listed)
    for number, names in listed.items():
        found = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", names)
        assert found, number
        for file, name in found:
            text = (ROOT / file).read_text(encoding="utf-8")
            assert re.search(rf"^ *(async )?def {name}\(", text, re.MULTILINE), (file, name)
