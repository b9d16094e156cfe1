"""Terms of the Register in the Logboek: what readers no longer see, and what `apply_retention` takes away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.models import PageLimits
from ldv_otel._internal.clickhouse.register_table import apply_register, compare, register_changes, stored_activities
from ldv_otel._internal.clickhouse.retention import apply as retention
from ldv_otel._internal.clickhouse.retention.apply import apply_retention
from ldv_otel._internal.clickhouse.retention.plan import plan_retention
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import number_batch
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.register.register import ProcessingActivity, Register
from ldv_otel._internal.times.durations import Duration
from ldv_otel.errors import ConfigurationError
from tests.support.chance import examples

NOW = datetime.now(UTC)
SHORT, LONG, SECRET, ENDLESS, STRANGE = (f"https://register.example/{name}'" for name in "abcde")
REGISTER = Register(
    [
        ProcessingActivity(id=SHORT, name="kort", retention="P1Y", purpose="doel"),
        ProcessingActivity(id=LONG, name="lang", retention="P4Y"),
        ProcessingActivity(id=SECRET, name="vertrouwelijk", confidential=True),
        ProcessingActivity(id=ENDLESS, name="zonder termijn"),
    ],
    source="register.yaml",
)
SUBJECT = b"s" * 16


def record(activity: str, age_days: float, number: int = 0) -> Logregel:
    """A record of some age."""
    start = int((NOW - timedelta(days=age_days)).timestamp() * 1_000)
    return Logregel(
        trace_id=b"t" * 16,
        span_id=number.to_bytes(8),
        name="x",
        start_time_ms=start,
        end_time_ms=start + 5,
        processing_activity_id=activity,
        data_subject_id=SUBJECT,
        foreign_operation_trace_id=b"f" * 16,
        foreign_operation_span_id=b"g" * 8,
        outbound_span_ids=(b"o" * 8,),
    )


#: Activity and age in days of each record, by its place in the writer's sequence; those past their term first.
ROWS = [
    (SHORT, 2_000), (LONG, 2_000), (SHORT, 900), (SHORT, 370),
    (SHORT, 360), (LONG, 900), (SECRET, 3_000), (ENDLESS, 9_000), (STRANGE, 9_000), ("", 9_000), (SHORT, 0),
]  # fmt: skip
PAST = 4
YEAR_1971 = 365 * 86_400_000


@pytest.fixture
def filled(sink: ClickHouseSink, client: LogboekClient) -> LogboekClient:
    """A store with rows and terms."""
    sink.send(number_batch("w", 0, [record(activity, age, number) for number, (activity, age) in enumerate(ROWS)]))
    return client


def questions(client: LogboekClient, **more: Any) -> list[list[int]]:
    """The places that each question shows."""
    found = [
        read.in_period(client, PageLimits(since_ms=YEAR_1971), **more).records,
        read.by_subject(client, [SUBJECT], **more).records,
        read.by_trace(client, "74" * 16, **more),
        read.by_foreign(client, "66" * 16, **more),
        read.by_outbound(client, "74" * 16, "6f" * 8, **more),
        [row for activity in {row[0] for row in ROWS} for row in read.by_activity(client, activity, **more).records],
    ]
    return [sorted(row.seq for row in rows) for rows in found]


def views(client: LogboekClient) -> list[list[int]]:
    """The places that each view shows."""
    names = ["logregels", f"logregels_van(subject = '{SUBJECT.hex()}')", f"logregels_trace(trace_id = '{'74' * 16}')"]
    names += [
        f"logregels_aangeroepen(trace_id = '{'66' * 16}', span_id = '')",
        f"logregels_aanroeper(trace_id = '{'74' * 16}', span_id = '{'6f' * 8}')",
    ]
    return [[row[0] for row in client.rows(Sql.verbatim(f"SELECT seq FROM {name} ORDER BY seq"))] for name in names]


def test_no_reader_sees_what_is_past_its_term(filled: LogboekClient) -> None:
    """Not removed yet, hidden all the same; without a known term everything stays."""
    everything = list(range(len(ROWS)))
    assert questions(filled) == [everything] * 6
    assert views(filled) == [everything] * 5
    apply_register(filled, REGISTER)
    within = everything[PAST:]
    assert questions(filled) == [within] * 6
    assert views(filled) == [within] * 5
    public = [seq for seq in within if ROWS[seq][0] != SECRET]
    assert questions(filled, confidential=False) == [public] * 6


def test_what_is_past_its_term_is_removed_and_put_on_record(filled: LogboekClient) -> None:
    """A plan with counts, the deletion, and what was removed under which rule; nothing is missing afterwards."""
    apply_register(filled, REGISTER)
    plan = plan_retention(filled)
    assert plan.logregels == PAST
    assert {kept.activity for kept in plan.without_term} == {SECRET, ENDLESS, STRANGE, ""}
    assert filled.rows(Sql("SELECT count() FROM logregel")) == [(len(ROWS),)]
    removed = apply_retention(filled, plan)
    assert sum(found.logregels for found in removed) == PAST
    assert {found.way for found in removed} == {"mutation", "parts"}
    assert [row[0] for row in filled.rows(Sql("SELECT seq FROM logregel ORDER BY seq"))] == list(range(PAST, len(ROWS)))
    on_record = filled.rows(
        Sql(
            "SELECT processing_activity_id, retention, sum(logregels), uniqExact(removal_id), any(toString(state)), "
            "max(first_start_time < kept_from AND last_start_time < kept_from), countIf(done IS NULL) "
            "FROM verwijderingen GROUP BY ALL ORDER BY retention"
        )
    )
    assert on_record == [(SHORT, "P1Y", 3, 1, "done", 1, 0), (LONG, "P4Y", 1, 1, "done", 1, 0)]
    (writer,) = read.writers(filled)
    assert (writer.stored, writer.removed, writer.missing, writer.doubled) == (len(ROWS) - PAST, PAST, 0, 0)
    again = plan_retention(filled)
    assert again.expired == []
    assert apply_retention(filled, again) == []


def test_a_run_that_was_cut_short_is_finished(filled: LogboekClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record was begun; the next run removes these rows, and no lost Logregel is reported."""
    apply_register(filled, REGISTER)
    monkeypatch.setattr(retention, "_whole_parts", lambda *_: [])

    def cut(*_: object) -> None:
        raise ConfigurationError("no right to delete")

    with monkeypatch.context() as broken:
        broken.setattr(retention, "_delete", cut)
        with pytest.raises(ConfigurationError, match="no right"):
            apply_retention(filled, plan_retention(filled))
    plan = plan_retention(filled)
    assert (plan.unfinished, plan.logregels) == (1, PAST)
    apply_retention(filled, plan)
    assert plan_retention(filled).unfinished == 0
    assert filled.rows(Sql("SELECT count() FROM logregel")) == [(len(ROWS) - PAST,)]
    assert read.writers(filled)[0].missing == 0


