"""`LdvPropagator`: tells called parties which Actie calls them, and decides whether a caller's trace goes on here."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, MutableMapping
from types import ModuleType
from typing import Any, Final, Self

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ldv_otel._internal.config.settings import Settings, read_some_settings
from ldv_otel._internal.parties.evidence import Evidence
from ldv_otel._internal.parties.parties import Caller, Parties, parties_for, read_parties
from ldv_otel._internal.parties.tracestate import CallingActie, with_member
from ldv_otel._internal.record.actie import ForeignOperation
from ldv_otel._internal.sdk import _private
from ldv_otel._internal.sdk import span_state as live
from ldv_otel._internal.sdk.called_party import called_address
from ldv_otel._internal.sdk.extensions import Calling, Extensions, load_extensions
from ldv_otel._internal.sdk.inbound_context import Inbound, calling_actie, foreign_in, remote_span, with_inbound
from ldv_otel._internal.sdk.peers import Call, CallGetter, evidence_of

_logger = logging.getLogger(__name__)

_TRACEPARENT: Final = "traceparent"
_CALL_GETTER: Final = CallGetter()
_NOBODY: Final = ForeignOperation(b"", b"")
#: What the instrumentations of HTTP clients set as a span starts.
_OF_HTTP: Final = ("http.request.method", "http.method")


class LdvPropagator(TextMapPropagator):
    """Wraps the propagators that are there, so that each header is still written once.

    Outbound it puts the id of the Actie from which a call is made in `tracestate`, under `ldv`, in front of all other
    members, which pass untouched and in order; never anything of the data subject or of what is done (LDV-X3). Inbound
    it finds out who calls, and restarts the trace of callers whose trace does not go on here (LDV-X2).

    Args:
        inner: What reads and writes the headers; W3C Trace Context by default.
        parties: Who calls and how it is proven; and who is called, and sent headers of extensions.
        extensions: What else calls say.
    """

    def __init__(
        self,
        inner: TextMapPropagator | None = None,
        parties: Parties | None = None,
        extensions: Extensions | None = None,
    ) -> None:
        self.inner = inner or TraceContextTextMapPropagator()
        self._parties = parties or Parties()
        self._extensions = extensions or Extensions()

    @classmethod
    def from_settings(cls, settings: Settings, inner: TextMapPropagator | None = None) -> Self:
        """Return a propagator with the parties that the settings name.

        Raises:
            ConfigurationError: Their file cannot be used; the message names line and place.
        """
        parties = parties_for(settings)
        return cls(inner, parties, load_extensions(parties))

    @property
    def fields(self) -> set[str]:
        """The headers that may be written."""
        return self.inner.fields

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        """Write the trace context of the current span, with the Actie around it."""
        try:
            context = self._with_actie(context)
        except Exception:
            # LDV-A8. What the application was about to send goes as it would have gone without us.
            _logger.exception("The Actie could not be put in tracestate. Please report this.")
        self.inner.inject(carrier, context, setter)
        if self._extensions:
            self._tell(carrier, setter, trace.get_current_span(context))

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        """Read the caller's trace context; in what is returned it is the current span, unless the trace restarts."""
        before = Context() if context is None else context
        found = self.inner.extract(carrier, before, getter)
        if not self._parties.tell_callers_apart and not self._extensions:
            return found
        # An element of a composite comes after others, which may have put the caller there already.
        remote = remote_span(found)
        actie = calling_actie(remote) if remote is not None else None
        caller, evidence = self._caller(carrier, getter, actie.claim if actie is not None else "")
        processor = caller.processor if caller is not None else ""
        foreign = foreign_in(remote, processor) if remote is not None else ForeignOperation(b"", b"", processor)
        if self._extensions:
            foreign = self._extensions.hear(foreign, lambda name: getter.get(carrier, name) or (), evidence.certificate)
        if remote is None:
            return with_inbound(found, Inbound(None, False, foreign)) if foreign != _NOBODY else found
        restart = (caller.trace if caller is not None else self._parties.unknown) == "restart"
        if restart:
            found = trace.set_span_in_context(_local_span(before), found)
        return with_inbound(found, Inbound(remote, restart, foreign))

    def _tell(self, carrier: CarrierT, setter: Setter[CarrierT], span: trace.Span) -> None:
        """Write the headers of extensions where the span around a call says that it goes to a party that is sent them.

        A request that another host redirected here still has those meant for that host: they are taken out.
        """
        known = live.find(span)
        call, actie = (known(), known.as_enclosing()) if known is not None else (None, None)
        if call is None or actie is None or call.kind is not SpanKind.CLIENT:
            return
        attributes = live.attributes_of(call)
        if not any(name in attributes for name in _OF_HTTP):
            # Elsewhere, as in the metadata of gRPC, names like these may make the call fail.
            return
        names = self._parties.headers(*called_address(attributes))
        trace_id = span.get_span_context().trace_id.to_bytes(16, "big")
        calling = Calling(trace_id, actie.processing_activity_id, actie.inherited)
        for name, value in self._extensions.tell(names or self._parties.extensions, calling).items():
            if names:
                setter.set(carrier, name, value)
            elif isinstance(carrier, MutableMapping) and carrier.get(name) == value:
                del carrier[name]

    def _caller(self, carrier: CarrierT, getter: Getter[CarrierT], claim: str) -> tuple[Caller | None, Evidence]:
        try:
            evidence = evidence_of(carrier, getter, claim)
            return self._parties.caller(evidence), evidence
        except Exception as error:  # noqa: BLE001  (a stranger's certificate or server may hold anything)
            _logger.warning(
                "Who calls could not be found out (%s); the caller counts as unknown.", type(error).__name__
            )
            return None, Evidence()

    def _with_actie(self, context: Context | None) -> Context | None:
        span = trace.get_current_span(context)
        known = live.find(span)
        actie = known.as_enclosing() if known is not None else None
        if actie is None:
            return context
        own = span.get_span_context()
        members = with_member(CallingActie(actie.span_id, self._parties.claim), own.trace_state.items())
        carried = SpanContext(own.trace_id, own.span_id, own.is_remote, own.trace_flags, TraceState(members))
        return trace.set_span_in_context(_Carried(carried, span), context)


