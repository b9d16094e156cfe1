"""No function follows the depth of what a stranger sent: it would end in a RecursionError, wherever that strikes."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import ldv_otel

PACKAGE: Final = Path(ldv_otel.__file__).parent
#: Functions of one module that call themselves, or one another, each with what bounds how deep they go.
#: Or with what has the same name and is another function.
BOUNDED: Final = {
    ("_internal/cli/beginning/routes.py", "_of_patterns"): "as deep as _DEPTH, in the application's own urls",
    ("_internal/delivery/otlp_sink.py", "_send"): "opens once before it sends",
    ("_internal/delivery/otlp_sink.py", "open"): "opens once before it sends",
    ("_internal/gemma/consumer/sink.py", "_request"): "opens once before it sends",
    ("_internal/gemma/consumer/sink.py", "open"): "opens once before it sends",
    ("_internal/privacy/redaction.py", "_inside"): "_MAX_DEPTH",
    ("_internal/privacy/redaction.py", "value"): "_MAX_DEPTH",
    ("_internal/record/builder.py", "_converted"): "_JSON_MAX_DEPTH",
    ("_internal/record/builder.py", "_json"): "_JSON_MAX_DEPTH",
    ("_internal/record/builder.py", "_odd"): "a text, once",
    ("_internal/record/builder.py", "text"): "_JSON_MAX_DEPTH",
    ("_internal/sdk/data_subjects.py", "encode"): "that of the record",
    ("_internal/sdk/processing.py", "_add_subject"): "that of a live span",
    ("_internal/sdk/span_state.py", "is_actie"): "that of attributes",
    ("_internal/api/read_api/openapi.py", "_constrain_members"): "our own document",
    ("_internal/clickhouse/embedded/native_revision.py", "_column"): "_MAX_DEPTH",
    ("_internal/clickhouse/embedded/native_revision.py", "_end"): "that of _column",
    ("_internal/clickhouse/embedded/native_revision.py", "_end_of_dictionary"): "that of _column",
    ("_internal/clickhouse/embedded/native_revision.py", "_end_of_parts"): "that of _column",
    ("_internal/clickhouse/queries/records.py", "_as_parameter"): "a tuple of values",
    ("_internal/gemma/model.py", "_faults"): "our own types: a list in a Verwerkingsactie",
    ("_internal/importer/any_value.py", "_any_value"): "_MAX_DEPTH",
    ("_internal/importer/any_value.py", "_plain"): "_MAX_DEPTH",
    ("_internal/importer/any_value.py", "_typed"): "_MAX_DEPTH",
    ("_internal/importer/span_objects.py", "_object"): "_MAX_DEPTH",
    ("_internal/importer/span_objects.py", "_walk"): "_MAX_DEPTH",
    ("_internal/privacy/identifiers.py", "_text_of"): "_MAX_DEPTH",
    ("_internal/record/builder.py", "_plain"): "_JSON_MAX_DEPTH",
}


def called_in(function: ast.AST) -> set[str]:
    """Names of functions of the same module, and of methods of the same object, that a function calls."""
    names = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                names.add(node.func.id)
            elif isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) in {"self", "cls"}:
                names.add(node.func.attr)
    return names


def in_circles(source: str) -> set[str]:
    """The functions of a module that can come back to themselves."""
    functions = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    defined = {function.name for function in functions}
    calls: dict[str, set[str]] = {}
    for function in functions:
        calls.setdefault(function.name, set()).update(called_in(function) & defined)
    circles = set()
    for name, called in calls.items():
        reached: set[str] = set()
        left = list(called)
        while left:
            each = left.pop()
            if each not in reached:
                reached.add(each)
                left += calls.get(each, ())
        if name in reached:
            circles.add(name)
    return circles


def test_the_guard_sees_functions_that_call_themselves() -> None:
    """And one another, as methods too."""
    assert in_circles("def a():\n b()\ndef b():\n a()\ndef c():\n a()") == {"a", "b"}
    assert in_circles("class C:\n def up(self):\n  return self.down()\n def down(self):\n  self.up()") == {"up", "down"}
    assert not in_circles("def a():\n return b.c()\ndef d():\n a()")


def test_nothing_follows_the_depth_of_foreign_structure() -> None:
    """What calls itself has a bound that stands here."""
    circles = {
        (file.relative_to(PACKAGE).as_posix(), name)
        for file in PACKAGE.rglob("*.py")
        for name in in_circles(file.read_text("utf-8"))
    }
    print(sorted(circles - set(BOUNDED)))
    assert circles <= set(BOUNDED)
    assert set(BOUNDED) <= circles, "no longer so"
