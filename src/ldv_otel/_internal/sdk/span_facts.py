"""Turns a span of the SDK into the facts from which its Logregels are made."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan

from ldv_otel._internal.record.actie import LogregelMaker, activity_of, is_actie
from ldv_otel._internal.record.cut_values import cut_texts
from ldv_otel._internal.record.logregel import Status
from ldv_otel._internal.record.resource_choice import RecordResource
from ldv_otel._internal.record.span_facts import ExceptionFacts, SpanFacts
from ldv_otel._internal.sdk import _private
from ldv_otel._internal.sdk.span_rules import SpanSnapshot
from ldv_otel._internal.sdk.span_state import LiveSpan
from ldv_otel._internal.sdk.span_status import STATUS, status_of
from ldv_otel._internal.times.instants import ms_from_ns
from ldv_otel.attributes import (
    EXCEPTION_MESSAGE,
    EXCEPTION_STACKTRACE,
    EXCEPTION_TYPE,
    NAMESPACE,
    OUTCOME_OF,
    PROCESSING_ACTIVITY_ID,
    Flag,
)


def facts_of(
    span: ReadableSpan, snapshot: SpanSnapshot, live_span: LiveSpan | None, maker: LogregelMaker
) -> SpanFacts | None:
    """Return the facts of an Actie: what stands on the span itself, and what its live span adds; None if it is none.

    Args:
        span: Ended, or running: its end is then taken to be its start.
        snapshot: The span as it is now.
        live_span: None for a span that started before logging did.
        maker: Makes the record later; it chooses what stays of the resource.

    Raises:
        ValueError: The span has no context, and so no ids.
    """
    if not says_actie(snapshot, live_span):
        return None
    context = span.get_span_context()
    if context is None:
        raise ValueError("a span without a context has no ids")
    status, exception, started = STATUS[span.status.status_code], None, span.start_time or 0
    if live_span is not None and (live_span.record.activity is None or live_span.record.said is not None):
        # Else `processing` has judged it already.
        status, exception = status_of(span, live_span)
    facts = SpanFacts(
        trace_id=context.trace_id.to_bytes(16, "big"),
        span_id=context.span_id.to_bytes(8, "big"),
        name=span.name,
        start_time_ns=started,
        end_time_ns=span.end_time or started,
        status=status,
        attributes=snapshot.attributes,
        # Only a failure's exception enters the record, and `events` makes a tuple each time.
        exception=(exception or _last_exception(span.events)) if status is Status.ERROR else None,
        resource=record_of_resource(span.resource, maker),
    )
    if span.dropped_attributes:
        facts.flags = (Flag.ATTRIBUTES_DROPPED,)
    facts.length_limit = snapshot.length_limit
    if snapshot.length_limit is not None and _may_hold_cut_value(snapshot, live_span):
        facts.flags = (*facts.flags, Flag.VALUE_CUT)
    if live_span is not None:
        _add_live_facts(facts, live_span)
        facts.redactor, facts.closed = (
            live_span.known_subjects.record_redactor(snapshot),
            live_span.known_subjects.too_many,
        )
    return facts


def bare_facts_of(span: ReadableSpan, live_span: LiveSpan | None) -> SpanFacts:
    """Return the facts from which a bare record is made, where the others cannot be found out.

    Raises:
        ValueError: The span has no context, and so no ids.
    """
    context = span.get_span_context()
    if context is None:
        raise ValueError("a span without a context has no ids")
    started = span.start_time or 0
    activity = live_span.record.activity if live_span is not None else None
    if activity is None:
        activity = str(activity_of(_private.attributes(span)))
    facts = SpanFacts(
        trace_id=context.trace_id.to_bytes(16, "big"),
        span_id=context.span_id.to_bytes(8, "big"),
        name="",
        start_time_ns=started,
        end_time_ns=span.end_time or started,
        status=STATUS[span.status.status_code],
        attributes={PROCESSING_ACTIVITY_ID: activity},
    )
    if live_span is not None:
        facts.subjects = live_span.record.subjects
        facts.redactor = live_span.known_subjects.known_redactor()
    return facts


def says_actie(snapshot: SpanSnapshot, live_span: LiveSpan | None) -> bool:
    """Whether a span is an Actie: by `processing` or `data_subject`, by a mapping rule, or by its own attributes."""
    if live_span is not None and (live_span.record.activity is not None or live_span.record.subjects):
        return True
    return snapshot.rule is not None or is_actie(snapshot.attributes)


def _may_hold_cut_value(snapshot: SpanSnapshot, live_span: LiveSpan | None) -> bool:
    """Whether the record may hold a part of a value, which the limit cut: a part of a number is somebody else's."""
    cut = [name for name, value in snapshot.attributes.items() if any(cut_texts(value, snapshot.length_limit))]
    if not cut:
        return False
    of_processing = live_span is not None and live_span.record.activity is not None
    if not of_processing and not is_actie(snapshot.attributes):
        # An Actie by a mapping rule, which may read any attribute.
        return True
    return any(name.startswith(NAMESPACE) and not (of_processing and name == PROCESSING_ACTIVITY_ID) for name in cut)


def _add_live_facts(facts: SpanFacts, live_span: LiveSpan) -> None:
    record, parent = live_span.record, live_span.parent
    if record.activity is not None and facts.attributes.get(PROCESSING_ACTIVITY_ID) != record.activity:
        # Span limits may have cut or dropped it; the record keeps what `processing` was given.
        facts.attributes = {**facts.attributes, PROCESSING_ACTIVITY_ID: record.activity}
    if live_span.ids_repeated:
        facts.flags = (*facts.flags, Flag.SPAN_ID_REPEATED)
    extensions = live_span.owner.extensions
    if extensions.attributes and (extended := live_span.extended()):
        facts.extended = extensions.record_attributes(extended, ms_from_ns(facts.start_time_ns))
    if record.outcome_of:
        facts.extended = {**facts.extended, OUTCOME_OF: record.outcome_of}
    facts.named_by_code = record.activity is not None
    facts.subjects = record.subjects
    facts.exception = record.exception or facts.exception
    facts.outbound_span_ids = tuple(live_span.outbound)
    facts.read_apis = live_span.read_apis
    if parent is None:
        facts.foreign = live_span.foreign
        return
    facts.enclosing = parent.as_enclosing()
    if facts.enclosing is None:
        facts.foreign = live_span.caller()


def record_of_resource(resource: Resource, maker: LogregelMaker) -> RecordResource:
    """Return the record's form of a resource, by identity: hashing a resource costs more than making it again."""
    last, record_resource = maker.last_resource
    if last is not resource:
        record_resource = maker.record_resource(resource.attributes)
        # One assignment, so that a thread never reads the resource of one and the form of another.
        maker.last_resource = (resource, record_resource)
    return record_resource


def _last_exception(events: Sequence[Event]) -> ExceptionFacts | None:
    """Return the exception that was recorded last: the one that ended the Actie."""
    for event in reversed(events):
        if isinstance(event, Event) and event.name == "exception" and event.attributes:
            attributes = event.attributes
            return ExceptionFacts(
                type=str(attributes.get(EXCEPTION_TYPE, "")),
                stacktrace=str(attributes.get(EXCEPTION_STACKTRACE, "")),
                message=str(attributes.get(EXCEPTION_MESSAGE, "")),
            )
    return None
