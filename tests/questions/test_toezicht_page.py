"""docs/toezicht says what the questions say, and its SQL gives the figures that they give."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest

from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.verification.made import write_verification
from ldv_otel._internal.clickhouse.verification.verify import verify
from ldv_otel._internal.questions.catalogue import QUESTIONS
from ldv_otel._internal.questions.model import Question
from ldv_otel._internal.times.instants import ms_from_rfc3339, now_ms
from tests.questions.conftest import BSN, DAY_MS, FAILED_ACTIE, NO_GROUND, OTHER_BSN, SECRET, UNKNOWN, Store, ring
from tests.questions.test_answers import ask

PAGES: Final = {
    page.name: page.read_text("utf-8") for page in (Path(__file__).parents[2] / "docs" / "toezicht").glob("*.md")
}
#: The longest that a page may be: an officer reads it while somebody waits.
MOST_WORDS: Final = 1_200
SUBJECT: Final = bytes.fromhex("5d41402abc4b2a76b9719d911017c592")
SEPTEMBER: Final = {
    "since_ms": ms_from_rfc3339("2026-09-01T00:00:00Z"),
    "until_ms": ms_from_rfc3339("2026-10-01T00:00:00Z"),
}


def section(question: Question, *, sql: bool = False) -> str:
    """What the page of a question has on it; or what the page with SQL has."""
    heading = rf"^## \d+\. {re.escape(question.title.nl)}\n(.*?)(?=^## |\Z)"
    matches = {
        name: match[1] for name, text in PAGES.items() if (match := re.search(heading, text, re.MULTILINE | re.DOTALL))
    }
    assert len(matches) == 2, question.name
    of_sql = matches.pop("sql.md")
    return of_sql if sql else next(iter(matches.values()))


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_the_page_has_each_question_as_it_is_defined(question: Question) -> None:
    """Its explanation, its page, its command, its SQL, and everything that may not be concluded."""
    text = section(question)
    assert question.explanation.nl in text
    assert f"`ldv question {question.name}`" in text
    assert (f"`/toezicht/vragen/{question.address}`" in text) is not question.about_person
    assert "```sql" in section(question, sql=True)
    assert re.findall(r"^- (.*)$", text, re.MULTILINE)[-len(question.limits) :] == [
        limit.nl for limit in question.limits
    ]


def test_each_page_is_short_and_is_led_to_from_the_first() -> None:
    """Nobody has to read about SQL to learn how many people a breach is about."""
    assert len(PAGES) == 7
    for name, text in PAGES.items():
        assert len(text.split()) < MOST_WORDS, name
        assert name == "README.md" or f"]({name}" in PAGES["README.md"], name
    for number, question in enumerate(QUESTIONS, 1):
        assert f"| {number} | [{question.title.nl}](" in PAGES["README.md"]


def filled(store: Store) -> Store:
    """A store with something for each question."""
    keys = ring(False)
    caller: dict[str, Any] = {
        "foreign_operation_processor": "https://politie.example/",
        "foreign_operation_span_id": b"\1" * 8,
    }
    subject: dict[str, Any] = {"data_subject_id": SUBJECT, "data_subject_id_type": "BSN", "key_id": "key-0"}
    store.write(
        store.actie(BSN, keys),
        store.actie(OTHER_BSN, keys, **caller),
        store.actie(**subject, external_read_api_id="https://rdw.example/v1"),
        store.actie(**subject, **FAILED_ACTIE, external_read_api_id="https://rdw.example/v1"),
        store.actie(processing_activity_id=UNKNOWN),
        store.actie(processing_activity_id=SECRET),
        *(store.actie(str(900_000_000 + number), keys) for number in range(30)),
        first_seq=2,
    )
    store.write(store.actie(processing_activity_id=NO_GROUND, start_time_ms=now_ms() - 300 * DAY_MS))
    write_verification(store.client, verify(store.client), keys_named=True)
    return store


def test_the_sql_gives_what_the_questions_give(store: Store) -> None:
    """Every statement of the page runs as it stands there; figures are compared one by one."""
    filled(store)
    rows = {
        question.name: [
            store.client.rows(Sql.verbatim(statement))
            for statement in re.findall(r"```sql\n(.*?);\n```", section(question, sql=True), re.DOTALL)
        ]
        for question in QUESTIONS
    }
    person = ask(store, "person", pseudonyms=(SUBJECT,))["tables"]["handelingen"]
    assert [row[2] for row in rows["person"][0]] == [row["verwerkingsactiviteit"] for row in person]
    gaps = {row["uri"]: row["handelingen"] for row in ask(store, "register", **SEPTEMBER)["tables"]["activiteiten"]}
    assert {row[0]: row[-1] for row in rows["register"][0]} == {uri: count for uri, count in gaps.items() if count}
    failed = ask(store, "failures", **SEPTEMBER)["tables"]["mislukt"]
    assert [(row[0], row[2], row[5], row[7]) for row in rows["failures"][0]] == [
        (row["applicatie"], row["fout"], row["mislukt"], row["voorbeeld"]) for row in failed
    ]
    complete = ask(store, "completeness", **SEPTEMBER)["tables"]
    assert [(row[1], row[3]) for row in rows["completeness"][0]] == [
        (row["reeks"], row["ontbreekt"]) for row in complete["reeksen"]
    ]
    assert [row[0] for row in rows["completeness"][1]] == [row["applicatie"] for row in complete["applicaties"]]
    checks = ask(store, "tampering")["tables"]["controles"]
    assert [(row[3], row[6]) for row in rows["tampering"][0]] == [
        (row["bevindingen"], row["verzegeld"]) for row in checks
    ]
    people = ask(store, "breach", **SEPTEMBER, service="balie")["tables"]["mensen"]
    assert rows["breach"][0] == [tuple(row.values()) for row in people]
    parties = ask(store, "parties", **SEPTEMBER)["tables"]
    for table, answered in zip(rows["parties"], (parties["vroegen_ons"], parties["door_ons_gevraagd"]), strict=True):
        assert [tuple(row) for row in table] == [
            (row["adres"], row["handelingen"], row["mislukt"], row["nummers"]) for row in answered
        ]
        assert table
    removed = [(row[0], row[1], row[2]) for row in rows["removals"][0]]
    assert removed == [(NO_GROUND, "P1Y", 1)]
    assert rows["complaint"][0][0][:2] == (2, 2)
    year = {"since_ms": ms_from_rfc3339("2026-01-01T00:00:00Z"), "until_ms": ms_from_rfc3339("2026-12-31T00:00:00Z")}
    months = ask(store, "figures", **year)["tables"]["maanden"]
    shown = {row["maand"]: str(row["handelingen"]) for row in months}
    assert dict(rows["figures"][0])["2026-09"] == "40"
    assert set(shown) == set(dict(rows["figures"][0]))
