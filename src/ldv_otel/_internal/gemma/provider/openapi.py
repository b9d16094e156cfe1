"""The OpenAPI document: the standard's two contracts in one, put right where they contradict the standard itself.

Both APIs are served below one base path: their resources differ, and a client has one address to change. What is put
right is in appendix B of the specification.
"""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec

API_VERSION: Final = "0.9.0"
BASE_PATH: Final = "/api/v1"

#: Elements with a format that empty text does not have: what was not sent comes back as null (D-06).
_NULLABLE: Final = (
    "verwerkingId",
    "verwerkingsactiviteitId",
    "verwerkingsactiviteitUrl",
    "bewaartermijn",
    "uitvoerder",
    "verwerkingsactiviteitIdAfnemer",
    "verwerkingsactiviteitUrlAfnemer",
    "verwerkingIdAfnemer",
)
#: Headers of questions, by whether a list of the Inzage API has to have them (1.4): the contracts name none.
_HEADERS: Final[dict[str, tuple[bool, dict[str, Any]]]] = {
    "OIN": (True, {"type": "string", "pattern": "^[0-9]{20}$"}),
    "VerwerkingsactiviteitId": (True, {"type": "string", "format": "uuid"}),
    "VerwerkingsactiviteitUrl": (True, {"type": "string", "format": "uri", "maxLength": 2042}),
    "VerwerkingId": (False, {"type": "string", "format": "uuid"}),
    "Vertrouwelijkheid": (False, {"type": "string", "enum": ["normaal", "vertrouwelijk"]}),
    "Bewaartermijn": (False, {"type": "string", "format": "duration"}),
}
#: A page has at most 1,000, whatever is asked for.
_PAGES: Final = (
    {"name": "page", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999}},
    {"name": "pageSize", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999}},
    {"name": "peilmoment", "in": "query", "schema": {"type": "string", "format": "date-time"}},
)


def contract(name: str) -> dict[str, Any]:
    """Return a contract of the standard, as published: `bewerking` or `inzage`."""
    found: dict[str, Any] = msgspec.json.decode((files(__package__) / f"{name}-openapi.json").read_bytes())
    return found


@cache
def overlaid(name: str) -> dict[str, Any]:
    """Return a contract, put right; not to be changed."""
    document = contract(name)
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        properties = schema.get("properties", {})
        for element in _NULLABLE:
            if element in properties and schema is not schemas.get("PatchRequestBody"):
                properties[element]["nullable"] = True
        if "uitvoerder" in properties:
            properties["uitvoerder"]["pattern"] = "^[0-9]{20}$"
    for address, path in document["paths"].items():
        is_list = "{" not in address
        for method, operation in path.items():
            if method == "parameters":
                continue
            operation.pop("security", None)  # lists of scopes there mean "all of them"; the general one is right
            operation["responses"].setdefault("400", _invalid(document))
            if method == "get":
                parameters = operation.setdefault("parameters", [])
                parameters += _headers(required=is_list and name == "inzage")
                parameters += _PAGES if is_list else ()
    return document


def openapi_document(base: str) -> dict[str, Any]:
    """Return the document for a server.

    Args:
        base: The address of the APIs.
    """
    found = deepcopy(overlaid("bewerking"))
    inzage = overlaid("inzage")
    found["paths"] |= inzage["paths"]
    for kind, parts in inzage["components"].items():
        found["components"][kind] = parts | found["components"].get(kind, {})
    found["info"]["title"] = "Verwerkingenlogging: Bewerking API en Inzage API"
    return found | {"servers": [{"url": base}]}


def _headers(*, required: bool) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "required": required and needed, "schema": schema}
        for name, (needed, schema) in _HEADERS.items()
    ]


def _invalid(document: dict[str, Any]) -> dict[str, Any]:
    """Return the answer 400 as some operation has it."""
    operations = [path["get"] for path in document["paths"].values() if "get" in path]
    return next(deepcopy(each["responses"]["400"]) for each in operations if "400" in each["responses"])
