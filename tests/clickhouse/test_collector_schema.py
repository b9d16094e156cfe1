"""What becomes of the rows that a Collector's exporter inserts; tests/collector has the Collector itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from ldv_otel import attributes as names
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.models import RecordQuery
from ldv_otel._internal.clickhouse.schema.cluster import Cluster, clustered
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema, collector_statements, schema_status
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.config.variables import UNKNOWN_CALLER_URL
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.record.overlooked import NOT_SHOWN, OverlookedAttribute
from ldv_otel.errors import LdvError
from tests.privacy.test_collector_vectors import VECTORS

#: The columns of the ClickHouse exporter, in its order, with what a span has unless a test says otherwise.
COLUMNS: dict[str, Any] = {
    "Timestamp": "2026-01-01 00:00:00.123999999",
    "TraceId": "0123456789abcdef" * 2,
    "SpanId": "00000000000000a1",
    "ParentSpanId": "",
    "TraceState": "",
    "SpanName": "Wijzig kenteken",
    "SpanKind": "Internal",
    "ServiceName": "parkeren",
    "ResourceAttributes": {"service.name": "parkeren", "process.owner": "jan", "cmdb.id": "a/b"},
    "ScopeName": "",
    "ScopeVersion": "",
    "SpanAttributes": {},
    "Duration": 1_000_001,
    "StatusCode": "Unset",
    "StatusMessage": "",
    "Events.Timestamp": [],
    "Events.Name": [],
    "Events.Attributes": [],
    "Links.TraceId": [],
    "Links.SpanId": [],
    "Links.TraceState": [],
    "Links.Attributes": [],
}
TRACE = COLUMNS["TraceId"]
ACTIVITY = {names.PROCESSING_ACTIVITY_ID: "https://register.example/a"}
PSEUDONYM = "5d41402abc4b2a76b9719d911017c592"


@pytest.fixture
def store(settings: Settings) -> Iterator[LogboekClient]:
    """A Logboek that a Collector can write to."""
    apply_schema(settings, collector=True)
    with LogboekClient(settings) as client:
        yield client


def insert(client: LogboekClient, *spans: dict[str, Any]) -> None:
    """Insert as the exporter does: the 22 columns by name."""
    rows = []
    for span in spans:
        values = ", ".join(_literal(value) for value in (COLUMNS | span).values())
        rows.append(f"({values})")
    columns = ", ".join(COLUMNS)
    client.command(
        Sql.verbatim(f"INSERT INTO collector_span ({columns}) SELECT * FROM VALUES({_TYPES}, {', '.join(rows)})")
    )


_TYPES = "'{}'".format(
    ", ".join(
        f"`{name}` " + {str: "String", int: "UInt64", dict: "Map(String, String)"}.get(type(value), "Array(String)")
        for name, value in COLUMNS.items()
    )
    .replace("`Timestamp` String", "`Timestamp` DateTime64(9, \\'UTC\\')")
    .replace("`Events.Timestamp` Array(String)", "`Events.Timestamp` Array(DateTime64(9))")
    .replace("`Events.Attributes` Array(String)", "`Events.Attributes` Array(Map(String, String))")
    .replace("`Links.Attributes` Array(String)", "`Links.Attributes` Array(Map(String, String))")
)


def _literal(value: Any) -> str:
    if isinstance(value, dict):
        return "map({})".format(", ".join(_literal(part) for pair in value.items() for part in pair))
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return repr(value)


def all_records(client: LogboekClient) -> list[Logregel]:
    """Everything in the Logboek, as readers get it."""
    return [found.logregel for found in read.in_period(client).records]


def test_a_span_becomes_the_record_that_the_sdk_would_make(store: LogboekClient) -> None:
    """Times are cut to milliseconds each, only what names the system stays of the resource, other attributes go."""
    given = ACTIVITY | {
        names.DATA_SUBJECT_ID: PSEUDONYM + "0" * 32,
        names.DATA_SUBJECT_ID_TYPE: "BSN",
        "ldv.key_id": "2026",
        names.NEXT_LOGBOOK_ID: "https://rdw.example/ldv/v1",
        names.FOREIGN_OPERATION_TRACE_ID: "ab" * 16,
        names.FOREIGN_OPERATION_SPAN_ID: "cd" * 8,
        "dpl.custom": "1",
        "http.url": "/personen/123456782",
        "exception.message": "123456782",
    }
    insert(store, {"SpanAttributes": given, "ParentSpanId": "00000000000000a0", "StatusCode": "Ok"})
    assert all_records(store) == [
        Logregel(
            trace_id=bytes.fromhex(TRACE),
            span_id=bytes.fromhex("00000000000000a1"),
            parent_span_id=bytes.fromhex("00000000000000a0"),
            status=Status.OK,
            name="Wijzig kenteken",
            start_time_ms=1_767_225_600_123,
            end_time_ms=1_767_225_600_125,
            processing_activity_id="https://register.example/a",
            data_subject_id=bytes.fromhex(PSEUDONYM),
            data_subject_id_type="BSN",
            key_id="2026",
            foreign_operation_trace_id=b"\xab" * 16,
            foreign_operation_span_id=b"\xcd" * 8,
            foreign_operation_processor=UNKNOWN_CALLER_URL,
            external_read_api_id="https://rdw.example/ldv/v1",
            attributes={"dpl.custom": "1"},
            resource='{"cmdb.id":"a/b","ldv.left_out":"process.owner","service.name":"parkeren"}',
        )
    ]


def test_of_an_exception_only_type_and_places_stay(store: LogboekClient) -> None:
    """Its message and its source lines quote values."""
    stack = (
        "Error: 123456782\n    at zoek (/srv/app.js:3:7)\n    at Object.<anonymous> (/srv/app.js:9:1)\n  van 123456782"
    )
    events = {
        "Events.Timestamp": ["2026-01-01 00:00:00"] * 2,
        "Events.Name": ["exception", "log"],
        "Events.Attributes": [
            {"exception.type": "TypeError", "exception.message": "123456782", "exception.stacktrace": stack},
            {"x": "123456782"},
        ],
    }
    insert(store, {"SpanAttributes": ACTIVITY, "StatusCode": "Error", **events})
    (record,) = all_records(store)
    assert record.attributes == {
        "exception.type": "TypeError",
        "exception.stacktrace": "at zoek (/srv/app.js:3:7)\nat Object.<anonymous> (/srv/app.js:9:1)",
    }


@pytest.mark.parametrize(
    ("span", "flag", "kept"),
    [
        ({"SpanName": "  "}, "name_missing", None),
        ({"SpanName": "x" * 1_100}, "name_cut", ("name", "x" * 1_100)),
        ({"SpanAttributes": {names.PROCESSING_ACTIVITY_ID: "parkeren"}}, "activity_not_uri", None),
        ({"SpanAttributes": {names.PROCESSING_ACTIVITY_ID: ""}}, "activity_missing", None),
        ({"Duration": 2**64 - 5_000_000}, "end_before_start", ("end_time", "1767225600118")),
        ({"Timestamp": "1969-12-31 23:59:59"}, "time_out_of_range", ("start_time", "-1000")),
        (
            {"SpanAttributes": ACTIVITY | {names.FOREIGN_OPERATION_SPAN_ID: "zz"}},
            "foreign_id_malformed",
            ("foreign_operation_span_id", "zz"),
        ),
    ],
)
def test_what_is_odd_is_stored_and_flagged(
    store: LogboekClient, span: dict[str, Any], flag: str, kept: tuple[str, str] | None
) -> None:
    """By the words that the SDK uses for it."""
    insert(store, {"SpanAttributes": ACTIVITY, **span})
    (record,) = all_records(store)
    assert record.flags == (flag,)
    if kept:
        assert record.attributes[names.ORIGINAL_PREFIX + kept[0]] == kept[1]


@pytest.mark.parametrize(
    ("span", "reason"),
    [
        ({"TraceId": ""}, "trace id"),
        ({"TraceId": "0" * 32}, "trace id"),
        ({"SpanId": "zz" * 8}, "span id"),
        ({"SpanId": "a1"}, "span id"),
        ({"ParentSpanId": "a1"}, "parent span id"),
        ({"SpanAttributes": {"dpl.custom": "1"}}, "no processing activity"),
    ],
)
def test_what_does_not_fit_is_set_apart(store: LogboekClient, span: dict[str, Any], reason: str) -> None:
    """With its reason, without its data subject, and without its neighbours."""
    given = {names.DATA_SUBJECT_ID_TYPE: "BSN", **ACTIVITY}
    insert(store, {"SpanAttributes": given, **span}, {"SpanAttributes": ACTIVITY, "SpanId": "00000000000000b1"})
    assert [record.span_id.hex() for record in all_records(store)] == ["00000000000000b1"]
    assert read.count_refused_spans(store) == 1
    ((said, attributes),) = store.rows(Sql("SELECT reason, attributes FROM collector_refused"))
    assert said.startswith(reason)
    assert not any(key.startswith("dpl.core.data_subject") for key in attributes)


def test_what_the_processor_refuses_is_set_apart(store: LogboekClient) -> None:
    """With its reason; how the subject's name is spelled makes no difference, nor that it is raw."""
    raw = {names.DATA_SUBJECT_ID: "123456782", "dpl.core.dataSubjectId": "123456782", "dpl.zaak": "Z"}
    insert(store, {"SpanAttributes": ACTIVITY | raw | {"ldv.refused": "a BSN stands in it"}})
    assert all_records(store) == []
    ((said, attributes),) = store.rows(Sql("SELECT reason, attributes FROM collector_refused"))
    assert (said, attributes) == ("a BSN stands in it", ACTIVITY | {"dpl.zaak": "Z"})


