"""The OpenAPI document: the standard's two contracts in one, corrected where they contradict the standard itself.

Both APIs are served below one base path: their resources differ, and a client has one address to change. The
corrections are in appendix B of the specification. What each element, parameter and header may be is what the server
checks: it is made from the types of `model.py` and `requests.py`, and so are the bodies of POST, PUT and PATCH.
"""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec

from ldv_otel._internal.api.constraints import Uuid, constrained, schema_of
from ldv_otel._internal.gemma import model
from ldv_otel._internal.gemma.provider.requests import HEADERS, KIND_PARAMETERS, MOMENT, QUERY

API_VERSION: Final = "0.9.0"
BASE_PATH: Final = "/api/v1"
#: Beside the members of a list: true where people may be in records that cannot be found here.
MISSING_KEYS: Final = "ontbrekendeSleutels"

_MISSING_KEYS: Final = {
    "type": "boolean",
    "enum": [True],
    "description": "Staat er alleen als het log regels heeft onder sleutels die hier ontbreken: over deze persoon "
    "kunnen er dan meer zijn.",
}
#: A page has at most 1,000, whatever is asked for.
_WHOLE: Final = {"type": "integer", "minimum": 1, "maximum": 999_999_999}
_SCHEMAS: Final = "#/components/schemas/"


def contract(name: str) -> dict[str, Any]:
    """Return a contract of the standard, as published: `bewerking` or `inzage`."""
    document: dict[str, Any] = msgspec.json.decode((files(__package__) / f"{name}-openapi.json").read_bytes())
    return document


@cache
def overlaid(name: str) -> dict[str, Any]:
    """Return a contract, corrected; not to be changed, because it is kept."""
    document = contract(name)
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        for part in (schema, *schema.get("allOf", ())):
            _constrain(part.get("properties", {}))
    if name == "bewerking":
        schemas |= _bodies(schemas)
        replacing = document["components"]["requestBodies"]["VerwerkingsactieUitgebreid"]
        replacing["content"]["application/json"]["schema"] = {"$ref": f"{_SCHEMAS}VerwerkingsactieVervanging"}
    for address, path in document["paths"].items():
        is_list = "{" not in address
        for parameter in path.get("parameters", ()):
            parameter["schema"] = constrained(parameter["schema"], Uuid)
        for method, operation in path.items():
            if method == "parameters":
                continue
            operation.pop("security", None)  # lists of scopes there mean "all of them"; the general one is right
            operation["responses"].setdefault("400", _invalid(document))
            parameters = operation.setdefault("parameters", [])
            for parameter in parameters:
                parameter["schema"] = _of_parameter(parameter["name"], parameter["schema"])
            if method == "get":
                parameters += _headers(required=is_list and name == "inzage")
                parameters += _added(name, operation) if is_list else ()
    return document


def openapi_document(base: str) -> dict[str, Any]:
    """Return the document for a server.

    Args:
        base: The address of the APIs.
    """
    document = deepcopy(overlaid("bewerking"))
    inzage = overlaid("inzage")
    document["paths"] |= inzage["paths"]
    for kind, parts in inzage["components"].items():
        document["components"][kind] = parts | document["components"].get(kind, {})
    document["info"]["title"] = "Verwerkingenlogging: Bewerking API en Inzage API"
    return document | {"servers": [{"url": base}]}


def _constrain(properties: dict[str, Any]) -> None:
    """Let the elements of a schema be what the server takes and gives, in requests and answers alike."""
    for name, schema in properties.items():
        if name in _ELEMENTS:
            properties[name] = constrained(schema, _ELEMENTS[name])


def _elements(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the types of those elements of a struct that are text; one that is optional may be `null`."""
    return {
        field.encode_name: field.type if field.default != "" else field.type | None
        for field in msgspec.structs.fields(struct)
        if field.name not in model.PARTS
    }


def _bodies(schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the bodies of POST, PUT and PATCH: what a client may set; what the log sets is ignored (GW-07)."""
    actie = schemas["Verwerkingsactie"]
    object_id = schemas["VerwerktObject"]["allOf"][0]["properties"]["verwerktObjectId"]
    fields = msgspec.structs.fields(model.Verwerkingsactie)
    elements = {field.encode_name: actie["properties"].get(field.encode_name) for field in fields}
    required = [field.encode_name for field in fields if field.required]
    basis = schemas["VerwerktObjectBasis"]
    replacement = {**basis, "title": "Verwerkt object in een vervanging"}
    replacement["properties"] = {"verwerktObjectId": constrained(object_id, model.ObjectId), **basis["properties"]}

    def body(items: str, required: list[str]) -> dict[str, Any]:
        objects = {"title": "Verwerkte objecten", "type": "array", "items": {"$ref": f"{_SCHEMAS}{items}"}}
        described = {"title": actie["title"], "description": actie["description"], "type": "object"}
        return {**described, "required": required, "properties": elements | {"verwerkteObjecten": objects}}

    return {
        "VerwerkingsactieUitgebreidBasis": body("VerwerktObjectBasis", required),
        # Every element has to be there (GW-60).
        "VerwerkingsactieVervanging": body("VerwerktObjectVervanging", list(elements)),
        "VerwerktObjectVervanging": replacement,
        "PatchRequestBody": {
            **schemas["PatchRequestBody"],
            "properties": {
                name: constrained(schema, model.OF_VERWERKING[name][1])
                for name, schema in schemas["PatchRequestBody"]["properties"].items()
            },
            "minProperties": 1,
            "additionalProperties": False,
        },
    }


def _of_parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    if name == KIND_PARAMETERS[0]:
        return {"type": "array", "items": schema_of(QUERY[name])}
    return constrained(schema, QUERY.get(name, Uuid))


def _added(name: str, operation: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parameters of a list beyond those that the contracts have, and add the member of its answer."""
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    answer["properties"][MISSING_KEYS] = deepcopy(_MISSING_KEYS)
    schemas = {"page": _WHOLE, "pageSize": _WHOLE, MOMENT: schema_of(QUERY[MOMENT])}
    if name == "bewerking":
        schemas[KIND_PARAMETERS[1]] = schema_of(QUERY[KIND_PARAMETERS[1]])
    return [{"name": each, "in": "query", "schema": schema} for each, schema in schemas.items()]


def _headers(*, required: bool) -> list[dict[str, Any]]:
    """Return the headers of doelbinding (1.4): the contracts name none."""
    return [
        {
            "name": name,
            "in": "header",
            "required": required and needed,
            "schema": schema_of(type_) if required and needed else _or_empty(schema_of(type_)),
        }
        for name, (_, type_, needed) in HEADERS.items()
    ]


def _or_empty(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a header that may also be empty."""
    return {"anyOf": [schema, {"type": "string", "maxLength": 0}]}


def _invalid(document: dict[str, Any]) -> dict[str, Any]:
    """Return the answer 400 as some operation has it."""
    operations = [path["get"] for path in document["paths"].values() if "get" in path]
    return next(deepcopy(each["responses"]["400"]) for each in operations if "400" in each["responses"])


_ELEMENTS: Final = {
    name: type_
    for struct in (model.Verwerkingsactie, model.VerwerktObject, model.VerwerktSoortGegeven)
    for name, type_ in _elements(struct).items()
    if name != "verwerktObjectId"  # which an answer always has, and a request need not
}
