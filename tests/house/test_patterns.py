"""No text of others holds the interpreter: patterns take time in proportion to what they read."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

import ldv_otel

#: The characters of a pattern have no public name.
_parser: Any = importlib.import_module("re._parser")
MIB = 1 << 20
#: An order of magnitude over what a linear pattern takes on a busy machine; a square one takes minutes.
SECONDS = 5.0
METHODS = ("search", "match", "fullmatch", "findall", "finditer", "sub", "split")
ROOT = Path(ldv_otel.__file__).parent
#: They read what we wrote ourselves: SQL files, patterns of rules.
OWN_TEXT = ("clickhouse.schema.", "http_fields._NAMED_GROUP")


@lru_cache
def used_by() -> dict[str, set[str]]:
    """What is done with each pattern: a private one in its own module, another anywhere in the package."""
    methods: dict[str, set[str]] = defaultdict(set)
    for file in ROOT.rglob("*.py"):
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removeprefix("_internal.")
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in METHODS:
                name = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
                methods[f"{module}.{name}" if name.startswith("_") else name].add(node.attr)
    return methods


def patterns() -> Iterator[tuple[str, str, re.Pattern[Any]]]:
    """Every pattern that a module has."""
    for module in pkgutil.walk_packages(ldv_otel.__path__, "ldv_otel."):
        if module.name.endswith(("__main__", "sitecustomize")):
            continue
        loaded = importlib.import_module(module.name)
        for name, value in vars(loaded).items():
            if isinstance(value, re.Pattern):
                yield f"{module.name.removeprefix('ldv_otel._internal.')}.{name}", name, value


FOUND = {place: (name, pattern) for place, name, pattern in patterns() if not any(own in place for own in OWN_TEXT)}


def characters(parsed: Any) -> Iterator[int]:
    """The characters that a pattern names, and one of each class."""
    for operation, argument in parsed:
        kind = str(operation)
        if kind in {"LITERAL", "NOT_LITERAL"}:
            yield argument
        elif kind == "RANGE":
            yield from argument
        elif kind == "CATEGORY":
            yield from map(ord, {"SPACE": " \n\t", "DIGIT": "1", "WORD": "a1"}.get(str(argument).split("_")[-1], "-"))
        elif kind == "IN":
            yield from characters(argument)
        elif kind == "BRANCH":
            for branch in argument[1]:
                yield from characters(branch)
        elif kind in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
            yield from characters(argument[2])
        elif kind in {"SUBPATTERN", "ASSERT", "ASSERT_NOT", "ATOMIC_GROUP"}:
            yield from characters(argument[-1] if isinstance(argument, tuple) else argument)


def apply(pattern: re.Pattern[Any], method: str, text: Any) -> None:
    """Do what the package does with it."""
    if method == "sub":
        pattern.sub(text[:0], text)
    elif method == "finditer":
        for _ in pattern.finditer(text):
            pass
    else:
        getattr(pattern, method)(text)


@pytest.mark.parametrize("place", sorted(FOUND))
def test_a_pattern_is_done_with_a_mebibyte_of_anything(place: str) -> None:
    """Of each of its own characters, and of all of them in turn: 32 kB of line ends once took 16 s."""
    name, pattern = FOUND[place]
    alphabet = "".join(map(chr, dict.fromkeys(characters(_parser.parse(pattern.pattern, pattern.flags)))))
    for unit in (*alphabet[:64], alphabet, alphabet[::-1], *(f"{character}x" for character in alphabet[:16])):
        for method in used_by()[place if name.startswith("_") else name] or METHODS:
            for size in (MIB >> 8, MIB >> 5, MIB >> 3, MIB):
                text: Any = (unit * (size // max(len(unit), 1) + 1))[:size]
                if isinstance(pattern.pattern, bytes):
                    text = text.encode("utf-8", "surrogatepass")
                started = time.thread_time()  # of this thread alone: other processes take none of it
                apply(pattern, method, text)
                assert time.thread_time() - started < SECONDS, (place, method, size, unit[:8])
