"""The inbound context carries the caller of a call from the propagator to the span that serves the call."""

from __future__ import annotations

from typing import Final, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext

from ldv_otel._internal.parties.tracestate import KEY, CallingActie, parse_member
from ldv_otel._internal.record.span_facts import ForeignOperation

#: Key of an `InboundContext` in OpenTelemetry's context.
INBOUND: Final = otel_context.create_key("ldv_otel.inbound")


class InboundContext(NamedTuple):
    """The caller of an inbound call.

    Attributes:
        remote: The caller's trace context; None when there was none.
        restarted: Whether a trace of our own begins here.
        foreign: The caller as Logregels record it.
    """

    remote: SpanContext | None
    restarted: bool
    foreign: ForeignOperation


def with_inbound(context: Context, inbound: InboundContext) -> Context:
    """Return a context that carries an inbound call to the span that serves it."""
    return otel_context.set_value(INBOUND, inbound, context)


def restarted_from(context: Context | None) -> SpanContext | None:
    """Return the caller's trace context for the first span of a trace that was restarted; else None."""
    inbound = otel_context.get_value(INBOUND, context)
    return inbound.remote if isinstance(inbound, InboundContext) and inbound.restarted else None


def foreign_of(context: Context | None, parent: SpanContext | None) -> ForeignOperation | None:
    """Return the caller of a span without a parent in this process.

    Args:
        context: The context that the span was started in; None for the current one.
        parent: The remote parent; None for the first span of a trace.
    """
    inbound = otel_context.get_value(INBOUND, context)
    if isinstance(inbound, InboundContext):
        remote = inbound.remote
        if parent is None:
            return inbound.foreign if inbound.restarted or remote is None else None
        if remote is not None and (remote.trace_id, remote.span_id) == (parent.trace_id, parent.span_id):
            return inbound.foreign
    return foreign_in(parent) if parent is not None else None


def foreign_in(remote: SpanContext, processor: str = "") -> ForeignOperation:
    """Return the caller of a trace context: the Actie that our `tracestate` member names, else the client span."""
    actie = calling_actie(remote)
    span_id = actie.span_id if actie is not None else remote.span_id.to_bytes(8, "big")
    return ForeignOperation(remote.trace_id.to_bytes(16, "big"), span_id, processor)


def calling_actie(remote: SpanContext) -> CallingActie | None:
    """Return the content of our `tracestate` member; None where it is missing or malformed."""
    value = remote.trace_state.get(KEY)
    return parse_member(value) if value is not None else None


def remote_span(context: Context) -> SpanContext | None:
    """Return the caller's trace context from an extracted context."""
    span_context = trace.get_current_span(context).get_span_context()
    return span_context if span_context.is_valid and span_context.is_remote else None
