"""Files of Jaeger and Zipkin give the records of their spans, and only technical spans are called so."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

from ldv_otel._internal.importer.rule_spans import read_rule_spans
from ldv_otel._internal.importer.spans import read_spans
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel.attributes import Flag
from tests.importer.spelling import ACTIVITY, MAKER, any_json, records_of
from tests.importer.test_run import Logboek, run
from tests.support.collector import HttpRecorder

BSN = "123456782"
TRACE = "83a9efd15c1c98a977e0711cc93ee28b"
START = 1_745_333_267_994_934
DPL = {
    "dpl.core.processing_activity_id": ACTIVITY,
    "dpl.core.data_subject_id": BSN,
    "dpl.core.data_subject_id_type": "BSN",
}


def jaeger_tags(**values: object) -> list[dict[str, Any]]:
    """Tags as Jaeger's query API writes them."""
    types = {bool: "bool", int: "int64", float: "float64"}
    return [{"key": key, "type": types.get(type(value), "string"), "value": value} for key, value in values.items()]


def jaeger_span(number: int, parent: int = 0, **more: Any) -> dict[str, Any]:
    """A span as in `otlp2jaeger-out.json` of Jaeger's own tests."""
    references = [{"refType": "CHILD_OF", "traceID": TRACE, "spanID": f"{parent:016x}"}] if parent else []
    return {
        "traceID": TRACE,
        "spanID": f"{number:016x}",
        "operationName": f"Stap {number}",
        "references": references,
        "startTime": START + number,
        "duration": 123,
        "tags": jaeger_tags(**{"otel.scope.name": "balie", "span.kind": "server"} | DPL),
        "logs": [],
        "processID": "p1",
        "warnings": None,
    } | more


def jaeger(*spans: dict[str, Any]) -> bytes:
    """The answer of Jaeger's query API, which its page downloads too."""
    process = {"serviceName": "parkeren", "tags": jaeger_tags(**{"service.version": "7"})}
    trace = {"traceID": TRACE, "spans": list(spans), "processes": {"p1": process}, "warnings": None}
    return json.dumps({"data": [trace], "total": 0, "limit": 0, "offset": 0, "errors": None}).encode()


def otlp(*spans: dict[str, Any]) -> bytes:
    """OTLP/JSON around spans of one service."""
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "parkeren"}}]}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}).encode()


def names(content: bytes) -> list[str]:
    """Names of the records of a file that is read whole."""
    return [record.name for record in records_of(content)]


def test_jaegers_query_api() -> None:
    """Name, times, parent, status, error, activity, person and service are those of the span."""
    error = {"timestamp": START, "fields": jaeger_tags(event="exception", **{"exception.type": "ValueError"})}
    below = jaeger_span(2, parent=9, tags=jaeger_tags(**{"otel.status_code": "ERROR"} | DPL), logs=[error])
    technical = jaeger_span(9, parent=1, tags=jaeger_tags(**{"span.kind": "client", "http.route": "/"}))
    top, child = records_of(jaeger(jaeger_span(1), technical, below))
    assert (top.name, top.trace_id.hex(), top.span_id.hex()) == ("Stap 1", TRACE, f"{1:016x}")
    assert (top.start_time_ms, top.end_time_ms) == ((START + 1) // 1_000, (START + 124) // 1_000)
    assert (top.status, top.processing_activity_id, len(top.data_subject_id)) == (Status.UNSET, ACTIVITY, 16)
    assert json.loads(top.resource) == {"service.name": "parkeren", "service.version": "7"}
    assert (child.parent_span_id, child.status) == (top.span_id, Status.ERROR)
    assert child.attributes["exception.type"] == "ValueError"
    assert top.outbound_span_ids == (bytes.fromhex(f"{9:016x}"),)
    assert top.flags == ()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"traceID": TRACE[1:].rjust(31, "0"), "spanID": "1"}, {"span_id": bytes(7) + b"\x01"}),
        ({"references": [{"refType": "FOLLOWS_FROM", "traceID": TRACE, "spanID": "9"}]}, {"parent_span_id": b""}),
        ({"references": [{"refType": "CHILD_OF", "traceID": "1" * 32, "spanID": "9"}]}, {"parent_span_id": b""}),
        ({"tags": jaeger_tags(error=True, **DPL)}, {"status": Status.ERROR}),
        ({"tags": jaeger_tags(error=False, **DPL)}, {"status": Status.UNSET}),
        ({"tags": jaeger_tags(**{"otel.status_code": "OK"} | DPL)}, {"status": Status.OK}),
        ({"process": {"serviceName": "balie"}}, {"resource": '{"service.name":"balie"}'}),
        ({"processID": "elsewhere"}, {"resource": "{}"}),
    ],
    ids=str,
)
def test_what_jaeger_writes_in_other_ways(change: dict[str, Any], expected: dict[str, Any]) -> None:
    """Ids without zeros, links that are no parents, errors by tag, and the process inside the span."""
    (record,) = records_of(jaeger(jaeger_span(1, **change)))
    assert {name: getattr(record, name) for name in expected} == expected


