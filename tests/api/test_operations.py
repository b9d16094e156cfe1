"""The lezen API in its form of 2026, beside that of 2025: other words, the same records (LDV-N1 to N5, N10, N11)."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from ldv_otel import attributes as names
from ldv_otel._internal.api.read_api.operations import MAX_REQUESTS
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.traces import across_traces
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.times.instants import ms_from_rfc3339, rfc3339_from_ms
from tests.api.conftest import BSN, DEBTS, FSC_ID, PARKING, PARTY, START, TRACES, Opened
from tests.support.chance import examples

BASE = "/lezenapi/v1"
OLD = f"{BASE}/processing-activities"
NEW = f"{BASE}/data-processing-operations"
RECORDED = Path(__file__).parents[1] / "data" / "lezen-2026"
HEX = TRACES[0].hex()

#: Each field of a question: its value, and the ways to spell it. A path of names; the last has the value.
SPELLINGS: dict[str, tuple[Any, list[tuple[str, ...]]]] = {
    "activity": (
        PARKING,
        [
            ("attributes", "dpl", "core", "processingActivityId"),
            ("attributes", "dpl", "core", "processing_activity_id"),
            ("attributes", "dpl.core.processing_activity_id"),
            ("dpl", "core", "processingActivityId"),
            ("dpl.core.processing_activity_id",),
        ],
    ),
    "subject": (
        BSN,
        [
            ("attributes", "dpl", "core", "dataSubjectId"),
            ("dpl", "core", "dataSubjectId"),
            ("dpl.core.data_subject_id",),
        ],
    ),
    "type": (
        "BSN",
        [
            ("attributes", "dpl", "core", "dataSubjectIdType"),
            ("dpl", "core", "data_subject_id_type"),
            ("dpl.core.data_subject_id_type",),
        ],
    ),
    "read API": (
        PARTY,
        [
            ("attributes", "dpl", "read", "nextLogbookId"),
            ("dpl", "read", "nextLogbook"),
            ("dpl.read.nextLogbookId",),
            ("dpl.read.externalReadAPI_id",),
        ],
    ),
    "start": (START, [("startTime",), ("start_time",)]),
}


def put(question: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set a value in nested objects."""
    for name in path[:-1]:
        question = question.setdefault(name, {})
    question[path[-1]] = value


