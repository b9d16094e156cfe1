"""The list of terms is whole: what others can read in a record, an answer or a Register is explained."""

from __future__ import annotations

import re
from typing import Any

import ldv_otel.attributes
from ldv_otel._internal.linked_data.terms import CONCEPTS, TERMS
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.record.read_form import data_processing_operation
from ldv_otel._internal.record.spellings import CONTAINERS, OUTBOUND_SPAN_IDS
from ldv_otel._internal.register.register import ProcessingActivity

WRITTEN = {term.written for term in TERMS if term.written}
WHOLE = Logregel(
    trace_id=b"\x01" * 16,
    span_id=b"\x02" * 8,
    parent_span_id=b"\x03" * 8,
    name="Stap",
    start_time_ms=0,
    end_time_ms=1,
    processing_activity_id="https://register.example/a",
    parent_processing_activity_id="https://register.example/b",
    data_subject_id=b"\x05" * 16,
    data_subject_id_type="BSN",
    foreign_operation_trace_id=b"\x06" * 16,
    foreign_operation_span_id=b"\x07" * 8,
    foreign_operation_processor="https://elders.example/app",
    external_read_api_id="https://elders.example/lezenapi/v1",
    outbound_span_ids=(b"\x08" * 8,),
)


def members_of(answer: dict[str, Any]) -> set[str]:
    """The names of members that hold a value and no others."""
    left, found = [("", answer)], set()
    while left:
        above, content = left.pop()
        for name, value in content.items():
            whole = f"{above}.{name}" if above else name
            if whole in {"attributes", *(f"attributes.{container}" for container in CONTAINERS)}:
                left.append((whole, value))
            else:
                found.add(name)
    return found


def test_every_name_in_a_record_is_a_term() -> None:
    """Every attribute that this package names: those of the standard and its own."""
    exported = [getattr(ldv_otel.attributes, name) for name in dir(ldv_otel.attributes) if name.isupper()]
    attributes = {name for name in exported if isinstance(name, str) and not name.endswith(".")}
    assert len(attributes) > 20
    assert attributes | {OUTBOUND_SPAN_IDS} <= WRITTEN


def test_every_member_of_an_answer_is_a_term() -> None:
    """What stands in an extension of ours is explained below it."""
    ours = {"parentProcessingActivityId", "outboundSpanIds", "foreignOperation", "traceId", "spanId"}
    members = members_of(data_processing_operation(WHOLE))
    assert members - ours <= {term.member for term in TERMS}
    assert "processor" in members
    assert {term.member for term in TERMS if term.member} - {"ldvotel"} <= members | {"traceId", "spanId"}


def test_every_field_of_the_register_is_a_term() -> None:
    """`ldv register export` could not write it otherwise."""
    of_register = {name.removeprefix("register.") for name in WRITTEN if name.startswith("register.")}
    assert of_register == set(ProcessingActivity.__struct_fields__)


def test_terms_are_in_two_languages_and_have_addresses_of_their_own() -> None:
    """A label and a sentence in each; no two terms share an address, a name in the record or a label."""
    for field in ("id", "nl", "en"):
        values = [getattr(term, field) for term in TERMS]
        assert len(set(values)) == len(values), field
    assert len(WRITTEN) == sum(bool(term.written) for term in TERMS)
    for term in TERMS:
        assert re.fullmatch(r"[a-zA-Z]+", term.id)
        assert term.concept == CONCEPTS + term.id
        assert all(text.endswith(".") for text in (term.definition_nl, term.definition_en)), term.id
        assert not term.broader or term.broader in {each.id for each in TERMS}
