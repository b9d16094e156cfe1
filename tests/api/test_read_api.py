from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from ldv_otel._internal.api.read_api.openapi import API_VERSION
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.register_table import apply_register
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser
from ldv_otel._internal.register.register import ProcessingActivity, Register
from tests.api.conftest import BSN, DEBTS, FOREIGN, NOBODY, OTHER_BSN, PARKING, PARTY, START, TRACES
from tests.support.chance import examples

PATH = "/lezenapi/v1/processing-activities"
SUBJECT = "dpl.core.data_subject_id"
TYPE = "dpl.core.data_subject_id_type"
ACTIVITY = "dpl.core.processing_activity_id"
HEX = TRACES[0].hex()
UUID = "01010101-0101-0101-0101-010101010101"


def ask(api: TestClient, question: dict[str, Any], *, as_client: str = "auditor", **query: Any) -> Any:
    """Ask, and return the records."""
    answer = api.post(PATH, json=question, params=query, headers={"X-Client": as_client})
    assert answer.status_code == 200, answer.text
    return answer.json()["processingActivities"]


def numbers(records: list[dict[str, Any]]) -> list[int]:
    """Which of the 25 these are."""
    return [int(record["name"].split()[1]) for record in records]


def test_a_record_has_the_words_of_the_contract(api: TestClient) -> None:
    """Names, spelling of ids and times, and nothing that is not the client's business."""
    record = ask(api, {"traceId": UUID})[3]
    assert record["traceId"] == UUID
    assert record["spanId"] == "0000000000000004"
    assert record["parentSpanId"] == "0000000000000003"
    assert record["startTime"] == START + 180_000
    assert record["endTime"] == START + 181_500
    assert record["status"] == "Unset"
    assert record["resource"] == {"attributes": {"service.name": "parkeren"}}
    assert record["attributes"]["dpl.read.externalReadAPI_id"] == PARTY
    assert record["attributes"]["dpl.objects.dataset"] == "kentekens"
    assert record["attributes"]["ldv.outbound_span_ids"] == ["ee" * 8]
    assert "secret" not in str(record)
    assert BSN not in str(record)


def test_metadata_names_the_logboek(api: TestClient) -> None:
    """As configured."""
    answer = api.post(PATH, json={"traceId": HEX}).json()
    assert answer["metadata"] == {"logbookId": "voorbeeld", "organizationName": "Gemeente Voorbeeld"}


@pytest.mark.parametrize("trace_id", [HEX, UUID, HEX.upper()])
def test_a_trace_is_a_uuid_or_hex(api: TestClient, trace_id: str) -> None:
    """The contract's form and W3C's."""
    assert numbers(ask(api, {"traceId": trace_id})) == [0, 1, 2, 3, 4]


def test_all_conditions_together(api: TestClient) -> None:
    """Each narrows."""
    question = {
        "traceId": TRACES[1].hex(),
        ACTIVITY: PARKING,
        SUBJECT: BSN,
        TYPE: "bsn",
        "startTime": START + 420_000,
        "endTime": START + 421_500,
    }
    assert numbers(ask(api, question)) == [7]
    assert numbers(ask(api, question | {"endTime": START + 421_499})) == []
    assert numbers(ask(api, question | {"dpl.core.foreign_operation.processor": "https://elders.example/app"})) == [7]
    assert numbers(ask(api, question | {"dpl.core.foreign_operation.processor": "https://nergens.example/"})) == []


def test_a_person_is_found_under_every_key_and_by_pseudonym(api: TestClient, pseudonymiser: Pseudonymiser) -> None:
    """With the type or without; a pseudonym is one key's (LDV-R7)."""
    odd = [number for number in range(25) if number % 2]
    assert numbers(ask(api, {SUBJECT: BSN, TYPE: "BSN"})) == odd
    assert numbers(ask(api, {SUBJECT: "123.456.782"})) == odd
    assert numbers(ask(api, {SUBJECT: BSN, TYPE: "personeelsnummer"})) == []
    pseudonym = pseudonymiser.keys.pseudonym("BSN", BSN, key_id="old").hex()
    assert numbers(ask(api, {SUBJECT: pseudonym})) == [number for number in odd if number < 10]


