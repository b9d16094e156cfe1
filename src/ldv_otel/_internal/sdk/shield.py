"""The privacy shield: what other span processors and exporters see of a span that is about somebody.

They get a copy without the data subject's identifier: the attribute it was set with is gone, and wherever else it
stands (name, attributes, events, links, status, trace state) it reads `REDACTED`. What is known of a trace in this
process is looked for in all its spans that end from then on, up and down: the call that a handler makes has the number
in its URL too, and an exception takes it along to the spans around it.

A span that is about nobody costs a look at its live span, and goes through as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import Link, SpanContext, Status, TraceState
from opentelemetry.util.types import Attributes, AttributeValue

from ldv_otel._internal.privacy.folding import BETWEEN_TEXTS
from ldv_otel._internal.privacy.redaction import REDACT_ALL, REDACTED, Redactor
from ldv_otel._internal.record.actie import identifiers_in
from ldv_otel._internal.sdk import _private, span_state
from ldv_otel._internal.sdk.span_subjects import SUBJECT_ATTRIBUTES
from ldv_otel.attributes import DATA_SUBJECT_ID

_logger = logging.getLogger(__name__)

_NOTHING: Final[Mapping[str, AttributeValue]] = {}

_SUBJECT: Final = frozenset({DATA_SUBJECT_ID})

Item = TypeVar("Item", Event, Link)


class SubjectShieldingSpanProcessor(SpanProcessor):
    """Keeps identifiers of data subjects from another span processor, for who wires the SDK by hand.

    `install()` shields every other processor of the service by itself. By hand, wrap each one, in any order. (Only one
    that reads spans at their start has to come after the `LdvSpanProcessor`, which knows the mapping rules.)

        provider.add_span_processor(SubjectShieldingSpanProcessor(BatchSpanProcessor(OTLPSpanExporter())))
        provider.add_span_processor(LdvSpanProcessor.from_settings(settings))

    Without an `LdvSpanProcessor` it knows a subject only from the span's own `dpl.core.data_subject_id`.

    Args:
        wrapped: Gets copies of spans that are about somebody, and all others as they are.
    """

    def __init__(self, wrapped: SpanProcessor) -> None:
        self.wrapped = wrapped
        self._reads = _private.reads_running_spans(wrapped)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Pass a span on; what is read from it is shielded at that moment."""
        self.wrapped.on_start(view_of(span) if self._reads else span, parent_context=parent_context)

    def _on_ending(self, span: Span) -> None:
        _private.on_ending(self.wrapped, view_of(span) if self._reads else span)

    def on_end(self, span: ReadableSpan) -> None:
        """Pass a span on, or a copy without its data subject."""
        self.wrapped.on_end(shielded(span))

    def shutdown(self) -> None:
        """Shut the wrapped processor down."""
        self.wrapped.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the wrapped processor."""
        return self.wrapped.force_flush(timeout_millis)


def shielded(span: ReadableSpan) -> ReadableSpan:
    """Return the span, or, when it or its trace is about somebody, a copy that does not say whom.

    Never raises: should looking fail, what others get is a copy with ids and times alone.
    """
    try:
        return _shielded(span)
    except Exception as error:  # LDV-A8: the application goes on; and the shield stays closed
        # The type only: the rest may quote what may not be shown.
        _logger.error("A span could not be shielded (%s); others get its ids and times.", type(error).__name__)
        return _bare(span)


def _bare(span: ReadableSpan) -> ReadableSpan:
    """Return a span with ids and times alone; made of nothing that could fail again."""
    return ReadableSpan(
        name=REDACTED,
        context=_ids(span.context),
        parent=_ids(span.parent),
        kind=span.kind,
        start_time=span.start_time,
        end_time=span.end_time,
    )


def _ids(context: SpanContext | None) -> SpanContext | None:
    """Return a span context without its `tracestate`, which may quote anything."""
    if context is None:
        return None
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags)


def _shielded(span: ReadableSpan) -> ReadableSpan:
    live_span = span_state.find(span)
    if live_span is None:
        return _shielded_untracked(span)
    subjects = live_span.known_subjects
    if not live_span.ended:
        live_span.look(span)
        if live_span.parent is not None:
            live_span.parent.look_upwards()
    if not subjects.may_be_quoted():
        return span
    redactor = subjects.shield_redactor()
    # The prefilter is skipped where it is known that the search finds something.
    if (
        not subjects.exposed
        and not subjects.on_span
        and (redactor is None or _says_nothing(span, redactor, subjects.hidden))
    ):
        return span
    return copy_of(span, redactor or Redactor(()), hidden=subjects.hidden, exposed=subjects.exposed)


def _says_nothing(span: ReadableSpan, redactor: Redactor, hidden: frozenset[str]) -> bool:
    """Whether a span holds no identifier, seen in one look at all its texts; False when that takes a closer look.

    Most spans of a trace about somebody are like this, and a copy costs ten times as much.
    """
    texts = _private.plain_texts(span, without=hidden | _SUBJECT if hidden else _SUBJECT)
    if texts is None:
        return False
    may_find = redactor.may_find
    if not may_find(BETWEEN_TEXTS.join(texts)):
        return True
    return not any(may_find(text) and redactor.finds(text) for text in texts)


def _shielded_untracked(span: ReadableSpan) -> ReadableSpan:
    """As `shielded`, of a span that started before logging did, or that its `LdvSpanProcessor` has not seen yet."""
    if any(context is not None and span_state.has_repeated_ids(context) for context in (span.context, span.parent)):
        # Several spans have these ids, and nothing says whom this one is about.
        return copy_of(span, REDACT_ALL)
    subjects = list(identifiers_in(_private.attributes(span)))
    parent = span_state.parent_of(span)
    if parent is not None:
        parent.look_upwards()
    # Its parent may have ended, or be known by its ids only: the people of its trace are quoted all the same.
    trace = span_state.known_of_trace(span.context.trace_id) if span.context is not None else None
    if trace is not None:
        if trace.closed:
            return copy_of(span, REDACT_ALL)
        subjects += trace.long()
    return copy_of(span, Redactor(subjects)) if subjects else span


def view_of(span: Span) -> Span:
    """Return a running span whose readers see what may be seen at that moment, and whose writers write to the span."""
    return _private.view(span, shielded)


def copy_of(
    span: ReadableSpan,
    redactor: Redactor,
    *,
    hidden: frozenset[str] = frozenset(),
    exposed: Mapping[str, AttributeValue] = _NOTHING,
) -> ReadableSpan:
    """Return a copy of a span as others may see it.

    Args:
        hidden: Attributes that hold nothing but an identifier.
        exposed: Attributes that say whom it is about by pseudonym, with `LDV_EXPOSE_SUBJECT=pseudonym`.
    """
    attributes = redactor.attributes(_without_subject(_private.attributes(span)), hidden=hidden)
    attributes.update(exposed)
    description = span.status.description
    return ReadableSpan(
        name=redactor.text(span.name),
        context=_context(span.context, redactor),
        parent=_context(span.parent, redactor),
        resource=span.resource,
        attributes=_private.bounded_attributes(attributes, span.dropped_attributes),
        events=_bounded([_event(event, redactor) for event in span.events], span.dropped_events),
        links=_bounded([_link(link, redactor) for link in span.links], span.dropped_links),
        kind=span.kind,
        status=Status(span.status.status_code, redactor.text(description)) if description else span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _bounded(items: Sequence[Item], dropped: int) -> Sequence[Item]:
    """Return events or links as spans hold them, with how many were dropped; of nothing there is nothing to make."""
    if not items and not dropped:
        return ()
    bounded = BoundedList.from_seq(None, items)
    bounded.dropped = dropped
    return bounded


def _without_subject(attributes: Mapping[str, object] | None) -> Mapping[str, object]:
    return {name: value for name, value in (attributes or {}).items() if name not in SUBJECT_ATTRIBUTES}


def _redacted(attributes: Attributes, redactor: Redactor, dropped: int) -> BoundedAttributes:
    return _private.bounded_attributes(redactor.attributes(_without_subject(attributes)), dropped)


def _event(event: Event, redactor: Redactor) -> Event:
    attributes = _redacted(event.attributes, redactor, event.dropped_attributes)
    return Event(redactor.text(event.name), attributes, event.timestamp)


def _link(link: Link, redactor: Redactor) -> Link:
    context = _context(link.context, redactor) or link.context
    return Link(context, _redacted(link.attributes, redactor, link.dropped_attributes))


def _context(context: SpanContext | None, redactor: Redactor) -> SpanContext | None:
    """Return a span context without trace state that holds an identifier, such as a caller sent."""
    if context is None or not context.trace_state or not redactor.finds(context.trace_state.to_header()):
        return context
    kept = [(key, value) for key, value in context.trace_state.items() if not redactor.finds(f"{key}={value}")]
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags, TraceState(kept))
