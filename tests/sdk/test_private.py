"""The private names of OpenTelemetry that one module uses: this fails when their shape changes."""

from __future__ import annotations

import inspect

from logfire._internal.config import LogfireConfig
from logfire._internal.tracer import ProxyTracerProvider
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.trace import (
    ReadableSpan,
    SpanLimits,
    SpanProcessor,
    SynchronousMultiSpanProcessor,
    TracerProvider,
    _disable_tracer_configurator,
)
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ldv_otel._internal.sdk import _private


def test_a_provider_keeps_its_tracers_and_their_samplers() -> None:
    """Tracers made before `install()` are reached through the provider's registry."""
    provider = TracerProvider()
    tracer = provider.get_tracer("early")
    assert list(provider._tracers.values()) == [tracer]
    assert getattr(tracer, "sampler", None) is provider.sampler
    with provider._tracers_lock:
        pass


def test_a_provider_knows_its_limits() -> None:
    """Too few attributes a span would hide Acties."""
    assert TracerProvider()._span_limits.max_span_attributes == 128


def test_attributes_know_the_limit_of_their_length() -> None:
    """What is as long as the limit may have been cut."""
    provider = TracerProvider(span_limits=SpanLimits(max_span_attribute_length=5))
    span = provider.get_tracer("x").start_span("x", attributes={"cut": "123456", "short": "1234", "number": 12345})
    assert isinstance(span, ReadableSpan)
    assert _private.limited_attributes(span) == ({"cut": "12345", "short": "1234", "number": 12345}, 5)
    free = TracerProvider().get_tracer("x").start_span("x", attributes={"long": "1" * 5_000})
    assert isinstance(free, ReadableSpan)
    assert _private.limited_attributes(free) == ({"long": "1" * 5_000}, None)


def test_tracers_can_be_switched_off() -> None:
    """A tracer that is makes no spans, and nothing else tells."""
    provider = TracerProvider(_tracer_configurator=_disable_tracer_configurator)
    assert _private.silenced_tracers(provider) == []
    assert _private.silenced_tracers(provider, "asked for") == ["asked for"]
    TracerProvider().get_tracer("on")
    assert _private.silenced_tracers(TracerProvider(), "on") == []


def test_logfire_holds_a_provider_of_the_sdk() -> None:
    """Its own provider is none of the SDK, and gets another one inside with each `configure()`."""
    source = inspect.getsource(LogfireConfig._initialize)
    assert "self._tracer_provider.set_provider(tracer_provider)" in source
    assert "provider" in ProxyTracerProvider.__dataclass_fields__


def test_setting_a_provider_goes_through_one_function() -> None:
    """Both public ways look the function up when called, so a wrapper sees every provider."""
    assert list(inspect.signature(trace._set_tracer_provider).parameters) == ["tracer_provider", "log"]
    assert "_set_tracer_provider(tracer_provider" in inspect.getsource(trace.set_tracer_provider)
    assert "_set_tracer_provider(tracer_provider" in inspect.getsource(trace.get_tracer_provider)
    assert hasattr(trace, "_TRACER_PROVIDER")


def test_instrumentation_can_be_told_to_be_silent() -> None:
    """The key that the instrumentations look at."""
    assert otel_context._SUPPRESS_INSTRUMENTATION_KEY.startswith("suppress_instrumentation")


def test_a_composite_knows_its_parts() -> None:
    """So that an `ldv` among `OTEL_PROPAGATORS` can give way."""
    part = TraceContextTextMapPropagator()
    assert list(CompositePropagator([part])._propagators) == [part]


def test_a_provider_hands_its_active_processor_to_its_tracers() -> None:
    """The privacy shield takes that processor's place, in the provider and in tracers that are there already."""
    provider = TracerProvider()
    early = provider.get_tracer("early")
    assert isinstance(provider._active_span_processor, SynchronousMultiSpanProcessor)
    assert provider._active_span_processor._span_processors == ()
    assert getattr(early, "span_processor", None) is provider._active_span_processor
    provider._active_span_processor = stand_in = SynchronousMultiSpanProcessor()  # type: ignore[no-untyped-call]
    assert getattr(provider.get_tracer("late"), "span_processor", None) is stand_in


def test_a_span_holds_all_it_has_in_one_dict() -> None:
    """A view shares it, so that what others write to a running span counts."""
    span = TracerProvider().get_tracer("x").start_span("x", attributes={"a": 1})
    assert {"_attributes", "_name", "_events", "_links", "_status", "_context", "_lock"} <= vars(span).keys()
    attributes = span._attributes  # type: ignore[attr-defined]
    assert isinstance(attributes, BoundedAttributes)
    assert attributes._dict == {"a": 1}
    assert span._readable_span().dropped_attributes == 0  # type: ignore[attr-defined]


def test_the_processors_that_export_do_not_look_at_running_spans() -> None:
    """Only others get a view; these two do nothing before a span's end."""
    for kind in (SimpleSpanProcessor, BatchSpanProcessor):
        for method in (kind.on_start, kind._on_ending):
            assert inspect.getsource(method).rstrip().endswith("pass")


def test_one_context_object_stands_for_a_span() -> None:
    """It carries our live span: in the span, its copy at the end, wrappers, and its children as their parent."""
    ended: list[ReadableSpan] = []

    class Ends(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            ended.append(span)

    provider = TracerProvider()
    provider.add_span_processor(Ends())
    tracer = provider.get_tracer("x")
    span = tracer.start_span("x")
    context = span.get_span_context()
    context.__dict__["note"] = "kept"
    assert trace.NonRecordingSpan(context).get_span_context() is context
    child = tracer.start_span("child", trace.set_span_in_context(span))
    assert isinstance(child, ReadableSpan)
    assert child.parent is context
    span.end()
    assert id(ended[0]) != id(span)
    assert ended[0].context is ended[0].get_span_context() is context
    assert vars(context) == {"note": "kept"}
    assert context == trace.SpanContext(*context[:5]), "it is the same value for everybody else"
    assert "kept" not in repr(context)