@pytest.mark.parametrize("mark", ["dpl.objects.dataset", "dpl.objects.datasets", "dpl.object.processing_activity_id"])
def test_marks_are_those_of_the_sdk(store: LogboekClient, mark: str) -> None:
    """As they are really written (LDV-N9), with the caller named beside them."""
    insert(store, {"SpanAttributes": {mark: "urn:x", "foreign_operation.span_id": "cd" * 8}})
    (record,) = all_records(store)
    assert record.processing_activity_id == ("urn:x" if mark.endswith("activity_id") else "")
    assert record.foreign_operation_span_id == b"\xcd" * 8
    assert read.overlooked_attributes(store) == ()


def test_attributes_that_make_no_record_are_named(store: LogboekClient) -> None:
    """Nobody loses a Logregel to a misspelling without being told which (LDV-N9)."""
    misspelled = {"dpl.core.processing_activity": "https://register.example/a", "dpl.123456782": "x"}
    insert(store, {"SpanAttributes": misspelled}, {"SpanAttributes": {"dpl.core.processing_activity": ""}})
    assert read.overlooked_attributes(store) == (
        OverlookedAttribute("dpl.core.processing_activity", 2, names.PROCESSING_ACTIVITY_ID),
        OverlookedAttribute(NOT_SHOWN, 1),
    )


