"""LDV-N12, N13: versions of an activity by time, terms from the end of an Actie, and terms in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ldv_otel._internal.api.pages.view import DutchTexts
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.models import PageLimits
from ldv_otel._internal.clickhouse.register_table import (
    apply_register,
    register_changes,
    stored_activities,
    stored_versions,
    version_at,
)
from ldv_otel._internal.clickhouse.retention import apply as retention
from ldv_otel._internal.clickhouse.retention.apply import apply_retention
from ldv_otel._internal.clickhouse.retention.plan import plan_retention, set_end
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema, migrations
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.register.register import ProcessingActivity, Register, RegisterError
from ldv_otel._internal.times.durations import Duration
from ldv_otel._internal.times.instants import ms_from_datetime, rfc3339_from_ms
from ldv_otel.errors import ConfigurationError
from tests.support.chance import examples

NOW = datetime.now(UTC)
A, B = "https://register.example/a", "https://register.example/b"
DAY_MS = 86_400_000
NOW_MS = ms_from_datetime(NOW)
(VERSION,) = (found.version for found in migrations() if found.name == "register_versions")


def moment(days_ago: float) -> str:
    """A moment in RFC 3339."""
    return rfc3339_from_ms(NOW_MS - round(days_ago * DAY_MS))


def record(activity: str, began_days_ago: float, lasted_days: float = 0, **more: Any) -> Logregel:
    """A record of some age."""
    start = NOW_MS - round(began_days_ago * DAY_MS)
    fields: dict[str, Any] = {"trace_id": b"t" * 16, "span_id": b"s" * 8, "name": "x"} | more
    return Logregel(
        **fields,
        start_time_ms=start,
        end_time_ms=start + round(lasted_days * DAY_MS),
        processing_activity_id=activity,
    )


def store(sink: ClickHouseSink, *records: Logregel) -> None:
    """Store records at the places 0, 1, ... of a writer."""
    sink.send(number_batch(new_writer_id(), 0, list(records)))


def shown(client: LogboekClient, **more: Any) -> list[int]:
    """The places that readers see, by the named query and by the view."""
    seqs = sorted(row.seq for row in read.in_period(client, PageLimits(since_ms=DAY_MS), **more).records)
    if not more:
        assert [row[0] for row in client.rows(Sql("SELECT seq FROM logregels ORDER BY seq"))] == seqs
    return seqs


def left(client: LogboekClient) -> list[int]:
    """The places that are stored."""
    return [row[0] for row in client.rows(Sql("SELECT seq FROM logregel ORDER BY seq"))]


def entry(days_ago: float | None = None, **more: Any) -> ProcessingActivity:
    """A version of activity A."""
    fields: dict[str, Any] = {"id": A, "name": "a"} | more
    return ProcessingActivity(**fields, valid_from="" if days_ago is None else moment(days_ago))


def test_a_record_is_explained_by_the_version_of_its_day(client: LogboekClient) -> None:
    """Its purpose, its term and whether it is confidential; before all versions by the first."""
    versions = [
        entry(100, purpose="eerst"),
        entry(10, purpose="later", confidential=True),
        entry(-10, purpose="straks"),
    ]
    apply_register(client, Register(versions))
    assert apply_register(client, Register(versions)) == []
    stored = stored_versions(client)
    for days_ago, purpose in ((500, "eerst"), (50, "eerst"), (5, "later"), (-50, "straks")):
        version = version_at(stored[A], NOW_MS - days_ago * DAY_MS)
        assert version is not None
        assert version.activity.purpose == purpose
    assert stored_activities(client)[A].activity.purpose == "later"
    register = Register(versions)
    for days_ago, purpose in ((500, "eerst"), (50, "eerst"), (5, "later")):
        activity = register.get(A, NOW - timedelta(days=days_ago))
        assert activity is not None
        assert activity.purpose == purpose
    texts = DutchTexts(stored, {}, ZoneInfo("Europe/Amsterdam"))
    assert texts.activity(A, NOW_MS - 50 * DAY_MS).purpose == "eerst"
    assert not texts.activity(A, NOW_MS).registered
    assert texts.hidden == {A}


def test_an_amended_entry_never_changes_how_old_records_are_explained(client: LogboekClient) -> None:
    """It holds for what begins from then on; also where a later version is in force already."""
    apply_register(client, Register([entry(purpose="fout", retention="P1Y"), entry(10, purpose="later")]))
    changed = Register([entry(purpose="goed", retention="P2Y"), entry(10, purpose="later, goed")])
    with pytest.raises(ConfigurationError, match="texts hold from now on"):
        apply_register(client, changed)
    apply_register(client, changed, amend=True)
    assert apply_register(client, changed) == []
    stored = stored_versions(client)[A]
    explained = [version_at(stored, NOW_MS - days * DAY_MS) for days in (500, 5, -1)]
    assert [found.activity.purpose for found in explained if found] == ["fout", "later", "later, goed"]


def test_a_term_that_was_a_slip_is_right_for_all_records(sink: ClickHouseSink, client: LogboekClient) -> None:
    """Nothing goes by a term that was corrected, and what was amended to be confidential is hidden."""
    store(sink, record(A, 800), record(A, 5))
    apply_register(client, Register([entry(retention="P1Y")]))
    assert shown(client) == [1]
    apply_register(client, Register([entry(retention="P10Y", confidential=True)]), amend=True)
    assert shown(client) == [0, 1]
    assert plan_retention(client).logregels == 0
    assert shown(client, confidential=False) == []


def test_terms_are_those_of_the_version(sink: ClickHouseSink, client: LogboekClient) -> None:
    """Shorter for what began later; what readers do not see any more is what goes, and it is on record by version."""
    store(sink, *(record(A, days) for days in (800, 300, 90, 40, 5)), record(B, 800))
    apply_register(
        client, Register([entry(retention="P1Y"), entry(100, retention="P30D"), entry(20, retention="P60D")])
    )
    assert shown(client) == [1, 4, 5]
    plan = plan_retention(client)
    assert plan.logregels == 3
    apply_retention(client, plan)
    assert left(client) == [1, 4, 5]
    on_record = client.rows(
        Sql(
            "SELECT retention, sum(logregels), any(toString(state)) FROM verwijderingen "
            "GROUP BY retention ORDER BY retention"
        )
    )
    assert on_record == [("P1Y", 1, "done"), ("P30D", 2, "done")]
    assert sum(writer.missing for writer in read.writers(client)) == 0


def test_a_version_can_be_confidential(sink: ClickHouseSink, client: LogboekClient) -> None:
    """Only its records are hidden from who may not see them."""
    store(sink, record(A, 90), record(A, 5))
    apply_register(client, Register([entry(), entry(10, confidential=True)]))
    assert shown(client) == [0, 1]
    assert shown(client, confidential=False) == [0]


def test_a_run_over_versions_that_was_cut_short_is_finished(
    sink: ClickHouseSink, client: LogboekClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows that were named go, and no others."""
    store(sink, *(record(A, days) for days in (800, 300, 90, 5)))
    apply_register(client, Register([entry(retention="P1Y"), entry(100, retention="P30D")]))
    monkeypatch.setattr(retention, "_whole_parts", lambda *_: [])

    def cut(*_: object) -> None:
        raise ConfigurationError("no right to delete")

    with monkeypatch.context() as broken:
        broken.setattr(retention, "_delete", cut)
        with pytest.raises(ConfigurationError, match="no right"):
            apply_retention(client, plan_retention(client))
    assert left(client) == [0, 1, 2, 3]
    apply_retention(client, plan_retention(client))
    assert left(client) == [1, 3]
    assert plan_retention(client).unfinished == 0


