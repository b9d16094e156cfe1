"""The served document follows the rules that the linter of the Dutch API Design Rules (2.2) calls errors.

The linter itself is a set of rules for Spectral that no package registry has, so its rules stand here in our own words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import validate

from ldv_otel._internal.api.read_api.openapi import openapi_document

DOCUMENT = openapi_document("https://log.example")


def followed(node: dict[str, Any]) -> dict[str, Any]:
    """A node without a reference."""
    while "$ref" in node:
        target: Any = DOCUMENT
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation of each."""
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


OPERATIONS = [pytest.param(*each, id=f"{each[1]} {each[0]}") for each in operations()]


def test_the_document_is_valid() -> None:
    """By the schema of OpenAPI itself (/core/doc-openapi)."""
    validate(DOCUMENT)
    assert re.fullmatch(r"3(\.\d+){1,2}", DOCUMENT["openapi"])


def test_the_document_says_whom_to_ask_and_which_version_it_is() -> None:
    """/core/doc-openapi-contact, /core/semver, /core/uri-version and https."""
    assert all(DOCUMENT["info"]["contact"][field] for field in ("name", "email", "url"))
    assert re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", DOCUMENT["info"]["version"])
    assert all(re.fullmatch(r"https://.*/v\d+", server["url"]) for server in DOCUMENT["servers"])


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_paths_and_parameters_are_spelled_as_the_rules_say(path: str, method: str, operation: dict[str, Any]) -> None:
    """/core/path-segments-kebab-case, /core/no-trailing-slash, /core/http-methods and /core/query-keys-camel-case."""
    assert method in {"get", "post", "put", "patch", "delete"}
    *segments, last = path.removeprefix("/").split("/")
    assert all(re.fullmatch(r"[a-z0-9-]+|\{[^}]+\}", segment) for segment in segments)
    # An operation that is no resource may begin with an underscore.
    assert re.fullmatch(r"_?[a-z0-9-]+|\{[^}]+\}|openapi\.json", last)
    for parameter in map(followed, operation.get("parameters", ())):
        assert re.fullmatch(r"[a-z][a-zA-Z0-9]*", parameter["name"])


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_each_answer_says_the_version(path: str, method: str, operation: dict[str, Any]) -> None:
    """/core/version-header."""
    del path, method
    answers = {status: followed(answer) for status, answer in operation["responses"].items()}
    good = [answer for status, answer in answers.items() if status[0] in "23"]
    assert good
    assert all("API-Version" in answer["headers"] for answer in good)


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_each_refusal_is_a_problem(path: str, method: str, operation: dict[str, Any]) -> None:
    """/core/error-handling: problem+json with at least status, title and detail; what can be wrong has a 400."""
    answers = {status: followed(answer) for status, answer in operation["responses"].items()}
    for status, answer in answers.items():
        if status[0] in "45":
            schema = followed(answer["content"]["application/problem+json"]["schema"])
            assert {"status", "title", "detail"} <= schema["properties"].keys()
    if path != "/openapi.json":
        assert "400" in answers or (method in {"get", "delete"} and not operation.get("parameters"))


def test_the_document_itself_may_be_read_by_any_page() -> None:
    """/core/publish-openapi."""
    assert [*DOCUMENT["paths"]["/openapi.json"]] == ["get"]
    headers = DOCUMENT["paths"]["/openapi.json"]["get"]["responses"]["200"]["headers"]
    assert headers["access-control-allow-origin"]["schema"]["enum"] == ["*"]


@pytest.mark.parametrize("name", DOCUMENT["components"]["schemas"])
def test_schemas_are_named_in_pascal_case(name: str) -> None:
    """A warning of the linter."""
    assert re.fullmatch(r"[A-Z][A-Za-z0-9]*", name)