@pytest.mark.parametrize(
    "subject",
    [
        {names.DATA_SUBJECT_ID: "123456782"},
        {names.DATA_SUBJECT_ID: PSEUDONYM},
        {names.DATA_SUBJECT_ID: "x", "ldv.key_id": "k"},
        {"dpl.core.dataSubjectId": "123456782"},
        {"dpl.core.Data_Subject-ID": "123456782"},
    ],
)
def test_no_raw_subject_is_ever_stored(store: LogboekClient, subject: dict[str, str]) -> None:
    """A Collector without the processors for it gets an error for the whole insert, so its sender keeps the records."""
    with pytest.raises(LdvError):
        insert(
            store, {"SpanAttributes": ACTIVITY, "SpanId": "00000000000000b1"}, {"SpanAttributes": ACTIVITY | subject}
        )
    assert all_records(store) == []


def test_sent_twice_is_seen_once(store: LogboekClient) -> None:
    """Also in another company: what identifies a row comes from the span alone."""
    spans = [{"SpanAttributes": ACTIVITY, "SpanId": f"{number:016x}"} for number in range(1, 6)]
    insert(store, *spans)
    insert(store, *spans[2:])
    assert len(all_records(store)) == 5
    assert len(store.rows(Sql("SELECT * FROM logregels"))) == 5
    (writer,) = read.writers(store)
    assert (writer.missing, writer.writer_id) == (0, "collector")


def chain(depth: int) -> list[dict[str, Any]]:
    """An Actie, technical spans below it, and an Actie below those."""
    technical = [
        {
            "SpanId": f"{0x100 + n:016x}",
            "ParentSpanId": f"{0x100 + n - 1:016x}",
            "SpanKind": "Client",
            "SpanName": "GET /123",
        }
        for n in range(1, depth + 1)
    ]
    top = {"SpanId": f"{0x100:016x}", "SpanAttributes": ACTIVITY}
    below = {"SpanId": "00000000000000ff", "ParentSpanId": f"{0x100 + depth:016x}", "SpanAttributes": ACTIVITY}
    return [below, *technical, top]


