"""The one module that touches private names of the OpenTelemetry packages, because no public way exists.

Six things need it: tracers that were made before `install()` keep what they were made with; a provider that the
application sets after `install()` must be reached at that moment, also one inside another vendor's; what hides Acties
(limits, disabled tracers) must show; other processors are to get copies of some spans (the privacy shield); our own
calls to the Logboek must not be instrumented (LDV-A11); and an `ldv` among `OTEL_PROPAGATORS` is replaced by the one
around all of them. `tests/sdk/test_private.py` watches the shape of every name used here.

This module imports nothing of ours: what it needs of them is passed in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.resources import Resource
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
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.util.types import Attributes

OnSet = Callable[[TracerProvider], None]
OnRefused = Callable[[TracerProvider, TracerProvider], None]

_on_set: list[OnSet] = []
_on_refused: list[OnRefused] = []
_original_setter = trace._set_tracer_provider


class ShieldingDispatcher(SynchronousMultiSpanProcessor):
    """Takes the place of a provider's active span processor: ours see a span first, the others its shielded form.

    To everybody else it is the processor that it replaced: processors are added to that one, and found or removed
    there.

    Args:
        others: The provider's active span processor.
        view_of: Returns a view of a running span for processors that may read it.
        shielded: Returns an ended span, or a copy without identifiers.

    Attributes:
        ours: They see spans as they are, before all others.
        others: What the provider had, and has added since.
    """

    def __init__(
        self,
        others: SpanProcessor,
        view_of: Callable[[Span], Span],
        shielded: Callable[[ReadableSpan], ReadableSpan],
    ) -> None:  # the list of processors of the base class is that of `others`
        self.ours: tuple[SpanProcessor, ...] = ()
        self.others = others
        self._view_of = view_of
        self._shielded = shielded
        #: The others as they were when the two below were worked out.
        self._seen_others: object = None
        self._others_read = False
        self._others_want_starts = True

    @property
    def _span_processors(self) -> tuple[SpanProcessor, ...]:
        return getattr(self.others, "_span_processors", (self.others,))

    @_span_processors.setter
    def _span_processors(self, processors: tuple[SpanProcessor, ...]) -> None:
        self.others._span_processors = processors  # type: ignore[attr-defined]

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Begin a span: ours first, because the shield of the others asks what ours know."""
        self._look_at_others()
        for processor in self.ours:
            processor.on_start(span, parent_context)
        if self._others_want_starts:
            self.others.on_start(self._view_of(span) if self._others_read else span, parent_context=parent_context)

    def _on_ending(self, span: Span) -> None:
        self._look_at_others()
        if self._others_want_starts:
            self.others._on_ending(self._view_of(span) if self._others_read else span)

    def on_end(self, span: ReadableSpan) -> None:
        """End a span: log it, then pass it on."""
        others = self._span_processors
        for processor in self.ours:
            processor.on_end(span)
        self.others.on_end(self._shielded(span) if others else span)

    def _look_at_others(self) -> None:
        """Work out whether one of the others may read a span before its end, when there are others than before.

        The SDK's exporting processors do nothing before a span's end, nor does what hands a span to each of them.
        """
        processors = getattr(self.others, "_span_processors", self.others)
        if processors is self._seen_others:
            return
        self._others_read = any(map(reads_running_spans, self._span_processors))
        self._others_want_starts = self._others_read or type(self.others) is not SynchronousMultiSpanProcessor
        self._seen_others = processors

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


def put_first(
    provider: TracerProvider,
    processor: SpanProcessor,
    dispatcher_of: Callable[[SpanProcessor], ShieldingDispatcher],
    sampler_of: Callable[[Sampler], Sampler],
) -> None:
    """Put a processor before all others of a provider, and a sampler around its own.

    Tracers that exist already are reached too; spans that run at this moment are not.

    Args:
        dispatcher_of: Returns a dispatcher in front of a provider's active span processor.
        sampler_of: Returns a sampler around another one.
    """
    active = provider._active_span_processor
    dispatcher = active if isinstance(active, ShieldingDispatcher) else dispatcher_of(active)
    dispatcher.ours += (processor,)
    provider._active_span_processor = dispatcher
    provider.sampler = sampler_of(provider.sampler)
    with provider._tracers_lock:
        for tracer in provider._tracers.values():
            tracer.sampler = sampler_of(tracer.sampler)
            tracer.span_processor = dispatcher


def remove(provider: TracerProvider, processor: SpanProcessor) -> None:
    """Remove a processor from those that come first; the shield of the others stays."""
    dispatcher = provider._active_span_processor
    if isinstance(dispatcher, ShieldingDispatcher):
        dispatcher.ours = tuple(other for other in dispatcher.ours if other is not processor)


