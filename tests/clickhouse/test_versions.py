"""A record that is put right later is a row more, and readers see the last."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ldv_otel import attributes as names
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.models import PageLimits, RecordQuery
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.record.logregel import Logregel

TRACE, ELSEWHERE = b"\x0a\x0b\x0c\x0d" + b"\x01" * 12, b"\x0e" * 16
RECORD = "0a0b0c0d-0000-4000-8000-000000000001"
SUBJECT = b"\x07" * 16
HOUR_MS = 3_600_000
START = 1_767_225_600_000
ACTIVITY = "https://register.example/parkeren"


def version(number: int, marks: dict[str, str] | None = None, *, trace: bytes = TRACE) -> Logregel:
    """A version of one record; `marks` are further attributes."""
    return Logregel(
        trace_id=trace,
        span_id=number.to_bytes(8, "big"),
        name=f"versie {number}",
        start_time_ms=START + number * HOUR_MS,
        end_time_ms=START + number * HOUR_MS,
        processing_activity_id=ACTIVITY,
        data_subject_id=SUBJECT,
        attributes={names.VERSION_OF: RECORD, names.VERSION: str(number), **(marks or {})},
    )


PLAIN = msgspec.structs.replace(version(90), name="los", attributes={})


@pytest.fixture
def stored(sink: ClickHouseSink) -> Any:
    """Store records."""

    def store(*records: Logregel) -> None:
        sink.send(number_batch(new_writer_id(), 0, records))

    return store


def seen(client: LogboekClient, *, confidential: bool = True) -> list[list[str]]:
    """What each kind of question shows."""
    pages = [
        read.by_subject(client, [SUBJECT], confidential=confidential),
        read.latest_by_subject(client, [SUBJECT], confidential=confidential),
        read.by_activity(client, ACTIVITY, confidential=confidential),
        read.in_period(client, confidential=confidential),
        read.search(client, RecordQuery(trace_id=TRACE), confidential=confidential),
    ]
    found = [[record.logregel.name for record in page.records] for page in pages]
    found.append([record.logregel.name for record in read.by_trace(client, TRACE.hex(), confidential=confidential)])
    used = read.activities_of_subject(client, [SUBJECT], confidential=confidential)
    assert sum(activity.logregels for activity in used) == len(found[0])
    assert not used or used[0].last_ms == START + 90 * HOUR_MS
    return [sorted(names_) for names_ in found]


def test_every_reader_sees_the_last_version(client: LogboekClient, stored: Any) -> None:
    """In whatever order the versions came in, and in whichever hours they are."""
    stored(PLAIN, version(3), version(1))
    stored(version(2))
    assert seen(client) == [["los", "versie 3"]] * 6
    assert [found.logregel.name for found in read.by_record(client, RECORD)] == ["versie 3"]
    stored(version(4, {names.WITHDRAWN: "true"}))
    assert seen(client) == [["los"]] * 6
    assert read.by_record(client, RECORD) == []


def test_a_page_of_what_was_superseded_leads_on(client: LogboekClient, stored: Any) -> None:
    """A page may be short; nothing is left out, nothing comes twice."""
    stored(PLAIN, *(version(number) for number in range(1, 20)))
    page = read.by_subject(client, [SUBJECT], PageLimits(limit=5))
    found = list(page.records)
    while page.following:
        page = read.by_subject(client, [SUBJECT], PageLimits(after=page.following, limit=5))
        found += page.records
    assert [record.logregel.name for record in found] == ["versie 19", "los"]


def test_a_version_that_became_confidential_hides_the_record(client: LogboekClient, stored: Any) -> None:
    """For who may not see it; also the version of before."""
    stored(PLAIN, version(1))
    assert seen(client, confidential=False) == [["los", "versie 1"]] * 6
    stored(version(2, {names.CONFIDENTIAL: "true"}))
    assert seen(client, confidential=False) == [["los"]] * 6
    assert seen(client) == [["los", "versie 2"]] * 6


def test_a_record_that_went_to_another_trace_is_found(client: LogboekClient, stored: Any) -> None:
    """By its id, however often it goes."""
    left = {names.WITHDRAWN: "true", names.MOVED_TO: ELSEWHERE.hex()}
    stored(version(1), version(2, left), version(2, trace=ELSEWHERE))
    assert [found.logregel.trace_id for found in read.by_record(client, RECORD)] == [ELSEWHERE]
    assert read.by_trace(client, TRACE.hex()) == []
    stored(version(3), version(3, left | {names.MOVED_TO: TRACE.hex()}, trace=ELSEWHERE))
    assert [found.logregel.trace_id for found in read.by_record(client, RECORD)] == [TRACE]


def test_a_term_of_its_own_hides_a_record_and_no_older_version_comes_back(client: LogboekClient, stored: Any) -> None:
    """The last version says when the record's time is over."""
    stored(version(1), version(2, {names.KEPT_UNTIL: str(START)}))
    assert read.by_record(client, RECORD) == []
    assert read.by_subject(client, [SUBJECT]).records == []
    stored(version(3, {names.KEPT_UNTIL: "9000000000000"}))
    assert [found.logregel.name for found in read.by_record(client, RECORD)] == ["versie 3"]
