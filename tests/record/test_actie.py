from __future__ import annotations

import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldv_otel._internal.privacy.pseudonyms import Key, KeyRing, Pseudonymiser
from ldv_otel._internal.record.actie import ChildEncoder, LogregelMaker, is_actie, stacktrace_without_values
from ldv_otel._internal.record.builder import child_of
from ldv_otel._internal.record.logregel import Logregel, Status, decode_logregel, encode_logregel
from ldv_otel._internal.record.span_facts import EnclosingActie, ExceptionFacts, ForeignOperation, SpanFacts
from tests.strategies import anything, logregels, span_ids

ACTIVITY = "https://register.example/activiteiten/parkeren"
PSEUDONYMISER = Pseudonymiser(KeyRing([Key(id="k", secret="0123456789abcdef0123456789abcdef")], active="k"))
MAKER = LogregelMaker(PSEUDONYMISER.subject)


def make(attributes: dict[str, Any] | None = None, **facts: Any) -> list[Logregel]:
    """Records of a span with these attributes."""
    given_attributes = {"dpl.core.processing_activity_id": ACTIVITY} if attributes is None else attributes
    known: dict[str, Any] = {
        "trace_id": bytes(range(16)),
        "span_id": bytes(range(1, 9)),
        "name": "Wijzig kenteken",
        "start_time_ns": 1_750_000_000_123_456_789,
        "end_time_ns": 1_750_000_000_999_999_999,
        "attributes": given_attributes,
    }
    return MAKER.make(SpanFacts(**(known | facts)))


@pytest.mark.parametrize(
    ("attributes", "actie"),
    [
        ({"dpl.core.processing_activity_id": ACTIVITY}, True),
        ({"dpl.core.processing_activity_id": ""}, True),
        ({"dpl.objects.processing_activity_id": "x"}, True),
        ({"dpl.objects.algorithm_id": "x"}, True),
        ({"dpl.objects.dataproduct_id": "x"}, True),
        ({"dpl.objects.data_product_id": "x"}, True),
        ({"dpl.core.data_subject_id": "x"}, True),
        ({"dpl.objects.dataset": "x"}, True),
        ({"dpl.objects.datasets": "x"}, True),
        ({"http.route": "/x", "dpl.object.dataset_id": "x"}, True),
        ({"dpl.object.processing_activity_id": ""}, True),
        ({"dpl.core.processing_activity": ACTIVITY}, False),
        ({"dpl.objective": "x"}, False),
        ({"foreign_operation.processor": "https://a.example"}, False),
        ({"http.route": "/x"}, False),
        ({}, False),
    ],
)
def test_which_span_is_an_actie(attributes: dict[str, object], actie: bool) -> None:
    """The rule under LDV-A3, with the marks as they are really written (LDV-N9)."""
    assert is_actie(attributes) is actie


def test_the_activity_may_be_named_in_the_singular() -> None:
    """LDV-N9: `dpl.object.` is `dpl.objects.`, which goes first, and the standard's own attribute before both."""
    (record,) = make({"dpl.object.processing_activity_id": ACTIVITY})
    assert (record.processing_activity_id, record.flags) == (ACTIVITY, ())
    (record,) = make({"dpl.object.processing_activity_id": "urn:b", "dpl.objects.processing_activity_id": ACTIVITY})
    assert record.processing_activity_id == ACTIVITY


def test_the_caller_may_be_named_without_its_namespace() -> None:
    """LDV-N9: a bare `foreign_operation.*` beside the marks of an Actie is read; the full name goes first."""
    bare = {
        "foreign_operation.trace_id": "ab" * 16,
        "foreign_operation.span_id": "cd" * 8,
        "foreign_operation.processor": "https://a.example",
    }
    (record,) = make({"dpl.objects.dataset": "bomen", **bare})
    assert record.foreign_operation_trace_id == b"\xab" * 16
    assert record.foreign_operation_span_id == b"\xcd" * 8
    assert record.foreign_operation_processor == "https://a.example"
    assert set(record.attributes) == {"dpl.objects.dataset", "ldv.flags"}
    (record,) = make({"dpl.core.foreign_operation.processor": "https://b.example", "dpl.objects.dataset": "", **bare})
    assert record.foreign_operation_processor == "https://b.example"


