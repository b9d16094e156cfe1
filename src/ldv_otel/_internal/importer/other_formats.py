"""Spans of Jaeger and Zipkin, with the fields that a span of OTLP has: `tags` become attributes, a duration an end.

Jaeger is what its query API, its page and its storage give (`data`, `spans`, `processes`); Zipkin's is version 2, and
what version 1 has alike. The answers of Jaeger's `api/v3` are OTLP.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ldv_otel._internal.importer.any_value import attributes_of
from ldv_otel._internal.importer.span_fields import common_fields, first

_HEX: Final = re.compile("[0-9a-fA-F]{1,32}")
_TRACE_ID_DIGITS: Final = 32
_SPAN_ID_DIGITS: Final = 16
#: How OpenTelemetry names in a tag what has a field of its own in OTLP.
_STATUS_TAG: Final = "otel.status_code"
_SCOPE_TAGS: Final = ("otel.scope.name", "otel.library.name")
_KIND_TAG: Final = "span.kind"
_ERROR_TAG: Final = "error"
#: A log line may well have a `traceId` and an `id`; it has none of these.
_ZIPKIN_SIGNS: Final = frozenset({"localendpoint", "remoteendpoint", "annotations", "binaryannotations", "tags"})


class ConvertedSpan(msgspec.Struct, frozen=True):
    """A span with the fields of OTLP, and what is around it.

    Attributes:
        resource: None where the span says nothing about it.
    """

    fields: Mapping[str, Any]
    resource: Mapping[str, Any] | None
    scope: str | None


def converted(fields: Mapping[str, Any], processes: Mapping[str, Any]) -> ConvertedSpan | None:
    """Return a span of Jaeger or Zipkin as one of OTLP; None when it is neither.

    Args:
        fields: By their common names.
        processes: Of the Jaeger trace around it.
    """
    if "operationname" in fields and "spanid" in fields:
        return _from_jaeger(fields, processes)
    if "traceid" in fields and "id" in fields and "spanid" not in fields and _ZIPKIN_SIGNS.intersection(fields):
        return _from_zipkin(fields)
    return None


def _from_jaeger(fields: Mapping[str, Any], processes: Mapping[str, Any]) -> ConvertedSpan:
    tags, _ = attributes_of(fields.get("tags"))
    process = common_fields(fields.get("process") or processes.get(str(fields.get("processid"))))
    process_tags, _ = attributes_of(process.get("tags"))
    return ConvertedSpan(
        {
            "traceid": _padded(fields.get("traceid"), _TRACE_ID_DIGITS),
            "spanid": _padded(fields.get("spanid"), _SPAN_ID_DIGITS),
            "parentspanid": _padded(_jaeger_parent(fields), _SPAN_ID_DIGITS),
            "name": fields.get("operationname"),
            "kind": tags.get(_KIND_TAG),
            "starttime": fields.get("starttime"),
            "endtime": _end(fields.get("starttime"), fields.get("duration")),
            # As it was written, so that what cannot be read of it is noticed by its reader.
            "attributes": fields.get("tags"),
            "status": _status(tags, is_error=tags.get(_ERROR_TAG) in (True, "true")),
            "events": [_jaeger_event(log) for log in _listed(fields.get("logs"))],
        },
        {"service.name": process["servicename"], **process_tags} if "servicename" in process else None,
        _scope(tags),
    )


def _jaeger_parent(fields: Mapping[str, Any]) -> object:
    for reference in map(common_fields, _listed(fields.get("references"))):
        # A parent in another trace, or what a span only follows from, is a link.
        if reference.get("reftype") == "CHILD_OF" and reference.get("traceid") in (None, fields.get("traceid")):
            return reference.get("spanid")
    return fields.get("parentspanid")


def _jaeger_event(log: object) -> dict[str, Any]:
    entries = common_fields(log).get("fields")
    values, _ = attributes_of(entries)
    return {"name": values.get("event"), "attributes": entries}


def _from_zipkin(fields: Mapping[str, Any]) -> ConvertedSpan:
    written = first(fields, "tags", "binaryannotations", "attributes")
    tags, _ = attributes_of(written)
    endpoint = _zipkin_endpoint(fields)
    return ConvertedSpan(
        {
            "traceid": _padded(fields.get("traceid"), _TRACE_ID_DIGITS),
            "spanid": _padded(fields.get("id"), _SPAN_ID_DIGITS),
            "parentspanid": _padded(fields.get("parentid"), _SPAN_ID_DIGITS),
            "name": fields.get("name"),
            "kind": fields.get("kind"),
            "starttime": fields.get("timestamp"),
            "endtime": _end(fields.get("timestamp"), fields.get("duration")),
            "attributes": written,
            # Whatever its value, even an empty one: Zipkin's own convention.
            "status": _status(tags, is_error=_ERROR_TAG in tags),
        },
        {"service.name": endpoint["servicename"]} if "servicename" in endpoint else None,
        _scope(tags),
    )


def _zipkin_endpoint(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the service itself: in version 1 it stands with each annotation."""
    annotations = map(common_fields, [*_listed(fields.get("binaryannotations")), *_listed(fields.get("annotations"))])
    return common_fields(
        first(fields, "localendpoint") or next((first(item, "endpoint") for item in annotations), None)
    )


def _status(tags: Mapping[str, object], *, is_error: bool) -> object:
    return tags.get(_STATUS_TAG) or ("ERROR" if is_error else None)


def _scope(tags: Mapping[str, object]) -> str | None:
    scope = next((tags[name] for name in _SCOPE_TAGS if name in tags), None)
    return scope if isinstance(scope, str) else None


def _end(start: object, duration: object) -> object:
    """Return the end, in the unit of both; what cannot be added up stays, so that its reader says so."""
    if duration is None:
        return None
    if isinstance(start, int) and isinstance(duration, int) and not isinstance(duration, bool) and duration >= 0:
        return start + duration
    return {"start": start, "duration": duration}


def _padded(value: object, digits: int) -> object:
    """Return an id with the zeros that these formats leave out at its beginning."""
    if isinstance(value, str) and _HEX.fullmatch(value) and len(value) <= digits:
        return value.rjust(digits, "0")
    return value


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
