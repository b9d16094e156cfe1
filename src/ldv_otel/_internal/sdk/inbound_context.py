"""What an inbound call says of its caller, between the propagator that reads it and the span that serves the call."""

from __future__ import annotations

from typing import Final, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext

from ldv_otel._internal.parties.tracestate import KEY, CallingActie, parse_member
from ldv_otel._internal.record.actie import ForeignOperation

_INBOUND: Final = otel_context.create_key("ldv_otel.inbound")


class Inbound(NamedTuple):
    """An inbound call.

    Attributes:
        remote: What the trace context says; None when there was none.
        restarted: Whether a trace of our own begins here.
        foreign: What the Logregels record of the caller.
    """

    remote: SpanContext | None
    restarted: bool
    foreign: ForeignOperation


def with_inbound(context: Context, inbound: Inbound) -> Context:
    """Return a context in which a span that serves this call will find it."""
    return otel_context.set_value(_INBOUND, inbound, context)


def restarted_from(context: Context | None) -> SpanContext | None:
    """Return the trace context that was not gone on with, for the first span of our own trace."""
    inbound = otel_context.get_value(_INBOUND, context)
    return inbound.remote if isinstance(inbound, Inbound) and inbound.restarted else None


def foreign_of(context: Context | None, parent: SpanContext | None) -> ForeignOperation | None:
    """Return the caller of a span without a parent in this process.

    Args:
        context: The one the span was started in; None for the current one.
        parent: The remote parent; None for the first span of a trace.
    """
    inbound = otel_context.get_value(_INBOUND, context)
    if isinstance(inbound, Inbound):
        remote = inbound.remote
        if parent is None:
            return inbound.foreign if inbound.restarted or remote is None else None
        if remote is not None and (remote.trace_id, remote.span_id) == (parent.trace_id, parent.span_id):
            return inbound.foreign
    return foreign_in(parent) if parent is not None else None


def foreign_in(remote: SpanContext, processor: str = "") -> ForeignOperation:
    """Return what a trace context says: the Actie itself when the caller tells it, else its technical span."""
    actie = calling_actie(remote)
    span_id = actie.span_id if actie is not None else remote.span_id.to_bytes(8, "big")
    return ForeignOperation(remote.trace_id.to_bytes(16, "big"), span_id, processor)


def calling_actie(remote: SpanContext) -> CallingActie | None:
    """Return what our member of `tracestate` says, if it is there and well formed."""
    value = remote.trace_state.get(KEY)
    return parse_member(value) if value is not None else None


def remote_span(context: Context) -> SpanContext | None:
    """Return the caller's trace context in a context that was extracted."""
    found = trace.get_current_span(context).get_span_context()
    return found if found.is_valid and found.is_remote else None
