"""The fast lane: the record of an ordinary Actie, straight from its span, which is most of what a service logs.

It takes what `processing` began and spans that are marked by hand; an Actie by a mapping rule goes the full way
(`sdk/span_facts.py`, then `LogregelMaker.make`). That stays the definition; what is taken here equals what it makes,
which a property holds (`tests/sdk/test_fast_lane.py`). It can be left out in `sdk/processor.py`, in one line, and every
record stays the same.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from ldv_otel._internal.privacy.pseudonyms import DataSubject
from ldv_otel._internal.record.actie import UNUSUAL, LogregelMaker
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.record.ordinary import ordinary_record
from ldv_otel._internal.record.span_facts import SpanFacts
from ldv_otel._internal.sdk import _private
from ldv_otel._internal.sdk.span_facts import record_of_resource
from ldv_otel._internal.sdk.span_state import LiveSpan
from ldv_otel.attributes import DATA_SUBJECT_ID, DATA_SUBJECT_ID_TYPE, PROCESSING_ACTIVITY_ID


def ordinary_actie(span: ReadableSpan, live_span: LiveSpan, maker: LogregelMaker) -> tuple[Logregel, ...]:
    """Return the one record of an Actie that ended; none where it is not ordinary, and the full way has to look.

    Args:
        span: Ended.
        live_span: Its own; the shield learns from here whom the span's attributes name.
        maker: Makes the records of the full way.
    """
    values = None if _is_unusual(live_span, maker) else _private.ended_values(span)
    if values is None:
        return ()
    context, name, attributes, code, started, ended, resource = values
    record, parent, known_subjects = live_span.record, live_span.parent, live_span.known_subjects
    activity = record.activity or attributes.get(PROCESSING_ACTIVITY_ID)
    if (
        not activity
        # A failure's exception enters the record, and is looked for among the events of the span.
        or code is StatusCode.ERROR
        or not UNUSUAL.isdisjoint(attributes)
        or (record.activity is None and _may_be_more_than_marked(span, attributes, live_span))
    ):
        return ()
    subjects: Sequence[DataSubject] = record.subjects
    if DATA_SUBJECT_ID in attributes:
        subjects = _named_on_span(attributes, live_span)
        if not subjects or known_subjects.too_many:
            return ()
    enclosing = None
    if parent is not None:
        enclosing = parent.as_enclosing()
        if enclosing is None and parent.caller() is not None:
            return ()
    last, record_resource = maker.last_resource
    if last is not resource:
        record_resource = record_of_resource(resource, maker)
    facts = SpanFacts(
        trace_id=context.trace_id.to_bytes(16, "big"),
        span_id=context.span_id.to_bytes(8, "big"),
        name=name,
        start_time_ns=started,
        end_time_ns=ended,
        status=Status.OK if code is StatusCode.OK else Status.UNSET,
        attributes=attributes,
        enclosing=enclosing,
        outbound_span_ids=tuple(live_span.outbound),
        resource=record_resource,
    )
    redactor = known_subjects.known_redactor() if known_subjects.trace else None
    made = ordinary_record(facts, subjects, activity, redactor, maker.stray)
    return () if made is None else (made,)


def _is_unusual(live_span: LiveSpan, maker: LogregelMaker) -> bool:
    """Return whether more is known of an Actie than stands on its span, or somebody has to look at it."""
    record = live_span.record
    return bool(
        len(record.subjects) > 1
        or maker.knows is not None
        or record.exception is not None
        or record.outcome_of
        or record.said is not None
        or live_span.known_subjects.too_many
        or live_span.ids_repeated
        or live_span.read_apis
        or live_span.owner.extensions.attributes
        or live_span.foreign is not None
    )


def _may_be_more_than_marked(span: ReadableSpan, attributes: Mapping[str, object], live_span: LiveSpan) -> bool:
    """Return whether a rule takes a span that is marked by hand, or an exception may have ended it.

    `processing` has judged what ended its own, and no rule takes that.
    """
    return sys.exception() is not None or live_span.owner.rule_for(span, attributes) is not None


def _named_on_span(attributes: Mapping[str, object], live_span: LiveSpan) -> Sequence[DataSubject]:
    """Return the one person whom the attributes of a span name; none where it may be somebody else, or several."""
    identifier, type_ = attributes[DATA_SUBJECT_ID], attributes.get(DATA_SUBJECT_ID_TYPE)
    if live_span.record.subjects or type(identifier) is not str or type(type_) is not str:
        return ()
    live_span.known_subjects.add_once((identifier, type_))
    return (live_span.owner.pseudonymise(identifier, type_),)
