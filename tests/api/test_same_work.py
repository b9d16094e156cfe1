"""The work that an answer takes does not tell whether there is a trace or a person that the client may not see.

Counted are queries and what they read, because a difference in time would be one of these.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from ldv_otel._internal.api.auth.clients import Client, Scope
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.attributes import CONFIDENTIAL, VERSION, VERSION_OF, WITHDRAWN
from tests.api.conftest import FOREIGN, START, TRACES, Opened
from tests.support.chance import new_id, new_uuid

ABSENT = "ab" * 16
RESTRICTED = Client(
    id="restricted",
    scopes=frozenset({Scope.READ, Scope.CHAIN, Scope.IDENTIFY}),
    activities=("https://register.example/activiteiten/anders",),
    requests_per_minute=1_000_000,
)


@pytest.fixture(scope="module")
def client(served_settings: Settings, opened: Opened) -> Iterator[TestClient]:
    """A client that may see none of what is there."""
    with opened(served_settings, restricted=RESTRICTED) as opened_client:
        yield opened_client


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Every query that is run from here on, with the granules of rows that its plan reads."""
    done: list[tuple[str, int]] = []
    rows = LogboekClient.rows

    def counted(self: LogboekClient, query: Sql, parameters: dict[str, Any] | None = None, **more: Any) -> Any:
        plan = rows(self, Sql("EXPLAIN indexes = 1 $query", query=query), parameters)
        read = [line for (line,) in plan if line.strip().startswith("Granules:")]
        done.append((query.text, sum(int(line.split(":")[1].split("/")[0]) for line in read)))
        return rows(self, query, parameters, **more)

    monkeypatch.setattr(LogboekClient, "rows", counted)
    return done


def versions(trace_id: bytes) -> list[Logregel]:
    """A record that a later version withdrew, and one that a later version made confidential."""
    found = []
    for number, last in enumerate(({WITHDRAWN: "true"}, {CONFIDENTIAL: "true"})):
        record_id = new_uuid()
        for version, more in enumerate(({}, last), 1):
            found.append(
                Logregel(
                    trace_id=trace_id,
                    span_id=bytes([9, number, version]) + bytes(5),
                    name="Stap 98",
                    start_time_ms=START,
                    end_time_ms=START,
                    processing_activity_id=RESTRICTED.activities[0],
                    attributes={VERSION_OF: record_id, VERSION: str(version), **more},
                )
            )
    return found


@pytest.fixture(scope="module")
def invisible(served_settings: Settings) -> list[str]:
    """Traces that are there and that this client may not see: other activities, or only what later versions hid."""
    hidden = new_id(16)
    sink = ClickHouseSink(served_settings)
    sink.open()
    sink.send(number_batch(new_writer_id(), 0, versions(hidden)))
    sink.close()
    return [TRACES[0].hex(), TRACES[3].hex(), hidden.hex()]


def question(trace_id: str) -> dict[str, Any]:
    """A query for a trace, in the form of 2025 and that of 2026."""
    return {"traceId": trace_id}


@pytest.mark.parametrize(
    ("address", "body"),
    [
        ("POST /data-processing-operations", question),
        ("POST /processing-activities", question),
        ("POST /data-processing-operations/_batch", lambda trace_id: {"requests": [question(trace_id)] * 2}),
        ("GET /chains/{}", None),
        ("GET /foreign-operations?traceId={}", None),
    ],
)
def test_a_trace_that_may_not_be_seen_is_as_much_work_as_none(
    client: TestClient, work: list[tuple[str, int]], invisible: list[str], address: str, body: Any
) -> None:
    """The same queries, which read as many granules, and the same answer but for the trace itself."""
    method, path = address.split()
    seen = []
    for trace_id in [ABSENT, *invisible, FOREIGN.hex(), "cd" * 16]:
        work.clear()
        answer = client.request(
            method, f"/lezenapi/v1{path.format(trace_id)}", json=body(trace_id) if body is not None else None
        )
        assert answer.status_code == 200, answer.text
        # Sorted, because a chain asks two things at once; by length, because it repeats the id.
        seen.append((sorted(work), len(answer.content), "Stap" in answer.text))
    assert seen[0][0]
    assert sum(granules for _, granules in seen[0][0]) > 0
    assert all(each == seen[0] for each in seen), seen


def test_a_person_who_may_not_be_seen_is_as_much_work_as_nobody(
    client: TestClient, work: list[tuple[str, int]]
) -> None:
    """Also by a number of one's own choice, and whatever else is asked with it."""
    # Which keys are missing is looked up once a minute, whoever is asked about.
    client.post(
        "/lezenapi/v1/data-processing-operations", json={"attributes": {"dpl": {"core": {"dataSubjectId": "1"}}}}
    )
    questions: list[dict[str, Any]] = [{}, {"foreignOperation": {"processor": "https://elders.example/app"}}]
    for more in questions:
        seen = []
        for number in ("123456782", "999990019"):
            work.clear()
            core: dict[str, Any] = {"dataSubjectId": number, "dataSubjectIdType": "BSN"}
            answer = client.post(
                "/lezenapi/v1/data-processing-operations", json={"attributes": {"dpl": {"core": core | more}}}
            )
            assert answer.status_code == 200, answer.text
            seen.append((list(work), answer.content))
        assert seen[0] == seen[1]


def test_what_is_confidential_is_as_much_work_as_nothing(
    served_settings: Settings, opened: Opened, work: list[tuple[str, int]]
) -> None:
    """A client without that right, of all activities otherwise."""
    reader = Client(id="reader", scopes=frozenset({Scope.READ}), requests_per_minute=1_000_000)
    trace_id = new_id(16)
    record = Logregel(
        trace_id=trace_id,
        span_id=b"\x0a" * 8,
        name="Stap 97",
        start_time_ms=START,
        end_time_ms=START,
        attributes={CONFIDENTIAL: "true"},
    )
    sink = ClickHouseSink(served_settings)
    sink.open()
    sink.send(number_batch(new_writer_id(), 0, [record]))
    sink.close()
    seen = []
    with opened(served_settings, reader=reader) as api:
        for each in (trace_id.hex(), ABSENT):
            work.clear()
            answer = api.post("/lezenapi/v1/data-processing-operations", json={"traceId": each})
            seen.append((list(work), answer.content))
    assert seen[0] == seen[1]
