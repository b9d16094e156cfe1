from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldv_otel._internal.importer.parents import link, without_repeats
from ldv_otel._internal.importer.spans import FileSpans, ImportProblem, read_spans
from ldv_otel._internal.record.logregel import Status, encode_logregel
from tests.importer.spelling import ACTIVITY, MAKER, GivenSpan, any_json, records_of, written
from tests.support.chance import examples

SPAN = {
    "traceId": "0102030405060708090a0b0c0d0e0f10",
    "spanId": "0102030405060708",
    "name": "Wijzig kenteken",
    "startTimeUnixNano": "1745333267994934004",
    "endTimeUnixNano": "1745333268122326588",
    "attributes": [{"key": "dpl.core.processing_activity_id", "value": {"stringValue": ACTIVITY}}],
}


def read(document: Any) -> FileSpans:
    """What a file with this document gives."""
    return read_spans(json.dumps(document).encode(), file="f.json", resource_of=MAKER.record_resource)


def problems(document: Any) -> list[tuple[str, str]]:
    """Places and reasons."""
    return [(problem.location, problem.reason) for problem in read(document).problems]


def in_resource_spans(*spans: object) -> dict[str, Any]:
    """An OTLP document around spans."""
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (in_resource_spans(None), [("line 1, resourceSpans[0].scopeSpans[0].spans[0]", "not an object")]),
        (in_resource_spans(SPAN, "x"), [("line 1, resourceSpans[0].scopeSpans[0].spans[1]", "not an object")]),
        ({"resourceSpans": "x"}, [("line 1, resourceSpans", "not an object")]),
        ({"resource_spans": [{"scope_spans": 5}]}, [("line 1, resource_spans[0].scope_spans", "not an object")]),
        ({"resourceSpans": None}, []),
        ({"resourceSpans": []}, []),
        ({"batches": [{"scopeSpans": None}]}, []),
        ({"batches": {"scopeSpans": {"spans": SPAN}}}, []),
        ([[SPAN]], []),
        ([5], [("line 1, [0]", "not an object")]),
        ({}, [("line 1", "no spans in it")]),
        ({"partialSuccess": {}}, [("line 1", "no spans in it")]),
        ({"message": "a log line", "trace_id": "0a", "span_id": "0b"}, [("line 1", "no spans in it")]),
    ],
)
def test_wrong_types_are_told_by_their_place(document: object, expected: list[tuple[str, str]]) -> None:
    """Somebody has to find the place in the file."""
    assert problems(document) == expected


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"traceId": ""}, "trace id"),
        ({"spanId": None}, "span id"),
        ({"spanId": 5.5}, "span id"),
        ({"traceId": []}, "trace id"),
    ],
)
def test_a_span_without_an_id_is_not_stored(change: dict[str, Any], missing: str) -> None:
    """Without both ids a second import could not tell that the record is there already."""
    reading = read(in_resource_spans(SPAN | change))
    assert reading.spans == []
    (problem,) = reading.problems
    assert problem.reason.startswith(f"a span without a {missing}")


def test_deep_arrays_and_objects_end() -> None:
    """Arrays in arrays are walked through, but not for ever."""
    document: Any = SPAN
    for _ in range(300):
        document = [document]
    (problem,) = read(document).problems
    assert problem.reason == "nested too deep"
    for _ in range(300):
        document = {"trace": document}
    assert [problem.reason for problem in read(document).problems] == ["nested too deep"]


def test_problems_are_not_listed_without_end() -> None:
    """A file of another kind gives a hundred problems and a number."""
    reading = read([None] * 1_000)
    assert len(reading.problems) == 101
    assert reading.problems[-1] == ImportProblem("f.json", "", "900 more parts could not be read; they are not listed")


@pytest.mark.parametrize("content", [b"", b"  \n", b"\xef\xbb\xbf\n", gzip.compress(b"", mtime=0), b"\xff\xfe"])
def test_an_empty_file_is_no_problem(content: bytes) -> None:
    """A service that did nothing leaves an empty file."""
    assert read_spans(content, file="f", resource_of=MAKER.record_resource) == FileSpans(empty=True)