def test_times_are_milliseconds() -> None:
    """OpenTelemetry's nanoseconds are cut to the standard's milliseconds, in one place."""
    (record,) = make()
    assert (record.start_time_ms, record.end_time_ms) == (1_750_000_000_123, 1_750_000_000_999)


def test_only_the_standard_enters_the_record() -> None:
    """An URL with a number in it, or the user's name, is not accountability (LDV-A9)."""
    (record,) = make({"dpl.core.processing_activity_id": ACTIVITY, "url.full": "/bsn/123456782", "enduser.id": "jan"})
    assert record.attributes == {}


def test_extensions_are_kept_whole() -> None:
    """`dpl.objects.*` and `dpl.nen7513.*` come through, lists and nesting as JSON."""
    (record,) = make(
        {
            "dpl.objects.algorithm_id": "alg-1",
            "dpl.objects.dataset": [{"dataset_id": "bomen", "feature": ["boom"]}],
            "dpl.nen7513.toegang": True,
        }
    )
    assert record.attributes == {
        "dpl.objects.algorithm_id": "alg-1",
        "dpl.objects.dataset": '[{"dataset_id":"bomen","feature":["boom"]}]',
        "dpl.nen7513.toegang": "true",
        "ldv.json": "dpl.objects.dataset,dpl.nen7513.toegang",
        "ldv.flags": "activity_missing",
    }


def test_an_activity_of_the_extension_objecten_serves() -> None:
    """Where the core attribute is missing, the extension's names the activity."""
    (record,) = make({"dpl.objects.processing_activity_id": ACTIVITY})
    assert record.processing_activity_id == ACTIVITY
    assert record.attributes == {"dpl.objects.processing_activity_id": ACTIVITY}


def test_a_subject_given_by_hand_becomes_a_pseudonym() -> None:
    """The raw identifier is nowhere in the record's bytes."""
    (record,) = make({"dpl.core.data_subject_id": "123456782", "dpl.core.data_subject_id_type": "BSN"})
    assert record.data_subject_id == PSEUDONYMISER.subject("123456782", "BSN").pseudonym
    assert record.flags == ("activity_missing",)
    assert b"123456782" not in encode_logregel(record)


def test_further_subjects_get_child_records() -> None:
    """One Betrokkene a record; the others hang below it, with ids that are the same each time (LDV-A4)."""
    attributes = {
        "dpl.core.processing_activity_id": ACTIVITY,
        "dpl.core.data_subject_id": ["111222333", "123456782", "111.222.333"],
        "dpl.core.data_subject_id_type": "BSN",
    }
    first, second = make(attributes)
    assert second.parent_span_id == first.span_id
    assert second.span_id not in (first.span_id, bytes(8))
    assert second.trace_id == first.trace_id
    assert second.processing_activity_id == ACTIVITY
    assert {first.data_subject_id, second.data_subject_id} == {
        PSEUDONYMISER.subject(number, "BSN").pseudonym for number in ("111222333", "123456782")
    }
    assert make(attributes) == [first, second]


def test_a_subject_alone_takes_the_enclosing_activity() -> None:
    """LDV-A4: its activity is that of the nearest enclosing Actie."""
    (record,) = make({"dpl.core.data_subject_id": "x"}, enclosing=EnclosingActie(b"12345678", ACTIVITY))
    assert record.processing_activity_id == ACTIVITY
    assert record.parent_processing_activity_id == ""
    assert record.parent_span_id == b"12345678"


def test_a_suboperation_names_the_main_operation() -> None:
    """LDV-A12, and only where the activities differ."""
    (other,) = make(enclosing=EnclosingActie(b"12345678", "https://register.example/main"))
    (same,) = make(enclosing=EnclosingActie(b"12345678", ACTIVITY))
    assert other.parent_processing_activity_id == "https://register.example/main"
    assert same.parent_processing_activity_id == ""


def test_a_foreign_caller_is_recorded() -> None:
    """LDV-A6; the parent is the caller's span as long as the trace goes on (LDV-A2)."""
    (continued,) = make(foreign=ForeignOperation(bytes(range(16)), b"87654321"))
    (restarted,) = make(foreign=ForeignOperation(b"another trace id", b"87654321"))
    assert continued.foreign_operation_trace_id == bytes(range(16))
    assert continued.parent_span_id == continued.foreign_operation_span_id == b"87654321"
    assert restarted.foreign_operation_trace_id == b"another trace id"
    assert restarted.parent_span_id == b""


