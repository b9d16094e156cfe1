"""The OpenAPI document of the lezen API: both forms of extension *lezen*, and what this server adds to them.

Added are: the rule that one of three keys must be given (LDV-R2), that other fields are refused, pages, the errors
beyond 400 and 401, and a resource that finds records by the trace of a calling party.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final

import msgspec

from ldv_otel._internal.api.constraints import Moment, TraceId, constrained, schema_of
from ldv_otel._internal.api.read_api.request import (
    ATTRIBUTES,
    SPELLINGS,
    TYPES,
    Milliseconds,
    SpanId,
)
from ldv_otel._internal.clickhouse.queries.models import CursorText
from ldv_otel._internal.config.settings import ServeSettings

BASE_PATH: Final = "/lezenapi/v1"

#: What parameters may be; a body is what its fields may be.
_PARAMETERS: Final[dict[str, Any]] = {"traceId": TraceId, "spanId": SpanId, "cursor": CursorText}


def own_url(settings: ServeSettings) -> str:
    """Return this API as other parties name it; empty when `LDV_SERVE_URL` does not say."""
    return f"{settings.url}{BASE_PATH}" if settings.url else ""


def openapi_document(server_url: str) -> dict[str, Any]:
    """Return the document for a server.

    Args:
        server_url: Its address, as clients know it, or the path before this API on the same server.
    """
    return _DOCUMENT | {"servers": [{"url": f"{server_url}{BASE_PATH}"}]}


def _document() -> dict[str, Any]:
    """Return the document; what a request may say is taken from the types that the server checks it with."""
    document: dict[str, Any] = msgspec.json.decode((files(__package__) / "lezen-openapi.json").read_bytes())
    components = document["components"]
    schemas = components["schemas"]
    for name, schema in schemas["ProcessingActivityRequest"]["properties"].items():
        schemas["ProcessingActivityRequest"]["properties"][name] = constrained(
            _followed(schema, document), TYPES[SPELLINGS[name]]
        )
    _constrain_members(schemas["DataProcessingOperationsRequest"], "")
    _constrain_members(schemas["BatchRequest"]["properties"]["context"], "")
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    parameters = [each for operation in operations for each in operation.get("parameters", ())]
    for parameter in [*parameters, *components["parameters"].values()]:
        if parameter.get("name") in _PARAMETERS:
            schema = _followed(parameter["schema"], document)
            parameter["schema"] = constrained(schema, _PARAMETERS[parameter["name"]])
    return document


def _constrain_members(schema: dict[str, Any], above: str) -> None:
    """Say of each member of a request in the form of 2026 what the server takes; this goes as deep as our own file."""
    for name, part in schema["properties"].items():
        whole = f"{above}{name}"
        if "properties" in part:
            _constrain_members(part, "" if whole == ATTRIBUTES else f"{whole}.")
        elif (type_ := TYPES[SPELLINGS[whole]]) is Milliseconds:
            # Written in RFC 3339; a whole number is milliseconds, as before (LDV-N2).
            schema["properties"][name] = part | {"anyOf": [schema_of(Moment), schema_of(Milliseconds)]}
        else:
            schema["properties"][name] = constrained(part, type_)


def _followed(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    target: dict[str, Any] = document["components"]["schemas"][name] if name else schema
    return target


_DOCUMENT: Final = _document()
API_VERSION: Final[str] = _DOCUMENT["info"]["version"]
