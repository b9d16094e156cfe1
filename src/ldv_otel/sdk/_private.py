"""The one module that touches private names of the OpenTelemetry packages, because no public way exists.

Five things need it: tracers that were made before `install()` keep the sampler they were made with; a provider that
the application sets after `install()` must be reached at that moment, also one inside another vendor's; what hides
Acties (limits, switched-off tracers) must show; our own calls to the Logboek must not be instrumented (LDV-A11); and an
`ldv` among `OTEL_PROPAGATORS` gives way to the one around all of them.
`tests/sdk/test_private.py` watches the shape of every name used here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import TextMapPropagator
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


def silenced_tracers(provider: TracerProvider, scope: str = "") -> list[str]:
    """Return the names of tracers that the provider's tracer configurator has switched off.

    Args:
        scope: A tracer to ask for first, if the application has not done so.
    """
    if scope:
        provider.get_tracer(scope)
    with provider._tracers_lock:  # noqa: SLF001
        tracers = list(provider._tracers.items())  # noqa: SLF001
    return sorted({scope.name for scope, tracer in tracers if not tracer._is_enabled()})  # noqa: SLF001


def sdk_provider(provider: trace.TracerProvider | None) -> TracerProvider | None:
    """Return a provider if it is one of the SDK, else the one of the SDK that it holds, as logfire's does, or None."""
    if isinstance(provider, TracerProvider):
        return provider
    held = vars(provider).values() if hasattr(provider, "__dict__") else ()
    return next((inner for inner in held if isinstance(inner, TracerProvider)), None)


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


def parts_of(propagator: CompositePropagator) -> Sequence[TextMapPropagator]:
    """Return the propagators that a composite runs."""
    return propagator._propagators  # noqa: SLF001


def current_provider() -> trace.TracerProvider | None:
    """Return the provider the application (or `install()`) has set, or None; unlike the public call it sets none."""
    return trace._TRACER_PROVIDER  # noqa: SLF001


def watch(on_set: Callable[[TracerProvider], None]) -> None:
    """Call back whenever the application sets a provider of the SDK; a stand-in gives way to it."""
    _on_set[:] = [on_set]
    trace._set_tracer_provider = _set_tracer_provider  # noqa: SLF001
    _follow(trace._TRACER_PROVIDER)  # noqa: SLF001


def unwatch() -> None:
    """Take the watch away again."""
    _on_set.clear()
    trace._set_tracer_provider = _original_setter  # noqa: SLF001


def _set_tracer_provider(tracer_provider: trace.TracerProvider, log: bool) -> None:  # noqa: FBT001  (the API's signature)
    before = trace._TRACER_PROVIDER  # noqa: SLF001
    gives_way = isinstance(before, StandInProvider) and not isinstance(tracer_provider, StandInProvider)
    if gives_way:
        trace._TRACER_PROVIDER = tracer_provider  # noqa: SLF001
    else:
        _original_setter(tracer_provider, log)
    if trace._TRACER_PROVIDER is not tracer_provider:  # noqa: SLF001
        return
    _follow(tracer_provider)
    provider = sdk_provider(tracer_provider)
    if provider is not None:
        _tell(provider)
        if isinstance(before, StandInProvider) and gives_way:
            before.give_way(provider)


def _tell(provider: TracerProvider) -> None:
    for on_set in _on_set:
        on_set(provider)


def _follow(outer: trace.TracerProvider | None) -> None:
    """Hear of it when another vendor's provider gets a new one of the SDK inside, as `logfire.configure()` does."""
    set_provider = getattr(outer, "set_provider", None)
    if isinstance(outer, TracerProvider) or not callable(set_provider):
        return

    def set_and_tell(provider: trace.TracerProvider, *args: Any, **kwargs: Any) -> Any:
        result = set_provider(provider, *args, **kwargs)
        inner = sdk_provider(provider)
        if inner is not None:
            _tell(inner)
        return result

    outer.set_provider = set_and_tell  # type: ignore[union-attr]
