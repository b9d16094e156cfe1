"""What was probably meant by a field or value of a configuration file that its type does not have."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from msgspec import inspect

_UNKNOWN_FIELD: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_ENUM: Final = re.compile(r"Invalid enum value (.*)", re.DOTALL)
_EXPECTED: Final = re.compile(r"Expected `(.*?)`, got `(.*?)`")
_MISSING: Final = re.compile(r"Object missing required field `(.*)`")
#: JSON's words for types, in those of people who write YAML.
_WORDS: Final = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping (`name: value`)",
    "null": "nothing",
}
_NEAR: Final = 0.6


def plain_message(message: str, type_: Any, path: Sequence[str | int]) -> str:
    """Return msgspec's message in plain words, with the values that may stand there, or the field that was meant.

    Args:
        type_: Of the whole file.
        path: To what the message is about, from the root.
    """
    if match := _UNKNOWN_FIELD.fullmatch(message):
        fields = sorted(_fields(_nodes(inspect.type_info(type_), path)))
        return f"unknown field `{match[1]}`; {_meant(match[1], fields)}"
    if match := _ENUM.fullmatch(message):
        values = sorted(_values(_nodes(inspect.type_info(type_), path)))
        return f"{match[1]} is none of its values; {_meant(match[1].strip(chr(39)), values)}" if values else message
    if match := _EXPECTED.fullmatch(message):
        wanted = " or ".join(_WORDS.get(word.strip(), word.strip()) for word in match[1].split("|"))
        return f"it has to be {wanted}, and is {_WORDS.get(match[2], match[2])}"
    if match := _MISSING.fullmatch(message):
        return f"the field `{match[1]}` is missing"
    return message


def _meant(text: str, allowed: Sequence[str]) -> str:
    near = difflib.get_close_matches(text.lower(), allowed, n=1, cutoff=_NEAR)
    choice = ", ".join(f"`{word}`" for word in allowed)
    return f"did you mean `{near[0]}`? It may be {choice}" if near else f"it may be {choice}"


def _nodes(root: inspect.Type, path: Sequence[str | int]) -> list[inspect.Type]:
    """Return the types that may stand at a path: several where a file leaves the choice."""
    nodes = _alternatives([root])
    for step in path:
        below: list[inspect.Type] = []
        for node in nodes:
            if isinstance(node, inspect.StructType):
                below += [field.type for field in node.fields if field.encode_name == step]
            elif isinstance(node, inspect.ListType | inspect.VarTupleType):
                below.append(node.item_type)
            elif isinstance(node, inspect.DictType):
                below.append(node.value_type)
        nodes = _alternatives(below)
    return nodes


def _alternatives(nodes: Iterable[inspect.Type]) -> list[inspect.Type]:
    alternatives: list[inspect.Type] = []
    for node in nodes:
        # A union holds no unions: msgspec makes one of them.
        alternatives += node.types if isinstance(node, inspect.UnionType) else [node]
    return alternatives


def _fields(nodes: Iterable[inspect.Type]) -> set[str]:
    return {field.encode_name for node in nodes if isinstance(node, inspect.StructType) for field in node.fields}


def _values(nodes: Iterable[inspect.Type]) -> set[str]:
    values: set[str] = set()
    for node in nodes:
        if isinstance(node, inspect.LiteralType):
            values.update(str(value) for value in node.values)
        elif isinstance(node, inspect.EnumType):
            values.update(str(member.value) for member in node.cls)
    return values
