"""The one module that touches private names of the OpenTelemetry packages, because no public way exists.

Three things need it: tracers that were made before `install()` keep the sampler they were made with; a provider that
the application sets after `install()` must be reached at that moment; and our own calls to the Logboek must not be
instrumented (LDV-A11). `tests/sdk/test_private.py` watches the
shape of every name used here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, Tracer, TracerProvider

from ldv_otel.sdk.sampler import LdvSampler

_on_set: list[Callable[[TracerProvider], None]] = []
_original_setter = trace._set_tracer_provider  # noqa: SLF001


def instrument(provider: TracerProvider, processor: SpanProcessor) -> None:
    """Add the processor to a provider and let its sampler, also in tracers that exist already, drop nothing."""
    provider.sampler = LdvSampler(provider.sampler)
    with provider._tracers_lock:  # noqa: SLF001
        for tracer in provider._tracers.values():  # noqa: SLF001
            tracer.sampler = LdvSampler(tracer.sampler)
    provider.add_span_processor(processor)


def max_span_attributes(provider: TracerProvider) -> int | None:
    """Return how many attributes a span of this provider keeps; None for all."""
    return provider._span_limits.max_span_attributes  # noqa: SLF001


class StandInProvider(TracerProvider):
    """The provider `install()` makes when the application has set none yet; gives way when it does."""

    def give_way(self, provider: TracerProvider) -> None:
        """Make the tracers handed out so far behave as if the new provider had made them."""
        model = provider.get_tracer("ldv_otel")
        if not isinstance(model, Tracer):
            return
        with self._tracers_lock:
            for tracer in self._tracers.values():
                tracer.sampler = model.sampler
                tracer.resource = model.resource
                tracer.span_processor = model.span_processor
                tracer.id_generator = model.id_generator


@contextmanager
def uninstrumented() -> Iterator[None]:
    """Run a block whose HTTP and database calls make no spans."""
    token = otel_context.attach(otel_context.set_value(otel_context._SUPPRESS_INSTRUMENTATION_KEY, True))  # noqa: SLF001
    try:
        yield
    finally:
        otel_context.detach(token)


def current_provider() -> trace.TracerProvider | None:
    """Return the provider the application (or `install()`) has set, or None; unlike the public call it sets none."""
    return trace._TRACER_PROVIDER  # noqa: SLF001


def watch(on_set: Callable[[TracerProvider], None]) -> None:
    """Call back whenever the application sets a provider of the SDK; a stand-in gives way to it."""
    _on_set[:] = [on_set]
    trace._set_tracer_provider = _set_tracer_provider  # noqa: SLF001


def unwatch() -> None:
    """Take the watch away again."""
    _on_set.clear()
    trace._set_tracer_provider = _original_setter  # noqa: SLF001


def _set_tracer_provider(tracer_provider: trace.TracerProvider, log: bool) -> None:  # noqa: FBT001  (the API's signature)
    before = trace._TRACER_PROVIDER  # noqa: SLF001
    if isinstance(before, StandInProvider) and not isinstance(tracer_provider, StandInProvider):
        trace._TRACER_PROVIDER = tracer_provider  # noqa: SLF001
        if isinstance(tracer_provider, TracerProvider):
            for on_set in _on_set:
                on_set(tracer_provider)
            before.give_way(tracer_provider)
        return
    _original_setter(tracer_provider, log)
    if trace._TRACER_PROVIDER is tracer_provider and isinstance(tracer_provider, TracerProvider):  # noqa: SLF001
        for on_set in _on_set:
            on_set(tracer_provider)
