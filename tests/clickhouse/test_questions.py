"""Every named question against a model that looks at every row: the fast paths may not change an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.columns import StoredLogregel
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries import sql
from ldv_otel._internal.clickhouse.queries.models import Cursor, Page, PageLimits, RecordQuery
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.delivery.batch import Batch, new_writer_id, number_batch
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.errors import QueryError
from tests.support.chance import examples

HOUR = 3_600_000
DAY = 24 * HOUR
NEW_YEAR_2026 = 1_767_225_600_000

#: Few of each, so that they meet: equal times, two ids that share their first bytes, several hours, days and years.
TRACES = [b"\x01" * 16, b"\x01" * 15 + b"\x02", b"\xff" * 16]
SUBJECTS = [b"\x05" * 16, b"\x05" * 4 + b"\x06" * 12, b"\xfe" * 16, b""]
SPANS = [bytes([number]) * 8 for number in range(1, 6)]
ACTIVITIES = ["https://register.example/a", "https://register.example/b", ""]
TIMES = [
    NEW_YEAR_2026 + offset
    for offset in (-400 * DAY, -1, 0, 1, 59_999, HOUR - 1, HOUR, 3 * HOUR, DAY, 40 * DAY, 370 * DAY)
]


@st.composite
def records(draw: st.DrawFn) -> Logregel:
    """A record whose ids and times come from the small pools."""
    start_time_ms = draw(st.sampled_from(TIMES))
    foreign = draw(st.booleans())
    return Logregel(
        trace_id=draw(st.sampled_from(TRACES)),
        span_id=draw(st.sampled_from(SPANS)),
        name="x",
        start_time_ms=start_time_ms,
        end_time_ms=start_time_ms + draw(st.integers(0, 10)),
        processing_activity_id=draw(st.sampled_from(ACTIVITIES)),
        data_subject_id=draw(st.sampled_from(SUBJECTS)),
        foreign_operation_trace_id=draw(st.sampled_from(TRACES)) if foreign else b"",
        foreign_operation_span_id=draw(st.sampled_from(SPANS)) if foreign else b"",
        outbound_span_ids=tuple(draw(st.lists(st.sampled_from(SPANS), max_size=2))),
    )


class Filled:
    """A store with some rows, some batches stored twice, and what a reader has to see of it."""

    def __init__(self, client: LogboekClient, sink: ClickHouseSink, batches: Iterable[list[Logregel]]) -> None:
        self.client = client
        self.rows: list[StoredLogregel] = []
        for number, logregels in enumerate(batches):
            batch = number_batch(new_writer_id(), number, logregels)
            sink.send(batch)
            if number % 2:
                store_again(sink, batch)
            self.rows += [
                StoredLogregel(logregel, batch.writer_id, seq)
                for seq, logregel in zip(batch.seqs, batch.logregels, strict=True)
            ]
        self.rows.sort(key=key)

    def where(self, test: Callable[[Logregel], object]) -> list[StoredLogregel]:
        """The model: look at every row."""
        return [row for row in self.rows if test(row.logregel)]


def key(row: StoredLogregel) -> tuple[Any, ...]:
    """The order of the table."""
    return row.logregel.start_time_ms, row.logregel.span_id, row.writer_id, row.seq


def store_again(sink: ClickHouseSink, batch: Batch) -> None:
    """As when the deduplication window has long forgotten the batch: same rows, another token."""
    again = Batch(writer_id=batch.writer_id, seqs=batch.seqs, logregels=batch.logregels, repair=7)
    sink.send(again)


def everything(ask: Callable[[Cursor | None], Page]) -> list[StoredLogregel]:
    """All pages, by cursor; the cursor goes through its text, as a client's would."""
    found: list[StoredLogregel] = []
    after: Cursor | None = None
    for _ in range(100):
        page = ask(after)
        found += page.records
        if page.following is None:
            return found
        after = Cursor.parse(str(page.following))
    raise AssertionError("the pages do not end")