def test_jaegers_api_v3() -> None:
    """OTLP in an object `result`; a stream of several is read as well."""
    one = otlp(
        {"traceId": TRACE, "spanId": f"{1:016x}", "name": "Een", "startTimeUnixNano": f"{START}000"} | _otlp_dpl()
    )
    wrapped = b'{"result":' + one + b"}"
    assert names(wrapped) == ["Een"]
    assert names(wrapped + b"\n" + wrapped.replace(f"{1:016x}".encode(), f"{2:016x}".encode())) == ["Een", "Een"]


def _otlp_dpl() -> dict[str, Any]:
    attributes = [{"key": name, "value": {"stringValue": value}} for name, value in DPL.items()]
    return {"attributes": attributes, "endTimeUnixNano": f"{START + 5}000"}


def test_a_line_of_a_log_is_no_wrapper() -> None:
    """`data` and `result` are words of every program."""
    reading = read_spans(
        b'{"data": "x"}\n{"result": 5}\n{"data": {"a": 1}}\n', file="f", resource_of=MAKER.record_resource
    )
    assert [(problem.location, problem.reason) for problem in reading.problems] == [
        ("line 1", "no spans in it"),
        ("line 2", "no spans in it"),
        ("line 3, data", "no spans in it"),
    ]


@pytest.mark.parametrize("version", ["v2", "v1"])
def test_zipkin_of_opentelemetrys_own_exporter(version: str) -> None:
    """What the exporter sends to a Zipkin is the record that the SDK's console form gives."""
    exporters: Any = pytest.importorskip("opentelemetry.exporter.zipkin.json", reason="the Zipkin exporter is not here")
    protocol = importlib.import_module("opentelemetry.exporter.zipkin.encoder").Protocol
    with HttpRecorder() as zipkin:
        zipkin.answers.append((202, {}, b""))
        provider = TracerProvider(resource=Resource({"service.name": "parkeren"}))
        exporter = exporters.ZipkinExporter(
            version=protocol[version.upper()],
            endpoint=f"http://127.0.0.1:{zipkin.port}/api/{version}/spans",
            max_tag_value_length=500,  # without it the exporter of version 1 fails
        )
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        span = provider.get_tracer("balie").start_span("Wijzig kenteken", kind=SpanKind.SERVER, attributes=DPL)
        span.set_status(StatusCode.ERROR)
        span.end()
        provider.shutdown()
    (body,) = zipkin.bodies
    (record,) = records_of(body)
    context = span.get_span_context()
    assert (record.trace_id, record.span_id) == (context.trace_id.to_bytes(16), context.span_id.to_bytes(8))
    assert record.status is Status.ERROR
    assert record.resource == '{"service.name":"parkeren"}'
    assert (record.name, record.processing_activity_id) == ("Wijzig kenteken", ACTIVITY)
    assert len(record.data_subject_id) == 16
    # Microseconds, rounded.
    start: Any = span
    assert abs(record.start_time_ms - start.start_time // 10**6) <= 1
    assert record.flags == ()


def test_mixed_lines_are_read_or_named() -> None:
    """A file into which several tools and a log wrote: each line is read, or named with its reason."""
    zipkin = {
        "traceId": TRACE,
        "id": f"{3:016x}",
        "parentId": f"{1:016x}",
        "name": "Zipkin",
        "timestamp": START,
        "duration": 5,
        "localEndpoint": {"serviceName": "balie"},
        "tags": DPL | {"error": ""},
    }
    lines = [
        jaeger(jaeger_span(1)),
        b"2026-11-29 12:00:00 INFO started",
        json.dumps([zipkin]).encode(),
        json.dumps({"message": "x", "traceId": TRACE, "id": 7}).encode(),
        otlp({"traceId": TRACE, "spanId": f"{4:016x}", "name": "OTLP", "startTime": [START // 10**6, 5]} | _otlp_dpl()),
        b'{"resourceMetrics": []}',
        b'{"cut": "o',
    ]
    reading = read_spans(b"\n".join(lines), file="f", resource_of=MAKER.record_resource)
    assert [span.facts.name for span in reading.spans if span.facts] == ["Stap 1", "Zipkin", "OTLP"]
    assert [(problem.location, problem.reason.partition(":")[0]) for problem in reading.problems] == [
        ("line 2", "not a JSON object"),
        ("line 4", "no spans in it"),
        ("line 7", "cut off"),
    ]
    assert sum(reading.left_out.values()) == 1


@given(
    value=any_json,
    member=st.sampled_from(["tags", "references", "logs", "duration", "startTime", "processID", "spanID"]),
)
def test_nothing_in_a_jaeger_span_breaks_the_reading(value: object, member: str) -> None:
    """Whatever stands in a member: a record, or a problem; never an error, and never the time of the import."""
    reading = read_spans(jaeger(jaeger_span(1, 0, **{member: value})), file="f", resource_of=MAKER.record_resource)
    times = [span.facts.start_time_ns for span in reading.spans if span.facts]
    assert reading.problems or times == [(START + 1) * 1_000] or member in {"startTime", "tags"}


def test_rules_are_tried_on_them_too() -> None:
    """`ldv rules test` sees names, kinds, scopes and attributes."""
    (span,) = read_rule_spans(jaeger(jaeger_span(1)))
    assert (span.name, span.kind, span.scope) == ("Stap 1", "server", "balie")
    assert span.attributes["dpl.core.data_subject_id"] == BSN


# --- times that cannot be read, and spans that are not technical


def imported(tmp_path: Path, content: bytes) -> tuple[Any, list[Logregel]]:
    """The report of an import, and what is stored."""
    path = tmp_path / "spans.json"
    path.write_bytes(content)
    logboek = Logboek()
    return run(logboek, path), list(logboek.logregels)


def test_a_time_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    """The record keeps what was written, has the other time, and the exit code is 1."""
    report, records = imported(tmp_path, jaeger(jaeger_span(1, startTime="gisteren"), jaeger_span(2, duration="kort")))
    assert [problem.reason.partition(";")[0] for problem in report.problems] == [
        "an Actie without a time that can be read",
        "a time that cannot be read (end_time)",
    ]
    (record,) = records
    assert record.start_time_ms == record.end_time_ms == (START + 2) // 1_000
    assert Flag.TIME_OUT_OF_RANGE in record.flags
    assert "kort" in json.dumps(record.attributes)
    again, _ = imported(tmp_path, (tmp_path / "spans.json").read_bytes())
    assert again.problems == report.problems


def test_a_span_is_technical_only_if_it_is(tmp_path: Path) -> None:
    """Not one whose attributes could not be read, nor one with attributes of the standard that make no Actie."""
    ids = {"traceId": TRACE, "startTimeUnixNano": f"{START}000", "endTimeUnixNano": f"{START}000"}
    spans = [
        ids | {"spanId": f"{1:016x}"} | _otlp_dpl(),
        ids | {"spanId": f"{2:016x}", "attributes": {"http.route": "/"}, "status": {"code": 2}, "links": [{"a": 1}]},
        ids | {"spanId": f"{3:016x}", "labels": {"dpl.core.processing_activity_id": ACTIVITY}},
        ids | {"spanId": f"{4:016x}", "attributes": "dpl"},
        ids | {"spanId": f"{5:016x}", "attributes": {"dpl.core.processing_activity": ACTIVITY}},
    ]
    report, records = imported(tmp_path, otlp(*spans))
    assert len(records) == 1
    assert report.left_out == {
        "technical span, no processing activity": 1,
        "span with attributes of the standard that make no Actie": 1,
    }
    assert [problem.location.rpartition("spans")[2] for problem in report.problems] == ["[2]", "[3]"]
    assert {problem.reason for problem in report.problems} == {
        "attributes that cannot be read: whether this span is an Actie is not known"
    }
