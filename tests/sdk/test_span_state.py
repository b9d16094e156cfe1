from __future__ import annotations

import gc

from opentelemetry import context as otel_context
from opentelemetry import trace

import ldv_otel as ldv
from ldv_otel._internal.sdk import span_state as live
from ldv_otel.testing import InMemoryLogboek
from tests.sdk.conftest import ACTIVITY, OTHER


def test_ended_spans_leave_nothing_behind(logboek: InMemoryLogboek, tracer: trace.Tracer) -> None:
    """A service runs for months: no entry may outlive its span."""
    del logboek
    gc.collect()
    before = len(live._by_ids)
    for _ in range(50):
        with ldv.processing(ACTIVITY), tracer.start_as_current_span("technical"):
            pass
    gc.collect()
    assert len(live._by_ids) == before


def test_spans_that_are_never_ended_leave_nothing_behind(logboek: InMemoryLogboek, tracer: trace.Tracer) -> None:
    """Somebody's instrumentation forgets to end its spans."""
    del logboek
    gc.collect()
    before = len(live._by_ids)
    for _ in range(50):
        tracer.start_span("forgotten")
    gc.collect()
    assert len(live._by_ids) == before


def test_a_chain_of_follow_ups_does_not_grow(logboek: InMemoryLogboek, tracer: trace.Tracer) -> None:
    """Each task starts the next in its own context: the chain is cut at each end, and the Actie is still known."""
    with ldv.processing(ACTIVITY, name="first") as first:
        context = otel_context.get_current()
    for _ in range(2_000):
        span = tracer.start_span("step", context)
        context = trace.set_span_in_context(span, context)
        span.end()
    found = live.find(trace.get_current_span(context))
    assert found is not None
    assert found.parent is None
    token = otel_context.attach(context)
    with ldv.processing(ACTIVITY, name="last"):
        pass
    otel_context.detach(token)
    assert logboek.logregels[-1].parent_span_id.hex() == first.span_id


def test_a_late_child_of_a_technical_span(logboek: InMemoryLogboek, tracer: trace.Tracer) -> None:
    """It hangs below the Actie around it, also when that became one after the technical span had ended."""
    with tracer.start_as_current_span("becomes an Actie") as span:
        with tracer.start_as_current_span("technical"):
            context = otel_context.get_current()
        span.set_attribute("dpl.core.processing_activity_id", ACTIVITY)
        token = otel_context.attach(context)
        with ldv.processing(OTHER, name="late"):
            pass
        otel_context.detach(token)
    late, outer = logboek.logregels
    assert late.parent_span_id == outer.span_id
    assert late.parent_processing_activity_id == ACTIVITY