def test_a_malformed_foreign_id_is_kept_beside() -> None:
    """What a caller claims badly is flagged, and not lost."""
    (record,) = make({"dpl.core.foreign_operation.trace_id": "xyz", "dpl.objects.algorithm_id": "a"})
    assert record.foreign_operation_trace_id == b""
    assert record.attributes["ldv.original.foreign_operation_trace_id"] == "xyz"
    assert "foreign_id_malformed" in record.flags


TRACE = """Traceback (most recent call last):
  File "/app/main.py", line 12, in wijzig
    zoek("123456782")
ValueError: 123456782 onbekend
  File "fake 123456782", line 1
	at nl.gemeente.Dienst.zoek(Dienst.java:44)
    at zoek (app.js:10:5)
"""


def test_frames_of_exception_groups_are_read() -> None:
    """Python draws a line beside them; the places count as any other, and the messages do not."""
    try:
        try:
            raise ValueError("123456782")  # noqa: TRY301  (as a task of a group)
        except ValueError as error:
            raise ExceptionGroup("123456782", [error]) from None
    except ExceptionGroup as group:
        text = "".join(traceback.format_exception(group))
    places = stacktrace_without_values(text).splitlines()
    assert len(places) == 2
    assert all(
        place.startswith('File "') and place.endswith("in test_frames_of_exception_groups_are_read") for place in places
    )
    assert "123456782" not in stacktrace_without_values(text)


def test_an_exception_keeps_type_and_places() -> None:
    """No personal data in the text of an exception: messages and source lines stay out."""
    exception = ExceptionFacts(type="ValueError", stacktrace=TRACE, message="123456782 onbekend")
    (record,) = make(status=Status.ERROR, exception=exception)
    assert record.attributes == {
        "exception.type": "ValueError",
        "exception.stacktrace": 'File "/app/main.py", line 12, in wijzig\nat nl.gemeente.Dienst.zoek(Dienst.java:44)\n'
        "at zoek (app.js:10:5)",
    }
    assert "123456782" not in stacktrace_without_values(TRACE)


def test_an_exception_that_did_no_harm_is_not_kept() -> None:
    """`exception.*` belongs to status Error."""
    (record,) = make(exception=ExceptionFacts(type="ValueError"))
    assert record.attributes == {}


def test_messages_can_be_kept_on_purpose() -> None:
    """LDV_EXCEPTION_MESSAGES=1."""
    maker = LogregelMaker(PSEUDONYMISER.subject, exception_messages=True)
    facts = SpanFacts(
        trace_id=bytes(range(16)),
        span_id=bytes(range(8)),
        name="x",
        start_time_ns=0,
        end_time_ns=0,
        status=Status.ERROR,
        attributes={},
        exception=ExceptionFacts(type="E", stacktrace="trace", message="why"),
    )
    (record,) = maker.make(facts)
    assert record.attributes["exception.message"] == "why"
    assert record.attributes["exception.stacktrace"] == "trace"


names = st.sampled_from(
    [
        "dpl.core.processing_activity_id",
        "dpl.core.data_subject_id",
        "dpl.core.data_subject_id_type",
        "dpl.objects.dataset",
        "dpl.core.foreign_operation.trace_id",
        "dpl.core.foreign_operation.processor",
        "dpl.read.externalReadAPI_id",
    ]
)


@given(st.dictionaries(st.one_of(names, st.text()), anything), anything, st.integers(), st.integers())
def test_any_span_becomes_a_storable_record(attributes: dict[str, Any], name: Any, start: int, end: int) -> None:
    """Never an exception into the application, never a lost record (LDV-A8)."""
    for record in make(attributes, name=name, start_time_ns=start, end_time_ns=end):
        assert decode_logregel(encode_logregel(record)) == record
        assert record.name


@given(logregels(), st.lists(st.tuples(anything, st.one_of(st.just("BSN"), anything), span_ids), max_size=5))
def test_children_encoded_at_once_are_the_same(parent: Logregel, people: list[tuple[Any, Any, bytes]]) -> None:
    """What is encoded once for all children changes no byte of any of them."""
    encoder = ChildEncoder(parent)
    for identifier, type_, span_id in [*people, *people]:
        subject = PSEUDONYMISER.subject(identifier, type_)
        assert encoder.encode(subject, span_id) == encode_logregel(child_of(parent, subject, span_id))
