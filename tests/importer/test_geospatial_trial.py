"""The four public traces of the geospatial trial: counts, parents and times are what their makers meant (LDV-N9).

One of them is in `tests/data`. Of the other three, which came from the code sprint of May 2025 in
github.com/Geonovum/logboek-dataverwerkingen-voor-objecten, only facts stand here: ids, times, which attributes are on
which span, and in which shape. Names and values are our own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ldv_otel import Logregel
from ldv_otel import attributes as names
from ldv_otel._internal.config.variables import UNKNOWN_CALLER_URL
from ldv_otel._internal.importer.run import TECHNICAL, ImportReport
from ldv_otel.attributes import Flag
from tests.importer.test_run import DATA, Logboek, run

ACTIVITY = "https://register.example/activiteiten/rekenmodel"
PROCESSING_ACTIVITY = {"dpl.objects.processing_activity_id": ""}


def attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Attributes of OTLP/JSON."""
    return [
        {"key": name, "value": value if isinstance(value, dict) else {"stringValue": value}}
        for name, value in values.items()
    ]


def otlp(resource: dict[str, Any], spans: list[dict[str, Any]], scope: object) -> dict[str, Any]:
    """A document of OTLP/JSON."""
    inner = {"scope": scope, "spans": spans}
    return {"resourceSpans": [{"resource": {"attributes": attributes(resource)}, "scopeSpans": [inner]}]}


def imported(tmp_path: Path, document: object) -> tuple[ImportReport, dict[str, Logregel]]:
    """Import a file, twice: the second time nothing is new. Return what the first one did, and records by span id."""
    path = tmp_path / "trace.json"
    path.write_text(json.dumps(document, indent=4))
    logboek = Logboek()
    report = run(logboek, path)
    again = run(logboek, path)
    assert (again.stored, again.already_there) == (0, report.stored)
    return report, {record.name: record for record in logboek.logregels}


#: The times are microseconds, though their names say nanoseconds; from the fifth span on ids have a digit too many.
TYGRON: tuple[tuple[str, str, str, str, dict[str, Any]], ...] = (
    ("aaaaaaaa00010000", "", "1747230000000000", "1747230243000000", {}),
    ("bbbbbbbb00010000", "aaaaaaaa00010000", "1747230001000000", "1747230121000000", PROCESSING_ACTIVITY),
    ("bbbbbbbb00010001", "bbbbbbbb00010000", "1747230002000000", "1747230060000000", PROCESSING_ACTIVITY),
    ("bbbbbbbb00010002", "bbbbbbbb00010000", "1747230061000000", "1747230120000000", PROCESSING_ACTIVITY),
    ("bbbbbbbb000020000", "aaaaaaaa00010000", "1747230122000000", "", {}),
    (
        "bbbbbbbb000020001",
        "bbbbbbbb000020000",
        "1747230123000000",
        "1747230125000000",
        {"dpl.objects.processing_activity_id": ACTIVITY},
    ),
    ("bbbbbbbb000020002", "bbbbbbbb000020000", "1747230126000000", "1747230128000000", PROCESSING_ACTIVITY),
    ("bbbbbbbb000020003", "bbbbbbbb000020000", "1747230129000000", "1747230134000000", PROCESSING_ACTIVITY),
    ("bbbbbbbb00002003a", "bbbbbbbb000020003", "1747230130000000", "1747230131000000", PROCESSING_ACTIVITY),
    ("bbbbbbbb00002003b", "bbbbbbbb000020003", "1747230132000000", "1747230133000000", PROCESSING_ACTIVITY),
    ("bbbbbbbb000030000", "aaaaaaaa00010000", "1747230135000000", "1747230240000000", {}),
    ("bbbbbbbb000030001", "bbbbbbbb000030000", "1747230136000000", "1747230190000000", PROCESSING_ACTIVITY),
    ("bbbbbbbb000040000", "aaaaaaaa00010000", "1747230241000000", "1747230242000000", PROCESSING_ACTIVITY),
)
#: The nearest Actie above each of them; above the others there is none.
TYGRON_PARENTS = {
    "bbbbbbbb00010001": "bbbbbbbb00010000",
    "bbbbbbbb00010002": "bbbbbbbb00010000",
    "bbbbbbbb00002003a": "bbbbbbbb000020003",
    "bbbbbbbb00002003b": "bbbbbbbb000020003",
}