def test_a_term_counts_from_the_end(sink: ClickHouseSink, client: LogboekClient) -> None:
    """Of an Actie that took long the record stays longer."""
    store(sink, record(A, 400), record(A, 400, lasted_days=100))
    apply_register(client, Register([entry(retention="P1Y")]))
    assert shown(client) == [1]
    apply_retention(client, plan_retention(client))
    assert left(client) == [1]


def test_a_term_in_words_takes_nothing_by_itself(sink: ClickHouseSink, client: LogboekClient) -> None:
    """Not with `--longest` either; a date for its trace or for one record does, and the last one counts."""
    words = "20 jaar na onherroepelijk worden van het besluit"
    traces = [bytes([number]) * 16 for number in (1, 2, 3)]
    rows = [record(A, 9_000, trace_id=trace, span_id=bytes([span]) * 8) for trace in traces for span in (1, 2)]
    store(sink, *rows, record(B, 9_000, trace_id=traces[0]))
    apply_register(client, Register([entry(retention_text=words), ProcessingActivity(id=B, name="b")]))
    everything = list(range(7))
    assert shown(client) == everything
    plan = plan_retention(client, longest=Duration.parse("P20Y"))
    assert [(found.activity, found.logregels) for found in plan.expired] == [(B, 1)]
    (kept,) = [kept for kept in plan.without_term if kept.activity == A]
    assert (kept.logregels, kept.retention_text) == (6, words)
    assert DutchTexts(stored_versions(client), {}, ZoneInfo("UTC")).activity(A, NOW_MS).kept == words

    past, later = NOW_MS - DAY_MS, NOW_MS + DAY_MS
    assert set_end(client, traces[0], b"", past) == 2
    assert set_end(client, traces[1], b"", past) == 2
    assert set_end(client, traces[1], b"\x02" * 8, later) == 1
    assert set_end(client, traces[2], b"", past) == 2
    assert set_end(client, traces[2], b"", later) == 2
    assert set_end(client, b"\x09" * 16, b"", past) == 0
    plan = plan_retention(client)
    assert [(found.activity, found.logregels) for found in plan.dated] == [(A, 3)]
    removed = apply_retention(client, plan)
    assert [(found.way, found.logregels) for found in removed] == [("date", 3)]
    assert left(client) == [3, 4, 5, 6]
    assert sum(writer.missing for writer in read.writers(client)) == 0
    assert plan_retention(client).dated == []


