"""What HTTP asks of every API: HEAD where GET is, 415 for another content; and a malformed BSN is said."""

from __future__ import annotations

import gzip
import json
import logging
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.api.conftest import BSN, TRACES

BASE = "/lezenapi/v1"
QUESTION = {"traceId": str(TRACES[0].hex())}
POSTS = [f"{BASE}/processing-activities", f"{BASE}/data-processing-operations", BASE]
BATCH = f"{BASE}/data-processing-operations/_batch"


@pytest.mark.parametrize(
    "path", ["/openapi.json", "/context", "/terms", f"/foreign-operations?traceId={TRACES[0].hex()}", "/nothing"]
)
def test_head_is_answered_as_get_is(api: TestClient, path: str, caplog: pytest.LogCaptureFixture) -> None:
    """With the same status and headers, and no body; the access log says what was asked."""
    caplog.set_level(logging.INFO, logger="ldv_otel")
    whole, head = api.get(f"{BASE}{path}"), api.head(f"{BASE}{path}")
    assert head.status_code == whole.status_code
    assert head.content == b""
    for answer in (whole, head):
        answer.headers.pop("date", None)
    assert head.headers == whole.headers or whole.status_code == 404
    assert " HEAD " in caplog.records[-1].getMessage()


def test_head_where_only_post_is(api: TestClient) -> None:
    """405, and what may be done instead; where GET is, HEAD is named beside it."""
    assert api.head(POSTS[0]).status_code == 405
    assert api.head(POSTS[0]).headers["allow"] == "POST"
    assert api.put(f"{BASE}/context").headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json"}, 200),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Content-Type": "Application/JSON", "Content-Encoding": "identity"}, 200),
        ({}, 415),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "text/json"}, 415),
        ({"Content-Type": "application/jsonp"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415),
    ],
    ids=str,
)
def test_what_is_not_json_is_415(api: TestClient, headers: dict[str, str], status: int) -> None:
    """Whatever the body holds: what is packed too, which is not unpacked here."""
    for path, content in [*((path, QUESTION) for path in POSTS), (BATCH, {"requests": [QUESTION]})]:
        body = json.dumps(content).encode()
        packed = gzip.compress(body) if headers.get("Content-Encoding") == "gzip" else body
        assert api.post(path, content=packed, headers=headers).status_code == status, path


SUBJECT, TYPE = "dpl.core.data_subject_id", "dpl.core.data_subject_id_type"


@pytest.mark.parametrize("subject", ["1234567821", "12345678X", "abc", "0", "1e8", "  "])
@pytest.mark.parametrize("type_", ["BSN", "bsn", " BSN "])
def test_a_malformed_bsn_is_said(api: TestClient, subject: str, type_: str) -> None:
    """An empty list would say that nothing is known about a person who does not exist."""
    question = {SUBJECT: subject, TYPE: type_}
    for path, content in [*((path, question) for path in POSTS), (BATCH, {"requests": [QUESTION, question]})]:
        answer = api.post(path, json=content)
        assert answer.status_code == 400, path
        assert "BSN: dat heeft 9 cijfers." in answer.text
        (error,) = answer.json()["errors"]
        assert error.get("location", "") == ("/requests/1" if path == BATCH else "")
        # Not in the whole answer, which names itself by a random number.
        assert subject not in answer.json()["detail"] + error["detail"]


@pytest.mark.parametrize(
    "question",
    [
        {SUBJECT: BSN, TYPE: "BSN"},
        {SUBJECT: f" {BSN[:4]}.{BSN[4:]} ", TYPE: "BSN"},
        {SUBJECT: "12345678", TYPE: "BSN"},
        {SUBJECT: "111111111", TYPE: "BSN"},
        {SUBJECT: "a" * 32, TYPE: "BSN"},
        {SUBJECT: "abc"},
        {SUBJECT: "abc", TYPE: "klantnummer"},
    ],
    ids=str,
)
def test_what_may_be_somebody_is_answered(api: TestClient, question: dict[str, Any]) -> None:
    """In any spelling, with lost zeros, with digits that somebody logged, as a pseudonym, or of another type."""
    assert api.post(POSTS[0], json=question).status_code == 200