def test_a_cut_file_gives_its_whole_lines() -> None:
    """What a crash left of the last line is told; the lines before it are read."""
    spans = [GivenSpan(span_id=bytes([0, 0, 0, 0, 0, 0, 0, number])) for number in range(1, 4)]
    content = b"\n".join(written([span]) for span in spans)[:-40]
    reading = read_spans(content, file="f.json", resource_of=MAKER.record_resource)
    assert [span.span_id[-1] for span in reading.spans] == [1, 2]
    assert reading.problems == [ImportProblem("f.json", "line 3", "cut off: the file ends inside this value")]


def test_packing_that_is_cut_is_told() -> None:
    """The spans before the cut are read, and the file is no empty one."""
    content = gzip.compress(written([GivenSpan()]) * 2)
    reading = read_spans(content[:-4], file="f", resource_of=MAKER.record_resource)
    assert len(reading.spans) == 2
    assert [problem.reason for problem in reading.problems] == ["the gzip stream is cut off"]
    assert not read_spans(content[:5], file="f", resource_of=MAKER.record_resource).empty


def test_numbers_as_subjects() -> None:
    """A number is the same person as its digits, also when it went through a float."""
    found = set()
    for value in (
        {"stringValue": "123456782"},
        {"intValue": "123456782"},
        {"intValue": 123456782},
        {"doubleValue": 123456782},
    ):
        attributes = [
            {"key": "dpl.core.data_subject_id", "value": value},
            {"key": "dpl.core.data_subject_id_type", "value": {"stringValue": "BSN"}},
        ]
        (record,) = records_of(json.dumps(in_resource_spans(SPAN | {"attributes": attributes})).encode())
        assert record.flags == ("activity_missing",)
        found.add(record.data_subject_id)
    assert len(found) == 1


@pytest.mark.parametrize("name", ["dpl.core.data_subject_id", "dpl.objects.dataset", "dpl.core.processing_activity_id"])
def test_deep_values_do_not_recurse(name: str) -> None:
    """What JSON can just read, the rest of the way can take too."""
    deep = "[" * 700 + "]" * 700
    content = json.dumps(in_resource_spans(SPAN | {"attributes": {"dpl.objects.algorithm_id": "x", name: "DEEP"}}))
    (record,) = records_of(content.replace('"DEEP"', deep).encode())
    assert len(encode_logregel(record)) < 2_000


def test_several_subjects_are_several_records() -> None:
    """A list of people gives a record each, also from a file (LDV-A4)."""
    attributes = SPAN["attributes"] + [  # type: ignore[operator]  # it is a list
        {
            "key": "dpl.core.data_subject_id",
            "value": {"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "2"}]}},
        },
    ]
    first, second = records_of(json.dumps(in_resource_spans(SPAN | {"attributes": attributes})).encode())
    assert second.parent_span_id == first.span_id
    assert first.data_subject_id != second.data_subject_id


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"status": "splendid"}, "value_converted"),
        ({"droppedAttributesCount": 3}, "attributes_dropped"),
        ({"attributes": [*SPAN["attributes"], None]}, "attributes_dropped"),
        ({"name": ""}, "name_missing"),
        ({"name": None}, "name_missing"),
        ({"name": 5}, ""),
        ({"endTimeUnixNano": ""}, "end_missing"),
        ({"startTimeUnixNano": 0}, "time_out_of_range"),
        ({"spanId": "17"}, "id_replaced"),
        ({"traceId": "17"}, "id_replaced"),
        ({"events": [None, 5, {"name": "exception"}]}, ""),
        ({"events": "x"}, ""),
        ({"resource": "x"}, ""),
        ({"kind": {}}, ""),
        ({"droppedAttributesCount": 0}, ""),
    ],
)
def test_what_was_bent_is_on_the_record(change: dict[str, Any], flag: str) -> None:
    """Odd fields never cost a record, and never pass unseen (LDV-A8)."""
    (record,) = records_of(json.dumps(in_resource_spans(SPAN | change)).encode())
    assert record.flags == ((flag,) if flag else ())


