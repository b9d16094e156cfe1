"""No answer says that something is not there, or is in order, where nothing was looked at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import ldv_otel
from ldv_otel._internal.clickhouse.verification.made import VerificationMade
from ldv_otel._internal.parties.party_names import PartyNames
from ldv_otel._internal.questions.asking import Choices, answer_question
from ldv_otel._internal.questions.breach import BREACH
from ldv_otel._internal.questions.catalogue import QUESTIONS
from ldv_otel._internal.questions.completeness import COMPLETENESS
from ldv_otel._internal.questions.model import Answer, Parameter, Question
from ldv_otel._internal.questions.tampering import TAMPERING, check_sentences
from tests.questions.conftest import BSN, OTHER_BSN, SECRET, START, Store, ring

SOURCE = Path(ldv_otel.__file__).parent / "_internal"
#: What may be said only of what was looked at.
CLAIM = re.compile(
    r"geen (gaten|verandering)|niets (vastgelegd|gedaan|veranderd|gebeurd)|alle \d|alles (wat|is|klopt)|ontbreekt niets"
    r"|no (gaps|change)|nothing (is|was) (logged|done|changed|missing)|nothing on record|all \d",
    re.IGNORECASE,
)
#: Never, because no check shows it.
NEVER = re.compile(
    r"ontbreekt (er )?niets|niets ontbreekt|is niets (over \w+ )?(vastgelegd|gedaan|gebeurd|veranderd)"
    r"|alles (is )?(goed|compleet|klopt)|nothing is missing",
    re.IGNORECASE,
)
CHECK: dict[str, Any] = {
    "at_ms": START,
    "account": "a",
    "verified_by": "b",
    "everything": True,
    "keys_named": True,
    "places": 1,
    "records": 10,
    "adopted": 0,
    "removed": 0,
    "not_sealed": 0,
    "tampering": 0,
}


def answered(store: Store, question: Question, **choices: Any) -> Answer:
    """An answer, with what is added to every one."""
    return answer_question(store.client, question, store.settings, Choices(**choices), PartyNames())[1]


def texts(answer: Answer) -> Iterator[str]:
    """What an answer says of its own, in both languages."""
    for said in (*answer.sentences, *(table.empty for table in answer.tables if not table.rows)):
        yield said.nl
        yield said.en


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_an_empty_logboek_is_not_said_to_be_in_order(store: Store, question: Question) -> None:
    """Where there is nothing, nothing was looked at."""
    choices: dict[str, Any] = {"pseudonyms": (b"x" * 16,)} if question.about_person else {}
    said = list(texts(answered(store, question, **choices)))
    assert said
    assert [text for text in said if CLAIM.search(text)] == []


def test_gaps_are_denied_of_sequences_that_were_looked_at(store: Store) -> None:
    """The same sentence is there as soon as there is a sequence, or the test above would say nothing."""
    store.write(store.actie())
    period = {"since_ms": START, "until_ms": START + 1_000}
    assert any(CLAIM.search(text) for text in texts(answered(store, COMPLETENESS, **period)))
    assert answered(store, COMPLETENESS).tables[1].empty.nl == "Er is niets nagekeken."


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"records": 0}, "Er is dus niets nagekeken."),
        ({"everything": False}, "Zij las alleen wat nieuw was."),
        ({"keys_named": False}, "Niemand zei welke sleutels van uw applicaties zijn."),
        ({"not_sealed": 3}, "3 regels zijn niet verzegeld."),
        ({"places": 0}, "Er is niet vergeleken met een kopie ergens anders."),
    ],
)
def test_a_check_says_what_it_did_not_look_at(more: dict[str, Any], sentence: str) -> None:
    """The page and the question have the same sentences; a check of everything has none of these."""
    made = VerificationMade(**CHECK)
    assert not any(sentence in said.nl for said in check_sentences([made]))
    assert any(sentence in said.nl for said in check_sentences([msgspec.structs.replace(made, **more)]))


def test_an_answer_without_what_is_confidential_says_so(store: Store) -> None:
    """Else a reader takes what they may not see for what is not there."""
    store.write(store.actie(processing_activity_id=SECRET))
    period = {"since_ms": START, "until_ms": START + 1_000}
    caution = "Wat vertrouwelijk is, telt niet mee in dit antwoord."
    for question in QUESTIONS:
        choices = (period if "from" in question.parameters else {}) | (
            {"pseudonyms": (b"x" * 16,)} if question.about_person else {}
        )
        for confidential in (True, False):
            cautions = [said.nl for said in answered(store, question, confidential=confidential, **choices).cautions]
            expected = not confidential and question not in (COMPLETENESS, TAMPERING)
            assert (caution in cautions) is expected, question.name


@pytest.mark.parametrize(
    ("sealing", "can", "cannot"),
    [
        ((False, False), None, "deze"),
        ((True, True), "2 van de 2", None),
        ((True, False), "1 van de 2", "1 van de 2"),
    ],
)
def test_a_breach_says_whether_whom_to_notify_can_be_known(
    store: Store, sealing: tuple[bool, bool], can: str | None, cannot: str | None
) -> None:
    """Without a key that seals there is no list, and the answer says so, with why and what to do."""
    store.write(store.actie(BSN, ring(sealing[0])), store.actie(OTHER_BSN, ring(sealing[1])), store.actie())
    said = [each.nl for each in answered(store, BREACH, since_ms=START, until_ms=START + 1_000).sentences]
    assert any(f"Van {can} nummers" in text and "--notify" in text for text in said) is (can is not None)
    assert any(f"{cannot} nummers" in text and "geen lijst" in text for text in said) is (cannot is not None)


def test_a_breach_about_nobody_says_that_nobody_is_named(store: Store) -> None:
    """That is not the same as a list without people on it."""
    store.write(store.actie())
    said = [each.nl for each in answered(store, BREACH, since_ms=START, until_ms=START + 1_000).sentences]
    assert "Wie u moet waarschuwen, staat niet in het Logboek: geen van deze handelingen noemt iemand." in said


def test_no_page_or_question_says_what_nothing_can_show() -> None:
    """Every text of a page, a letter and a question: a record that was never made does not show anywhere."""
    places = [*SOURCE.rglob("*.html"), *(SOURCE / "questions").glob("*.py")]
    assert len(places) > 30
    for place in places:
        assert NEVER.search(place.read_text(encoding="utf-8")) is None, place
    assert NEVER.search("Er ontbreekt niets")


@pytest.mark.parametrize("question", [each for each in QUESTIONS if Parameter.SERVICE in each.parameters])
def test_a_slip_in_the_name_of_an_application_is_no_all_clear(store: Store, question: Question) -> None:
    """An answer about an application of which nothing is there says that first; about one that is there it does not."""
    store.write(store.actie())
    period = {"since_ms": START - 1, "until_ms": START + 1_000}
    for name in ("Balie", "balie ", "loket"):
        first = answered(store, question, **period, service=name).sentences[0]
        assert first.nl.startswith("Van een applicatie met deze naam is in deze dagen niets te zien.")
        assert name not in first.nl
    for chosen in ({"service": "balie"}, {}):
        said = answered(store, question, **period, **chosen).sentences
        assert not any("met deze naam" in each.nl for each in said)