def reads_running_spans(processor: SpanProcessor) -> bool:
    """Return whether a processor may read a span before its end; the SDK's exporting processors do not."""
    kind = type(processor)
    return kind.on_start not in _NO_START or kind._on_ending not in _NO_ENDING


_NO_START: Final = (SpanProcessor.on_start, SimpleSpanProcessor.on_start, BatchSpanProcessor.on_start)
_NO_ENDING: Final = (SpanProcessor._on_ending, SimpleSpanProcessor._on_ending, BatchSpanProcessor._on_ending)


def on_ending(processor: SpanProcessor, span: Span) -> None:
    """Call the SDK's experimental hook."""
    processor._on_ending(span)


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """Return a copy of a span's attributes; a look-up of one name through the SDK's wrappers costs more than this."""
    bounded = span._attributes
    return bounded._dict.copy() if isinstance(bounded, BoundedAttributes) else dict(bounded or ())


def limited_attributes(span: ReadableSpan) -> tuple[dict[str, Any], int | None]:
    """Return a copy of a span's attributes, and the length to which longer values were cut; None for no limit."""
    bounded = span._attributes
    if isinstance(bounded, BoundedAttributes):
        return bounded._dict.copy(), bounded.max_value_len
    return dict(bounded or ()), None


def ended_values(
    span: ReadableSpan,
) -> tuple[trace.SpanContext, str, dict[str, Any], trace.StatusCode, int, int, Resource] | None:
    """Return what the record of most spans is made of: context, name, attributes, status, start, end and resource.

    None where a value is missing, or limits took something away. The attributes are the span's own, and only to be
    read: it has ended, so that nothing changes them. Through the SDK's properties this costs eight calls.
    """
    bounded, context, started, ended = span._attributes, span._context, span._start_time, span._end_time
    if (
        not isinstance(bounded, BoundedAttributes)
        or bounded.dropped
        or bounded.max_value_len is not None
        or context is None
        or started is None
        or ended is None
    ):
        return None
    return context, span._name, bounded._dict, span._status._status_code, started, ended, span._resource


def plain_texts(span: ReadableSpan, *, without: frozenset[str]) -> list[str] | None:
    """Return all texts of a span, numbers too; None where some stand in events, links, lists or its status.

    Args:
        without: Names of attributes; None is returned for a span that has one of them.
    """
    bounded = span._attributes
    if (
        # By length: iterating takes a lock and a copy.
        len(span._events)
        or len(span._links)
        or span._status._description
        or not isinstance(bounded, BoundedAttributes)
        or not without.isdisjoint(bounded._dict)
    ):
        return None
    # A copy: a span that is viewed while it runs may get another one meanwhile.
    attributes: dict[str, Any] = bounded._dict.copy()
    texts = [span._name, *attributes]
    for value in attributes.values():
        kind = type(value)
        if kind is str:
            texts.append(value)
        elif kind is int or kind is bool:
            texts.append(str(value))
        else:
            return None
    contexts = (span._context, span._parent)
    texts += [context.trace_state.to_header() for context in contexts if context is not None and context.trace_state]
    return texts


def has_name_in(span: ReadableSpan, namespace: str) -> bool:
    """Return whether a span may have an attribute of a namespace, seen in one look at all names."""
    bounded = span._attributes
    return not isinstance(bounded, BoundedAttributes) or f"\x00{namespace}" in "\x00".join(["", *bounded._dict])


def bounded_attributes(attributes: dict[str, Any], dropped: int) -> BoundedAttributes:
    """Return attributes, taken from a span's own, in the SDK's form; its constructor would check each value again."""
    bounded = BoundedAttributes(None)
    bounded._dict = attributes
    bounded.dropped = dropped
    return bounded


class _FilteredSpan(Span):
    """A running span as others may see it: it shares the span's state, and filters what is read of it."""

    __slots__ = ("_shown", "_viewed")
    _viewed: Span
    _shown: Callable[[ReadableSpan], ReadableSpan]

    def _readable_span(self) -> ReadableSpan:
        return self._shown(self._viewed._readable_span())

    @property
    def name(self) -> str:
        return self._readable_span().name

    @property
    def context(self) -> trace.SpanContext | None:
        context: trace.SpanContext | None = self._readable_span().context  # the SDK leaves it unannotated
        return context

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
    if isinstance(span, _FilteredSpan):
        return span
    filtered: _FilteredSpan = object.__new__(_FilteredSpan)
    filtered.__dict__ = span.__dict__
    filtered._viewed = span
    filtered._shown = shown
    return filtered


