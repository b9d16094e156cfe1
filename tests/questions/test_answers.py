"""What the ten questions answer, on the real engine."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from ldv_otel._internal.clickhouse.verification.made import write_verification
from ldv_otel._internal.clickhouse.verification.verify import verify
from ldv_otel._internal.parties.party_names import PartyNames
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser
from ldv_otel._internal.questions.asking import Choices, asked_of
from ldv_otel._internal.questions.catalogue import BY_ADDRESS, BY_NAME, QUESTIONS
from ldv_otel._internal.questions.cells import AnswerReader
from ldv_otel._internal.questions.files import as_builtins
from ldv_otel._internal.times.instants import now_ms
from ldv_otel.attributes import OFFICER, REASON
from ldv_otel.errors import QueryError
from tests.questions.conftest import (
    BSN,
    DAY_MS,
    FAILED_ACTIE,
    NO_GROUND,
    OTHER_BSN,
    PERMITS,
    SECRET,
    START,
    UNKNOWN,
    Store,
    ring,
)

PERIOD: dict[str, Any] = {"since_ms": START, "until_ms": START + 30 * DAY_MS}


def ask(store: Store, name: str, **choices: Any) -> dict[str, Any]:
    """The answer as JSON has it, in English."""
    question = BY_NAME[name]
    asked = asked_of(question, store.settings, store.client, Choices(**choices), PartyNames())
    return as_builtins(question, question.answer(store.client, asked), asked, AnswerReader("en"))


def test_there_are_ten_and_each_says_what_may_not_be_concluded() -> None:
    """In both languages, with names that are used once."""
    assert len(QUESTIONS) == len(BY_NAME) == len(BY_ADDRESS) == 10
    for question in QUESTIONS:
        assert question.limits
        for said in (question.title, question.explanation, *question.limits):
            assert said.nl
            assert said.en
            assert said.nl != said.en
            assert all(len(sentence.split()) <= 14 for sentence in re.split(r"(?<=[.?!:]) ", said.nl)), said.nl


def test_who_used_a_persons_data_and_why(store: Store) -> None:
    """Purpose, legal ground, application, parties and an officer's reason; of this person alone."""
    keys = ring(False)
    looked: dict[str, Any] = {"attributes": {REASON: "Klacht 12 van vorige week", OFFICER: "ab" * 16}}
    store.write(
        store.actie(BSN, keys, name="Toon", external_read_api_id="https://rdw.example/v1"),
        store.actie(BSN, keys, name="Bekeken", **looked),
        store.actie(BSN, keys, name="Geheim", processing_activity_id=SECRET),
        store.actie(OTHER_BSN, keys, name="Van een ander"),
    )
    person = tuple(Pseudonymiser(keys).candidates(BSN, "BSN"))
    rows = ask(store, "person", pseudonyms=person)["tables"]["handelingen"]
    by_name = {row["handeling"]: row for row in rows}
    assert set(by_name) == {"Toon", "Bekeken", "Geheim"}
    assert by_name["Toon"]["doel"] == "Parkeren regelen"
    assert by_name["Toon"]["gevraagd_aan"] == "rdw.example"
    assert by_name["Bekeken"]["reden"] == "Klacht 12 van vorige week"
    assert by_name["Geheim"]["vertrouwelijk"] is True
    shown = ask(store, "person", pseudonyms=person, confidential=False)["tables"]["handelingen"]
    assert {row["handeling"] for row in shown} == {"Toon", "Bekeken"}


def test_activities_that_lack_something(store: Store) -> None:
    """Used or not, in the Register or not; what has all three is not named."""
    store.write(store.actie(), store.actie(processing_activity_id=UNKNOWN), store.actie(processing_activity_id=UNKNOWN))
    answer = ask(store, "register", **PERIOD)
    rows = {row["uri"]: row for row in answer["tables"]["activiteiten"]}
    assert set(rows) == {UNKNOWN, NO_GROUND}
    assert rows[UNKNOWN] | {"laatste": 0} == {
        "verwerkingsactiviteit": UNKNOWN,
        "uri": UNKNOWN,
        "geen_doel": True,
        "geen_grondslag": True,
        "geen_termijn": True,
        "niet_in_register": True,
        "handelingen": 2,
        "laatste": 0,
    }
    assert (rows[NO_GROUND]["geen_doel"], rows[NO_GROUND]["geen_grondslag"]) == (False, True)
    assert answer["answer"] == [
        "1 of the 2 activities in use lack something. That touches 2 actions.",
        "Something is lacking too of 1 activity in the Register, of which there is nothing to see here.",
    ]


def test_what_failed_where_and_why(store: Store) -> None:
    """By application, activity, type of error and party; a filter leaves the others out."""
    other: dict[str, Any] = {"resource": '{"service.name":"handhaving"}'}
    store.write(
        store.actie(),
        store.actie(**FAILED_ACTIE),
        store.actie(**FAILED_ACTIE),
        store.actie(**FAILED_ACTIE, external_read_api_id="https://rdw.example/v1"),
        store.actie(**FAILED_ACTIE, **other, processing_activity_id=SECRET),
    )
    rows = ask(store, "failures", **PERIOD)["tables"]["mislukt"]
    assert [(row["applicatie"], row["koppeling"], row["mislukt"]) for row in rows] == [
        ("balie", "", 2),
        ("handhaving", "", 1),
        ("balie", "→ rdw.example", 1),
    ]
    assert {row["fout"] for row in rows} == {"TimeoutError"}
    assert [row["vertrouwelijk"] for row in rows] == [False, True, False]
    assert len(ask(store, "failures", **PERIOD, service="handhaving")["tables"]["mislukt"]) == 1
    assert len(ask(store, "failures", **PERIOD, activity=PERMITS)["tables"]["mislukt"]) == 2
    assert len(ask(store, "failures", **PERIOD, confidential=False)["tables"]["mislukt"]) == 2


