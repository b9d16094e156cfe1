"""Acties and spans nested as deep as anybody likes: each has its record, and readers see all of them."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from opentelemetry import trace

import ldv_otel as ldv
from ldv_otel import testing

ACTIVITY = "https://register.example/activiteiten/parkeren"
#: Beyond what Python's stack holds by default.
DEPTH = 1_500


@pytest.mark.parametrize("named", ["each", "outermost", "none"])
def test_acties_nested_beyond_the_stack_are_all_logged(named: str) -> None:
    """Those without an activity of their own get that of the nearest that has one (LDV-A3)."""
    with testing.logboek() as logboek:
        tracer = trace.get_tracer("deep")
        with ExitStack() as stack:
            for number in range(DEPTH):
                activity = named == "each" or (named == "outermost" and number == 0)
                attributes = {"dpl.core.processing_activity_id": ACTIVITY} if activity else {}
                stack.enter_context(
                    tracer.start_as_current_span(
                        f"Stap {number}",
                        attributes={"dpl.core.data_subject_id": "123456782", "dpl.core.data_subject_id_type": "BSN"}
                        | attributes,
                    )
                )
        records = logboek.logregels
    assert len(records) == DEPTH
    assert {record.processing_activity_id for record in records} == {"" if named == "none" else ACTIVITY}
    assert len({record.parent_span_id for record in records}) == DEPTH


def test_processing_nested_beyond_the_stack_is_logged() -> None:
    """By our own interface too."""
    with testing.logboek() as logboek:
        with ExitStack() as stack:
            for number in range(DEPTH):
                stack.enter_context(ldv.processing(ACTIVITY, name=f"Stap {number}"))
        records = logboek.logregels
    assert len(records) == DEPTH
