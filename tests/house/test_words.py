"""Names say what they hold: the words that the glossary replaces are bound nowhere in the package."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import ldv_otel

PACKAGE = Path(ldv_otel.__file__).parent
#: `docs/glossary.md`, "Words we do not use": each has held a hundred kinds of things.
REPLACED = frozenset({"found", "known", "one", "given", "here", "told", "bent", "wish", "glance", "stranger"})


def names_bound_in(source: str) -> Iterator[tuple[int, str]]:
    """Give line and name of each binding: variables, arguments, attributes, functions and classes."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield node.lineno, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case _:
                pass


def test_the_guard_sees_every_kind_of_binding() -> None:
    """A walrus, a loop, an argument, an attribute, and names with an underscore before them."""
    source = "def f(given):\n  if (found := given): pass\n  for one in found: self._known = one\nclass here: pass\n"
    assert {name.strip("_").casefold() for _, name in names_bound_in(source)} - {"f"} <= REPLACED
    assert len(list(names_bound_in(source))) == 6


def test_a_name_is_the_noun_it_holds() -> None:
    """In all of the package, with or without underscores around it."""
    replaced = [
        f"{path.relative_to(PACKAGE)}:{line}: {name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line, name in names_bound_in(path.read_text(encoding="utf-8"))
        if name.strip("_").casefold() in REPLACED
    ]
    assert not replaced
