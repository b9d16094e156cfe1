"""Each named question takes its access path: a change of the engine, or of a query's text, that loses it shows here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import oversight as overseeing
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries import sql as questions
from ldv_otel._internal.clickhouse.queries.lookups import Lookup
from ldv_otel._internal.clickhouse.queries.models import PageLimits
from ldv_otel._internal.clickhouse.queries.oversight import OversightKind
from ldv_otel._internal.clickhouse.queries.projections import id_prefixes
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import READ_BACK
from ldv_otel._internal.clickhouse.sql_text import Sql, identifier
from ldv_otel._internal.clickhouse.verification.manifest_sql import MANIFESTS
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.times.instants import QUERY_TIME_MAX_MS
from tests.clickhouse.conftest import empty_store

ROWS = 300_000
GRANULES = ROWS // 2_048

#: Rows spread evenly over 30 days, a new trace and subject every 3 rows, one activity in 1,000 rows rare.
FILL = f"""
INSERT INTO logregel (trace_id, span_id, start_time, name, processing_activity_id, data_subject_id,
                      foreign_operation_trace_id, foreign_operation_span_id, writer_id, seq)
SELECT toFixedString(unhex(hex(sipHash128(intDiv(number, 3), 't'))), 16), reinterpretAsFixedString(sipHash64(number)),
       toDateTime64('2026-01-01 00:00:00', 3, 'UTC') + toIntervalMillisecond(number * {30 * 86_400_000 // ROWS}), 'x',
       if(number % 1000 = 7, 'urn:rare', concat('urn:', toString(number % 7))),
       toFixedString(unhex(hex(sipHash128(intDiv(number, 3) % 40000, 's'))), 16),
       if(number % 20 = 0, toFixedString(unhex(hex(sipHash128(number, 'f'))), 16), toFixedString('', 16)),
       if(number % 20 = 0, reinterpretAsFixedString(sipHash64(number, 'fs')), toFixedString('', 8)),
       concat('w', toString(number % 3)), intDiv(number, 3)
FROM numbers({ROWS}) SETTINGS max_insert_threads = 1
"""


@pytest.fixture(scope="module")
def filled(request: pytest.FixtureRequest) -> Iterator[LogboekClient]:
    """A store with some weeks of rows, merged."""
    with empty_store("chdb", request) as found:
        fill(found)
        with LogboekClient(found) as client:
            yield client


def fill(settings: Settings) -> None:
    """Make the tables and the rows."""
    apply_schema(settings)
    with LogboekClient(settings) as client:
        client.command(Sql.verbatim(FILL))
        client.command(Sql("OPTIMIZE TABLE logregel FINAL"))


def an_id(client: LogboekClient, column: str) -> str:
    """Some id out of the middle."""
    query = Sql(
        """SELECT lower(hex($column)) FROM logregel
        WHERE foreign_operation_span_id != toFixedString('', 8) LIMIT 1 OFFSET 5000""",
        column=identifier(column),
    )
    return str(client.rows(query)[0][0])


def plan(client: LogboekClient, query: Sql, parameters: dict[str, Any]) -> str:
    """What the engine would do."""
    rows = client.rows(
        Sql("EXPLAIN indexes = 1, projections = 1 $query", query=query), {"confidential": True} | parameters
    )
    return "\n".join(row[0] for row in rows)


def granules(text: str) -> int:
    """How many granules of the rows' own table are read in the end."""
    last = re.findall(r"Granules: (\d+)/\d+", text.split("ReadFromMergeTree")[1])[-1]
    return int(last)


def hours_query(query: Sql) -> Sql:
    """The part of a query that finds the hours to look in."""
    hours = re.search(
        r"(?:IN|FROM) \(\s*(SELECT toRelativeHourNum\(start_time\) FROM .*?"
        r"GROUP BY .*?, toRelativeHourNum\(start_time\))\)",
        query.text,
        re.DOTALL,
    )
    assert hours
    return Sql.verbatim(hours[1])


@pytest.mark.parametrize(
    ("field", "column", "projection"),
    [
        ("trace_id", "trace_id", "hours_of_trace"),
        ("foreign_trace_id", "foreign_operation_trace_id", "hours_of_foreign_trace"),
        ("subjects", "data_subject_id", "hours_of_subject"),
    ],
)
def test_who_may_not_see_all_reads_as_much_of_what_is_there_as_of_what_is_not(
    filled: LogboekClient, field: str, column: str, projection: str
) -> None:
    """An id that occurs nowhere is looked for in some hour; the hours themselves still come from the projection."""
    query = questions.search_query([field], restricted=True)
    read = []
    for raw in (an_id(filled, column), "ab" * 16, "cd" * 16, "ef" * 16):
        parameters = {field: [raw] if field == "subjects" else raw, "prefixes": id_prefixes([bytes.fromhex(raw)])}
        read.append(granules(plan(filled, query, page_parameters() | parameters)))
    # A person occurs in some hours; on either side of one there is a granule.
    assert min(read) >= 1
    assert max(read) <= (9 if field == "subjects" else 3)
    assert projection in plan(filled, hours_query(query), {"prefixes": [1]})


def trace_parameters(trace_id: str) -> dict[str, Any]:
    """As `by_trace` makes them."""
    return {"trace_id": trace_id, "prefixes": id_prefixes([bytes.fromhex(trace_id)])}


@pytest.mark.parametrize(
    ("column", "question", "projection"),
    [
        ("trace_id", questions.BY_TRACE, "hours_of_trace"),
        ("trace_id", questions.BY_OUTBOUND, "hours_of_trace"),
        ("foreign_operation_trace_id", questions.BY_FOREIGN, "hours_of_foreign_trace"),
    ],
)
def test_an_id_is_looked_for_in_its_hours_only(
    filled: LogboekClient, column: str, question: Lookup, projection: str
) -> None:
    """The projection says which hours, the primary key finds them: in one query, and in two steps."""
    found = an_id(filled, column)
    parameters = trace_parameters(found) | {"span_id": an_id(filled, "span_id")}
    check_paths(filled, question, parameters, projection, most=3)


def check_paths(
    client: LogboekClient, question: Lookup, parameters: dict[str, Any], projection: str, *, most: int
) -> None:
    """A question reads so many granules at most, and its hours come from the projection."""
    parameters |= {"most_hours": 2_001, "ending": [""], "kept_from": [0], "moment": 0}
    assert projection in plan(client, hours_query(question.whole), parameters)
    assert projection in plan(client, question.hours, parameters)
    parameters |= {"hours": [row[0] for row in client.rows(question.hours, parameters)]}
    for query in (question.whole, question.by_terms, question.by_cut_offs, question.no_term_ended):
        assert granules(plan(client, query, parameters)) <= most


@pytest.mark.parametrize(
    "question",
    [
        questions.BY_SUBJECT,
        questions.FIRST_BY_SUBJECT,
        questions.LATEST_BY_SUBJECT,
        questions.FIRST_LATEST_BY_SUBJECT,
        questions.ACTIVITIES_OF_SUBJECT,
    ],
)
def test_a_person_is_looked_for_in_their_hours_only(filled: LogboekClient, question: Lookup) -> None:
    """As a trace; a person has more hours. The page for citizens asks the last two."""
    subject = an_id(filled, "data_subject_id")
    parameters = {
        "subjects": [subject],
        "prefixes": id_prefixes([bytes.fromhex(subject)]),
        "first": 0,
        "activities": [],
        **page_parameters(),
    }
    if question == questions.LATEST_BY_SUBJECT:
        parameters["after_time"] = QUERY_TIME_MAX_MS
    # Three bursts, and the granules on either side of an hour.
    check_paths(filled, question, parameters, "hours_of_subject", most=3 * 3)


def page_parameters(**more: Any) -> dict[str, Any]:
    """A first page of everything."""
    cursor = {"after_time": -1, "after_span": "00" * 8, "after_writer": "", "after_seq": 0, "limit": 101}
    return {"since": 0, "until": QUERY_TIME_MAX_MS, "confidential": True, **cursor, **more}


def test_a_page_starts_at_its_cursor(filled: LogboekClient) -> None:
    """What lies before the cursor is not read again, and a rare activity is looked for with its index."""
    middle = 1_768_500_000_000
    day = page_parameters(since=middle, until=middle + 86_400_000)
    assert granules(plan(filled, questions.IN_PERIOD, day)) <= GRANULES // 30 + 2
    late = page_parameters(after_time=middle + 14 * 86_400_000)
    assert granules(plan(filled, questions.IN_PERIOD, late)) <= 8
    rare = plan(filled, questions.BY_ACTIVITY, page_parameters() | {"activity": "urn:nothing"})
    assert "rare_activities" in rare
    assert granules(rare) <= GRANULES // 10
    assert read.by_activity(filled, "urn:rare", PageLimits(limit=10)).following is not None


def test_an_officers_questions_read_their_period_only(filled: LogboekClient) -> None:
    """Figures of a day and its newest records read a day; a rare activity is looked for with its index."""
    middle = 1_768_500_000_000
    day = page_parameters(since=middle, until=middle + 86_400_000, after_time=QUERY_TIME_MAX_MS)
    for question in (overseeing.USED_IN_PERIOD, overseeing.latest_query(OversightKind.FLAGGED, of_activity=False)):
        assert granules(plan(filled, question, day)) <= GRANULES // 30 + 2
    rare = page_parameters(after_time=QUERY_TIME_MAX_MS) | {"activity": "urn:nothing"}
    text = plan(filled, overseeing.latest_query(OversightKind.ALL, of_activity=True), rare)
    assert "rare_activities" in text
    assert granules(text) <= GRANULES // 10


@pytest.mark.parametrize(
    ("question", "order"),
    [
        (questions.IN_PERIOD, "InOrder"),
        (questions.LATEST_BY_SUBJECT.whole, "InReverseOrder"),
        (questions.FIRST_LATEST_BY_SUBJECT.no_term_ended, "InReverseOrder"),
    ],
)
def test_a_page_reads_in_order_and_hides_doubles_without_sorting(
    filled: LogboekClient, question: Sql, order: str
) -> None:
    """The early stop at a full page depends on it, in either direction of time."""
    person = an_id(filled, "data_subject_id")
    parameters = page_parameters(
        subjects=[person], prefixes=id_prefixes([bytes.fromhex(person)]), activities=[], hours=[490_896]
    )
    if order == "InReverseOrder":
        parameters["after_time"] = QUERY_TIME_MAX_MS
    text = "\n".join(row[0] for row in filled.rows(Sql("EXPLAIN actions = 1 $query", query=question), parameters))
    assert f"Read type: {order}" in text
    assert "LimitBy" in text


def test_read_back_looks_into_the_hours_of_the_batch(filled: LogboekClient) -> None:
    """One late record in a batch does not make it read a month."""
    hours = [1_767_225_600_000 // 3_600_000, 1_768_500_000_000 // 3_600_000]
    parameters = {"writer_id": "w1", "first": 10, "last": 20, "hours": hours, "proof": 7}
    assert granules(plan(filled, READ_BACK, parameters)) <= 4


def test_a_proof_looks_for_manifests_around_its_record(filled: LogboekClient) -> None:
    """Of a person with records at any time, the hours around each are read and not all that lies between."""
    hours = [1_767_225_600_000 // 3_600_000, 1_768_500_000_000 // 3_600_000]
    parameters = {"since": -1, "writers": ["w1"], "hours": hours}
    assert granules(plan(filled, MANIFESTS, parameters)) <= 4
    assert granules(plan(filled, MANIFESTS, parameters | {"hours": []})) >= GRANULES


@pytest.mark.parametrize(
    "view", ["logregels_trace(trace_id = '{}')", "logregels_aangeroepen(trace_id = '{}', span_id = '')"]
)
def test_the_views_take_the_same_paths(filled: LogboekClient, view: str) -> None:
    """Plain SQL for auditors is as fast."""
    column = "trace_id" if "logregels_trace" in view else "foreign_operation_trace_id"
    text = plan(filled, Sql.verbatim(f"SELECT * FROM {view.format(an_id(filled, column))}"), {})
    assert granules(text) <= 3


def test_a_filter_on_the_general_view_reaches_the_index(filled: LogboekClient) -> None:
    """A day of `logregels` reads a day."""
    query = Sql("SELECT count() FROM logregels WHERE start_time >= '2026-01-10' AND start_time < '2026-01-11'")
    assert granules(plan(filled, query, {})) <= GRANULES // 30 + 2


@pytest.mark.parametrize("bad", ["", "12", "zz" * 16, "00" * 17])
def test_a_mistyped_id_is_said_to_be_one(filled: LogboekClient, bad: str) -> None:
    """An empty answer would read as: nothing was logged about this person."""
    for view in (f"logregels_van(subject = '{bad}')", f"logregels_trace(trace_id = '{bad}')"):
        with pytest.raises(Exception, match="32 hexadecimal digits"):
            filled.rows(Sql.verbatim(f"SELECT * FROM {view}"))