def test_a_plan_says_what_goes_next_month_and_why(sink: ClickHouseSink, client: LogboekClient) -> None:
    """By version, and without what is past its term already."""
    store(sink, record(A, 800), record(A, 350), record(A, 300), record(A, 15), record(B, 10_000))
    apply_register(client, Register([entry(retention="P1Y"), entry(100, retention="P20D")]))
    plan = plan_retention(client)
    upcoming = [(found.activity, found.logregels, found.retention) for found in plan.next_month]
    assert upcoming == [(A, 1, "P1Y"), (A, 1, "P20D")]
    assert plan.next_month[0].in_force_from_ms == 0
    assert abs(plan.next_month[1].in_force_from_ms - (NOW_MS - 100 * DAY_MS)) <= 1
    assert plan.logregels == 1


@hypothesis_settings(max_examples=examples(4), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(st.tuples(st.integers(0, 1_000), st.integers(0, 400)), min_size=1, max_size=20),
    versions=st.dictionaries(
        st.integers(1, 900), st.sampled_from(["P1Y", "P100D", "", "P2Y", "P1M"]), min_size=1, max_size=4
    ),
)
def test_removal_is_what_hiding_hid(
    sink: ClickHouseSink, client: LogboekClient, rows: list[tuple[int, int]], versions: dict[int, str]
) -> None:
    """Whatever versions and rows: by the version of its start and from its end, before the removal and after."""
    for table in ("logregel", "ldv_register", "ldv_removal"):
        client.command(Sql.verbatim(f"ALTER TABLE {table} DROP PARTITION ALL"))
    client.command(Sql("ALTER TABLE ldv_term DELETE WHERE toYear(applied) > 1970 SETTINGS mutations_sync = 1"))
    # Half a day off any whole term and version, so that the time this test takes decides nothing.
    records = [record(A, ago + 0.5, min(lasted, ago)) for ago, lasted in rows]
    store(sink, *records)
    apply_register(client, Register(entry(days, retention=term) for days, term in versions.items()))

    def stays(row: tuple[int, int]) -> bool:
        ago, lasted = row[0] + 0.5, row[0] + 0.5 - min(row[1], row[0])
        in_force = [days for days in versions if days >= ago]
        term = versions[min(in_force) if in_force else max(versions)]
        return not term or NOW - timedelta(days=lasted) >= Duration.parse(term).before(NOW)

    wanted = [seq for seq, row in enumerate(rows) if stays(row)]
    assert shown(client) == wanted
    apply_retention(client, plan_retention(client))
    assert left(client) == wanted