@pytest.mark.parametrize(("first_seq", "lost"), [(0, 0), (2, 2)])
def test_whether_the_logboek_is_complete(store: Store, first_seq: int, lost: int) -> None:
    """A writer's gap is named, also at its beginning; nothing is said to be complete that was not looked at."""
    store.write(store.actie(), store.actie(), first_seq=first_seq)
    answer = ask(store, "completeness", **PERIOD)
    assert [row["ontbreekt"] for row in answer["tables"]["reeksen"]] == ([lost] if lost else [])
    assert (answer["answer"][0] == "Checked: 1 sequence of these days. There are no gaps.") is (lost == 0)
    assert "LDV_EXPECTED_SERVICES" in answer["answer"][-1]
    nothing = ask(store, "completeness", since_ms=0, until_ms=DAY_MS)
    assert nothing["answer"][0] == "There are no sequences of these days, so nothing was checked."


def test_a_service_that_fell_silent(store: Store) -> None:
    """One that has to be there and is not is named."""
    expected = msgspec.structs.replace(store.settings, expected_services=(("burgerzaken", 60_000),))
    store.write(store.actie())
    question = BY_NAME["completeness"]
    asked = asked_of(question, expected, store.client, Choices(**PERIOD), PartyNames())
    answer = as_builtins(question, question.answer(store.client, asked), asked, AnswerReader("nl"))
    assert "Stil: burgerzaken." in " ".join(answer["answer"])


def test_an_actie_that_began_before_the_period_leaves_no_gap(store: Store) -> None:
    """It has a number between those of the period, and its row lies before."""
    store.write(
        store.actie(start_time_ms=START - 3 * DAY_MS),
        store.actie(start_time_ms=START + 1),
        store.actie(start_time_ms=START - 2 * DAY_MS),
        store.actie(start_time_ms=START + 2),
    )
    assert ask(store, "completeness", **PERIOD)["tables"]["reeksen"] == []


def test_whether_anybody_tampered(store: Store) -> None:
    """A Logboek that was never checked is not called unchanged."""
    store.write(store.actie())
    assert "never checked" in ask(store, "tampering")["answer"][0]
    write_verification(store.client, verify(store.client), keys_named=True)
    answer = ask(store, "tampering")
    assert answer["answer"][0] == "The last check came to no change of what is sealed."
    assert answer["tables"]["controles"][0]["verzegeld"] == 1


def test_which_parties_received_data(store: Store) -> None:
    """Who asked us is in another list than whom we asked."""
    caller: dict[str, Any] = {
        "foreign_operation_processor": "https://politie.example/",
        "foreign_operation_span_id": b"\1" * 8,
    }
    unknown: dict[str, Any] = {"foreign_operation_processor": "https://onbekende-aanroeper.invalid/"}
    store.write(
        store.actie(**caller),
        store.actie(**unknown),
        store.actie(external_read_api_id="https://rdw.example/v1"),
        store.actie(external_read_api_id="https://rdw.example/v1", **FAILED_ACTIE),
        store.actie(),
    )
    tables = ask(store, "parties", **PERIOD)["tables"]
    assert {(row["partij"], row["handelingen"]) for row in tables["vroegen_ons"]} == {("politie.example", 1), ("?", 1)}
    assert [(row["partij"], row["handelingen"], row["mislukt"]) for row in tables["door_ons_gevraagd"]] == [
        ("rdw.example", 2, 1)
    ]


def test_what_will_be_removed_by_a_day(store: Store) -> None:
    """What is past its term at that day and not before; a day that is over is refused."""
    year_ago = now_ms() - 300 * DAY_MS
    store.write(store.actie(processing_activity_id=NO_GROUND, start_time_ms=year_ago))
    assert ask(store, "removals")["tables"]["straks"] == []
    later = datetime.fromtimestamp((now_ms() + 90 * DAY_MS) // 1_000, UTC)
    rows = ask(store, "removals", on=later)["tables"]["straks"]
    assert [(row["uri"], row["termijn"], row["handelingen"]) for row in rows] == [(NO_GROUND, "P1Y", 1)]
    with pytest.raises(QueryError, match="--on is over"):
        ask(store, "removals", on=datetime(2020, 1, 1, tzinfo=UTC))


def test_evidence_for_a_complaint_counts_proofs(store: Store) -> None:
    """Each record says whether there is a proof of it."""
    keys = ring(False)
    store.write(store.actie(BSN, keys), store.actie(BSN, keys))
    answer = ask(store, "complaint", pseudonyms=tuple(Pseudonymiser(keys).candidates(BSN, "BSN")))
    assert [row["bewezen"] for row in answer["tables"]["handelingen"]] == [True, True]
    assert "There is a proof of 2 actions." in answer["answer"]


def test_what_a_question_is_not_asked_with_is_refused(store: Store) -> None:
    """Rather than not being heeded."""
    with pytest.raises(QueryError, match="--service"):
        ask(store, "tampering", service="balie")