@pytest.mark.parametrize("depth", [0, 1, 2, 60])
def test_the_parent_is_the_nearest_actie(store: LogboekClient, depth: int) -> None:
    """Through technical spans that came in later, in the named queries and in the views."""
    for span in chain(depth):
        insert(store, span)
    parents = {
        found.logregel.span_id.hex(): found.logregel.parent_span_id.hex() for found in read.by_trace(store, TRACE)
    }
    assert parents == {"00000000000000ff": "0000000000000100", "0000000000000100": ""}
    rows = store.rows(Sql.verbatim(f"SELECT span_id, parent_span_id FROM logregels_trace(trace_id = '{TRACE}')"))
    assert dict(rows) == parents
    assert {record.parent_span_id.hex() for record in all_records(store)} == {"0000000000000100", ""}
    last = f"{0x100 + depth:016x}"
    (caller,) = read.by_outbound(store, TRACE, last)
    assert caller.logregel.span_id.hex() == "0000000000000100"
    rows = store.rows(
        Sql.verbatim(f"SELECT span_id FROM logregels_aanroeper(trace_id = '{TRACE}', span_id = '{last}')")
    )
    assert rows == [("0000000000000100",)]


def test_a_technical_root_is_no_parent(store: LogboekClient) -> None:
    """A server span around an Actie leaves it a root."""
    insert(
        store,
        {"SpanId": "00000000000000a0", "SpanKind": "Server"},
        {"SpanAttributes": ACTIVITY, "ParentSpanId": "00000000000000a0"},
    )
    (found,) = read.by_trace(store, TRACE)
    assert found.logregel.parent_span_id == b""
    assert store.rows(Sql.verbatim(f"SELECT parent_span_id FROM logregels_trace(trace_id = '{TRACE}')")) == [("",)]


def test_a_circle_of_technical_spans_ends(store: LogboekClient) -> None:
    """Ids of strangers may form one."""
    insert(
        store,
        {"SpanId": "00000000000000c1", "ParentSpanId": "00000000000000c2"},
        {"SpanId": "00000000000000c2", "ParentSpanId": "00000000000000c1"},
        {"SpanAttributes": ACTIVITY, "ParentSpanId": "00000000000000c1"},
    )
    assert len(read.by_trace(store, TRACE)) == 1
    assert len(store.rows(Sql.verbatim(f"SELECT * FROM logregels_trace(trace_id = '{TRACE}')"))) == 1


def test_of_a_technical_span_nothing_but_its_place_stays(store: LogboekClient) -> None:
    """No name and no attribute: a URL may hold a number."""
    insert(store, {"SpanName": "GET /123456782", "SpanAttributes": {"url.path": "/123456782"}, "SpanKind": "Client"})
    columns = [
        row[0]
        for row in store.rows(
            Sql("SELECT name FROM system.columns WHERE table = 'technical_span' AND database = currentDatabase()")
        )
    ]
    assert columns == ["trace_id", "span_id", "parent_span_id", "kind", "day"]
    ((engine,),) = store.rows(
        Sql("SELECT engine_full FROM system.tables WHERE name = 'technical_span' AND database = currentDatabase()")
    )
    assert "TTL day + toIntervalDay(90)" in engine


def test_rows_of_the_sdk_and_of_a_collector_live_in_one_table(store: LogboekClient, settings: Settings) -> None:
    """One trace, one tree."""
    insert(store, *chain(1))
    sink = ClickHouseSink(settings)
    sink.open()
    record = Logregel(
        trace_id=bytes.fromhex(TRACE),
        span_id=b"\x07" * 8,
        parent_span_id=bytes.fromhex("0000000000000101"),
        name="RDW",
        start_time_ms=1_767_225_600_124,
        end_time_ms=1_767_225_600_124,
    )
    sink.send(number_batch(new_writer_id(), 0, [record]))
    sink.close()
    found = {one.logregel.name: one.logregel.parent_span_id.hex() for one in read.by_trace(store, TRACE)}
    assert found["RDW"] == "0000000000000100"


