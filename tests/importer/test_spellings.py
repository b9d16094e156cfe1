from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings

from ldv_otel._internal.importer.spans import read_spans
from ldv_otel._internal.record.logregel import Status
from tests.importer.spelling import MAKER, GivenSpan, Spelling, records_of, spellings, traces, written
from tests.support.chance import examples

DATA = Path(__file__).parent.parent / "data"


@settings(max_examples=examples(400), deadline=None)
@given(traces(), spellings)
def test_a_trace_gives_the_same_records_however_it_is_written(spans: list[GivenSpan], spelling: Spelling) -> None:
    """Who reads the Logboek cannot tell by which tool a file was made."""
    assert records_of(written(spans, spelling)) == records_of(written(spans))


def test_the_trace_of_geonovum() -> None:
    """The one span of the demonstrator is a record, its activity flagged and its dataset kept as text."""
    content = (DATA / "otlp-geonovum-kapvergunning.json").read_bytes()
    (record,) = records_of(content)
    assert record.trace_id.hex() == "0ac8d1c5251f6cd04c2fe5acd871f69c"
    assert record.span_id.hex() == "f08448c4a0dfea16"
    assert record.parent_span_id == b""
    assert record.name == "Aanvraag_span"
    assert (record.start_time_ms, record.end_time_ms) == (1_745_333_267_994, 1_745_333_268_122)
    assert record.status is Status.OK
    assert record.processing_activity_id == "RVA: Aanvraag Kapvergunning"
    assert record.flags == ("activity_not_uri",)
    assert record.resource == '{"service.name":"http://aanvraag"}'
    assert json.loads(record.attributes["dpl.objects.dataset"])[0]["dataset_id"] == "bomen"


def test_the_console_exporter_of_the_python_sdk() -> None:
    """What `ConsoleSpanExporter` prints, object after object, is read as it is."""
    content = """\
{
    "name": "Wijzig kenteken",
    "context": {
        "trace_id": "0x9b9a29dffab28b99712fcf11aaf30bab",
        "span_id": "0x359ca75b03aab3e0",
        "trace_state": "[]"
    },
    "kind": "SpanKind.SERVER",
    "parent_id": null,
    "start_time": "2026-11-22T13:32:15.980751Z",
    "end_time": "2026-11-22T13:32:15.981017Z",
    "status": {
        "status_code": "ERROR",
        "description": "d"
    },
    "attributes": {
        "dpl.core.data_subject_id": 123456782,
        "dpl.core.data_subject_id_type": "BSN"
    },
    "events": [
        {
            "name": "exception",
            "timestamp": "2026-11-22T13:32:15.980983Z",
            "attributes": {
                "exception.type": "ValueError",
                "exception.message": "123456782",
                "exception.stacktrace": "Traceback\\n  File \\"app.py\\", line 9, in run\\nValueError: 123456782\\n"
            }
        }
    ],
    "links": [],
    "resource": {
        "attributes": {
            "telemetry.sdk.language": "python",
            "service.name": "parkeren"
        },
        "schema_url": ""
    }
}
{
    "name": "GET",
    "context": {
        "trace_id": "0x9b9a29dffab28b99712fcf11aaf30bab",
        "span_id": "0x359ca75b03aab3e1"
    },
    "kind": "SpanKind.CLIENT",
    "parent_id": "0x359ca75b03aab3e0",
    "start_time": "2026-11-22T13:32:15.980751Z",
    "end_time": "2026-11-22T13:32:15.981017Z",
    "status": {"status_code": "UNSET"},
    "attributes": {},
    "resource": {"attributes": {"service.name": "parkeren"}}
}
"""
    (record,) = records_of(content.encode())
    assert record.trace_id.hex() == "9b9a29dffab28b99712fcf11aaf30bab"
    assert record.span_id.hex() == "359ca75b03aab3e0"
    assert record.start_time_ms == 1_795_354_335_980
    assert record.status is Status.ERROR
    assert record.data_subject_id_type == "BSN"
    assert record.flags == ("activity_missing",)
    assert record.outbound_span_ids == (bytes.fromhex("359ca75b03aab3e1"),)
    assert record.attributes["exception.type"] == "ValueError"
    assert record.attributes["exception.stacktrace"] == 'File "app.py", line 9, in run'
    assert "123456782" not in str(record)


def test_the_stdout_exporter_of_the_go_sdk() -> None:
    """Go capitalises its field names and puts a type beside each value."""
    span = {
        "Name": "Controleer tenaamstelling",
        "SpanContext": {"TraceID": "9b9a29dffab28b99712fcf11aaf30bab", "SpanID": "359ca75b03aab3e0", "Remote": False},
        "Parent": {"TraceID": "00000000000000000000000000000000", "SpanID": "0000000000000000", "Remote": False},
        "SpanKind": 1,
        "StartTime": "2026-11-22T14:32:15.980751123+01:00",
        "EndTime": "2026-11-22T14:32:15.981017+01:00",
        "Attributes": [
            {"Key": "dpl.core.processing_activity_id", "Value": {"Type": "STRING", "Value": "urn:x:y"}},
            {"Key": "dpl.core.data_subject_id", "Value": {"Type": "INT64", "Value": 123456782}},
            {"Key": "dpl.core.data_subject_id_type", "Value": {"Type": "STRING", "Value": "BSN"}},
            {"Key": "dpl.objects.dataset", "Value": {"Type": "STRINGSLICE", "Value": ["a", "b"]}},
        ],
        "Status": {"Code": "Ok", "Description": ""},
        "Resource": [{"Key": "service.name", "Value": {"Type": "STRING", "Value": "tenaamstelling"}}],
    }
    (record,) = records_of(json.dumps(span, indent="\t").encode())
    assert (record.processing_activity_id, record.status) == ("urn:x:y", Status.OK)
    assert record.data_subject_id == records_of(written([_with_subject()]))[0].data_subject_id
    assert record.parent_span_id == record.foreign_operation_span_id == b""
    assert record.attributes == {"dpl.objects.dataset": '["a","b"]', "ldv.json": "dpl.objects.dataset"}
    assert record.resource == '{"service.name":"tenaamstelling"}'
    assert record.start_time_ms == 1_795_354_335_980