def ask(api: TestClient, question: Any, path: str = NEW, **query: Any) -> Any:
    """Ask, and return the answer."""
    answer = api.post(path, json=question, params=query, headers={"X-Client": "auditor"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_record_has_the_words_of_the_newest_form(api: TestClient) -> None:
    """Nested, camelCase, RFC 3339; what the standard does not name stands in an extension of ours (LDV-N3, N11)."""
    record = ask(api, {"traceId": HEX})["dataProcessingOperations"][3]
    pseudonym = record["attributes"]["dpl"]["core"].pop("dataSubjectId")
    assert record == {
        "traceId": "01010101-0101-0101-0101-010101010101",
        "spanId": "0000000000000004",
        "parentSpanId": "0000000000000003",
        "status": "Unset",
        "name": "Stap 3",
        "startTime": rfc3339_from_ms(START + 180_000),
        "endTime": rfc3339_from_ms(START + 181_500),
        "resource": {"attributes": {"service.name": "parkeren"}},
        "attributes": {
            "dpl": {
                "core": {"processingActivityId": PARKING, "dataSubjectIdType": "BSN"},
                "read": {"nextLogbookId": PARTY},
                "ldvotel": {"outboundSpanIds": ["ee" * 8]},
            },
            "dpl.objects.dataset": "kentekens",
        },
    }
    assert len(pseudonym) == 32


def test_ids_of_a_caller_are_shown_where_the_trace_restarted(api: TestClient) -> None:
    """There they say what nothing else says; they have left the core (LDV-N10)."""
    records = ask(api, {"traceId": TRACES[1].hex()})["dataProcessingOperations"]
    (called,) = (record["attributes"]["dpl"] for record in records if "foreignOperation" in json.dumps(record))
    assert called["core"]["foreignOperation"] == {"processor": "https://elders.example/app"}
    assert called["ldvotel"]["foreignOperation"] == {"traceId": "fa" * 16, "spanId": "fb" * 8}


@pytest.mark.parametrize("spelling", [FSC_ID, FSC_ID.upper(), FSC_ID.replace("-", "")])
@pytest.mark.parametrize("path", [OLD, NEW])
def test_a_record_is_found_by_the_transaction_of_fsc(api: TestClient, spelling: str, path: str) -> None:
    """Logboek and transaction log can be joined (LDV-N16), at both addresses."""
    answer = ask(api, {"attributes": {"dpl": {"fsc": {"transactionId": spelling}}}}, path)
    (record,) = answer["dataProcessingOperations" if path == NEW else "processingActivities"]
    assert record["name"] == "Stap 7"
    if path == NEW:
        assert record["attributes"]["dpl"]["fsc"] == {"transactionId": FSC_ID}
        assert names.FSC_TRANSACTION_ID not in record["attributes"]


def test_a_transaction_that_is_not_here(api: TestClient) -> None:
    """Made at another time, so that nothing here is of it; or in a form that says no time."""
    for other in (str(uuid.UUID(f"{START - 10**9:012x}7{FSC_ID.replace('-', '')[13:]}")), FSC_ID.replace("-7", "-4")):
        assert ask(api, {"attributes": {"dpl": {"fsc": {"transactionId": other}}}})["dataProcessingOperations"] == []
    answer = api.post(
        NEW, json={"attributes": {"dpl": {"fsc": {"transactionId": "123456782"}}}}, headers={"X-Client": "auditor"}
    )
    assert answer.status_code == 400
    assert "123456782" not in answer.text


def test_the_trace_of_a_transaction(served_settings: Settings) -> None:
    """`ldv trace` takes its id as it takes that of a trace."""
    with LogboekClient(served_settings) as client:
        found = across_traces(client, FSC_ID)
        assert {record.logregel.trace_id for record in found} == {TRACES[1]}
        assert len(found) == len(across_traces(client, TRACES[1].hex()))
        assert across_traces(client, FSC_ID.replace("-7", "-4")) == []


@given(data=st.data())
@settings(max_examples=examples(60))
@pytest.mark.hypothesis
def test_every_spelling_and_every_mixture_finds_the_same(api: TestClient, data: st.DataObject) -> None:
    """At both addresses; the answer is that of the address."""
    fields = data.draw(st.sets(st.sampled_from([*SPELLINGS]), min_size=1)) | {"activity"}
    reference: dict[str, Any] = {}
    question: dict[str, Any] = {}
    for field in sorted(fields):
        value, paths = SPELLINGS[field]
        put(reference, paths[-1] if field != "start" else paths[0], value)
        for path in data.draw(st.lists(st.sampled_from(paths), min_size=1, max_size=2)):
            put(question, path, value)
    address = data.draw(st.sampled_from([OLD, NEW, BASE]))
    members = {OLD: "processingActivities", NEW: "dataProcessingOperations", BASE: "dataProcessingOperations"}
    found = ask(api, question, address, limit=100)[members[address]]
    expected = ask(api, reference, OLD, limit=100)["processingActivities"]
    assert [record["spanId"] for record in found] == [record["spanId"] for record in expected]


@pytest.mark.parametrize("path", [OLD, NEW, BASE])
@pytest.mark.parametrize(
    "other", [("attributes", "dpl", "core", "processing_activity_id"), ("dpl", "core", "processingActivityId")]
)
def test_two_values_for_one_thing_are_refused(api: TestClient, path: str, other: tuple[str, ...]) -> None:
    """Which of them is meant cannot be known."""
    question: dict[str, Any] = {"dpl.core.processing_activity_id": PARKING}
    put(question, other, DEBTS)
    answer = api.post(path, json=question)
    assert answer.status_code == 400
    assert {error["code"] for error in answer.json()["errors"]} == {"ambiguous"}


@pytest.mark.parametrize(
    ("question", "wrong"),
    [
        ({}, [""]),
        ({"startTime": "2026-01-01T00:00:00Z"}, [""]),
        ({"attributes": {"dpl": {"core": {"dataSubjectIdType": "BSN"}}}}, [""]),
        ({"attributes": {"traceId": HEX}}, ["/attributes/traceId"]),
        ({"attributes": "x", "traceId": HEX}, ["/attributes"]),
        ({"attributes": {"dpl": {"core": []}}, "traceId": HEX}, ["/attributes/dpl/core"]),
        ({"attributes": {"dpl": {"kern": {}}}, "traceId": HEX}, ["/attributes/dpl/kern"]),
        (
            {"traceId": "x", "endTime": "gisteren", "dpl": {"core": {"bsn": BSN}}},
            ["/traceId", "/endTime", "/dpl/core/bsn"],
        ),
        ({"traceId": HEX, BSN: 1}, [None]),
    ],
    ids=str,
)
def test_everything_that_is_wrong_is_named_by_its_place(
    api: TestClient, question: Any, wrong: list[str | None]
) -> None:
    """Every mistake at once, and never a value or a name that may be an identifier."""
    answer = api.post(NEW, json=question)
    assert answer.status_code == 400
    assert BSN not in answer.text
    places = {error.get("location", "").removeprefix("#") or None for error in answer.json()["errors"]}
    assert places == {place or None for place in wrong}


@given(st.integers(0, 999_999), st.sampled_from(["Z", "+02:00", "-11:30"]))
@settings(max_examples=examples(40))
@pytest.mark.hypothesis
def test_a_time_between_two_milliseconds_takes_in_nothing_outside(api: TestClient, us: int, zone: str) -> None:
    """The start is rounded up and the end down: records have whole milliseconds."""
    shift = {"Z": 0, "+02:00": 2, "-11:30": -11.5}[zone]
    local = rfc3339_from_ms(START + int(shift * 3_600_000)).partition(".")[0].removesuffix("Z")
    found = ask(api, {"traceId": HEX, "startTime": f"{local}.{us:06d}{zone}"})["dataProcessingOperations"]
    # The first record begins at START to the millisecond.
    assert len(found) == (5 if us == 0 else 4)


def test_the_old_address_says_what_comes_after_it(api: TestClient) -> None:
    """RFC 9745, and the next page first for clients that know nothing else."""
    answer = api.post(OLD, json={"traceId": HEX}, params={"limit": 2})
    assert answer.headers["deprecation"] == "@1795910400"
    links = [link.strip() for link in answer.headers["link"].split(",")]
    assert [link.rpartition("rel=")[2] for link in links] == ['"next"', '"successor-version"']
    assert api.get(answer.request.url.join(links[1].partition(">")[0][1:])).status_code == 405
    assert "deprecation" not in api.post(NEW, json={"traceId": HEX}).headers


def test_pages_go_on_at_the_new_address(api: TestClient) -> None:
    """As at the old one."""
    found: list[str] = []
    query = {"limit": "2"}
    while True:
        answer = api.post(NEW, json={"traceId": HEX}, params=query)
        found += [record["spanId"] for record in answer.json()["dataProcessingOperations"]]
        if "next" not in answer.links:
            break
        query = dict(part.split("=") for part in answer.links["next"]["url"][1:].split("&"))
    assert found == [f"{number:016x}" for number in range(1, 6)]


def test_metadata_is_always_there(served_settings: Settings, opened: Opened) -> None:
    """It is required; what it needs has a default from the address (LDV-N3)."""
    with opened(served_settings) as api:
        assert ask(api, {"traceId": HEX})["metadata"]["organizationName"] == "Gemeente Voorbeeld"
    settings_ = msgspec.structs.replace(served_settings, logboek_id="")
    with opened(settings_) as api:
        assert ask(api, {"traceId": HEX})["metadata"]["logbookId"] == "http://testserver/lezenapi/v1"


def test_a_batch_answers_in_the_order_of_its_questions(api: TestClient) -> None:
    """Each as it would be alone, with what the context says for all."""
    context = {"startTime": rfc3339_from_ms(START + 60_000), "endTime": START + 600_000_000}
    questions = [{"traceId": trace.hex()} for trace in TRACES] + [
        {"attributes": {"dpl": {"core": {"processingActivityId": DEBTS}}}}
    ]
    results = ask(api, {"context": context, "requests": questions}, f"{NEW}/_batch")["results"]
    # As the text of the extension has it, beside its OpenAPI file.
    filters = {"context": context, "requests": [{"filter": question} for question in questions]}
    assert ask(api, filters, f"{NEW}/_batch")["results"] == results
    alone = [ask(api, question | context)["dataProcessingOperations"] for question in questions]
    assert [result["items"] for result in results] == alone
    assert sum(map(len, alone)) == 24 + 5


def test_a_batch_says_where_an_answer_goes_on(api: TestClient) -> None:
    """A question with more records than fit."""
    (result,) = ask(api, {"requests": [{"traceId": HEX}]}, f"{NEW}/_batch", limit=2)["results"]
    rest = api.post(f"{NEW}{result['next']}", json={"traceId": HEX}).json()["dataProcessingOperations"]
    assert [record["spanId"] for record in [*result["items"], *rest]] == [f"{number:016x}" for number in range(1, 5)]


@pytest.mark.parametrize(
    ("batch", "place"),
    [
        ({}, "/requests"),
        ({"requests": []}, "/requests"),
        ({"requests": [{"traceId": HEX}] * (MAX_REQUESTS + 1)}, "/requests"),
        ({"requests": [{"traceId": HEX}, {}]}, "/requests/1"),
        ({"requests": [{"traceId": HEX}, {"traceId": "x"}]}, "/requests/1/traceId"),
        ({"requests": [{"traceId": HEX}, "x"]}, "/requests/1"),
        ({"requests": [{"filter": "x"}]}, "/requests/0/filter"),
        ({"requests": [{"filter": {}}]}, "/requests/0/filter"),
        ({"requests": [{"filter": {"filter": {"traceId": HEX}}}]}, "/requests/0/filter/filter"),
        ({"requests": [{"filter": {"traceId": HEX}, "traceId": HEX}]}, "/requests/0/filter"),
        (
            {"context": {"startTime": 1}, "requests": [{"filter": {"traceId": HEX, "startTime": 1}}]},
            "/requests/0/filter",
        ),
        ({"context": [], "requests": [{"traceId": HEX}]}, "/context"),
        ({"context": {"traceId": HEX}, "requests": [{"dpl.core.processing_activity_id": PARKING}]}, "/context"),
        ({"context": {"startTime": 1}, "requests": [{"traceId": HEX, "startTime": 1}]}, "/requests/0"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_one_wrong_question_makes_the_whole_batch_wrong(api: TestClient, batch: Any, place: str) -> None:
    """400, and the place is named (LDV-N5)."""
    answer = api.post(f"{NEW}/_batch", json=batch)
    assert answer.status_code == 400
    assert [error["location"].removeprefix("#") for error in answer.json()["errors"]] == [place]


def test_each_question_of_a_batch_is_authorised(api: TestClient) -> None:
    """A client that may not ask with an identifier may not in a batch either."""
    questions = [{"traceId": HEX}, {"attributes": {"dpl": {"core": {"dataSubjectId": BSN}}}}]
    answer = api.post(f"{NEW}/_batch", json={"requests": questions}, headers={"X-Client": "partner"})
    assert answer.status_code == 403
    assert BSN not in answer.text


@pytest.mark.parametrize("name", ["07-read-trace", "08-read-subject-window", "10-read-nothing-found"])
def test_what_another_implementation_is_asked_is_answered_here(api: TestClient, name: str) -> None:
    """Recorded requests; the answer has the members that theirs has (`tests/data/lezen-2026`)."""
    pair = json.loads((RECORDED / f"{name}.json").read_text())
    answer = api.post(NEW, json=pair["request"]["body"])
    assert answer.status_code == pair["response"]["status"]
    assert answer.json().keys() == pair["response"]["body"].keys()
    assert answer.json()["metadata"].keys() == pair["response"]["body"]["metadata"].keys()


def test_what_another_implementation_refuses_is_refused_here(api: TestClient) -> None:
    """A question without a selector."""
    pair = json.loads((RECORDED / "09-read-no-selector.json").read_text())
    answer = api.post(NEW, json=pair["request"]["body"])
    assert answer.status_code == 400
    assert answer.headers["content-type"] == pair["response"]["headers"]["Content-Type"]


def test_times_in_answers_are_moments(api: TestClient) -> None:
    """To the millisecond, with a zone."""
    for record in ask(api, {"traceId": HEX})["dataProcessingOperations"]:
        assert ms_from_rfc3339(record["endTime"]) - ms_from_rfc3339(record["startTime"]) == 1_500


def test_a_missing_key_is_said_where_somebody_is_asked_about(
    served_settings: Settings, opened: Opened, tmp_path: Path
) -> None:
    """Also by the form of 2025 and in a batch; a question about a trace does not need the key."""
    assert served_settings.keys is not None
    ring = json.loads(served_settings.keys.read_text(encoding="utf-8"))
    keys = tmp_path / "keys.json"
    keys.touch(0o600)
    keys.write_text(json.dumps({"active": "new", "keys": [key for key in ring["keys"] if key["id"] == "new"]}))
    about_somebody = {"dpl.core.data_subject_id": BSN, "dpl.core.data_subject_id_type": "BSN"}
    with opened(msgspec.structs.replace(served_settings, keys=keys)) as api:
        assert ask(api, about_somebody)["metadata"]["missingKeys"] is True
        assert "missingKeys" not in ask(api, {"traceId": HEX})["metadata"]
        answer = api.post(f"{NEW}/_batch", json={"requests": [{"traceId": HEX}, about_somebody]})
        assert answer.json()["metadata"]["missingKeys"] is True
        assert api.post(OLD, json=about_somebody).json()["metadata"]["missingKeys"] is True
    with opened(served_settings) as api:
        assert "missingKeys" not in ask(api, about_somebody)["metadata"]