@hypothesis_settings(
    max_examples=examples(15),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    batches=st.lists(st.lists(records(), min_size=1, max_size=8), min_size=1, max_size=4),
    merged=st.booleans(),
    picked=st.sets(st.integers(0, 9), min_size=1, max_size=2),
)
def test_every_question_answers_as_the_model_does(
    client: LogboekClient,
    sink: ClickHouseSink,
    batches: list[list[Logregel]],
    merged: bool,  # hypothesis passes by name
    picked: set[int],
) -> None:
    """Duplicates, equal times, late rows, other years, ids that share a prefix; parts merged or not."""
    client.command(Sql("ALTER TABLE logregel DROP PARTITION ALL"))
    store = Filled(client, sink, batches)
    if merged and client.address.embedded:  # over HTTP that is not served
        client.command(Sql("OPTIMIZE TABLE logregel FINAL"))
    day = PageLimits(since_ms=NEW_YEAR_2026, until_ms=NEW_YEAR_2026 + DAY, limit=3)
    year = PageLimits(since_ms=NEW_YEAR_2026, limit=4)

    def inside(row: Logregel) -> bool:
        return NEW_YEAR_2026 <= row.start_time_ms < NEW_YEAR_2026 + DAY

    for trace in TRACES:
        assert read.by_trace(client, trace.hex()) == store.where(lambda row, t=trace: row.trace_id == t)  # type: ignore[misc]
        assert read.by_foreign(client, trace.hex()) == store.where(
            lambda row, t=trace: row.foreign_operation_trace_id == t  # type: ignore[misc]
        )
        for span in SPANS[:2]:
            assert read.by_outbound(client, trace.hex(), span.hex()) == store.where(
                lambda row, t=trace, s=span: row.trace_id == t and (row.span_id == s or s in row.outbound_span_ids)  # type: ignore[misc]
            )
            assert read.by_foreign(client, trace.hex(), span.hex()) == store.where(
                lambda row, t=trace, s=span: (row.foreign_operation_trace_id, row.foreign_operation_span_id) == (t, s)  # type: ignore[misc]
            )
    for keys in ([SUBJECTS[0]], [SUBJECTS[1], SUBJECTS[2]], SUBJECTS[:3]):
        wanted = store.where(lambda row, k=keys: row.data_subject_id in k)  # type: ignore[misc]
        assert everything(lambda after, k=keys: read.by_subject(client, k, PageLimits(after=after, limit=2))) == wanted  # type: ignore[misc]
        within = everything(
            lambda after, k=keys: read.by_subject(client, k, msgspec.structs.replace(day, after=after))  # type: ignore[misc]
        )
        assert within == [row for row in wanted if inside(row.logregel)]
    for activity in ACTIVITIES:
        wanted = store.where(lambda row, a=activity: row.processing_activity_id == a)  # type: ignore[misc]
        shown = everything(lambda after, a=activity: read.by_activity(client, a, PageLimits(after=after, limit=3)))  # type: ignore[misc]
        assert shown == wanted
    for question in [question for number, question in enumerate(questions(store)) if number in picked]:
        assert everything(lambda after, q=question: read.search(client, q, after=after, limit=7)) == store.where(  # type: ignore[misc]
            lambda row, q=question: meets(row, q)  # type: ignore[misc]
        )
    assert everything(lambda after: read.in_period(client, msgspec.structs.replace(year, after=after))) == store.where(
        lambda row: row.start_time_ms >= NEW_YEAR_2026
    )
    stored = read.stored_in_traces(client, TRACES[:2])
    assert stored.keys() == {
        (row.logregel.trace_id, row.logregel.span_id) for row in store.rows if row.logregel.trace_id in TRACES[:2]
    }
    assert all((record.trace_id, record.span_id) == ids for ids, records in stored.items() for record in records)
    check_views(client, store)


