"""The private names of OpenTelemetry that one module uses: this fails when their shape changes."""

from __future__ import annotations

import inspect

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator


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
