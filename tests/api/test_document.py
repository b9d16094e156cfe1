"""What the served document forbids is refused, and what it allows is not: at every location of every request."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from ldv_otel._internal.api.read_api.openapi import openapi_document
from ldv_otel._internal.api.read_api.request import MALFORMED_IDENTIFIER
from tests.api.conftest import BSN, PARKING, PARTY
from tests.support.chance import examples
from tests.support.document import ABSENT, Document, SentRequest, at, at_the_edges, changed, is_sendable, near

DOCUMENT = Document(openapi_document("https://log.example"))
TRACE = "01010101-0101-0101-0101-010101010101"
PAGE = {"cursor": f"1767225600000-{'ab' * 8}-17-6162", "limit": "10"}
QUESTION: dict[str, Any] = {
    "traceId": TRACE,
    "dpl.core.processing_activity_id": PARKING,
    "dpl.core.data_subject_id": BSN,
    "dpl.core.data_subject_id_type": "BSN",
    "dpl.core.foreign_operation.processor": "https://elders.example/app",
    "dpl.read.externalReadAPI_id": PARTY,
    "startTime": 1_767_225_600_000,
    "endTime": 1_767_225_700_000,
}
OPERATION: dict[str, Any] = {
    "traceId": TRACE,
    "startTime": "2026-01-01T00:00:00.000Z",
    "endTime": 1_767_225_700_000,
    "attributes": {
        "dpl": {
            "core": {
                "processingActivityId": PARKING,
                "dataSubjectId": BSN,
                "dataSubjectIdType": "BSN",
                "foreignOperation": {"processor": "https://elders.example/app"},
            },
            "read": {"nextLogbookId": PARTY},
        }
    },
}
BATCH = {
    "context": {"startTime": "2026-01-01T01:00:00+01:00", "endTime": 1_767_225_700_000},
    "requests": [{name: value for name, value in OPERATION.items() if "Time" not in name}, {"traceId": TRACE}],
}
REQUESTS = {
    "operations": SentRequest(
        "POST", "/data-processing-operations", {"path": {}, "header": {}, "query": PAGE}, OPERATION
    ),
    "batch": SentRequest(
        "POST", "/data-processing-operations/_batch", {"path": {}, "header": {}, "query": {"limit": "10"}}, BATCH
    ),
    "processing activities": SentRequest(
        "POST", "/processing-activities", {"path": {}, "header": {}, "query": PAGE}, QUESTION
    ),
    "foreign operations": SentRequest(
        "GET",
        "/foreign-operations",
        {"path": {}, "header": {}, "query": {"traceId": TRACE, "spanId": "ab" * 8, **PAGE}},
    ),
    "chain": SentRequest("GET", "/chains/{traceId}", {"path": {"traceId": TRACE}, "header": {}, "query": {}}),
}


def agree(api: TestClient, request: SentRequest) -> bool:
    """Send a request, and say whether what comes of it is what the document says of it."""
    answer = api.request(
        request.method,
        f"/lezenapi/v1{request.address}",
        params=request.parameters["query"],
        headers={"X-Client": "auditor", "Content-Type": "application/json"},
        content=None if request.body is ABSENT else json.dumps(request.body),
    )
    assert answer.status_code in {200, 400}
    if answer.status_code == 400 and {error.get("code") for error in answer.json()["errors"]} == {MALFORMED_IDENTIFIER}:
        # How many digits an identifier has depends on its type, which stands in another member: the document says it
        # in words.
        return DOCUMENT.allows(request)
    return (answer.status_code == 200) is DOCUMENT.allows(request)


@pytest.mark.parametrize("name", REQUESTS)
def test_the_server_refuses_what_the_document_forbids_and_nothing_else(api: TestClient, name: str) -> None:
    """At each location: every limit, on both sides of it; every other type; nothing; and what is not known there."""
    request = REQUESTS[name]
    assert DOCUMENT.allows(request)
    assert [
        f"{location}: {value!r}"
        for location in DOCUMENT.locations(request)
        for value in at_the_edges(location, at(request, location))
        if is_sendable(location, value) and not agree(api, changed(request, location, value))
    ] == []


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.hypothesis
def test_document_and_server_agree_on_any_value(api: TestClient, name: str) -> None:
    """Values that look like those which are allowed are so for both, or for neither."""
    request = REQUESTS[name]
    locations = [each for each in DOCUMENT.locations(request) if each.schema.get("type") != "object"]

    @given(st.data())
    @settings(max_examples=examples(50))
    def check_one(data: st.DataObject) -> None:
        location = data.draw(st.sampled_from(locations))
        value = data.draw(near(at(request, location)).filter(lambda text: is_sendable(location, text)))
        assert agree(api, changed(request, location, value))

    check_one()


@pytest.mark.parametrize("number", ["1.0", "1767225600000.0", "1e3", "1.5", "1e300", "-1E2"])
def test_integers_are_written_as_json_allows(api: TestClient, number: str) -> None:
    """`1.0` is an integer in JSON Schema, and so in the document."""
    text = json.dumps(QUESTION).replace("1767225600000", number)
    headers = {"X-Client": "auditor", "Content-Type": "application/json"}
    answer = api.post("/lezenapi/v1/processing-activities", content=text, headers=headers)
    allowed = DOCUMENT.allows(
        SentRequest("POST", "/processing-activities", REQUESTS["processing activities"].parameters, json.loads(text))
    )
    assert (answer.status_code == 200) is allowed
