"""docs/requirements.yaml: every requirement and sentence is in it, and what it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.requirement_pages import TITLES, Requirement, read_source

ROOT = Path(__file__).parents[2]
SOURCE = read_source()
NUMBERS = {"A": 13, "X": 4, "L": 7, "R": 7}
#: Of extension *lezen* and core, so many sentences say MUST, MUST NOT or RECOMMENDED; counted in their texts.
SENTENCES = {"core": 22, "lezen": 14}
SHOWN = sorted(
    {test for each in SOURCE.requirements for test in each.shown}
    | {test for each in SOURCE.sentences for test in each.shown}
)


def test_each_requirement_has_one_line() -> None:
    """In the order of the standard's parts; of what is new since, those that are met, in order."""
    ids = [each.id for each in SOURCE.requirements]
    first = [f"LDV-{part}{number}" for part, last in NUMBERS.items() for number in range(1, last + 1)]
    assert ids[: len(first)] == first
    new = ids[len(first) :]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"LDV-N\d+a?", each) for each in new)
    assert new == sorted(new, key=lambda each: (int(re.sub(r"\D", "", each)), each))


@pytest.mark.parametrize("requirement", SOURCE.requirements, ids=lambda each: each.id)
def test_what_a_line_names_exists(requirement: Requirement) -> None:
    """A module that was moved leaves a requirement without what does it."""
    where = requirement.where
    assert where
    for module in where:
        assert (ROOT / "src" / "ldv_otel" / "_internal" / module).is_file(), module


@pytest.mark.parametrize("shown", SHOWN)
def test_what_shows_it_exists(shown: str) -> None:
    """A test that was renamed leaves a requirement without proof."""
    file, _, test = shown.partition("::")
    text = (ROOT / file).read_text(encoding="utf-8")
    assert re.search(rf"^ *(async )?def {test or 'test_'}", text, re.MULTILINE), shown


def test_every_sentence_is_there_and_is_answered() -> None:
    """With what we do, and a test that shows it."""
    ids = {each.id for each in SOURCE.requirements}
    for text in TITLES:
        assert len([each for each in SOURCE.sentences if each.text == text]) == SENTENCES[text], text
    for each in SOURCE.sentences:
        assert each.strength in {"MUST", "MUST NOT", "RECOMMENDED"}
        assert each.text in TITLES
        assert not each.by or each.by in ids, each.by
        assert each.by or (each.does and each.shown), each.says
