"""Fixtures of the SDK side: one provider with an exporter before and after ours, as an existing service has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ldv_otel import testing

if TYPE_CHECKING:
    from tests.sdk.test_write_ahead import Rig

ACTIVITY = "https://register.example/activiteiten/parkeren"
OTHER = "https://register.example/activiteiten/tenaamstelling"


@pytest.fixture(scope="session")
def backend() -> InMemorySpanExporter:
    """What the tracing backend gets; beside the Logboek."""
    exporter = InMemorySpanExporter()
    # A process has one provider for good; tests elsewhere may have set it, with a Logboek.
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


@pytest.fixture
def logboek(backend: InMemorySpanExporter) -> Iterator[testing.InMemoryLogboek]:
    """A fresh Logboek in memory, and an empty tracing backend."""
    backend.clear()
    with testing.logboek() as found:
        yield found


@pytest.fixture
def tracer(backend: InMemorySpanExporter) -> trace.Tracer:
    """A tracer of somebody's instrumentation."""
    del backend
    return trace.get_tracer("instrumentation")


@pytest.fixture(params=["durable", "write-ahead"])
def rig(request: pytest.FixtureRequest, tmp_path: Path, backend: object) -> Iterator[Rig]:
    """A service that waits for its disk at the end of an Actie, or at both ends."""
    from tests.sdk.test_write_ahead import Rig  # which imports this module

    del backend
    rig = Rig(tmp_path, request.param)
    yield rig
    rig.processor.shutdown()
