"""The changelog is one list for each kind of change, whoever adds to it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

CHANGELOG: Final = (Path(__file__).parents[2] / "CHANGELOG.md").read_text("utf-8")
VERSIONS: Final = re.split(r"^## ", CHANGELOG, flags=re.MULTILINE)[1:]
KINDS: Final = frozenset({"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"})


@pytest.mark.parametrize("version", VERSIONS, ids=lambda text: text.partition("\n")[0])
def test_each_kind_of_change_and_each_change_stands_once(version: str) -> None:
    """Two that add at a time may each bring the other's along."""
    kinds = re.findall(r"^### (.*)$", version, flags=re.MULTILINE)
    assert set(kinds) <= KINDS
    changes = re.findall(r"^- .*$", version, flags=re.MULTILINE)
    assert changes
    assert {text for text, count in Counter([*kinds, *changes]).items() if count > 1} == set()
