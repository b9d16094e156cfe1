"""What users' own tests get: a Logboek that answers questions, and sentences where an answer is no."""

from __future__ import annotations

import pytest

import ldv_otel as ldv
from ldv_otel import Status, testing

ACTIVITY = "https://register.example/parkeren"
BSN = "123456782"
OTHER = "999990019"


@pytest.fixture
def filled() -> testing.InMemoryLogboek:
    """Two Acties, one of them about somebody."""
    with testing.logboek() as logboek:
        with ldv.processing(ACTIVITY, name="Wijzig kenteken"):
            ldv.data_subject(BSN, type="BSN")
        with pytest.raises(KeyError), ldv.processing(ACTIVITY, name="Toon"):
            raise KeyError
    return logboek


def test_the_one_that_fits_is_returned(filled: testing.InMemoryLogboek) -> None:
    """By any of its facts."""
    changed, shown = filled.logregels
    assert filled.about(BSN) == [changed]
    assert filled.about(OTHER) == []
    assert filled.assert_logged("Wijzig kenteken") is filled.assert_logged(about=BSN, activity=ACTIVITY)
    assert filled.assert_logged(status=Status.ERROR) == shown


def test_what_is_missing_reads_as_a_sentence(filled: testing.InMemoryLogboek) -> None:
    """With what was logged instead, and no number."""
    with pytest.raises(AssertionError) as failed:
        filled.assert_logged("Verwijder", about=OTHER)
    text = str(failed.value)
    pseudonym = filled.pseudonym(BSN, type="BSN").hex()[:12]
    other = filled.pseudonym(OTHER, type="BSN").hex()[:12]
    assert text == (
        f"No Logregel has name 'Verwijder' and data_subject_id {other}..., where one should. Logged:"
        f"\n  'Wijzig kenteken' ({ACTIVITY}, about {pseudonym}..., Unset)"
        f"\n  'Toon' ({ACTIVITY}, about nobody, Error)"
    )
    with pytest.raises(AssertionError, match="2 Logregels have processing_activity_id"):
        filled.assert_logged(activity=ACTIVITY)
    with testing.logboek() as empty:
        pass
    with pytest.raises(AssertionError, match=r"No Logregel has anything.*And no span ended: .*`ldv run pytest`"):
        empty.assert_logged()


def test_a_logboek_shows_itself(filled: testing.InMemoryLogboek) -> None:
    """In a debugger or a failing test."""
    assert repr(filled) == f"<InMemoryLogboek with 2 Logregels, the last: 'Toon' ({ACTIVITY}, about nobody, Error)>"
