"""Attaches a processor to a provider: it sees every span first, and the sampler drops no span that may be an Actie."""

from __future__ import annotations

from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import Sampler

from ldv_otel._internal.sdk import _private
from ldv_otel._internal.sdk.sampler import LdvSampler, MayBeActie
from ldv_otel._internal.sdk.shield import shielded, view_of


def attach(provider: TracerProvider, processor: SpanProcessor, may_be_actie: MayBeActie | None = None) -> None:
    """Let a processor see every span of a provider before all others do, and shield the others.

    Args:
        may_be_actie: With `LDV_RECORD=acties`, see `LdvSampler`.
    """

    def dispatcher_of(active: SpanProcessor) -> _private.ShieldingDispatcher:
        return _private.ShieldingDispatcher(active, view_of, shielded)

    def sampler_of(wrapped: Sampler) -> Sampler:
        return LdvSampler(wrapped, may_be_actie=may_be_actie)

    _private.put_first(provider, processor, dispatcher_of, sampler_of)


def detach(provider: TracerProvider, processor: SpanProcessor) -> None:
    """Let a processor see no more spans of a provider; the others stay shielded."""
    _private.remove(provider, processor)