def questions(store: Filled) -> Iterable[RecordQuery]:
    """Each condition alone, and what a record that is there says of itself, less and less of it."""
    whole = store.rows[len(store.rows) // 2].logregel
    yield RecordQuery()
    yield RecordQuery(visible=tuple(ACTIVITIES[:1]))
    yield RecordQuery(ended_by_ms=whole.end_time_ms)
    yield RecordQuery(foreign_trace_id=TRACES[0], foreign_span_id=SPANS[0])
    given = {
        "trace_id": whole.trace_id,
        "subjects": tuple({whole.data_subject_id, SUBJECTS[0]}) if whole.data_subject_id else tuple(SUBJECTS[:1]),
        "activity": whole.processing_activity_id,
        "visible": (ACTIVITIES[0][:-1],),
        "since_ms": whole.start_time_ms,
        "ended_by_ms": whole.end_time_ms,
    }
    while given:
        yield RecordQuery(**given)  # type: ignore[arg-type]
        del given[next(iter(given))]


def meets(row: Logregel, question: RecordQuery) -> bool:
    """The model of `search`."""
    return (
        question.trace_id in (b"", row.trace_id)
        and question.foreign_trace_id in (b"", row.foreign_operation_trace_id)
        and question.foreign_span_id in (b"", row.foreign_operation_span_id)
        and (not question.subjects or row.data_subject_id in question.subjects)
        and question.activity in ("", row.processing_activity_id)
        and (not question.visible or row.processing_activity_id.startswith(question.visible))
        and (question.since_ms is None or row.start_time_ms >= question.since_ms)
        and (question.ended_by_ms is None or row.end_time_ms <= question.ended_by_ms)
    )


def test_an_id_of_zeros_finds_nothing(client: LogboekClient, sink: ClickHouseSink) -> None:
    """Records that have no such id have zeros there."""
    Filled(client, sink, [[Logregel(trace_id=TRACES[0], span_id=SPANS[0], name="x", start_time_ms=1, end_time_ms=2)]])
    for question in (RecordQuery(foreign_trace_id=bytes(16)), RecordQuery(foreign_span_id=bytes(8))):
        assert read.search(client, question).records == []
    with pytest.raises(QueryError):
        read.by_foreign(client, "0" * 32)


def check_views(client: LogboekClient, store: Filled) -> None:
    """The views for plain SQL see the same rows, once."""
    places = "SELECT writer_id, seq FROM {} ORDER BY writer_id, seq"

    def seen(view: str) -> list[tuple[Any, ...]]:
        return client.rows(Sql.verbatim(places.format(view)))

    def model(test: Callable[[Logregel], object]) -> list[tuple[str, int]]:
        return sorted((row.writer_id, row.seq) for row in store.where(test))

    trace, subject, activity = TRACES[0], SUBJECTS[0], ACTIVITIES[0]
    assert seen("logregels") == model(lambda _: True)
    assert client.rows(Sql("SELECT count() FROM logregels")) == [(len(store.rows),)]
    assert seen(f"logregels_trace(trace_id = '{trace.hex()}')") == model(lambda row: row.trace_id == trace)
    assert seen(f"logregels_van(subject = '{subject.hex()}')") == model(lambda row: row.data_subject_id == subject)
    assert seen(f"logregels_aangeroepen(trace_id = '{trace.hex()}', span_id = '')") == model(
        lambda row: row.foreign_operation_trace_id == trace
    )
    span = SPANS[0]
    assert seen(f"logregels_aangeroepen(trace_id = '{trace.hex()}', span_id = '{span.hex().upper()}')") == model(
        lambda row: (row.foreign_operation_trace_id, row.foreign_operation_span_id) == (trace, span)
    )
    assert seen(f"logregels_aanroeper(trace_id = '{trace.hex()}', span_id = '{span.hex()}')") == model(
        lambda row: row.trace_id == trace and (row.span_id == span or span in row.outbound_span_ids)
    )
    assert seen(f"logregels_activiteit(activiteit = '{activity}', vanaf = '2026-01-01', tot = '2026-01-02')") == model(
        lambda row: row.processing_activity_id == activity and 0 <= row.start_time_ms - NEW_YEAR_2026 < DAY
    )


@pytest.mark.parametrize(
    "text", ["", "x", "1-zz-1-77", "1-0101010101010101-77", "-1-0101010101010101-1-77", "'; DROP TABLE logregel; --"]
)
def test_a_cursor_of_somebodys_own_making_is_refused(text: str) -> None:
    """It comes back from outside."""
    with pytest.raises(QueryError, match="cursor"):
        Cursor.parse(text)


@given(st.integers(0, 10**13), st.binary(min_size=8, max_size=8), st.text(max_size=25), st.integers(0, 2**60))
def test_a_cursor_survives_its_text(start_time_ms: int, span_id: bytes, writer_id: str, seq: int) -> None:
    """It is handed out as text and taken back."""
    cursor = Cursor(start_time_ms, span_id, writer_id, seq)
    assert Cursor.parse(str(cursor)) == cursor


@pytest.mark.parametrize(
    ("prefix", "activity", "shown"),
    [
        ("https://r.example/open", "https://r.example/open", True),
        ("https://r.example/open", "https://r.example/open/1", True),
        ("https://r.example/open", "https://r.example/open?x=1", True),
        ("https://r.example/open", "https://r.example/open#x", True),
        ("https://r.example/", "https://r.example/open", True),
        ("urn:gemeente:open", "urn:gemeente:open:1", True),
        ("https://r.example/open", "https://r.example/open-ander", False),
        ("https://r.example/open", "https://r.example/opener/1", False),
        ("https://r.example/open", "https://r.example/ope", False),
        ("https://r.example", "https://r.example.elsewhere/open", False),
        ("urn:gemeente:open", "urn:gemeente:open2", False),
    ],
)
def test_what_a_client_may_see_ends_at_a_boundary(
    client: LogboekClient, prefix: str, activity: str, shown: bool
) -> None:
    """The beginning of an address is no part of another one."""
    question = Sql(
        "SELECT $visible FROM (SELECT {activity:String} AS processing_activity_id)", visible=sql.CONDITIONS["visible"]
    )
    assert client.rows(question, {"activity": activity, "visible": [prefix]}) == [(int(shown),)]