def test_an_entry_that_left_the_register_keeps_its_rule(filled: LogboekClient) -> None:
    """Old references stay valid: what was confidential stays so, and the term goes on."""
    apply_register(filled, REGISTER)
    apply_register(filled, Register([ProcessingActivity(id="urn:nieuw", name="nieuw")]))
    assert questions(filled)[0] == list(range(PAST, len(ROWS)))
    assert set(stored_activities(filled)) == {SHORT, LONG, SECRET, ENDLESS, "urn:nieuw"}


def test_a_changed_activity_is_a_new_version(client: LogboekClient) -> None:
    """The same URI may not come to mean something else; a slip can be put right."""
    assert len(apply_register(client, REGISTER)) == 4
    assert apply_register(client, REGISTER) == []
    changed = Register([ProcessingActivity(id=SHORT, name="kort", retention="P2Y", purpose="ander doel")])
    with pytest.raises(ConfigurationError, match=r"another purpose, retention.*replaces"):
        apply_register(client, changed)
    assert [change.differs for change in register_changes(client, changed)] == [("purpose", "retention")]
    assert stored_activities(client)[SHORT].activity.retention == "P1Y"
    apply_register(client, changed, amend=True)
    assert stored_activities(client)[SHORT].activity.retention == "P2Y"
    assert client.rows(Sql("SELECT count() FROM ldv_register WHERE name = 'kort'")) == [(2,)]


