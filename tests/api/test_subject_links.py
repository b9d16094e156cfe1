"""Linked numbers in the lezen API: whoever asks about one number of a person is answered about all."""

from __future__ import annotations

import uuid

import pytest
from starlette.testclient import TestClient

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.subject_links import SubjectLink, end_link, store_link
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser
from tests.api.conftest import BSN

BASE = "/lezenapi/v1"
FORMER, TYPE = "1000000042", "A-nummer"
MEMBERS = {
    f"{BASE}/processing-activities": "processingActivities",
    f"{BASE}/data-processing-operations": "dataProcessingOperations",
}


@pytest.mark.parametrize("path", MEMBERS)
def test_a_former_number_finds_what_is_recorded_under_the_present_one(
    api: TestClient, served_settings: Settings, pseudonymiser: Pseudonymiser, path: str
) -> None:
    """By identifier and by pseudonym, in both forms and a batch, under both keys; after the end of the link no more."""
    former, present = pseudonymiser.candidates(FORMER, TYPE), pseudonymiser.candidates(BSN, "BSN")
    link = SubjectLink(
        id=str(uuid.uuid4()),
        holds_from_ms=0,
        former=tuple(former),
        present=tuple(present),
        former_type=TYPE,
        present_type="BSN",
        keys=tuple(pseudonymiser.keys.keys),
        linked_ms=0,
    )

    def found(subject: str, **more: str) -> set[str]:
        core = {"dataSubjectId": subject, **more}
        question = {"attributes": {"dpl": {"core": core}}}
        answer = api.post(path, json=question)
        assert answer.status_code == 200, answer.text
        spans = {record["spanId"] for record in answer.json()[MEMBERS[path]]}
        if "operations" in path:
            batch = api.post(f"{path}/_batch", json={"requests": [question]}).json()
            assert {record["spanId"] for record in batch["results"][0]["items"]} == spans
        return spans

    of_present = found(BSN)
    assert len(of_present) == 12
    assert found(FORMER) == set()
    with LogboekClient(served_settings) as client:
        store_link(client, link)
        try:
            assert found(FORMER, dataSubjectIdType=TYPE) == of_present
            assert found(FORMER) == found(former[0].hex()) == of_present
            assert found(BSN, dataSubjectIdType="BSN") == of_present
        finally:
            end_link(client, link)
    assert found(FORMER, dataSubjectIdType=TYPE) == set()