def exporters_of(provider: TracerProvider) -> list[str]:
    """Return the names of the classes that export, or else process, the spans of a provider."""
    processors = getattr(provider._active_span_processor, "_span_processors", ())
    inner = [getattr(processor, "span_exporter", None) or processor for processor in processors]
    return [type(exporter).__name__ for exporter in inner]


def max_span_attributes(provider: TracerProvider) -> int | None:
    """Return how many attributes a span of this provider keeps; None for all."""
    return provider._span_limits.max_span_attributes


def silenced_tracers(provider: TracerProvider, scope: str = "") -> list[str]:
    """Return the names of tracers that the provider's tracer configurator has disabled.

    Args:
        scope: Name of a tracer that is made first, where the application has not done so.
    """
    if scope:
        provider.get_tracer(scope)
    with provider._tracers_lock:
        tracers = list(provider._tracers.items())
    return sorted({scope.name for scope, tracer in tracers if not tracer._is_enabled()})


def sdk_provider(provider: trace.TracerProvider | None) -> TracerProvider | None:
    """Return a provider of the SDK as it is; of another, the SDK's provider inside it, as logfire's has, or None."""
    if isinstance(provider, TracerProvider):
        return provider
    held = vars(provider).values() if hasattr(provider, "__dict__") else ()
    return next((inner for inner in held if isinstance(inner, TracerProvider)), None)


class StandInProvider(TracerProvider):
    """The provider that `install()` sets where the application has set none yet; the application's replaces it."""

    def hand_over(self, provider: TracerProvider) -> None:
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
    token = otel_context.attach(otel_context.set_value(otel_context._SUPPRESS_INSTRUMENTATION_KEY, True))
    try:
        yield
    finally:
        otel_context.detach(token)


def parts_of(propagator: CompositePropagator) -> Sequence[TextMapPropagator]:
    """Return the propagators that a composite runs."""
    return propagator._propagators


def current_provider() -> trace.TracerProvider | None:
    """Return the provider the application (or `install()`) has set, or None; unlike the public call it sets none."""
    return trace._TRACER_PROVIDER


def watching() -> tuple[OnSet, OnRefused]:
    """Return what `watch` was given last; functions that do nothing before."""
    return (_on_set or [_do_nothing])[0], (_on_refused or [_do_nothing])[0]


def _do_nothing(*providers: TracerProvider) -> None:
    del providers


def watch(on_set: OnSet, on_refused: OnRefused) -> None:
    """Call back whenever the application sets a provider of the SDK; it replaces a stand-in.

    Args:
        on_set: Called with the provider that was set.
        on_refused: Called with a provider that OpenTelemetry refuses, because there is one, and with that one.
    """
    _on_set[:] = [on_set]
    _on_refused[:] = [on_refused]
    trace._set_tracer_provider = _set_tracer_provider
    _watch_vendor(trace._TRACER_PROVIDER)


def _set_tracer_provider(tracer_provider: trace.TracerProvider, log: bool) -> None:  # noqa: FBT001  (the API's signature)
    before = trace._TRACER_PROVIDER
    replaced = isinstance(before, StandInProvider) and not isinstance(tracer_provider, StandInProvider)
    if replaced:
        trace._TRACER_PROVIDER = tracer_provider
    else:
        _original_setter(tracer_provider, log)
    if trace._TRACER_PROVIDER is not tracer_provider:
        refused, kept = sdk_provider(tracer_provider), sdk_provider(trace._TRACER_PROVIDER)
        if refused is not None and kept is not None:
            for on_refused in _on_refused:
                on_refused(refused, kept)
        return
    _watch_vendor(tracer_provider)
    provider = sdk_provider(tracer_provider)
    if provider is not None:
        _call_back(provider)
        if isinstance(before, StandInProvider) and replaced:
            before.hand_over(provider)


def _call_back(provider: TracerProvider) -> None:
    for on_set in _on_set:
        on_set(provider)


def _watch_vendor(outer: trace.TracerProvider | None) -> None:
    """Call back when another vendor's provider gets a new one of the SDK inside, as `logfire.configure()` does."""
    set_provider = getattr(outer, "set_provider", None)
    if isinstance(outer, TracerProvider) or not callable(set_provider):
        return

    def set_and_call_back(provider: trace.TracerProvider, *args: Any, **kwargs: Any) -> Any:
        result = set_provider(provider, *args, **kwargs)
        inner = sdk_provider(provider)
        if inner is not None:
            _call_back(inner)
        return result

    outer.set_provider = set_and_call_back  # type: ignore[union-attr]
