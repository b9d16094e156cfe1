"""`LdvPropagator` writes the calling Actie into outbound calls and decides whether a caller's trace is continued."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, MutableMapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec
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

from ldv_otel._internal.config.error_places import type_and_places
from ldv_otel._internal.config.settings import Settings, read_some_settings
from ldv_otel._internal.parties.evidence import Evidence
from ldv_otel._internal.parties.parties import Caller, Parties, parties_for, read_parties
from ldv_otel._internal.parties.tracestate import CallingActie, with_member
from ldv_otel._internal.record.span_facts import ForeignOperation
from ldv_otel._internal.sdk import _private, span_state
from ldv_otel._internal.sdk.extension_contract import OutboundCall
from ldv_otel._internal.sdk.extensions import Extensions, load_extensions
from ldv_otel._internal.sdk.inbound_context import InboundContext, calling_actie, foreign_in, remote_span, with_inbound
from ldv_otel._internal.sdk.peers import InboundCall, InboundCallGetter, called_address, evidence_of, path_of
from ldv_otel._internal.sdk.span_state import LiveSpan

if TYPE_CHECKING:
    from ldv_otel._internal.sdk.tenants.choice import TenantChoice

_logger = logging.getLogger(__name__)

_TRACEPARENT: Final = "traceparent"
_FSC_HEADER: Final = "Fsc-Transaction-Id"
#: More than a UUID in any spelling.
_FSC_MAX_CHARACTERS: Final = 64
_CALL_GETTER: Final = InboundCallGetter()
_NO_CALLER: Final = ForeignOperation(b"", b"")
#: Attributes that instrumentations of HTTP clients set as a span starts.
_OF_HTTP: Final = ("http.request.method", "http.method")


class LdvPropagator(TextMapPropagator):
    """Wraps the service's propagators, so that each header is still written once.

    Into an outbound call it writes the id of the Actie around it: in `tracestate`, under `ldv`, in front of all other
    members, which pass unchanged and in order. It writes nothing of the data subject or of the activity (LDV-X3). It
    identifies the caller of an inbound call, and restarts the trace where the caller's is not to be continued (LDV-X2).

    Args:
        inner: Reads and writes the headers; W3C Trace Context by default.
        parties: The callers with their proofs, and the called parties with the extensions whose headers they get.
        extensions: The extensions that are on.
        tenants: With several Logboeken: what reads whose a call is, and says who is sent that.
    """

    def __init__(
        self,
        inner: TextMapPropagator | None = None,
        parties: Parties | None = None,
        extensions: Extensions | None = None,
        tenants: TenantChoice | None = None,
    ) -> None:
        self._tenants = tenants
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
        live_span = span_state.find(trace.get_current_span(context))
        try:
            context = self._with_actie(context, live_span)
        except Exception as error:  # LDV-A8: the call goes out as without this package
            _logger.error("The Actie could not be put in tracestate; please report this. %s", type_and_places(error))
        self.inner.inject(carrier, context, setter)
        if self._extensions:
            self._write_headers(carrier, setter, live_span)

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        """Read the caller's trace context; in what is returned it is the current span, unless the trace restarts."""
        before = Context() if context is None else context
        extracted = self.inner.extract(carrier, before, getter)
        if self._tenants is not None:
            from ldv_otel._internal.sdk.tenants.choice import InboundRequest  # loaded by what made these

            remote = remote_span(extracted)
            actie = calling_actie(remote) if remote is not None else None
            request = InboundRequest(
                lambda: evidence_of(carrier, getter, ""),
                lambda name: getter.get(carrier, name) or (),
                lambda: path_of(carrier, getter),
                actie.tenant if actie is not None else "",
            )
            extracted = self._tenants.read_request(extracted, request)
        transaction_id = _transaction_id(carrier, getter)
        if not (transaction_id or self._parties.tell_callers_apart or self._extensions):
            return extracted
        # An element of a composite runs after others, which may have put the caller into the context already.
        remote = remote_span(extracted)
        actie = calling_actie(remote) if remote is not None else None
        caller, evidence = self._caller(carrier, getter, actie.claim if actie is not None else "")
        processor = caller.processor if caller is not None else ""
        foreign = foreign_in(remote, processor) if remote is not None else ForeignOperation(b"", b"", processor)
        if transaction_id:
            foreign = msgspec.structs.replace(foreign, transaction_id=transaction_id)
        if self._extensions:
            foreign = self._extensions.read_headers(
                foreign, lambda name: getter.get(carrier, name) or (), evidence.certificate
            )
        if remote is None:
            return with_inbound(extracted, InboundContext(None, False, foreign)) if foreign != _NO_CALLER else extracted
        restart = (caller.trace if caller is not None else self._parties.unknown) == "restart"
        if restart:
            extracted = trace.set_span_in_context(_local_span(before), extracted)
        return with_inbound(extracted, InboundContext(remote, restart, foreign))

    def _write_headers(self, carrier: CarrierT, setter: Setter[CarrierT], live_span: LiveSpan | None) -> None:
        """Write the headers of extensions where the client span around a call names a party that is to get them.

        A request that another host redirected here still has those meant for that host: they are removed.
        """
        client_span, actie = (live_span(), live_span.as_enclosing()) if live_span is not None else (None, None)
        if client_span is None or actie is None or client_span.kind is not SpanKind.CLIENT:
            return
        attributes = _private.attributes(client_span)
        if not any(name in attributes for name in _OF_HTTP):
            # Elsewhere, as in the metadata of gRPC, names like these may make the call fail.
            return
        names = self._parties.headers(*called_address(attributes))
        trace_id = client_span.get_span_context().trace_id.to_bytes(16, "big")
        call = OutboundCall(trace_id, actie.processing_activity_id, actie.inherited)
        for name, value in self._extensions.call_headers(names or self._parties.extensions, call).items():
            if names:
                setter.set(carrier, name, value)
            elif isinstance(carrier, MutableMapping) and carrier.get(name) == value:
                del carrier[name]

    def _caller(self, carrier: CarrierT, getter: Getter[CarrierT], claim: str) -> tuple[Caller | None, Evidence]:
        try:
            evidence = evidence_of(carrier, getter, claim)
            return self._parties.caller(evidence), evidence
        except Exception as error:  # the certificate of an untrusted caller may hold anything
            _logger.warning("The caller could not be identified (%s); it counts as unknown.", type(error).__name__)
            return None, Evidence()

    def _with_actie(self, context: Context | None, live_span: LiveSpan | None) -> Context | None:
        span = trace.get_current_span(context)
        own = span.get_span_context()
        actie = live_span.as_enclosing() if live_span is not None else None
        if actie is not None:
            calling = CallingActie(actie.span_id, self._parties.claim, self._tenant_for_callee(live_span))
        else:
            # What a caller said passes unchanged, but for its tenant: that was for us.
            passing = calling_actie(own)
            if passing is None or not passing.tenant:
                return context
            calling = msgspec.structs.replace(passing, tenant="")
        members = with_member(calling, own.trace_state.items())
        carried = SpanContext(own.trace_id, own.span_id, own.is_remote, own.trace_flags, TraceState(members))
        return trace.set_span_in_context(_Carried(carried, span), context)

    def _tenant_for_callee(self, live_span: LiveSpan | None) -> str:
        """Return the tenant of an Actie where the party that is called is named for it; else nothing."""
        span = live_span() if live_span is not None else None
        if self._tenants is None or live_span is None or span is None or span.kind is not SpanKind.CLIENT:
            return ""
        tenant = live_span.owner.tenant
        return tenant if self._tenants.is_told(tenant, *called_address(_private.attributes(span))) else ""