@pytest.mark.parametrize("subject", ["   ", "00" * 16])
def test_an_identifier_of_nothing_is_nobodys(api: TestClient, subject: str) -> None:
    """And not that of all records about nobody."""
    assert ask(api, {SUBJECT: subject}) == []
    assert ask(api, {SUBJECT: subject, TYPE: "klantnummer"}) == []
    assert ask(api, {SUBJECT: subject, "traceId": NOBODY.hex()}) == []
    assert numbers(ask(api, {"traceId": NOBODY.hex()})) == [99]


def test_a_type_that_no_record_can_have_finds_nothing(api: TestClient, pseudonymiser: Pseudonymiser) -> None:
    """It may not widen the question."""
    pseudonym = pseudonymiser.keys.pseudonym("BSN", BSN, key_id="old").hex()
    assert ask(api, {SUBJECT: pseudonym, TYPE: BSN}) == []
    assert ask(api, {"traceId": HEX, TYPE: "  "}) == []


def test_an_id_of_zeros_is_none(api: TestClient) -> None:
    """W3C Trace Context; records that belong to no foreign trace have zeros there."""
    assert api.post(PATH, json={"traceId": "0" * 32}).status_code == 400
    assert api.get("/lezenapi/v1/foreign-operations", params={"traceId": "0" * 32}).status_code == 400
    spans = {"traceId": FOREIGN.hex(), "spanId": "0" * 16}
    assert api.get("/lezenapi/v1/foreign-operations", params=spans).status_code == 400


def test_without_the_right_an_identifier_is_refused_and_a_pseudonym_is_not(
    api: TestClient, pseudonymiser: Pseudonymiser
) -> None:
    """Knowing whether a number occurs is knowing something about a person."""
    answer = api.post(PATH, json={SUBJECT: BSN}, headers={"X-Client": "partner"})
    assert answer.status_code == 403
    assert "ldv:identify" in answer.text
    assert BSN not in answer.text
    pseudonym = pseudonymiser.keys.pseudonym("BSN", BSN, key_id="old").hex()
    assert numbers(ask(api, {SUBJECT: pseudonym}, as_client="partner")) == [1, 3, 5, 7]  # 9 is another activity


def test_a_client_sees_its_activities_only(api: TestClient) -> None:
    """Whatever it asks for."""
    assert numbers(ask(api, {"traceId": HEX}, as_client="partner")) == [0, 1, 2, 3]
    assert ask(api, {ACTIVITY: DEBTS}, as_client="partner") == []


def test_a_confidential_activity_is_for_whom_may_see_it(api: TestClient, served_settings: Settings) -> None:
    """And its records leave no gap in a page that shows them to others."""
    with LogboekClient(served_settings) as client:
        hide = ProcessingActivity(id=DEBTS, name="Schulden", confidential=True)
        apply_register(client, Register([hide]), amend=True)
        try:
            assert numbers(ask(api, {"traceId": HEX})) == [0, 1, 2, 3, 4]
            assert numbers(ask(api, {"traceId": HEX}, as_client="ordinary", limit=4)) == [0, 1, 2, 3]
            assert ask(api, {ACTIVITY: DEBTS}, as_client="ordinary") == []
        finally:
            show = msgspec.structs.replace(hide, confidential=False)
            apply_register(client, Register([show]), amend=True)
    assert numbers(ask(api, {"traceId": HEX}, as_client="ordinary")) == [0, 1, 2, 3, 4]


def test_without_scope_nothing(api: TestClient) -> None:
    """403, and the answer says which is missing."""
    answer = api.post(PATH, json={"traceId": HEX}, headers={"X-Client": "stranger"})
    assert answer.status_code == 403
    assert 'scope="ldv:read"' in answer.headers["www-authenticate"]


