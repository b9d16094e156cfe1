"""Parties that offer one form of lezen or both, and one that cuts its answers off without a sign (LDV-N7, N7a)."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from ldv_otel._internal.chain.model import Chain, PartyState
from ldv_otel._internal.parties.parties import ReadApi
from ldv_otel._internal.times.instants import ms_from_rfc3339, rfc3339_from_ms
from tests.chain.test_follow import activity, calling, chain_of, party, says

NEW = "/data-processing-operations"
OLD = "/processing-activities"
START = 1_767_225_600_000


def operation(number: int, *, duration_ms: int = 900, every_ms: int = 1_000) -> dict[str, Any]:
    """One of many records, one after the other."""
    start = START + number * every_ms
    return activity(
        spanId=f"{number + 1:016x}",
        startTime=rfc3339_from_ms(start),
        endTime=rfc3339_from_ms(start + duration_ms),
        attributes={"dpl": {"core": {"processingActivityId": "https://register.example/a"}}},
    )


def offering(path: str, answer: dict[str, Any], elsewhere: int) -> Callable[[BaseHTTPRequestHandler], None]:
    """An API with one of the two paths."""

    def handle(request: BaseHTTPRequestHandler) -> None:
        if request.path.endswith(path):
            says(answer)(request)
        else:
            says({}, elsewhere)(request)

    return handle


def chain(url: str) -> Chain:
    """The chain of one Actie that calls a party."""
    return chain_of(calling(url), apis=[ReadApi(url=url)])


@pytest.mark.parametrize("elsewhere", [404, 405, 401, 403])
@pytest.mark.parametrize(
    ("path", "answer"),
    [(NEW, {"dataProcessingOperations": [operation(0)]}), (OLD, {"processingActivities": [activity()]})],
    ids=["new", "old"],
)
def test_a_party_with_one_form_is_read(path: str, answer: dict[str, Any], elsewhere: int) -> None:
    """The newest path is asked first; a gateway may refuse a path that it does not know."""
    with party(offering(path, answer, elsewhere)) as (url, asked):
        found = chain(url)
    assert [one.state for one in found.parties] == [PartyState.THIS_LOGBOEK, PartyState.REACHED]
    assert len(found.logregels) == 2
    posts = [line.rpartition("/")[2] for line in asked if line.startswith("POST")]
    assert posts == ([NEW[1:]] if path == NEW else [NEW[1:], OLD[1:]])


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (404, PartyState.UNREADABLE),
        (405, PartyState.UNREADABLE),
        (401, PartyState.REFUSED),
        (403, PartyState.REFUSED),
    ],
)
def test_a_party_with_neither_form_is_said_to_be_so(status: int, state: PartyState) -> None:
    """Never an empty answer."""
    with party(says({}, status)) as (url, _):
        found = chain(url)
    assert found.parties[1].state == state
    assert not found.complete


class CuttingParty:
    """Answers as the running peer does: the first 100 in the order of their text, times compared as text."""

    def __init__(self, operations: list[dict[str, Any]], *, limit: int = 100, ignores_times: bool = False) -> None:
        self.operations = sorted(operations, key=lambda each: str(each["startTime"]))
        self.limit = limit
        self.ignores_times = ignores_times
        self.questions: list[dict[str, Any]] = []

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one question."""
        if not request.path.endswith(NEW):
            says({}, 404)(request)
            return
        question = json.loads(request.body)  # type: ignore[attr-defined]
        self.questions.append(question)
        first, last = question.get("startTime", ""), question.get("endTime", "9")
        found = [
            each
            for each in self.operations
            if self.ignores_times or (first <= each["startTime"] and each["endTime"] <= last)
        ]
        says({"metadata": {}, "dataProcessingOperations": found[: self.limit]})(request)


@pytest.mark.parametrize("count", [99, 100, 101, 250, 700])
def test_a_cut_answer_is_asked_again_in_narrower_windows(count: int) -> None:
    """Until each has fewer than the limit; then the chain is complete."""
    answer = CuttingParty([operation(number) for number in range(count)])
    with party(answer) as (url, _):
        found = chain(url)
    assert len(found.logregels) == count + 1
    assert found.complete
    assert all(set(question) <= {"traceId", "startTime", "endTime"} for question in answer.questions)
    for question in answer.questions:
        for name in question.keys() - {"traceId"}:
            ms_from_rfc3339(question[name])


@pytest.mark.parametrize(
    "answer",
    [
        CuttingParty([operation(number) for number in range(250)], ignores_times=True),
        CuttingParty([operation(number, every_ms=0) for number in range(250)]),
        CuttingParty([operation(number, duration_ms=10_000_000) for number in range(250)]),
    ],
    ids=["ignores times", "all at once", "all overlap"],
)
def test_where_no_window_is_narrower_the_chain_says_maybe_not_all(answer: CuttingParty) -> None:
    """With an end, and never as complete."""
    with party(answer) as (url, _):
        found = chain(url)
    assert not found.complete
    assert not found.parties[1].complete
    assert found.parties[1].state == PartyState.REACHED
    assert len(answer.questions) <= 40


def test_a_party_that_says_that_there_is_no_more_is_believed() -> None:
    """Ours says so with `Link`."""
    many = {"dataProcessingOperations": [operation(number, every_ms=0) for number in range(150)]}
    with party(says(many, Link='<>; rel="last"')) as (url, asked):
        found = chain(url)
    assert found.complete
    assert len(found.logregels) == 151
    assert len([line for line in asked if line.startswith("POST")]) == 1


def test_what_is_not_of_the_trace_is_left_out() -> None:
    """A party that ignores what it does not know answers more than was asked."""
    other = operation(1) | {"traceId": "09" * 16}
    with party(says({"dataProcessingOperations": [operation(0), other]})) as (url, _):
        found = chain(url)
    assert len(found.logregels) == 2
    assert not found.complete