def _transaction_id(carrier: CarrierT, getter: Getter[CarrierT]) -> str:
    """Return the transaction id of FSC in the headers of a call, as it stands there; empty without one."""
    try:
        values = getter.get(carrier, _FSC_HEADER) or getter.get(carrier, _FSC_HEADER.lower()) or ()
        return next(iter(values), "")[:_FSC_MAX_CHARACTERS]
    except Exception as error:  # a carrier of some instrumentation, which the trace context could be read from
        _logger.warning("The transaction id of a call could not be read (%s).", type(error).__name__)
        return ""


class _Carried(NonRecordingSpan):
    """A copy of a span with another `tracestate`, for the inner propagators."""

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
    """Return the context of an inbound call, as `opentelemetry.propagate.extract` does, with evidence of the caller.

    It is for servers without OpenTelemetry's instrumentation of WSGI or ASGI: their requests show headers only.

    Args:
        headers: As a mapping, or as pairs when a header can come twice.
        peer_address: Address of the other end of the connection, not of a header; `unix` for a Unix socket.
        certificate: Client certificate that the server has verified, PEM or DER.
        context: What to add to; an empty one by default.

    Source: LDV-X2, LDV-X4.
    """
    call = InboundCall(headers, peer_address=peer_address, certificate=certificate)
    extracted: Context = _propagate().get_global_textmap().extract(call, context, getter=_CALL_GETTER)
    return extracted


def use_propagator(parties: Parties, extensions: Extensions | None = None, tenants: TenantChoice | None = None) -> None:
    """Wrap the global propagator once; this replaces an `LdvPropagator` that wraps it already."""
    propagate = _propagate()
    inner = _without_ours(propagate.get_global_textmap())
    if _TRACEPARENT not in inner.fields:
        _logger.warning(
            "OTEL_PROPAGATORS leaves out tracecontext, so calls to other applications carry no W3C Trace Context, "
            "which the standard requires; add it."
        )
    propagate.set_global_textmap(LdvPropagator(inner, parties, extensions, tenants))


def is_used() -> bool:
    """Return whether ours is still the global propagator, or one of those that it consists of."""
    propagator = _propagate().get_global_textmap()
    return isinstance(propagator, LdvPropagator) or _without_ours(propagator) is not propagator


def from_environment() -> LdvPropagator:
    """Return the propagator `ldv` of `OTEL_PROPAGATORS`, the last in that list; `install()` does not need it.

    Raises:
        ConfigurationError: `LDV_PARTIES` or `LDV_UNKNOWN_CALLERS` cannot be used.
    """
    settings = read_some_settings(os.environ, "parties", "unknown_callers")
    parties = read_parties(settings.get("parties"), settings.get("unknown_callers"))
    return LdvPropagator(parties=parties, extensions=load_extensions(parties))


def _propagate() -> ModuleType:
    """Return OpenTelemetry's module `propagate`; its import loads `OTEL_PROPAGATORS`, and so possibly this package."""
    from opentelemetry import propagate

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
    """Return the span that was current before the caller's context was read; none if that was remote too."""
    span: Any = trace.get_current_span(context)
    return trace.INVALID_SPAN if span.get_span_context().is_remote else span