class _Carried(NonRecordingSpan):
    """A span as propagators look at it, with another `tracestate`."""

    def __init__(self, context: SpanContext, span: trace.Span) -> None:
        super().__init__(context)
        # B3 and Jaeger write the parent's id too.
        self.parent = getattr(span, "parent", None)


def extract(
    headers: Mapping[str, str] | Iterable[tuple[str, str]],
    *,
    peer_address: str = "",
    certificate: str | bytes | None = None,
    context: Context | None = None,
) -> Context:
    """Return the context of an inbound call, as `opentelemetry.propagate.extract` does, with proof of who calls.

    For servers without an instrumentation of OpenTelemetry's for WSGI or ASGI, whose requests show nothing but headers.

    Args:
        headers: As a mapping, or as pairs when a header can come twice.
        peer_address: Address of the other end of the connection, not of a header; `unix` for a Unix socket.
        certificate: Client certificate that the server has verified, PEM or DER.
        context: What to add to; an empty one by default.

    Source: LDV-X2, LDV-X4.
    """
    call = Call(headers, peer_address=peer_address, certificate=certificate)
    found: Context = _propagate().get_global_textmap().extract(call, context, getter=_CALL_GETTER)
    return found


def use_propagator(parties: Parties, extensions: Extensions | None = None) -> None:
    """Wrap the global propagator, once; an `LdvPropagator` that is there already gives way."""
    propagate = _propagate()
    inner = _without_ours(propagate.get_global_textmap())
    if _TRACEPARENT not in inner.fields:
        _logger.warning(
            "OTEL_PROPAGATORS leaves out tracecontext, so calls to other applications carry no W3C Trace Context, "
            "which the standard requires; add it."
        )
    propagate.set_global_textmap(LdvPropagator(inner, parties, extensions))


def from_environment() -> LdvPropagator:
    """Return the propagator `ldv` of `OTEL_PROPAGATORS`, where it comes last; `install()` needs it not.

    Raises:
        ConfigurationError: `LDV_PARTIES` or `LDV_UNKNOWN_CALLERS` cannot be used.
    """
    found = read_some_settings(os.environ, "parties", "unknown_callers")
    parties = read_parties(found.get("parties"), found.get("unknown_callers"))
    return LdvPropagator(parties=parties, extensions=load_extensions(parties))


def _propagate() -> ModuleType:
    """Return the module that loads what `OTEL_PROPAGATORS` names as it is imported, which may be this package."""
    from opentelemetry import propagate  # noqa: PLC0415  (see above)

    return propagate


def _without_ours(propagator: TextMapPropagator) -> TextMapPropagator:
    if isinstance(propagator, LdvPropagator):
        return propagator.inner
    parts = _private.parts_of(propagator) if isinstance(propagator, CompositePropagator) else ()
    if not any(isinstance(part, LdvPropagator) for part in parts):
        return propagator
    others = [part for part in parts if not isinstance(part, LdvPropagator)]
    if not any(_TRACEPARENT in part.fields for part in others):
        others.insert(0, TraceContextTextMapPropagator())
    return CompositePropagator(others)


def _local_span(context: Context) -> trace.Span:
    """Return the span that was current before the caller's came in."""
    span: Any = trace.get_current_span(context)
    return trace.INVALID_SPAN if span.get_span_context().is_remote else span
