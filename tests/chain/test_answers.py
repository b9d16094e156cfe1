"""Answers of other read APIs, in either form, in a mixture, and in none (LDV-N7)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ldv_otel.attributes as names
from ldv_otel._internal.chain.answers import read_answer
from ldv_otel._internal.record.callers import processor_of
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.record.read_form import data_processing_operation, processing_activity
from tests.support.chance import examples

RECORDED = Path(__file__).parents[1] / "data" / "lezen-2026"

URLS = st.sampled_from(["https://rdw.example/lezenapi/v1", "https://ldv.cjib.example"])
IDS = st.binary(min_size=8, max_size=8).filter(any)


@st.composite
def logregels(draw: st.DrawFn) -> Logregel:
    """A record as a party may have it."""
    restarted = draw(st.booleans())
    start = draw(st.integers(0, 4_102_444_800_000))
    traces = draw(st.lists(st.binary(min_size=16, max_size=16).filter(any), min_size=2, max_size=2, unique=True))
    return Logregel(
        trace_id=traces[0],
        span_id=draw(IDS),
        parent_span_id=draw(st.just(b"") | IDS),
        status=draw(st.sampled_from(Status)),
        name=draw(st.sampled_from(["Zoekt kenteken", "Toont gegevens"])),
        start_time_ms=start,
        end_time_ms=start + draw(st.integers(0, 60_000)),
        processing_activity_id="https://register.example/parkeren",
        parent_processing_activity_id=draw(st.sampled_from(["", "https://register.example/innen"])),
        foreign_operation_trace_id=traces[1] if restarted else b"",
        foreign_operation_span_id=draw(IDS) if restarted else b"",
        foreign_operation_processor=draw(st.just("") | URLS),
        external_read_api_id=draw(st.just("") | URLS),
        outbound_span_ids=tuple(draw(st.lists(IDS, max_size=2, unique=True))),
        resource='{"service.name":"parkeren"}',
    )


@given(logregels())
@settings(max_examples=examples(100))
@pytest.mark.hypothesis
def test_both_forms_of_ours_are_read_as_the_same_record(logregel: Logregel) -> None:
    """What one of our servers writes another reads, to the field."""
    answer = {
        "dataProcessingOperations": [data_processing_operation(logregel)],
        "processingActivities": [processing_activity(logregel)],
    }
    read = read_answer(json.dumps(answer).encode())
    assert read.all_read
    # A caller that our record does not name is unknown to whoever reads it (LDV-N10).
    expected = msgspec.structs.replace(logregel, foreign_operation_processor=processor_of(logregel))
    assert read.logregels == [expected, expected]


def record(**attributes: Any) -> dict[str, Any]:
    """A record with these attributes."""
    return {
        "traceId": "01" * 16,
        "spanId": "02" * 8,
        "status": "Ok",
        "name": "a",
        "startTime": "2026-09-02T10:00:00Z",
        "endTime": 1_788_343_201_500,
        "attributes": attributes,
    }


PARTY = "https://rdw.example/v1"


@pytest.mark.parametrize(
    "attributes",
    [
        {"dpl": {"read": {"nextLogbookId": PARTY}}},
        {"dpl": {"read": {"next_logbook_id": PARTY}}},
        {"dpl": {"read": {"nextLogbook": PARTY}}},
        {"dpl": {"read.externalReadAPI_id": PARTY}},
        {"dpl.read": {"nextLogbookId": PARTY}},
        *({name: PARTY} for name in names.NEXT_LOGBOOK_NAMES),
        {"dpl": {"read": {"nextLogbookId": PARTY}}, "dpl.read.externalReadAPI_id": PARTY},
    ],
    ids=str,
)
def test_the_next_party_is_found_under_each_of_its_names(attributes: dict[str, Any]) -> None:
    """An incomplete chain would otherwise look complete (LDV-N4)."""
    (read,) = read_answer(json.dumps({"dataProcessingOperations": [record(**attributes)]}).encode()).logregels
    assert read.external_read_api_id == PARTY


def test_a_record_that_names_two_next_parties_is_said_to_be_unread() -> None:
    """Following one of them would leave the other out."""
    two = record(**{"dpl": {"read": {"nextLogbookId": PARTY}}, "dpl.read.nextLogbook": "https://elders.example"})
    answer = read_answer(json.dumps({"dataProcessingOperations": [two, record()]}).encode())
    assert not answer.all_read
    assert len(answer.logregels) == 1


@pytest.mark.parametrize("spelling", ["trace_id span_id parent_span_id start_time end_time", "snake list"])
def test_flat_snake_case_is_read(spelling: str) -> None:
    """Earlier drafts write ids, times and the list itself so."""
    flat = {
        "trace_id": "01" * 16,
        "span_id": "02" * 8,
        "parent_span_id": "03" * 8,
        "status": "OK",
        "name": "a",
        "start_time": 1_788_343_200_000,
        "end_time": "2026-09-02T10:00:01.500Z",
        "resource": {"attributes": {"service.name": "a"}},
        "attributes": {"dpl.core.processing_activity_id": "https://register.example/a"},
    }
    name = "processing_activities" if spelling == "snake list" else "processingActivities"
    (read,) = read_answer(json.dumps({name: [flat]}).encode()).logregels
    assert (read.parent_span_id, read.status, read.end_time_ms) == (b"\x03" * 8, Status.OK, 1_788_343_201_500)
    assert read.processing_activity_id == "https://register.example/a"


@pytest.mark.parametrize("name", ["07-read-trace", "08-read-subject-window", "10-read-nothing-found"])
def test_recorded_answers_of_another_implementation_are_read_whole(name: str) -> None:
    """Every record, with its parent and the next party (`tests/data/lezen-2026`)."""
    body = json.loads((RECORDED / f"{name}.json").read_text())["response"]["body"]
    read = read_answer(json.dumps(body).encode())
    assert read.all_read
    assert read.count == len(body["dataProcessingOperations"])
    if read.count:
        called = read.logregels[1]
        assert called.parent_span_id == read.logregels[0].span_id
        assert called.external_read_api_id == "http://127.0.0.1:47417/data-processing-operations"
        assert called.start_time_ms == 1_788_343_200_000
        assert called.end_time_ms == 1_788_343_201_500


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b'"x"',
        b"<html>",
        b"\xff\xfe",
        b'{"dataProcessingOperations": {}}',
        b'{"dataProcessingOperations": [], "processingActivities": null}',
        b'{"metadata": {"logbookId": "x", "organizationName": "y"}}',
        b'{"dataProcessingOperations": ' + b"[" * 100_000,
    ],
    ids=range(11),
)
def test_what_is_no_answer_of_a_read_api_is_not_read_as_one(content: bytes) -> None:
    """An empty list is an answer; nothing else says that there are no records."""
    with pytest.raises(ValueError, match="no "):
        read_answer(content)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda of: (
            st.lists(of, max_size=3)
            | st.dictionaries(
                st.sampled_from(["dpl", "core", "read", "x", "traceId", "attributes", "status"]), of, max_size=4
            )
        ),
        max_leaves=12,
    )
)
@settings(max_examples=examples(150))
@pytest.mark.hypothesis
def test_no_record_breaks_the_reading_of_others(odd: Any) -> None:
    """It is unread, and said to be."""
    answer = read_answer(json.dumps({"dataProcessingOperations": [odd, record(dpl=odd)]}).encode())
    assert answer.count == 2
    assert len(answer.logregels) in {0, 1}