def test_originals_of_replaced_ids() -> None:
    """Who knows the span by the id its tool gave it finds it."""
    (record,) = records_of(json.dumps(in_resource_spans(SPAN | {"spanId": "s-17", "traceId": "t-17"})).encode())
    assert record.attributes["ldv.original.span_id"] == "s-17"
    assert record.attributes["ldv.original.trace_id"] == "t-17"


def test_a_span_whose_attributes_cannot_be_read_is_told() -> None:
    """It may be an Actie or not; silence would lose a record."""
    (problem,) = read(in_resource_spans(SPAN | {"attributes": "x"})).problems
    assert problem.reason == "attributes that cannot be read: whether this span is an Actie is not known"


def test_an_exception_follows_the_rules_of_the_record() -> None:
    """Its message may quote a person, so only the type and the places are kept."""
    events = [
        {"name": "exception", "attributes": [{"key": "exception.type", "value": {"stringValue": "KeyError"}}]},
        {
            "name": "exception",
            "attributes": {"exception.type": "ValueError", "exception.message": "123456782", "exception.stacktrace": 5},
        },
        {"name": "other"},
    ]
    (record,) = records_of(json.dumps(in_resource_spans(SPAN | {"events": events, "status": {"code": 2}})).encode())
    assert record.status is Status.ERROR
    assert record.attributes == {"exception.type": "ValueError"}


_FIELDS = [
    "traceId",
    "span_id",
    "spanId",
    "parentSpanId",
    "context",
    "name",
    "kind",
    "startTimeUnixNano",
    "end_time",
    "status",
    "attributes",
    "events",
    "resource",
    "key",
    "value",
    "code",
    "resourceSpans",
    "batches",
    "scopeSpans",
    "spans",
    "trace",
    "stringValue",
    "arrayValue",
    "values",
    "kvlistValue",
    "dpl.core.processing_activity_id",
    "dpl.core.data_subject_id",
    "dpl.objects.dataset",
]
_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["0102030405060708", "0102030405060708090a0b0c0d0e0f10", "1745333267994934004", "exception", *_FIELDS]
    ),
)
span_like = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_FIELDS), inner, max_size=6),
    max_leaves=25,
)


def store(content: bytes) -> list[bytes]:
    """Read and link any bytes; everything that reads must also become bytes again."""
    reading = read_spans(content, file="f", resource_of=MAKER.record_resource)
    assert reading.empty or reading.spans or reading.problems or reading.left_out or content.strip()
    records = link(without_repeats(reading.spans)[0], set(), MAKER)
    assert all(record.start_time_ms > 10**11 for record in records)
    return [encode_logregel(record) for record in records]


@given(st.binary() | st.text(alphabet='{}[]":,\\ \n1e.u').map(str.encode))
def test_any_bytes(content: bytes) -> None:
    """No file makes an import fail."""
    store(content)


@settings(max_examples=examples(500), deadline=None)
@given(any_json | span_like | span_like.map(in_resource_spans))
def test_any_json(document: object) -> None:
    """No document makes an import fail, whatever stands where."""
    store(json.dumps(document).encode())


@settings(max_examples=examples(500), deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*SPAN, "kind", "status", "events", "parentSpanId", "resource"]), span_like, max_size=4
    )
)
def test_any_change_of_a_span(change: dict[str, Any]) -> None:
    """One odd field does not make an import fail, and a span with ids, a time and an activity is stored."""
    document = in_resource_spans(SPAN | change)
    stored = store(json.dumps(document).encode())
    if not change.keys() & {"traceId", "spanId", "attributes"}:
        reasons = [problem.reason for problem in read(document).problems]
        assert stored or reasons == ["an Actie without a time that can be read; it was not stored"]
        assert stored or {"startTimeUnixNano", "endTimeUnixNano"} <= change.keys()


@given(st.binary(max_size=40), st.data())
def test_any_damage_to_a_file(noise: bytes, data: st.DataObject) -> None:
    """A file that was overwritten somewhere gives what it gives, or problems."""
    content = b"\n".join(written([GivenSpan(attributes={"dpl.core.processing_activity_id": "x"})]) for _ in range(2))
    position = data.draw(st.integers(0, len(content)))
    store(content[:position] + noise + content[position + len(noise) :])
