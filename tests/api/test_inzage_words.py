"""Dates, times and terms as people write them."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from ldv_otel.api.inzage.words import day_words, duration_words, local, time_words
from ldv_otel.duration import Duration

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
