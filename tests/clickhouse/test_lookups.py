"""Questions in two steps give what the one query gives, and what the views show (LDV-L3, LDV-L4)."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ldv_otel import attributes as names
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.columns import BYTES_COLUMNS
from ldv_otel._internal.clickhouse.queries import lookups, sql
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.lookups import Lookup, lookup_rows
from ldv_otel._internal.clickhouse.queries.models import PageLimits
from ldv_otel._internal.clickhouse.queries.projections import id_prefixes
from ldv_otel._internal.clickhouse.register_table import apply_register
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.register.register import ProcessingActivity, Register
from ldv_otel._internal.times.instants import QUERY_TIME_MAX_MS, now_ms, rfc3339_from_ms
from tests.support.chance import FUZZ, dice

DAY_MS = 86_400_000
BASE = "https://register.example/"
TERMS = ("", "P1D", "P10D", "P1M", "P13M", "P100Y")
SUBJECTS = [bytes([number]) * 16 for number in range(1, 8)]
TRACES = [bytes([number]) * 16 for number in range(31, 38)]


class WatchedClient(LogboekClient):
    """A connection that keeps the queries that went over it."""

    def __init__(self, settings: Settings) -> None:
        self.queries: list[Sql] = []
        super().__init__(settings)

    def rows(self, query: Sql, parameters: Mapping[str, Any] | None = None, **options: Any) -> list[tuple[Any, ...]]:
        """As ever."""
        self.queries.append(query)
        return super().rows(query, parameters, **options)


def register_of(chance: random.Random, *, versions: bool) -> Register:
    """Some activities with terms, some of them confidential, and some that have versions."""
    entries = []
    for number in range(chance.randrange(1, 7)):
        entry = {"id": f"{BASE}{number}", "name": "x", "purpose": "p", "legal_ground": "g"}
        moments = ["", *(rfc3339_from_ms(now_ms() - chance.randrange(40) * DAY_MS) for _ in range(versions))]
        entries += [
            ProcessingActivity(
                **entry,
                valid_from=moment,
                retention=chance.choice(TERMS),
                confidential=chance.random() < 0.2,
            )
            for moment in moments[: chance.randrange(1, 3)]
        ]
    return Register(entries)


def record(chance: random.Random) -> Logregel:
    """A record of some age, of an activity that may be in the Register, about somebody."""
    age_ms = chance.choice(
        [chance.randrange(2 * DAY_MS), chance.randrange(12 * DAY_MS), chance.randrange(450 * DAY_MS)]
    )
    start = now_ms() - age_ms
    attributes = {}
    if chance.random() < 0.2:
        attributes[names.KEPT_UNTIL] = str(now_ms() + chance.choice([-1, 1]) * chance.randrange(DAY_MS, 9 * DAY_MS))
    if chance.random() < 0.1:
        attributes[names.CONFIDENTIAL] = "true"
    return Logregel(
        trace_id=chance.choice(TRACES),
        span_id=chance.randbytes(8),
        name="x",
        start_time_ms=start,
        end_time_ms=start + chance.choice([0, 5, chance.randrange(9 * DAY_MS)]),
        processing_activity_id=chance.choice(["", *(f"{BASE}{number}" for number in range(9))]),
        data_subject_id=chance.choice(SUBJECTS),
        data_subject_id_type="BSN",
        key_id="k1",
        foreign_operation_trace_id=chance.choice([b"", *TRACES]),
        foreign_operation_processor="https://caller.example",
        attributes=attributes,
    )


def questions(chance: random.Random, subject: bytes, trace: bytes) -> list[tuple[Lookup, dict[str, Any]]]:
    """Every question in two steps, about a person and about a trace."""
    page: dict[str, Any] = {"since": 0, "until": QUERY_TIME_MAX_MS, "limit": chance.choice([3, 1_000])}
    cursor = {"after_span": "00" * 8, "after_writer": "", "after_seq": 0, "after_time": now_ms() - 5 * DAY_MS}
    person = {"subjects": [subject.hex()], "prefixes": id_prefixes([subject]), "first": 0, "activities": []}
    ids = {"trace_id": trace.hex(), "span_id": "", "prefixes": id_prefixes([trace])}
    return [
        *((lookup, person | page | cursor) for lookup in (sql.BY_SUBJECT, sql.LATEST_BY_SUBJECT)),
        *((lookup, person | page) for lookup in (sql.FIRST_BY_SUBJECT, sql.FIRST_LATEST_BY_SUBJECT)),
        *((lookup, person) for lookup in (sql.ACTIVITIES_OF_SUBJECT, sql.OTHERS_OF_SUBJECT)),
        *((lookup, ids) for lookup in (sql.BY_TRACE, sql.BY_FOREIGN)),
        (sql.BY_ATTRIBUTE, {"prefix": trace.hex(), "name": names.CONFIDENTIAL, "value": ""} | ids),
    ]


@pytest.mark.parametrize("settings", ["chdb"], indirect=True)
@pytest.mark.parametrize("table", range(3 * (FUZZ or 1)))
def test_two_steps_give_the_rows_of_one_query_and_of_the_view(
    settings: Settings, sink: ClickHouseSink, table: int
) -> None:
    """Random Registers and records: own terms, versions, what is confidential, who may see that and who may not."""
    chance = dice(f"lookups {table}")
    with WatchedClient(settings) as client:
        # Some tables have no Register at all, and some of the others no activity with versions.
        if table % 3:
            apply_register(client, register_of(chance, versions=table % 3 == 2))
        sink.send(number_batch(new_writer_id(), 0, [record(chance) for _ in range(chance.randrange(8, 20))]))
        asked = [question for ids in zip(SUBJECTS, TRACES, strict=True) for question in questions(chance, *ids)]
        for lookup, parameters in asked:
            for confidential in (True, False):
                whole = client.rows(
                    lookup.whole, parameters | {"confidential": confidential}, bytes_columns=BYTES_COLUMNS
                )
                rows = lookup_rows(client, lookup, parameters, confidential=confidential, bytes_columns=BYTES_COLUMNS)
                assert rows == whole
        for trace in TRACES:
            view = client.rows(
                Sql("SELECT lower(span_id) FROM logregels_trace(trace_id = {trace:String})"), {"trace": trace.hex()}
            )
            shown = read.by_trace(client, trace.hex())
            assert sorted(row[0] for row in view) == sorted(each.logregel.span_id.hex() for each in shown)


def old_and_new(sink: ClickHouseSink, *activities: str) -> None:
    """A record of today and one of 20 days ago of each activity, about one person."""
    for days_ago in (0, 20):
        start = now_ms() - days_ago * DAY_MS
        records = [
            Logregel(
                trace_id=TRACES[0],
                span_id=bytes([days_ago, number]) * 4,
                name="x",
                start_time_ms=start,
                end_time_ms=start,
                processing_activity_id=activity,
                data_subject_id=SUBJECTS[0],
                data_subject_id_type="BSN",
                key_id="k1",
            )
            for number, activity in enumerate(activities)
        ]
        sink.send(number_batch(new_writer_id(), 0, records))


def entry(activity: str, retention: str, **more: Any) -> ProcessingActivity:
    """An entry of a Register."""
    return ProcessingActivity(id=activity, name="x", purpose="p", legal_ground="g", retention=retention, **more)


def test_a_record_alone_goes_at_the_end_of_its_term(settings: Settings, sink: ClickHouseSink) -> None:
    """The hour of a single record is so near the end of the term that only an exact comparison tells them apart."""
    with LogboekClient(settings) as client:
        apply_register(client, Register([entry(SHORT, "P10D")]))
        for trace, hours_ago in zip(TRACES, (10 * 24 - 2, 10 * 24 + 2), strict=False):
            start = now_ms() - hours_ago * 3_600_000
            alone = Logregel(
                trace_id=trace,
                span_id=b"s" * 8,
                name="x",
                start_time_ms=start,
                end_time_ms=start + 1,
                processing_activity_id=SHORT,
            )
            sink.send(number_batch(new_writer_id(), 0, [alone]))
        assert [len(read.by_trace(client, trace.hex())) for trace in TRACES[:2]] == [1, 0]


PLAIN, SHORT, SECRET, CHANGED = (f"{BASE}{name}" for name in ("plain", "short", "secret", "changed"))


@pytest.mark.parametrize(
    ("entries", "confidential", "second"),
    [
        ([entry(PLAIN, "P10Y")], True, "no_term_ended"),
        ([entry(PLAIN, "P10Y"), entry(SHORT, "P10D")], True, "by_cut_offs"),
        ([entry(SECRET, "P10Y", confidential=True)], True, "no_term_ended"),
        ([entry(SECRET, "P10Y", confidential=True)], False, "by_cut_offs"),
        ([entry(CHANGED, "P10D"), entry(CHANGED, "P10Y", valid_from="2020-01-01T00:00:00Z")], True, "by_terms"),
        ([entry(f"{BASE}{'x' * 900}{number}", "P1D") for number in range(8)], True, "by_terms"),
    ],
)
def test_the_second_step_asks_for_no_more_terms_than_matter(
    settings: Settings, sink: ClickHouseSink, entries: list[ProcessingActivity], confidential: bool, second: str
) -> None:
    """What a question costs depends on it; a Register of many short terms does not make its parameters long."""
    with WatchedClient(settings) as client:
        apply_register(client, Register(entries))
        old_and_new(sink, PLAIN, SHORT, SECRET, CHANGED)
        client.queries.clear()
        read.by_trace(client, TRACES[0].hex(), confidential=confidential)
        assert getattr(sql.BY_TRACE, second) in client.queries
        assert sql.BY_TRACE.whole not in client.queries


def test_a_change_of_the_register_counts_at_once(settings: Settings, sink: ClickHouseSink) -> None:
    """What the terms came to is remembered, and not a moment longer than they are in force (LDV-L4)."""
    with LogboekClient(settings) as client:
        old_and_new(sink, PLAIN)

        def shown(*, confidential: bool = True) -> int:
            return len(read.by_subject(client, SUBJECTS[:1], confidential=confidential).records)

        assert (shown(), shown(confidential=False)) == (2, 2)
        apply_register(client, Register([entry(PLAIN, "P10D")]))
        assert (shown(), shown(confidential=False)) == (1, 1)
        apply_register(client, Register([entry(PLAIN, "P10D", confidential=True)]), amend=True)
        assert (shown(), shown(confidential=False)) == (1, 0)


@pytest.mark.parametrize("confidential", [True, False])
def test_many_hours_are_asked_for_in_one_query(
    settings: Settings, sink: ClickHouseSink, monkeypatch: pytest.MonkeyPatch, confidential: bool
) -> None:
    """A company with records in every hour does not make a request line that no server takes."""
    with WatchedClient(settings) as client:
        old_and_new(sink, PLAIN)
        monkeypatch.setattr(lookups, "MOST_HOURS", 1)
        page = read.latest_by_subject(client, SUBJECTS[:1], PageLimits(limit=1), confidential=confidential)
        assert (len(page.records), page.following is not None) == (1, True)
        assert sql.FIRST_LATEST_BY_SUBJECT.whole in client.queries


@pytest.mark.parametrize(
    "ask",
    [
        lambda client, confidential: read.by_trace(client, "ff" * 16, confidential=confidential),
        lambda client, confidential: read.by_subject(client, [b"\xff" * 16], confidential=confidential).records,
    ],
)
def test_who_may_not_see_all_is_asked_the_second_query_too(
    settings: Settings, sink: ClickHouseSink, ask: Callable[..., list[Any]]
) -> None:
    """An id that occurs nowhere takes no fewer queries than one whose records the reader may not see."""
    del sink
    with WatchedClient(settings) as client:
        counts = []
        for confidential in (True, False):
            client.queries.clear()
            assert ask(client, confidential) == []
            counts.append(sum("SELECT trace_id" in query.text for query in client.queries))
        assert counts[1] == counts[0] + 1
