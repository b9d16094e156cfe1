from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ldv_otel._internal.importer.parents import Key, link, without_repeats
from ldv_otel._internal.importer.spans import ImportedSpan, read_spans
from ldv_otel._internal.record.logregel import Logregel
from tests.importer.spelling import ACTIVITY, MAKER, GivenSpan, traces, written

OTHER_ACTIVITY = "https://register.example/activiteiten/tenaamstelling"


def span(number: int, parent: int = 0, activity: str | None = None, **more: Any) -> GivenSpan:
    """A span with a number for an id; technical unless it has an activity or attributes."""
    attributes = {} if activity is None else {"dpl.core.processing_activity_id": activity}
    parent_id = _id(parent) if parent else b""
    return GivenSpan(**({"span_id": _id(number), "parent_id": parent_id, "attributes": attributes} | more))


def linked(*spans: GivenSpan, stored: set[Key] | None = None) -> dict[int, Logregel]:
    """The records of these spans, by number."""
    records = link(without_repeats(_read(*spans))[0], stored or set(), MAKER)
    return {record.span_id[-1]: record for record in records}


def _read(*spans: GivenSpan) -> list[ImportedSpan]:
    reading = read_spans(written(spans), file="f", resource_of=MAKER.record_resource)
    assert not reading.problems
    return reading.spans


def _id(number: int) -> bytes:
    return number.to_bytes(8, "big")


def test_the_parent_is_the_nearest_actie() -> None:
    """Technical spans are no Logregels, so no parent points at one (LDV-A2); children come first in a file."""
    records = linked(span(5, 4, ACTIVITY), span(4, 3), span(3, 2), span(2, 1, ACTIVITY), span(1))
    assert records.keys() == {2, 5}
    assert records[5].parent_span_id == _id(2)
    assert records[2].parent_span_id == b""
    assert records[5].foreign_operation_span_id == b""


def test_a_chain_that_leaves_the_files_leads_to_a_caller_elsewhere() -> None:
    """The remote parent of a technical server span is the foreign operation of the Acties below it (LDV-A6)."""
    records = linked(span(3, 2, ACTIVITY), span(4, 2, ACTIVITY), span(2, 99), span(5, 3, ACTIVITY))
    for number in (3, 4):
        assert records[number].foreign_operation_span_id == records[number].parent_span_id == _id(99)
        assert records[number].foreign_operation_trace_id == records[number].trace_id
    assert records[5].parent_span_id == _id(3)
    assert records[5].foreign_operation_span_id == b""


def test_a_parent_that_was_imported_before_is_no_caller_elsewhere() -> None:
    """The Logboek knows it: the record points there, and claims nothing about another application."""
    trace_id = GivenSpan().trace_id
    records = linked(span(3, 2, ACTIVITY), span(2, 99), stored={(trace_id, _id(99))})
    assert records[3].parent_span_id == _id(99)
    assert records[3].foreign_operation_span_id == b""
    assert records[3].parent_processing_activity_id == ""


def test_activities_of_enclosing_acties() -> None:
    """One that only names a person inherits (LDV-A3), through others that do; another activity names its main one."""
    subject = {"dpl.core.data_subject_id": "1", "dpl.core.data_subject_id_type": "BSN"}
    records = linked(
        span(4, 3, attributes=subject),
        span(3, 2, attributes=subject),
        span(2, 1, ACTIVITY),
        span(5, 2, OTHER_ACTIVITY),
        span(1),
    )
    assert records[3].processing_activity_id == records[4].processing_activity_id == ACTIVITY
    assert records[5].parent_processing_activity_id == ACTIVITY
    assert records[2].parent_processing_activity_id == records[4].parent_processing_activity_id == ""


def test_technical_client_spans_are_on_the_actie_above() -> None:
    """A called party records their ids as its parent; in the order they started, other kinds not."""
    records = linked(
        span(6, 5, kind="PRODUCER", start_ms=1_750_000_000_002, end_ms=1_750_000_000_002),
        span(5, 2, kind="CLIENT", start_ms=1_750_000_000_001, end_ms=1_750_000_000_002),
        span(7, 2, kind="SERVER"),
        span(2, 1, ACTIVITY),
        span(8, 1, kind="CLIENT"),
        span(9, 2, ACTIVITY, kind="CLIENT"),
        span(1),
    )
    assert records[2].outbound_span_ids == (_id(5), _id(6))
    assert records[9].outbound_span_ids == ()


