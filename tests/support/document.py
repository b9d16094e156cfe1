"""An OpenAPI document as an oracle for requests: whether it allows one, and values on both sides of its limits."""

from __future__ import annotations

import copy
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

import jsonschema_rs
from hypothesis import strategies as st

ABSENT: Final[Any] = object()
#: Characters that patterns and formats tell apart, and some that code takes for others.
_CHARACTERS: Final = "0129aAfFgGzZTtPWpV-+:/?#[]@%._,; \t\n\x00é٣\u00a0\U0001f600"
_OTHER_TYPES: Final[tuple[Any, ...]] = (None, True, 0, 1.5, [], {}, ["x"], {"x": "x"})
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)")


@dataclass(frozen=True)
class SentRequest:
    """A request: its parameters by where they are, and its body."""

    method: str
    path: str
    parameters: dict[str, dict[str, Any]]
    body: Any = ABSENT

    @property
    def address(self) -> str:
        """The path, with its parameters in it."""
        return self.path.format_map({name: quote(text, safe="") for name, text in self.parameters["path"].items()})


@dataclass(frozen=True)
class Location:
    """A value in requests of an operation.

    Attributes:
        where: `query`, `header`, `path` or `body`.
        steps: How it is reached from there.
    """

    where: str
    steps: tuple[str | int, ...]
    schema: dict[str, Any]

    def __str__(self) -> str:
        """As pytest shows it."""
        return f"{self.where}/{'/'.join(map(str, self.steps))}"