def before_versions(settings: Settings) -> None:
    """Tables as they were before this migration, with a Register that was amended."""
    apply_schema(settings, up_to=VERSION - 1)
    with LogboekClient(settings) as client:
        for number, term, months in ((1, "P1Y", 12), (2, "P3Y", 36)):
            client.command(
                Sql.verbatim(
                    "INSERT INTO ldv_register (processing_activity_id, name, retention, retention_months, applied) "
                    f"SELECT '{A}', 'a{number}', '{term}', {months}, toDateTime64('2026-01-0{number}', 6, 'UTC')"
                )
            )
        client.command(
            Sql.verbatim(
                "INSERT INTO ldv_term (activities, months, days, confidential, terms, public_terms) "
                f"SELECT ['{A}', ''], [36, 0], [0, 0], [false, false], [3600000, 120000000], [3600000, 120000000]"
            )
        )


@pytest.mark.parametrize("cut", [None, 1, 4, 8])
def test_what_was_there_is_explained_as_before(settings: Settings, cut: int | None) -> None:
    """A migration that was cut short goes on; the last entry counts for records of any time, as it did."""
    before_versions(settings)
    if cut is not None:
        (migration,) = [found for found in migrations() if found.version == VERSION]
        with LogboekClient(settings) as client:
            for statement in migration.statements[:cut]:
                client.command(Sql.verbatim(statement))
    assert [found.version for found in apply_schema(settings)] == [
        found.version for found in migrations() if found.version >= VERSION
    ]
    sink = ClickHouseSink(settings)
    sink.open()
    store(sink, record(A, 2_000), record(A, 900), record(A, 300))
    sink.close()
    with LogboekClient(settings) as client:
        assert shown(client) == [1, 2]
        assert stored_activities(client)[A].activity.name == "a2"
        assert [found.activity.name for found in stored_versions(client)[A]] == ["a2"]
        same = Register([ProcessingActivity(id=A, name="a2", retention="P3Y")])
        assert register_changes(client, same) == []
        assert plan_retention(client).logregels == 1
        apply_register(client, Register([*same, entry(400, retention="P1M")]))
        assert shown(client) == [1]


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([entry(), entry()], "id is that of another entry"),
        ([entry(5), entry(5)], "id is that of another entry"),
        ([ProcessingActivity(id=A, name="a", valid_from="morgen")], "valid_from is no date"),
        ([ProcessingActivity(id=A, name="a", valid_from="1969-01-01")], "valid_from is no date"),
        ([entry(retention="P1Y", retention_text="lang")], "a second term"),
        ([entry(retention="20 jaar")], "is called retention_text"),
        ([entry(replaces=B), entry(5), ProcessingActivity(id=B, name="b", replaces=A)], "replaces another one"),
    ],
)
def test_versions_that_do_not_fit_together(entries: list[ProcessingActivity], says: str) -> None:
    """Refused with what is wrong."""
    with pytest.raises(RegisterError, match=says):
        Register(entries)


def test_versions_of_one_uri_and_of_several() -> None:
    """The oldest first; the one in force is the current one."""
    register = Register([entry(-5, name="straks"), entry(name="eerst"), ProcessingActivity(id=B, name="b", replaces=A)])
    assert [version.name for version in register.versions(A)] == ["eerst", "straks", "b"]
    assert [version.name for version in register.versions(B)] == ["eerst", "straks", "b"]
    current = register.current(A)
    assert current is not None
    assert current.name == "b"
    assert (len(register), A in register) == (3, True)
    assert ProcessingActivity(id=A, name="a", valid_from="2026-07-01").valid_from_ms == 1_782_864_000_000