def test_the_log_beside_the_register(filled: LogboekClient) -> None:
    """What is used and not registered, and the reverse."""
    found = compare(filled, Register([*REGISTER, ProcessingActivity(id="urn:ongebruikt", name="x")]))
    assert found.unregistered == {"": 1, STRANGE: 1}
    assert found.unused == ["urn:ongebruikt"]


@hypothesis_settings(max_examples=examples(4), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    ages=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4_000)), min_size=1, max_size=30),
    terms=st.dictionaries(st.sampled_from("abc"), st.sampled_from(["P1Y", "P18M", "P100D", "P6Y"])),
)
def test_removal_is_what_hiding_hid(
    sink: ClickHouseSink, client: LogboekClient, ages: list[tuple[str, int]], terms: dict[str, str]
) -> None:
    """Whatever rows and terms: readers see the same before and after, and all that goes is past its term."""
    for table in ("logregel", "ldv_register", "ldv_removal"):
        client.command(Sql.verbatim(f"ALTER TABLE {table} DROP PARTITION ALL"))
    client.command(Sql("ALTER TABLE ldv_term DELETE WHERE toYear(applied) > 1970 SETTINGS mutations_sync = 1"))
    # Half a day off any whole term, so that the time this test takes decides nothing.
    records = [record(f"urn:{name}", age + 0.5, number) for number, (name, age) in enumerate(ages)]
    sink.send(number_batch(f"w{NOW.timestamp()}", 0, records))
    apply_register(
        client, Register(ProcessingActivity(id=f"urn:{name}", name="x", retention=term) for name, term in terms.items())
    )

    def stays(name: str, start_ms: int) -> bool:
        kept_from = Duration.parse(terms[name]).before(NOW) if name in terms else datetime(1970, 1, 1, tzinfo=UTC)
        return start_ms >= kept_from.timestamp() * 1_000

    wanted = [seq for seq, row in enumerate(records) if stays(row.processing_activity_id[4:], row.start_time_ms)]
    shown = sorted(row.seq for row in read.in_period(client, PageLimits(since_ms=YEAR_1971)).records)
    assert shown == wanted
    apply_retention(client, plan_retention(client))
    assert [row[0] for row in client.rows(Sql("SELECT seq FROM logregel ORDER BY seq"))] == wanted
    assert sum(writer.missing for writer in read.writers(client)) == 0


def test_a_plan_never_looks_ahead(filled: LogboekClient) -> None:
    """A moment in the future would remove what is still within its term."""
    apply_register(filled, REGISTER)
    assert plan_retention(filled, now=NOW + timedelta(days=4_000)).logregels == PAST
    assert plan_retention(filled, now=NOW - timedelta(days=1_000)).logregels == 1


def test_many_activities_fit_the_requests(sink: ClickHouseSink, client: LogboekClient, settings: Settings) -> None:
    """Parameters travel in the address of a request, which has an end."""
    del settings
    activities = [f"https://register.example/activiteiten/met-een-lange-naam/{'x' * 100}/{n}" for n in range(500)]
    records = [record(activity, 900 + 0.01 * n, n) for n, activity in enumerate(activities)]
    sink.send(number_batch("w", 0, [*records, record(ENDLESS, 900, 1_000)]))
    apply_register(client, Register(ProcessingActivity(id=name, name="x", retention="P1Y") for name in activities))
    apply_retention(client, plan_retention(client))
    assert client.rows(Sql("SELECT count() FROM logregel")) == [(1,)]