def test_a_vendor_that_writes_everything_a_little_differently() -> None:
    """Ids in `context`, ids of other lengths, microseconds, no end, an empty scope, and JSON that is broken inside."""
    broken = '[{"dataset_port":"input""features":[]}]'
    parent = {
        "context": {"traceId": "12345678abcdef12", "spanId": "bbbbbbbb000020000"},
        "parentSpanId": "",
        "spanKind": "SERVER",
        "startTimeUnixNano": "1747230122000000",
        "endTimeUnixNano": "",
        "name": "heat_overlay",
        "attributes": [
            {"key": "dpl.objects.data_product_id", "value": {"stringValue": ""}},
            {"key": "dpl.objects.datasets", "value": {"stringValue": broken}},
        ],
        "status": {"message": "", "statusCode": "STATUS_CODE_OK"},
    }
    child = parent | {
        "context": {"traceId": "12345678abcdef12", "spanId": "bbbbbbbb00010001"},
        "parentSpanId": "bbbbbbbb000020000",
        "endTimeUnixNano": "1747230125000000",
    }
    document = {
        "resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"scope": [], "spans": [parent, child]}]}]
    }
    first, second = records_of(json.dumps(document).encode())
    assert first.trace_id.hex() == "000000000000000012345678abcdef12"
    assert first.flags == ("activity_missing", "end_missing", "id_replaced")
    assert first.attributes["ldv.original.span_id"] == "bbbbbbbb000020000"
    assert first.attributes["dpl.objects.datasets"] == broken
    assert first.status is Status.OK
    assert first.start_time_ms == first.end_time_ms == 1_747_230_122_000
    assert second.parent_span_id == first.span_id
    assert second.end_time_ms == 1_747_230_125_000
    assert second.flags == ("activity_missing",)


def test_the_record_of_the_standard_itself() -> None:
    """A span may stand by itself with the standard's field names, its resource a plain mapping."""
    record_as_json = {
        "trace_id": "0af76519-16cd-43dd-8448-eb211c80319c",
        "span_id": "b7ad6b7169203331",
        "parent_span_id": "00f067aa0ba902b7",
        "name": "bronbevraging",
        "status": "OK",
        "start_time": 1_788_350_400_000,
        "end_time": "2026-09-02T12:00:00.012",
        "resource": {"service.name": "bron"},
        "attributes": {"dpl.core.processing_activity_id": "urn:x:y", "dpl.core.foreign_operation.processor": "urn:p"},
    }
    (record,) = records_of(json.dumps(record_as_json).encode())
    assert record.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert record.parent_span_id.hex() == record.foreign_operation_span_id.hex() == "00f067aa0ba902b7"
    assert record.foreign_operation_processor == "urn:p"
    assert (record.start_time_ms, record.end_time_ms) == (1_788_350_400_000, 1_788_350_400_012)
    assert record.resource == '{"service.name":"bron"}'
    assert record.flags == ()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_file_of_another_encoding(encoding: str) -> None:
    """Some shells redirect into UTF-16; a byte order mark says so."""
    span = GivenSpan(name="Ge\u00efnde vordering", attributes={"dpl.core.processing_activity_id": "urn:x:y"})
    content = written([span]).decode().replace("\\u00ef", "\u00ef").encode(encoding)
    (record,) = records_of(content)
    assert record.name == "Ge\u00efnde vordering"


def test_bytes_that_are_no_text_are_repaired_and_flagged() -> None:
    """A Latin-1 name in a UTF-8 file costs a letter, not the record."""
    content = written([GivenSpan(name="Gexnd", attributes={"dpl.core.processing_activity_id": "urn:x:y"})])
    (record,) = records_of(content.replace(b"Gexnd", b"Ge\xefnd"))
    assert (record.name, record.flags) == ("Ge\ufffdnd", ("text_repaired",))


def test_metrics_and_logs_of_the_same_collector_are_left_out() -> None:
    """A Collector may write all signals into one file."""
    content = b'{"resourceMetrics":[]}\n{"resourceLogs":[]}\n' + written([GivenSpan()])
    reading = read_spans(content, file="f", resource_of=MAKER.record_resource)
    assert reading.problems == []
    assert len(reading.spans) == 1
    assert reading.left_out == {"a document of metrics or logs, not of spans": 2}


def _with_subject() -> GivenSpan:
    return GivenSpan(
        attributes={"dpl.core.data_subject_id": "123456782", "dpl.core.data_subject_id_type": "BSN"},
    )
