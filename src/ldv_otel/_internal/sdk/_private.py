"""The one module that touches private names of the OpenTelemetry packages, because no public way exists.

Six things need it: tracers that were made before `install()` keep what they were made with; a provider that the
application sets after `install()` must be reached at that moment, also one inside another vendor's; what hides Acties
(limits, switched-off tracers) must show; other processors are to get copies of some spans (the privacy shield); our own
calls to the Logboek must not be instrumented (LDV-A11); and an `ldv` among `OTEL_PROPAGATORS` gives way to the one
around all of them. `tests/sdk/test_private.py` watches the shape of every name used here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.trace import (
    Event,
    ReadableSpan,
    Span,
    SpanProcessor,
    SynchronousMultiSpanProcessor,
    Tracer,
    TracerProvider,
)
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.util.types import Attributes

from ldv_otel._internal.sdk.sampler import LdvSampler, MayBeActie

_on_set: list[Callable[[TracerProvider], None]] = []
_original_setter = trace._set_tracer_provider  # noqa: SLF001


class FirstSpanProcessor(SynchronousMultiSpanProcessor):
    """Takes the place of a provider's active span processor: ours go first, the others get what it lets through.

    To everybody else it is what it replaced: processors are added to that one, and found (or put away) there.

    Attributes:
        ours: See spans as they are, before all others.
        others: What the provider had, and has added since.
    """

    def __init__(self, others: SpanProcessor) -> None:  # the list of the base class is that of `others`
        self.ours: tuple[SpanProcessor, ...] = ()
        self.others = others
        self._looked_at: object = None
        self._look = False

    @property
    def _span_processors(self) -> tuple[SpanProcessor, ...]:
        return getattr(self.others, "_span_processors", (self.others,))

    @_span_processors.setter
    def _span_processors(self, processors: tuple[SpanProcessor, ...]) -> None:
        self.others._span_processors = processors  # type: ignore[attr-defined]  # noqa: SLF001

    def has_others(self) -> bool:
        """Say whether there is anybody to pass spans on to."""
        return bool(self._span_processors)

    def others_look(self) -> bool:
        """Say whether another processor may read a span before its end."""
        processors = self._span_processors
        if processors is not self._looked_at:
            self._look = any(looks_at_running_spans(processor) for processor in processors)
            self._looked_at = processors
        return self._look

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        """Add one of the others."""
        self.others.add_span_processor(span_processor)  # type: ignore[attr-defined]

    def shutdown(self) -> None:
        """Shut all of them down, ours last: the others may end spans of their own."""
        self.others.shutdown()
        for processor in self.ours:
            processor.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush all of them, ours first; True if all did."""
        deadline = time.monotonic() + timeout_millis / 1_000
        flushed = [processor.force_flush(timeout_millis) for processor in self.ours]
        left_millis = int((deadline - time.monotonic()) * 1_000)
        return self.others.force_flush(max(left_millis, 0)) is not False and all(flushed)


def instrument(
    provider: TracerProvider,
    processor: SpanProcessor,
    front_type: type[FirstSpanProcessor],
    may_be_actie: MayBeActie | None = None,
) -> None:
    """Let a processor see every span of a provider before all others do, and let the sampler drop none that matters.

    Tracers that exist already are reached too; spans that run at this moment are not.
    """
    active = provider._active_span_processor  # noqa: SLF001
    front = active if isinstance(active, FirstSpanProcessor) else front_type(active)
    front.ours += (processor,)
    provider._active_span_processor = front  # noqa: SLF001
    provider.sampler = LdvSampler(provider.sampler, may_be_actie=may_be_actie)
    with provider._tracers_lock:  # noqa: SLF001
        for tracer in provider._tracers.values():  # noqa: SLF001
            tracer.sampler = LdvSampler(tracer.sampler, may_be_actie=may_be_actie)
            tracer.span_processor = front