def test_a_chain_needs_a_scope_of_its_own(api: TestClient) -> None:
    """Our credentials at other parties are not for everybody who may read here; nor are records that it may not see."""
    path = f"/lezenapi/v1/chains/{UUID}"
    answer = api.get(path, headers={"X-Client": "ordinary"})
    assert answer.status_code == 403
    assert 'scope="ldv:chain"' in answer.headers["www-authenticate"]
    found = api.get(path).json()
    assert numbers(found["processingActivities"]) == [0, 1, 2, 3, 4]
    assert [record.get("parent") for record in found["processingActivities"]] == [None, 0, 1, 2, 3]
    assert [party["state"] for party in found["parties"]] == ["here", "not_configured"]
    assert api.get("/lezenapi/v1/chains/x").status_code == 400


def test_what_was_done_for_a_foreign_trace(api: TestClient) -> None:
    """Found by the trace, and by one span of it."""
    path = "/lezenapi/v1/foreign-operations"
    assert numbers(api.get(path, params={"traceId": FOREIGN.hex()}).json()["processingActivities"]) == [7]
    both = {"traceId": FOREIGN.hex(), "spanId": "fb" * 8}
    assert numbers(api.get(path, params=both).json()["processingActivities"]) == [7]
    assert api.get(path, params=both | {"spanId": "aa" * 8}).json()["processingActivities"] == []
    assert api.get(path).status_code == 400


@given(limit=st.integers(1, 30))
def test_pages_are_the_whole_without_doubles(api: TestClient, limit: int) -> None:
    """Following `Link` gives each record once, in order, for any length of page."""
    assert [number for page in pages(api, {ACTIVITY: PARKING}, limit) for number in page] == [
        number for number in range(25) if number % 5 != 4
    ]


def pages(api: TestClient, question: dict[str, Any], limit: int) -> Iterator[list[int]]:
    """Follow the header as any HTTP client does."""
    address = f"{PATH}?limit={limit}"
    while address:
        answer = api.post(address, json=question)
        yield numbers(answer.json()["processingActivities"])
        assert len(answer.json()["processingActivities"]) <= limit
        following = answer.links.get("next", {}).get("url")
        address = str(answer.request.url.join(following)) if following else ""


@settings(max_examples=examples(30))
@given(cursor=st.from_regex(r"\A[0-9]{1,15}-[0-9a-f]{16}-[0-9]{1,19}-([0-9a-f]{2}){0,20}\Z"))
def test_a_cursor_of_somebodys_own_making_is_a_place_like_any(api: TestClient, cursor: str) -> None:
    """It comes back from outside: what lies after it is shown, whatever it says, and never more than was asked for."""
    found = ask(api, {"traceId": HEX}, cursor=cursor)
    start = min(int(cursor.partition("-")[0]), START * 2)
    wanted = {number for number in range(5) if START + number * 60_000 > start}
    assert wanted <= set(numbers(found)) <= set(range(5))


@given(cursor=st.text(max_size=40))
@settings(max_examples=examples(30))
def test_anything_else_is_no_cursor(api: TestClient, cursor: str) -> None:
    """400, never 500."""
    answer = api.post(PATH, json={"traceId": HEX}, params={"cursor": cursor})
    assert answer.status_code == (
        200 if re.fullmatch(r"[0-9]{1,15}-[0-9a-f]{16}-\d{1,19}-([0-9a-f]{2})*", cursor) else 400
    )


@pytest.mark.parametrize(
    "question",
    [
        {},
        {"startTime": 1_764_068_470_669},
        {TYPE: "BSN"},
        {"traceId": HEX, "spanId": "00"},
        {"traceId": HEX, "startTime": "2026-01-01T00:00:00"},
        {"traceId": HEX, "startTime": "1764068470669"},
        {"traceId": HEX, "startTime": 1_764_068_470_669.5},
        {"traceId": HEX, "startTime": True},
        {"traceId": HEX, "endTime": 2**63},
        {"traceId": HEX, "endTime": None},
        {"traceId": HEX[1:]},
        {"traceId": f"{HEX[:30]}-{HEX[30:]}"},
        {"traceId": None},
        {ACTIVITY: ""},
        {ACTIVITY: "register.example/parkeren"},
        {"traceId": HEX, "dpl.core.foreign_operation.processor": "elders"},
        {"traceId": HEX, "dpl.read.externalReadAPI_id": "//elders.example"},
        {ACTIVITY: ["https://register.example/"]},
        {SUBJECT: int(BSN)},
        [],
        "x",
    ],
    ids=str,
)
def test_a_bad_question_is_told_what_is_wrong_with_it(api: TestClient, question: Any) -> None:
    """400, problem+json with the contract's fields, and the version header (LDV-R2)."""
    answer = api.post(PATH, json=question)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["api-version"] == API_VERSION
    assert {"status", "code", "title", "detail", "instance", "errors"} == answer.json().keys()


