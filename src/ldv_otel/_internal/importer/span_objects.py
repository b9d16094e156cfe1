"""The one walk through a document of spans: OTLP/JSON, its relatives, Jaeger, Zipkin, and what console exporters print.

All of these hold spans, at any level and one inside the other: `resourceSpans` (OTLP), `batches` (Tempo), `trace` (a
wrapper Tempo puts around them), `data` and `result` (Jaeger's wrappers), `scopeSpans`, `instrumentationLibrarySpans`
(OTLP before 1.0), `spans`; and a span may stand by itself, as console exporters and Zipkin write it. What is around a
span (its resource, its instrumentation scope) comes with it; whether an object is a span is for the reader to decide,
because an import has to be stricter than a trial of mapping rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from ldv_otel._internal.importer.any_value import attributes_of
from ldv_otel._internal.importer.other_formats import converted
from ldv_otel._internal.importer.span_fields import common_fields, common_name, first

_HOLDERS: Final = frozenset({"resourcespans", "batches", "trace", "scopespans", "instrumentationlibraryspans", "spans"})
#: Around spans of Jaeger; an object that is itself a span, or a line of a log, may have members of these names too.
_WRAPPERS: Final = frozenset({"data", "result"})
_SCOPES: Final = ("scope", "instrumentationscope", "instrumentationlibrary")
#: OTLP in Tempo's wrapper needs 7. Python's limit on recursion lies far beyond, so that no file can make it fail here.
_MAX_DEPTH: Final = 16


class JsonPath(msgspec.Struct, frozen=True, gc=False):
    """The path to a value in a file; it becomes text only for a problem, because nearly all values have none."""

    line: int
    parent: JsonPath | None = None
    step: str | int = ""

    def __truediv__(self, step: str | int) -> JsonPath:
        """Return the path to a field or an element."""
        return JsonPath(self.line, self, step)

    def __str__(self) -> str:
        """Return `line 3, resourceSpans[0].spans[1]`."""
        steps = ""
        path = self
        while path.parent is not None:
            steps = (f"[{path.step}]" if isinstance(path.step, int) else f".{path.step}") + steps
            path = path.parent
        return f"line {self.line}, {steps.lstrip('.')}" if steps else f"line {self.line}"


class Surroundings(msgspec.Struct, frozen=True, gc=False):
    """What holds for a value because of the parts around it.

    Attributes:
        resource: The attributes of the resource.
        scope: Name of the instrumentation scope; None where the file has none.
        processes: Of the Jaeger trace: their names and tags, by id.
        expects_span: Whether the value is in a list of spans.
    """

    resource: Mapping[str, Any] = {}
    scope: str | None = None
    processes: Mapping[str, Any] = {}
    expects_span: bool = False


class SpanObject(msgspec.Struct, frozen=True, gc=False):
    """An object that holds no other spans, and so may be one; its fields have their common names."""

    fields: Mapping[str, Any]
    path: JsonPath
    surroundings: Surroundings


class UnreadablePart(msgspec.Struct, frozen=True):
    """A part of a document in which no spans can be looked for; the reason quotes nothing of it."""

    path: JsonPath
    reason: str


def span_objects(document: object, line: int) -> Iterator[SpanObject | UnreadablePart]:
    """Yield the objects of a document that may be spans, in its order, and the parts that cannot be read.

    Args:
        line: Where the document begins in its file.
    """
    yield from _walk(document, JsonPath(line), Surroundings(), 0)


def _walk(
    value: object, path: JsonPath, surroundings: Surroundings, depth: int
) -> Iterator[SpanObject | UnreadablePart]:
    if depth > _MAX_DEPTH:
        yield UnreadablePart(path, "nested too deep")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, path / index, surroundings, depth + 1)
    elif isinstance(value, dict):
        yield from _object(value, path, surroundings, depth)
    else:
        yield UnreadablePart(path, "not an object")


def _object(
    value: Mapping[str, Any], path: JsonPath, surroundings: Surroundings, depth: int
) -> Iterator[SpanObject | UnreadablePart]:
    fields = common_fields(value)
    resource, scope = surroundings.resource, surroundings.scope
    if "resource" in fields:
        resource = _resource(fields["resource"])
    scope_name = common_fields(first(fields, *_SCOPES)).get("name")
    if isinstance(scope_name, str):
        scope = scope_name
    processes = fields["processes"] if isinstance(fields.get("processes"), dict) else surroundings.processes
    holders = {name: item for name, item in value.items() if common_name(name) in _HOLDERS}
    if not {"spanid", "traceid", "context"}.intersection(fields):
        holders |= {
            name: item
            for name, item in value.items()
            if common_name(name) in _WRAPPERS and isinstance(item, list | dict)
        }
    if not holders:
        yield _span_object(fields, path, Surroundings(resource, scope, processes, surroundings.expects_span))
    for name, item in holders.items():
        if item is not None:
            inner = Surroundings(resource, scope, processes, expects_span=common_name(name) == "spans")
            yield from _walk(item, path / name, inner, depth + 1)


def _span_object(fields: Mapping[str, Any], path: JsonPath, surroundings: Surroundings) -> SpanObject:
    span = converted(fields, surroundings.processes)
    if span is None:
        return SpanObject(fields, path, surroundings)
    resource = surroundings.resource if span.resource is None else span.resource
    scope = surroundings.scope if span.scope is None else span.scope
    return SpanObject(span.fields, path, Surroundings(resource, scope, {}, surroundings.expects_span))


def _resource(value: object) -> Mapping[str, Any]:
    attributes, _ = attributes_of(common_fields(value).get("attributes", value))
    return attributes