def release(provider: TracerProvider, processor: SpanProcessor) -> None:
    """Let a processor see no more spans of a provider."""
    front = provider._active_span_processor  # noqa: SLF001
    if isinstance(front, FirstSpanProcessor):
        front.ours = tuple(one for one in front.ours if one is not processor)


def looks_at_running_spans(processor: SpanProcessor) -> bool:
    """Say whether a processor may read a span before its end; the SDK's own that export do not."""
    kind = type(processor)
    return kind.on_start not in _START_NOTHING or kind._on_ending not in _ENDING_NOTHING  # noqa: SLF001


_START_NOTHING: Final = (SpanProcessor.on_start, SimpleSpanProcessor.on_start, BatchSpanProcessor.on_start)
_ENDING_NOTHING: Final = (SpanProcessor._on_ending, SimpleSpanProcessor._on_ending, BatchSpanProcessor._on_ending)  # noqa: SLF001


def on_ending(processor: SpanProcessor, span: Span) -> None:
    """Call the SDK's experimental hook."""
    processor._on_ending(span)  # noqa: SLF001


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """Return a copy of a span's attributes; a look-up of one name through the SDK's wrappers costs more than this."""
    given = span._attributes  # noqa: SLF001
    return given._dict.copy() if isinstance(given, BoundedAttributes) else dict(given or ())  # noqa: SLF001


def bounded_attributes(attributes: dict[str, Any], dropped: int) -> BoundedAttributes:
    """Return attributes, taken from a span's own, in the SDK's form; its constructor would check each value again."""
    bounded = BoundedAttributes(None)
    bounded._dict = attributes  # noqa: SLF001
    bounded.dropped = dropped
    return bounded


class _View(Span):
    """A running span as others may see it: all that it holds is the span's own, what is read of it passes a filter."""

    __slots__ = ("_shown", "_viewed")
    _viewed: Span
    _shown: Callable[[ReadableSpan], ReadableSpan]

    def _readable_span(self) -> ReadableSpan:
        return self._shown(self._viewed._readable_span())  # noqa: SLF001

    @property
    def name(self) -> str:
        return self._readable_span().name

    @property
    def context(self) -> trace.SpanContext | None:
        found: trace.SpanContext | None = self._readable_span().context  # the SDK does not say what it is
        return found

    @property
    def parent(self) -> trace.SpanContext | None:
        return self._readable_span().parent

    def get_span_context(self) -> trace.SpanContext:
        return self._readable_span().context or trace.INVALID_SPAN_CONTEXT

    @property
    def attributes(self) -> Attributes:
        return self._readable_span().attributes

    @property
    def events(self) -> Sequence[Event]:
        return self._readable_span().events

    @property
    def links(self) -> Sequence[trace.Link]:
        return self._readable_span().links

    @property
    def status(self) -> trace.Status:
        return self._readable_span().status

    def to_json(self, indent: int | None = 4) -> str:
        return str(self._readable_span().to_json(indent))

    def end(self, end_time: int | None = None) -> None:
        self._viewed.end(end_time)


def view(span: Span, shown: Callable[[ReadableSpan], ReadableSpan]) -> Span:
    """Return a view of a running span that shows what `shown` makes of it."""
    if isinstance(span, _View):
        return span
    found: _View = object.__new__(_View)
    found.__dict__ = span.__dict__
    found._viewed = span  # noqa: SLF001
    found._shown = shown  # noqa: SLF001
    return found


def max_span_attributes(provider: TracerProvider) -> int | None:
    """Return how many attributes a span of this provider keeps; None for all."""
    return provider._span_limits.max_span_attributes  # noqa: SLF001


def cut_attributes(span: ReadableSpan, attributes: Mapping[str, object]) -> Sequence[str]:
    """Return the names of the attributes that a limit on their length may have cut: those that are just as long."""
    kept = span._attributes  # noqa: SLF001
    limit = kept.max_value_len if isinstance(kept, BoundedAttributes) else None
    if limit is None:
        return ()
    return [name for name, value in attributes.items() if isinstance(value, str) and len(value) == limit]


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