@pytest.mark.parametrize(
    "query", ["cursor=x", "cursor=", "limit=0", "limit=-1", "limit=x", "limit=1&limit=2", "bsn=123456782", "traceId=x"]
)
def test_a_bad_parameter_is_refused(api: TestClient, query: str) -> None:
    """Unknown ones too: most likely the client meant something by it."""
    answer = api.post(f"{PATH}?{query}", json={"traceId": HEX})
    assert answer.status_code == 400
    assert BSN not in answer.text


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b'{"traceId":', b"[" * 50_000, b'{"traceId":"a","traceId":"b"}']
)
def test_what_is_no_json_is_refused(api: TestClient, body: bytes) -> None:
    """400, whatever the bytes."""
    assert api.post(PATH, content=body, headers={"Content-Type": "application/json"}).status_code == 400


def test_other_content_is_refused(api: TestClient) -> None:
    """Also what a form on another site could send."""
    assert api.post(PATH, content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415


def test_a_large_body_is_refused_before_it_is_read(api: TestClient) -> None:
    """With its length announced, and without."""
    large = b" " * (64 * 1024 + 1)
    assert api.post(PATH, content=large, headers={"Content-Type": "application/json"}).status_code == 413

    def chunks() -> Iterator[bytes]:
        yield from [large[:40_000]] * 2

    assert api.post(PATH, content=chunks(), headers={"Content-Type": "application/json"}).status_code == 413


def test_no_identifier_in_log_or_error(api: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    """Wherever a client puts it, right or wrong (LDV-R7)."""
    caplog.set_level(logging.DEBUG, logger="ldv_otel")
    answers = [
        api.post(PATH, json={SUBJECT: BSN, TYPE: "BSN"}),
        api.post(PATH, json={SUBJECT: OTHER_BSN}, headers={"X-Client": "partner"}),
        api.post(PATH, json={"traceId": BSN, BSN: BSN}),
        api.post(f"{PATH}?{BSN}={BSN}&cursor={BSN}&limit={BSN}x", json={SUBJECT: BSN}),
        api.get(f"/lezenapi/v1/{BSN}?bsn={BSN}"),
        api.get(f"/lezenapi/v1/foreign-operations?traceId={BSN}"),
        api.post(PATH, content=f'{{"{BSN}', headers={"Content-Type": "application/json"}),
    ]
    assert len([record for record in caplog.records if record.name == "ldv_otel._internal.api.access"]) == len(answers)
    said = caplog.text + "".join(answer.text + str(answer.headers) for answer in answers)
    assert not re.search(f"{BSN}|{OTHER_BSN}", said)


def test_every_answer_has_the_headers_of_the_design_rules(api: TestClient) -> None:
    """/core/transport/security-headers and /core/version-header."""
    for answer in (api.post(PATH, json={"traceId": HEX}), api.get("/lezenapi/v1/nergens"), api.delete(PATH)):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["api-version"] == API_VERSION
    assert api.get("/lezenapi/v1/openapi.json").headers["access-control-allow-origin"] == "*"


def test_times_outside_the_table_are_no_error(api: TestClient) -> None:
    """Any moment that the contract's int64 can express is a question that can be answered."""
    first, last = -(2**63), 2**63 - 1
    for start, end, count in [(first, last, 5), (last, last, 0), (first, first, 0), (-1, -1, 0), (0, 0, 0)]:
        assert len(ask(api, {"traceId": HEX, "startTime": start, "endTime": end})) == count