def test_it_can_be_applied_again(store: LogboekClient, settings: Settings) -> None:
    """After an upgrade the views are changed in place, and what came in before stays."""
    assert schema_status(store).collector
    insert(store, {"SpanAttributes": ACTIVITY})
    apply_schema(settings, collector=True)
    insert(store, {"SpanAttributes": ACTIVITY, "SpanId": "00000000000000b1"})
    assert len(all_records(store)) == 2


def test_what_an_actie_is_changes_in_place(store: LogboekClient, settings: Settings) -> None:
    """The landing table of an earlier version gets the rule of this one (LDV-N9)."""
    store.command(Sql("ALTER TABLE collector_span MODIFY COLUMN fate LowCardinality(String) MATERIALIZED 'technical'"))
    insert(store, {"SpanAttributes": ACTIVITY})
    assert all_records(store) == []
    apply_schema(settings, collector=True)
    insert(store, {"SpanAttributes": ACTIVITY})
    assert len(all_records(store)) == 1


def test_without_the_option_there_is_no_landing_table(client: LogboekClient) -> None:
    """Who has no Collector has no table for one."""
    assert not schema_status(client).collector
    assert client.rows(Sql("EXISTS TABLE collector_span")) == [(0,)]


def test_statements_for_a_cluster(client: LogboekClient) -> None:
    """The engine's parser reads each of them."""
    for written in collector_statements():
        for statement in clustered(written, Cluster("ldv", "trace")):
            assert "ON CLUSTER 'ldv'" in statement
            assert client.command(Sql("SELECT formatQuery({text:String})"), {"text": statement})


def test_of_a_resource_is_kept_what_the_others_keep(store: LogboekClient) -> None:
    """A span that came past neither the SDK nor the processor gets the usual choice; what was chosen there stays."""
    usual = [one for one in VECTORS["resources"] if not one["further"]]
    given = [dict.fromkeys([*one["kept"], *one["removed"]], "x") for one in usual]
    for resource in given:
        resource.pop(names.LEFT_OUT, None)
    chosen = {"eigen.naam": "x", "service.name": "y"}
    given += [chosen | {names.LEFT_OUT: "host.ip"}, chosen | {names.LEFT_OUT: ""}]
    insert(
        store,
        *(
            {"SpanId": f"{number:016x}", "SpanAttributes": ACTIVITY, "ResourceAttributes": resource}
            for number, resource in enumerate(given, 1)
        ),
    )
    wanted = [dict.fromkeys(one["kept"], "x") | {names.LEFT_OUT: one["left_out"]} for one in usual]
    wanted += [chosen | {names.LEFT_OUT: "host.ip"}, chosen | {names.LEFT_OUT: ""}]
    for resource in wanted:
        if not resource[names.LEFT_OUT]:
            del resource[names.LEFT_OUT]
    found = sorted(all_records(store), key=lambda record: record.span_id)
    assert [json.loads(record.resource) for record in found] == wanted
    assert read.resource_left_out(store)["process.owner"] == 1


def test_a_reader_can_tell_a_foreign_parent_from_an_own_one(store: LogboekClient, settings: Settings) -> None:
    """LDV-N10, also in rows of before, which have the ids of a caller alone."""
    known = "https://rdw.example/app"
    ids = {names.FOREIGN_OPERATION_SPAN_ID: "cd" * 8}
    spans = [{}, ids, ids | {names.FOREIGN_OPERATION_PROCESSOR: known}, {"foreign_operation.trace_id": "x"}]
    insert(
        store,
        *(
            {"SpanId": f"{number:016x}", "SpanAttributes": ACTIVITY | attributes, "ParentSpanId": "00000000000000b0"}
            for number, attributes in enumerate(spans, 1)
        ),
    )
    old = msgspec.structs.replace(all_records(store)[1], span_id=b"o" * 8, foreign_operation_processor="")
    sink = ClickHouseSink(settings)
    sink.open()
    sink.send(number_batch(new_writer_id(), 0, [old]))
    sink.close()
    shown = store.rows(Sql("SELECT span_id, foreign_operation_processor FROM logregels ORDER BY span_id"))
    assert [processor for _, processor in shown] == [
        "",
        UNKNOWN_CALLER_URL,
        known,
        UNKNOWN_CALLER_URL,
        UNKNOWN_CALLER_URL,
    ]
    page = read.search(store, RecordQuery(processor=UNKNOWN_CALLER_URL))
    assert len(page.records) == 3
