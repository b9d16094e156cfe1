"""Dates, times and terms as people write them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from importlib import resources
from zoneinfo import ZoneInfo

import pytest

from ldv_otel._internal.times.durations import Duration
from ldv_otel._internal.times.dutch import day_words, duration_words, local, time_words

AMSTERDAM = ZoneInfo("Europe/Amsterdam")


def test_the_hour_that_comes_twice() -> None:
    """When the clock goes back, a time says which of the two it is; other times do not."""
    twice = 1_792_888_200_000  # 2026-10-25T00:30Z, when summer time ends half an hour later
    assert time_words(local(twice, AMSTERDAM)) == "02.30 uur (zomertijd)"
    assert time_words(local(twice + 3_600_000, AMSTERDAM)) == "02.30 uur (wintertijd)"
    assert time_words(local(twice + 2 * 3_600_000, AMSTERDAM)) == "03.30 uur"
    assert time_words(local(1_774_746_000_000, AMSTERDAM)) == "03.00 uur"


@pytest.mark.parametrize(
    ("term", "words"),
    [
        ("P1Y", "1 jaar"),
        ("P18M", "1 jaar en 6 maanden"),
        ("P1M", "1 maand"),
        ("P30D", "30 dagen"),
        ("P2Y1M1D", "2 jaar, 1 maand en 1 dag"),
    ],
)
def test_terms(term: str, words: str) -> None:
    """A term of the Register is no code."""
    assert duration_words(Duration.parse(term)) == words


def test_days() -> None:
    """A date with the name of the day."""
    assert day_words(date(2026, 3, 1)) == "zondag 1 maart 2026"


MOST_WORDS = 14
#: Of letters from offices: there is an easier word, or an easier sentence, for each.
HARD = re.compile(
    r"\b(aangaande|alsmede|alvorens|behoudens|betreffende|betrokkene\w*|conform|derhalve|desbetreffende|dienen te|"
    r"doeleinde\w*|eveneens|geraadpleegd|gegevensverwerking|grondslag|hetgeen|indien|inzake|logregel\w*|middels|mits|"
    r"omtrent|raadplegen|reeds|teneinde|tenzij|termijn\w*|tevens|vastgesteld|verstrek\w*|verwerkingsactiviteit\w*|"
    r"verwerkingsverantwoordelijke|verzoek\w*|voornoemd\w*|wijzig\w*|zodanig)\b",
    re.IGNORECASE,
)
TEMPLATES = resources.files("ldv_otel._internal.api.pages").joinpath("templates")


def sentences(template: str) -> Iterator[str]:
    """What a template says, in whatever case; what the Register and records say stands as X."""
    text = TEMPLATES.joinpath(template).read_text("utf-8")
    text = re.sub(r"{%.*?%}|<svg.*?</svg>", "\n", text, flags=re.DOTALL)
    # Words that are chosen between are said too.
    said = [quoted for inside in re.findall(r"{{(.*?)}}", text) for quoted in re.findall(r'"([^"]* [^"]*)"', inside)]
    text = re.sub(r"</?(?:span|strong|a|br|time)\b[^>]*>", "", re.sub(r"{{.*?}}", "X", text))
    for line in (*re.sub(r"<[^>]+>", "\n", text).split("\n"), *said):
        yield from (found for found in re.split(r"(?<=[.?!]) ", line.strip()) if found)


CITIZENS = sorted(found.name for found in TEMPLATES.iterdir() if found.name.endswith(".html"))
OFFICERS = sorted(f"toezicht/{found.name}" for found in TEMPLATES.joinpath("toezicht").iterdir())


@pytest.mark.parametrize("template", [*CITIZENS, *OFFICERS])
def test_short_sentences(template: str) -> None:
    """B1 Dutch: one thing in a sentence."""
    assert not [said for said in sentences(template) if len(said.split()) > MOST_WORDS]


@pytest.mark.parametrize("template", CITIZENS)
def test_easy_words(template: str) -> None:
    """B1 Dutch: no words of offices and laws in what we say ourselves."""
    assert not [said for said in sentences(template) if HARD.search(said)]


def test_what_is_checked_is_what_is_said() -> None:
    """The two above would find nothing in nothing."""
    said = [one for template in CITIZENS for one in sentences(template)]
    assert len(said) > 100
    assert "Mail naar X." in said or any("Mail naar" in one for one in said)
    assert "Dat hebben wij nog niet bepaald." in said
    assert HARD.search("Indien u het verzoek wijzigt")
