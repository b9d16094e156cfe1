"""The fast lane: the record of an ordinary `processing`, straight from its span, which is most of what a service logs.

The full way (`sdk/span_facts.py`, then `LogregelMaker.make`) stays the definition; what is taken here equals what it
makes, which a property holds (`tests/sdk/test_fast_lane.py`). It can be left out in `sdk/processor.py`, in one line,
and every record stays the same.
"""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from ldv_otel._internal.record.actie import UNUSUAL, LogregelMaker
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.record.ordinary import ordinary_record
from ldv_otel._internal.record.span_facts import SpanFacts
from ldv_otel._internal.sdk import _private
from ldv_otel._internal.sdk.span_facts import record_of_resource
from ldv_otel._internal.sdk.span_state import LiveSpan
from ldv_otel.attributes import DATA_SUBJECT_ID


def ordinary_actie(span: ReadableSpan, live_span: LiveSpan, maker: LogregelMaker) -> tuple[Logregel, ...]:
    """Return the one record of an ended `processing`; none where it is not ordinary, and the full way has to look.

    Args:
        span: Ended. The shield has nothing to learn from it: whoever it is about was named with `data_subject`.
        live_span: Its own.
        maker: Makes the records of the full way.
    """
    record, parent, known_subjects = live_span.record, live_span.parent, live_span.known_subjects
    activity, subjects = record.activity, record.subjects
    if (
        activity is None
        or len(subjects) > 1
        or maker.knows is not None
        or record.exception is not None
        or record.outcome_of
        or record.said is not None
        or known_subjects.too_many
        or live_span.ids_repeated
        or live_span.read_apis
        or live_span.owner.extensions.attributes
        or live_span.foreign is not None
    ):
        return ()
    values = _private.ended_values(span)
    if values is None:
        return ()
    context, name, attributes, code, started, ended, resource = values
    if (
        DATA_SUBJECT_ID in attributes
        or not UNUSUAL.isdisjoint(attributes)
        # A failure's exception enters the record, and is looked for among the events of the span.
        or code is StatusCode.ERROR
    ):
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
