"""Figures for the yearly report: nobody can be recognised in them, whatever is subtracted."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldv_otel._internal.privacy.pseudonyms import KeyRing
from ldv_otel._internal.questions.figures import HIDDEN, LEAST, protected, shown_number, whole_months
from ldv_otel._internal.times.instants import ms_from_rfc3339
from tests.questions.conftest import FAILED_ACTIE, NO_GROUND, SECRET, Store, ring
from tests.questions.test_answers import PERIOD, ask

AMSTERDAM = ZoneInfo("Europe/Amsterdam")


def table(store: Store, name: str, **choices: Any) -> dict[str, tuple[Any, Any]]:
    """Acties and failures of a table, by its first column."""
    rows = ask(store, "figures", **PERIOD, **choices)["tables"][name]
    return {next(iter(row.values())): (row["handelingen"], row["mislukt"]) for row in rows}


def test_small_numbers_are_hidden_and_the_rest_is_rounded(store: Store) -> None:
    """Few Acties, and Acties about few people: both."""
    keys = ring(False)
    people = [str(900_000_000 + number) for number in range(30)]
    store.write(
        *(store.actie(person, keys) for person in people),
        *(store.actie(people[number % 2], keys, processing_activity_id=NO_GROUND) for number in range(40)),
        *(store.actie(person, keys, processing_activity_id=SECRET) for person in people[:20]),
    )
    activities = table(store, "activiteiten")
    assert activities == {"Vergunningen": (HIDDEN, 0), "Zonder grondslag": (HIDDEN, 0)}
    with_secret = table(store, "activiteiten", confidential=True)
    assert with_secret == {"Vergunningen": (30, 0), "Zonder grondslag": (HIDDEN, 0), "Onderzoek": (HIDDEN, 0)}
    assert table(store, "maanden") == {"2026-09": (70, 0)}


def test_few_failures_are_hidden(store: Store) -> None:
    """Of an activity that has many Acties."""
    store.write(*(store.actie() for _ in range(31)), *(store.actie(**FAILED_ACTIE) for _ in range(3)))
    assert table(store, "activiteiten") == {"Vergunningen": (30, HIDDEN)}
    assert ask(store, "figures", **PERIOD)["answer"] == [f"Some 30 actions, of which {HIDDEN} failed, in 1 month."]


def test_a_key_change_does_not_make_few_people_many(store: Store) -> None:
    """Two pseudonyms of one person are no two people: six people under two keys are six."""
    keys = ring(False, False)
    both = [keys, KeyRing(keys.keys.values(), active="key-0")]
    people = [str(900_000_000 + number) for number in range(6)]
    store.write(*(store.actie(person, key) for person in people for key in both for _ in range(3)))
    assert table(store, "activiteiten") == {"Vergunningen": (HIDDEN, 0)}


@given(st.lists(st.integers(0, 60), max_size=8))
def test_no_number_is_hidden_alone(counts: list[int]) -> None:
    """Where another one could be hidden with it; what is hidden cannot be worked out from the total."""
    column = protected([shown_number(count, 0) for count in counts])
    hidden = [count for count, cell in zip(counts, column, strict=True) if cell == HIDDEN]
    others = [count for count in counts if count]
    assert len(hidden) != 1 or len(others) == 1
    assert all(cell == HIDDEN for count, cell in zip(counts, column, strict=True) if 0 < count < LEAST)


@given(st.integers(0, 2_000), st.integers(1, 9))
def test_a_total_does_not_tell_a_small_number(other: int, small: int) -> None:
    """What is left of a rounded total fits every small number."""
    fitting = {
        each
        for each in range(1, LEAST)
        for rest in range(max(other - 5, 0), other + 6)
        if shown_number(rest, 0) == shown_number(other, 0)
        and shown_number(rest + each, 0) == shown_number(other + small, 0)
    }
    assert len(fitting) > 1


@pytest.mark.parametrize(
    ("since", "until", "first", "last"),
    [
        ("2026-03-10T12:00:00Z", "2026-03-11T12:00:00Z", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"),
        ("2025-12-31T23:00:00Z", "2026-12-31T23:00:00Z", "2025-12-31T23:00:00Z", "2026-12-31T23:00:00Z"),
    ],
)
def test_months_are_whole(since: str, until: str, first: str, last: str) -> None:
    """Else two periods that differ by a day would tell of that day."""
    period = whole_months(ms_from_rfc3339(since), ms_from_rfc3339(until), AMSTERDAM)
    assert period == (ms_from_rfc3339(first), ms_from_rfc3339(last))