def test_circles_are_cut_open() -> None:
    """Spans that are each other's parents become records all the same, and one of them becomes the root."""
    records = linked(span(1, 2, ACTIVITY), span(2, 1, ACTIVITY))
    assert records[1].parent_span_id == _id(2)
    assert records[2].parent_span_id == b""
    assert records[2].flags == ("id_replaced",)
    assert records[2].attributes["ldv.original.parent_span_id"] == _id(1).hex()


def test_circles_through_technical_spans() -> None:
    """A technical circle leads nowhere, and an Actie in one is not its own parent."""
    assert linked(span(1, 1, ACTIVITY))[1].parent_span_id == b""
    assert linked(span(1, 2, ACTIVITY), span(2, 1))[1].parent_span_id == b""
    records = linked(span(1, 2, ACTIVITY), span(2, 3), span(3, 2), span(4, 3, ACTIVITY))
    assert records[1].flags == records[4].flags == ("id_replaced",)
    records = linked(span(5, 2, ACTIVITY), span(1, 2, ACTIVITY), span(2, 1))
    assert records[5].parent_span_id == _id(1)
    assert records[1].parent_span_id == b""


def test_a_span_that_occurs_twice_is_one() -> None:
    """Files overlap; and of two with one id the Actie is the one that counts."""
    spans = _read(span(1, activity=ACTIVITY), span(2), span(1, activity=ACTIVITY), span(2, activity=ACTIVITY), span(1))
    unique, displaced = without_repeats(spans)
    assert [(one.span_id[-1], one.facts is not None) for one in unique] == [(1, True), (2, True)]
    assert displaced == []


def test_a_replaced_parent_elsewhere_keeps_its_name() -> None:
    """Nobody could find the caller by our replacement."""
    content = written([span(3, 2, ACTIVITY)]).replace(_id(2).hex().encode(), b"span-two")
    (record,) = link(read_spans(content, file="f", resource_of=MAKER.record_resource).spans, set(), MAKER)
    assert record.attributes["ldv.original.parent_span_id"] == "span-two"
    assert record.flags == ("id_replaced",)
    assert record.foreign_operation_span_id == record.parent_span_id != b""


def test_long_chains_do_not_recurse() -> None:
    """A chain of follow-up tasks may be longer than Python's stack, and each span is walked through once."""
    count = 20_000
    technical = [span(number, number + 1) for number in range(10, count)]
    acties = [span(number, number + 1, "") for number in range(count, 2 * count)]
    several = [span(number, 10, ACTIVITY) for number in range(2 * count + 10, 2 * count + 1_000)]
    records = link(_read(*several, *technical, *acties, span(2 * count, activity=ACTIVITY)), set(), MAKER)
    assert len(records) == count + 1 + len(several)
    assert {record.processing_activity_id for record in records} == {ACTIVITY}
    assert {record.parent_span_id for record in records if record.span_id > _id(2 * count)} == {_id(count)}


@settings(deadline=None)
@given(st.lists(traces(), max_size=2, unique_by=lambda trace: trace[0].trace_id), st.randoms())
def test_every_parent_resolves(given_traces: list[list[GivenSpan]], random: Any) -> None:
    """A parent is a record here or the caller of the foreign operation, in whatever order the spans stand."""
    spans = [one for trace in given_traces for one in trace]
    records = linked_list(spans)
    keys = {(record.trace_id, record.span_id) for record in records}
    for record in records:
        parent = (record.trace_id, record.parent_span_id)
        foreign = (record.foreign_operation_trace_id, record.foreign_operation_span_id)
        assert not record.parent_span_id or parent in keys or parent == foreign
        assert not any(foreign) or parent == foreign
    random.shuffle(spans)
    if not any("id_replaced" in record.flags for record in records):  # where a circle is cut, order decides
        assert sorted(map(repr, linked_list(spans))) == sorted(map(repr, records))


def linked_list(spans: list[GivenSpan]) -> list[Logregel]:
    """As `linked`, for any ids."""
    return link(without_repeats(_read(*spans))[0], set(), MAKER)
