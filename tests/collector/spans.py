"""Spans as any OpenTelemetry client sends them, made without ldv_otel."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from tests.support.chance import new_id

ACTIVITY = "https://register.example/activiteiten/parkeren"


def span(
    attributes: Mapping[str, Any] | None = None, *, name: str = "Wijzig kenteken", kind: int = 1, **fields: Any
) -> Span:
    """A span with fresh ids, unless `fields` gives them."""
    now = time.time_ns()
    ids = {"trace_id": new_id(16), "span_id": new_id(8)}
    times = {"start_time_unix_nano": now, "end_time_unix_nano": now + 5_000_000}
    return Span(name=name, kind=kind, attributes=_attributes(attributes or {}), **{**ids, **times, **fields})  # type: ignore[arg-type]


def actie(attributes: Mapping[str, Any] | None = None, **fields: Any) -> Span:
    """A span that is an Actie."""
    return span({"dpl.core.processing_activity_id": ACTIVITY, **(attributes or {})}, **fields)


def request_of(spans: Iterable[Span], resource: Mapping[str, Any] | None = None) -> bytes:
    """An export request."""
    return _request_of_scopes([ScopeSpans(spans=list(spans))], resource)


def _request_of_scopes(scopes: Iterable[ScopeSpans], resource: Mapping[str, Any] | None) -> bytes:
    about = Resource(attributes=_attributes({"service.name": "node-dienst", **(resource or {})}))
    found: bytes = ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=about, scope_spans=list(scopes))]
    ).SerializeToString()
    return found


def post(url: str, spans: Iterable[Span], resource: Mapping[str, Any] | None = None) -> requests.Response:
    """Send spans once."""
    return post_scopes(url, [ScopeSpans(spans=list(spans))], resource)


def post_scopes(url: str, scopes: Iterable[ScopeSpans], resource: Mapping[str, Any] | None = None) -> requests.Response:
    """Send spans once, with what their scopes say."""
    headers = {"Content-Type": "application/x-protobuf"}
    return requests.post(url, data=_request_of_scopes(scopes, resource), headers=headers, timeout=60)


def _attributes(given: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in given.items()]


def _value(value: Any) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=[_value(item) for item in value]))
    return AnyValue(string_value=str(value))