class Document:
    """A served document."""

    def __init__(self, content: dict[str, Any]) -> None:
        self._content = content

    def operation(self, method: str, path: str) -> dict[str, Any]:
        """Return an operation, with the parameters of its path and without references in them."""
        item = self._content["paths"][path]
        operation: dict[str, Any] = dict(item[method.lower()])
        parameters = map(self._followed, [*item.get("parameters", ()), *operation.get("parameters", ())])
        operation["parameters"] = [{**each, "schema": self._followed(each["schema"])} for each in parameters]
        return operation

    def locations(self, request: SentRequest) -> Iterator[Location]:
        """Give every location that the document has for a value of a request, as deep as this one goes."""
        operation = self.operation(request.method, request.path)
        for parameter in operation["parameters"]:
            yield Location(parameter["in"], (parameter["name"],), parameter["schema"])
        if request.body is not ABSENT:
            yield from self._locations_in(self._body(operation), request.body, ())

    def allows(self, request: SentRequest) -> bool:
        """Say whether the document allows a request."""
        operation = self.operation(request.method, request.path)
        return all(self._allows_parameter(each, request) for each in operation["parameters"]) and (
            request.body is ABSENT or self._is_valid(self._body(operation), request.body)
        )

    def _locations_in(self, schema: dict[str, Any], value: Any, steps: tuple[str | int, ...]) -> Iterator[Location]:
        schema = self._followed(schema)
        yield Location("body", steps, schema)
        for name, part in schema.get("properties", {}).items():
            yield from self._locations_in(part, value.get(name) if isinstance(value, dict) else None, (*steps, name))
        if "items" in schema and value:
            yield from self._locations_in(schema["items"], value[0], (*steps, 0))

    def _allows_parameter(self, parameter: dict[str, Any], request: SentRequest) -> bool:
        schema, value = parameter["schema"], request.parameters[parameter["in"]].get(parameter["name"], ABSENT)
        if value is ABSENT:
            return not parameter.get("required")
        if schema.get("type") == "array":
            return self._is_valid(schema, value if isinstance(value, list) else [value])
        if isinstance(value, list):  # there more than once
            return False
        if schema.get("type") == "integer":
            return _INTEGER.fullmatch(value) is not None and self._is_valid(schema, int(value))
        return self._is_valid(schema, value)

    def _body(self, operation: dict[str, Any]) -> dict[str, Any]:
        content = self._followed(operation["requestBody"])["content"]
        return self._followed(content["application/json"]["schema"])

    def _is_valid(self, schema: dict[str, Any], value: Any) -> bool:
        whole = as_json_schema({**schema, "components": self._content["components"]})
        return jsonschema_rs.Draft202012Validator(whole, validate_formats=True).is_valid(value)

    def _followed(self, node: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in node:
            target: Any = self._content
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node


def as_json_schema(node: Any) -> Any:
    """What OpenAPI 3.0 calls `nullable` is a type more in JSON Schema."""
    if isinstance(node, list):
        return [as_json_schema(each) for each in node]
    if not isinstance(node, dict):
        return node
    schema = {name: as_json_schema(value) for name, value in node.items() if name != "nullable"}
    if node.get("nullable") is True:
        schema["type"] = [node["type"], "null"]
        if "enum" in node:
            schema["enum"] = [*node["enum"], None]
    return schema


def changed(request: SentRequest, location: Location, value: Any) -> SentRequest:
    """Return the request with another value at a location, or with none."""
    parameters = copy.deepcopy(request.parameters)
    body = request.body if request.body is ABSENT else copy.deepcopy(request.body)
    if location.where == "body" and not location.steps:
        return replace(request, body=value)
    target: Any = body if location.where == "body" else parameters[location.where]
    *before, last = location.steps
    for step in before:
        if isinstance(target, dict) and step not in target:
            return request
        target = target[step]
    if value is not ABSENT:
        target[last] = value
    elif at(request, location) is not ABSENT:
        del target[last]
    return replace(request, parameters=parameters, body=body)


def at(request: SentRequest, location: Location) -> Any:
    """Return the value that a request has at a location."""
    value: Any = request.body if location.where == "body" else request.parameters[location.where]
    for step in location.steps:
        try:
            value = value[step]
        except (KeyError, IndexError):
            return ABSENT
    return value


def at_the_edges(location: Location, value: Any) -> list[Any]:
    """Return values at the limits of what a location allows, on both sides of them."""
    schema, text = location.schema, value if isinstance(value, str) else "x"
    options = schema.get("anyOf", [schema])
    edges: list[Any] = ["", text, f"{text}\n", f" {text}", text.upper(), text.lower(), text[:-1], text + text[-1:]]
    for option in options:
        for length in {option.get("maxLength", 0), option.get("minLength", 0)} - {0}:
            edges += [text[:1] * number for number in (length - 1, length, length + 1)]
            edges += ["é" * length, "\U0001f600" * length, "\U0001f600" * (length + 1)]
            edges += [text.ljust(number, text[-1:]) for number in (length, length + 1)]
        for number in {option.get("minimum"), option.get("maximum")} - {None}:
            edges += [number - 1, number, number + 1]
        edges += option.get("enum", [])
    if location.where == "body":
        edges += [*_OTHER_TYPES, *([value, ABSENT] if location.steps else [{**value, "onbekend": "x"}])]
    else:
        edges = [*map(str, edges), ABSENT, *([[text, text]] if location.where == "query" else [])]
    return list({repr(edge): edge for edge in edges}.values())


@st.composite
def near(draw: st.DrawFn, value: Any) -> Any:
    """Draw a text that differs from another in a character or some."""
    text = value if isinstance(value, str) else "x"
    for _ in range(draw(st.integers(1, 3))):
        begin = draw(st.integers(0, len(text)))
        end = draw(st.integers(begin, min(begin + 2, len(text))))
        text = text[:begin] + draw(st.text(st.sampled_from(_CHARACTERS), max_size=2)) + text[end:]
    return text


def is_sendable(location: Location, value: Any) -> bool:
    """Say whether HTTP carries a value to a location as it is."""
    if value is ABSENT:
        return location.where != "path"
    if location.where == "header":
        return isinstance(value, str) and set(value) <= set(string.printable[:95]) and value == value.strip()
    if location.where == "path":
        return (
            isinstance(value, str) and value.isprintable() and not {"/"} & set(value) and value not in {"", ".", ".."}
        )
    return True
