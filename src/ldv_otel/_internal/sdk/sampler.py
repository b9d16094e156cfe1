"""`LdvSampler`: the tracing backend's volume stays what it was, and the Logboek misses nothing (LDV-A3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes

from ldv_otel._internal.sdk import span_state

#: Of a span's name, kind and first attributes.
MayBeActie = Callable[[str, SpanKind, Mapping[str, object]], bool]


class LdvSampler(Sampler):
    """Wraps a sampler so that what it would drop is still recorded, unsampled.

    Span processors then see every span; exporters skip the unsampled ones as before, and the sampled flag that goes to
    other parties stays what the wrapped sampler said.

    Args:
        wrapped: The sampler that decides on the sampled flag.
        may_be_actie: With `LDV_RECORD=acties`: says of a span's name, kind and first attributes whether it may be an
            Actie. Others are dropped as the wrapped sampler says, unless there is an Actie around them.
    """

    def __init__(self, wrapped: Sampler = DEFAULT_ON, *, may_be_actie: MayBeActie | None = None) -> None:
        self.wrapped: Sampler = wrapped.wrapped if isinstance(wrapped, LdvSampler) else wrapped
        self._may_be_actie = may_be_actie
        #: The SDK's default, whose answer for a sampled parent and for none is known without asking.
        self._is_default = self.wrapped is DEFAULT_ON

    def should_sample(  # noqa: PLR0913, PLR0917  (the SDK's signature)
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,  # noqa: ARG002  (see below)
    ) -> SamplingResult:
        """Return the wrapped sampler's result, with DROP turned into RECORD_ONLY where an Actie could be missed."""
        if self._is_default:
            parent = get_current_span(parent_context).get_span_context()
            if parent is None or not parent.is_valid:
                return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)
            if parent.trace_flags.sampled and not isinstance(parent.trace_state, span_state.LiveParentState):
                return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, parent.trace_state)
        # The SDK leaves `trace_state` out in its own calls, and so do older samplers in their signature.
        result = self.wrapped.should_sample(parent_context, trace_id, name, kind, attributes, links)
        if isinstance(result.trace_state, span_state.LiveParentState):
            # Samplers hand on the parent's: it belongs to one unrecorded span, and the next one gets its own.
            result = SamplingResult(result.decision, result.attributes, TraceState(list(result.trace_state.items())))
        if result.decision is not Decision.DROP:
            return result
        if self._may_be_actie is not None and not self._may_be_actie(name, kind or SpanKind.INTERNAL, attributes or {}):
            above, caller = span_state.above_of(parent_context)
            # A call to another party has to be known, too, when what calls becomes an Actie by a rule only later.
            if above is None or (kind not in span_state.OUTBOUND and above.as_enclosing() is None):
                state = span_state.LiveParentState(result.trace_state, (above, caller))
                return SamplingResult(Decision.DROP, None, state)
        # A sampler that drops gives no attributes back; the record needs those the span started with.
        return SamplingResult(Decision.RECORD_ONLY, attributes, result.trace_state)

    def get_description(self) -> str:
        """Return a description that names the wrapped sampler."""
        return f"LdvSampler{{{self.wrapped.get_description()}}}"
