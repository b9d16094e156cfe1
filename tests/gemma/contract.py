"""Checks answers against the contracts of the standard, with the overlay of appendix B."""

from __future__ import annotations

import re
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx
import jsonschema_rs
from jsonschema import Draft202012Validator, FormatChecker

from ldv_otel._internal.gemma.provider.openapi import BASE_PATH, overlaid
from ldv_otel._internal.times.instants import ms_from_rfc3339

_formats = FormatChecker()
_uris = jsonschema_rs.Draft202012Validator({"format": "uri"}, validate_formats=True)


@_formats.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    return not isinstance(value, str) or ms_from_rfc3339(value) is not None


@_formats.checks("uri")
def _is_uri(value: object) -> bool:
    return not isinstance(value, str) or _uris.is_valid(value)


def check(answer: httpx.Response) -> httpx.Response:
    """Return an answer, if it is one that the contract describes."""
    request = answer.request
    path = urlsplit(str(request.url)).path.removeprefix(BASE_PATH)
    assert answer.headers["api-version"] == "0.9.0"
    operation, document = _operation(request.method.lower(), path)
    declared = operation["responses"]
    assert str(answer.status_code) in declared, f"{answer.status_code} is not declared for {request.method} {path}"
    content = _resolved(declared[str(answer.status_code)], document).get("content")
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert {"code", "title", "status", "detail", "instance"} <= answer.json().keys()
        assert answer.json()["status"] == answer.status_code
    if content is None:
        assert answer.content == b""
        return answer
    kind = answer.headers["content-type"]
    assert kind in content
    errors = list(
        _validator(document["info"]["title"], kind, path_of(operation), answer.status_code).iter_errors(answer.json())
    )
    assert not errors, errors[0]
    return answer


def path_of(operation: dict[str, Any]) -> str:
    """The operation's name."""
    return str(operation["operationId"])


def _operation(method: str, path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    for name in ("bewerking", "inzage"):
        document = overlaid(name)
        for template, operations in document["paths"].items():
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method in operations:
                return operations[method], document
    raise AssertionError(f"no operation {method} {path}")


def _resolved(node: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        found: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


@cache
def _validator(title: str, kind: str, operation_id: str, status: int) -> Draft202012Validator:
    document = next(found for found in map(overlaid, ("bewerking", "inzage")) if found["info"]["title"] == title)
    (operation,) = [
        operation
        for path in document["paths"].values()
        for operation in path.values()
        if isinstance(operation, dict) and operation.get("operationId") == operation_id
    ]
    schema = _resolved(operation["responses"][str(status)], document)["content"][kind]["schema"]
    return Draft202012Validator(
        _as_json_schema({"components": document["components"], **schema}), format_checker=_formats
    )


def _as_json_schema(node: Any) -> Any:
    """What OpenAPI 3.0 calls `nullable` is a type more in JSON Schema."""
    if isinstance(node, list):
        return [_as_json_schema(each) for each in node]
    if not isinstance(node, dict):
        return node
    found = {name: _as_json_schema(value) for name, value in node.items() if name != "nullable"}
    if node.get("nullable") is True:
        found["type"] = [node["type"], "null"]
    return found