def test_a_trace_written_by_hand(tmp_path: Path) -> None:
    """Ids of the wrong length, times in another unit, an end that is missing, activities that are empty."""
    spans = [
        {
            "context": {"traceId": "12345678abcdef12", "spanId": span_id},
            "parentSpanId": parent,
            "spanKind": "SERVER",
            "flags": 0,
            "startTimeUnixNano": start,
            "endTimeUnixNano": end,
            "name": span_id,
            "attributes": attributes(marks and marks | {"dpl.objects.data_product_id": ""}),
            "status": {"message": "", "statusCode": "STATUS_CODE_OK"},
        }
        for span_id, parent, start, end, marks in TYGRON
    ]
    report, records = imported(tmp_path, otlp({"tool.name": "x", "tygron.version": "1"}, spans, []))
    acties = {span_id: (start, end) for span_id, _, start, end, marks in TYGRON if marks}
    assert (report.stored, report.left_out, report.problems) == (10, {TECHNICAL: 3}, [])
    assert report.resource_left_out == {"tool.name": 10, "tygron.version": 10}
    assert set(records) == set(acties)
    for span_id, record in records.items():
        assert (record.start_time_ms, record.end_time_ms) == tuple(int(time) // 1_000 for time in acties[span_id])
        assert record.status.label == "Ok"
        parent = records.get(TYGRON_PARENTS.get(span_id, ""))
        assert record.parent_span_id == (parent.span_id if parent is not None else b"")
        assert record.foreign_operation_processor == ""
        assert record.processing_activity_id == (ACTIVITY if span_id == "bbbbbbbb000020001" else "")
        assert (Flag.ID_REPLACED in record.flags) == (len(span_id) == 17)
    assert len({record.trace_id for record in records.values()}) == 1
    assert len({record.span_id for record in records.values()}) == 10


#: Trace, span, start and end of each, and the trace of the caller; the first caller's id has a letter in it.
NELEN_SCHUURMANS = (
    ("e3bd0a763c8406fc7d64066c1c8ea9d9", "f51b6eeed39adf8d", 1747312112991260169, 1747312112991569847,
     "0af7651916cd43dd8448eb211c80319g"),
    ("ab6c924b3780225e45f04fbc0063b596", "4fdc86be31492ef1", 1747315020455174385, 1747315020455715850,
     "3f5b6359b316550144562790b187388d"),
    ("aa0795d94439511c65d8dfb0a9991d05", "d8929aa4947f27c0", 1747815564379190865, 1747815564379934547,
     "d97e5d6ab946a20ff436af287821766a"),
    ("2263bb1eaf6a70ca1257e5e58c1d9177", "e46a508d06935f2d", 1747815643171324248, 1747815643171509064,
     "7d53e8fc6b01e8733936a05e56e3d209"),
    ("1ef3cf6e3e1f2ec4c48a75affc767cd1", "484f1171ad955242", 1747816404097779417, 1747816404098111347,
     "67a73bb4ea1e1b2b7f70e9e525d4cb61"),
    ("3a4317977486aa9f3cdfed5ab85f0940", "f93488e22b4a4a77", 1747817324013469399, 1747817324013827441,
     "c545f23375b785bdabdf3a3667a71f73"),
    ("b82cf8c4cdc74b4761f7ba65d45d915a", "e1d080d378a4d421", 1747817443322370545, 1747817443322589452,
     "6e6c248abee97900b2b8acc44bad5a8f"),
    ("af875e84e9e5e3c83ef4f8e1838d4a4d", "bbb2fa34161dea9d", 1747817556787993600, 1747817556788166596,
     "c356d3fe8764a8179320fbae8282e32d"),
    ("c08b533889a36c454cd3cf8d9e53e03d", "9af413bb4dfb9b97", 1748264587531148342, 1748264587531791441,
     "e369386e29d745275668eb391994f4cc"),
    ("d45e1156a564f3ec57b7fdf9a5ce68f5", "df3137d4e49a75ad", 1748331670945869009, 1748331670946467628,
     "7ae6ba841a258be2f5556f2bc921704c"),
    ("2d0608902f5896754cb0df4c5d396a25", "369dbe4ef628fafb", 1748332181553349780, 1748332181553660359,
     "24e8d9b7bb16cd5e8cab28268f481d71"),
    ("9a2ae37c903a22c499dce85f6e5c3b21", "b11722e7a7924aec", 1748333334296122105, 1748333334296741193,
     "289b78dbdd2c0ea5d8e52e5a85727101"),
)  # fmt: skip


def test_a_service_that_names_its_callers(tmp_path: Path) -> None:
    """Twelve documents in a list: a caller with a trace and zeros for a span, which is none."""
    documents = [
        otlp(
            {"service.name": "https://rekenen.example"},
            [
                {
                    "traceId": trace_id,
                    "spanId": span_id,
                    "parentSpanId": "",
                    "flags": 256,
                    "name": span_id,
                    "kind": 1,
                    "startTimeUnixNano": str(start),
                    "endTimeUnixNano": str(end),
                    "attributes": attributes(
                        {
                            "dpl.objects.processing_activity_id": ACTIVITY,
                            "dpl.objects.dataproduct_id": "https://rekenen.example/product",
                            "foreign_operation.trace_id": caller,
                            "foreign_operation.span_id": "0" * 16 if number else "b7ad6b7169203331",
                            "dpl.objects.dataset": '[{"dataset_id": "x"}]',
                        }
                    ),
                    "status": {"code": 1},
                }
            ],
            {"name": "tracer"},
        )
        for number, (trace_id, span_id, start, end, caller) in enumerate(NELEN_SCHUURMANS)
    ]
    report, records = imported(tmp_path, documents)
    assert (report.stored, report.left_out, report.problems) == (12, {}, [])
    for number, (trace_id, span_id, start, end, caller) in enumerate(NELEN_SCHUURMANS):
        record = records[span_id]
        assert (record.trace_id.hex(), record.span_id.hex(), record.parent_span_id) == (trace_id, span_id, b"")
        assert (record.start_time_ms, record.end_time_ms) == (start // 10**6, end // 10**6)
        assert record.processing_activity_id == ACTIVITY
        assert record.foreign_operation_trace_id.hex() == (caller if number else "")
        assert record.foreign_operation_span_id.hex() == ("" if number else "b7ad6b7169203331")
        assert record.foreign_operation_processor == UNKNOWN_CALLER_URL
        assert (Flag.FOREIGN_ID_MALFORMED in record.flags) == (number == 0)


#: Trace, span, parent, start and end in ns, and what makes it an Actie.
IMAGEM: tuple[tuple[str, str, str, int, int, dict[str, Any]], ...] = (
    ("20f55db09c846c792f758b26cba324f0", "b97bd35bf939d73e", "781d5cf380d10509", 1747898351626000000,
     1747898351626100440, {"dpl.object.processing_activity_id": ACTIVITY,
                           "foreign_operation.trace_id": "dev_project.1353403214", "foreign_operation.entity": "x"}),
    ("20f55db09c846c792f758b26cba324f0", "7ed6f333dd5dd57b", "781d5cf380d10509", 1747898351626000000,
     1747898351626091136, {}),
    ("20f55db09c846c792f758b26cba324f0", "781d5cf380d10509", "", 1747898351387000000,
     1747898351626269381, {names.DATA_SUBJECT_ID: "x0000000000000000000000x"}),
    ("2ac31f42b463e1a7b4bf82544633d08d", "c6d4fe464d7b91ad", "", 1747898362584000000,
     1747898362584180329, {"dpl.objects.datasets": '[{"dataset_id": "x"}]'}),
)  # fmt: skip


def test_marks_as_another_service_writes_them(tmp_path: Path) -> None:
    """A singular `dpl.object.`, datasets alone, and a person without an activity are Acties; a bare span is none."""
    resource = {
        "service.name": "simulator",
        "host.name": "2819bf902c9b",
        "host.arch": "amd64",
        "process.pid": {"intValue": "25"},
        "process.executable.path": "/usr/local/bin/node",
        "process.command_args": {"arrayValue": {"values": [{"stringValue": "-r"}]}},
        "process.owner": "node",
        "telemetry.sdk.name": "opentelemetry",
    }
    spans = [
        {
            "traceId": trace_id,
            "spanId": span_id,
            "parentSpanId": parent,
            "name": span_id,
            "kind": 1,
            "startTimeUnixNano": str(start),
            "endTimeUnixNano": str(end),
            "attributes": attributes({"attribute": "{}"} | marks),
            "status": {},
        }
        for trace_id, span_id, parent, start, end, marks in IMAGEM
    ]
    documents = [otlp(resource, part, {"name": "service"}) for part in (spans[:3], spans[3:])]
    report, records = imported(tmp_path, documents)
    assert (report.stored, report.left_out, report.problems) == (3, {TECHNICAL: 1}, [])
    assert report.overlooked == ()
    for trace_id, span_id, parent, start, end, marks in IMAGEM:
        if marks:
            record = records[span_id]
            assert (record.trace_id.hex(), record.parent_span_id.hex()) == (trace_id, parent)
            assert (record.start_time_ms, record.end_time_ms) == (start // 10**6, end // 10**6)
            assert json.loads(record.resource) == {
                "service.name": "simulator",
                "host.name": "2819bf902c9b",
                "process.pid": "25",
                "ldv.left_out": "host.arch,process.command_args,process.executable.path,process.owner",
            }
    called, person, decided = (records[IMAGEM[number][1]] for number in (0, 2, 3))
    assert called.processing_activity_id == ACTIVITY
    assert called.foreign_operation_processor == UNKNOWN_CALLER_URL
    assert Flag.FOREIGN_ID_MALFORMED in called.flags
    assert person.data_subject_id
    assert {Flag.ACTIVITY_MISSING} <= {*person.flags} & {*decided.flags}


@pytest.mark.parametrize("name", ["otlp-geonovum-kapvergunning.json"])
def test_the_trace_that_is_here(name: str) -> None:
    """One record, without a parent, of the moment in the file."""
    logboek = Logboek()
    report = run(logboek, DATA / name)
    assert (report.stored, report.left_out, report.problems) == (1, {}, [])
    (record,) = logboek.logregels
    assert (record.start_time_ms, record.end_time_ms) == (1_745_333_267_994, 1_745_333_268_122)
    assert (record.trace_id.hex(), record.span_id.hex()) == ("0ac8d1c5251f6cd04c2fe5acd871f69c", "f08448c4a0dfea16")
    assert (record.parent_span_id, record.foreign_operation_processor) == (b"", "")
