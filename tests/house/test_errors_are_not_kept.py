"""No error outlives its `except`: it holds every frame it passed, and those hold what the application was handling.

A raw identifier is in such a frame, and so is the request. What is needed later, a message or a code, is kept as that.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import ldv_otel

PACKAGE = Path(ldv_otel.__file__).parent
_LOGGING = frozenset({"debug", "info", "warning", "error", "critical", "log"})


def kept_in(source: str) -> Iterator[tuple[int, str]]:
    """Give line and reason of each place where a caught error is put into an attribute, an item or a log record."""
    for handler in ast.walk(ast.parse(source)):
        if not isinstance(handler, ast.ExceptHandler) or handler.name is None:
            continue
        for node in ast.walk(handler):
            match node:
                case ast.Assign(targets=targets, value=ast.Name(id=handler.name)):
                    if any(isinstance(target, ast.Attribute | ast.Subscript) for target in targets):
                        yield node.lineno, "assigned"
                case ast.Call(func=ast.Attribute(attr="set_exception")):
                    yield node.lineno, "given to a future"
                case ast.Call(func=ast.Attribute(value=ast.Name(id="_logger"), attr=method), args=arguments):
                    # A handler may keep the record: those of queues, of error trackers, of tests.
                    if method in _LOGGING and any(
                        isinstance(argument, ast.Name) and argument.id == handler.name for argument in arguments
                    ):
                        yield node.lineno, "logged as an object"
                case _:
                    pass


def test_the_guard_sees_every_kind() -> None:
    """An attribute, an item, a future, a log record; and what is kept of it as text is no such place."""
    lines = (
        "self.a = e",
        "d[1] = e",
        "f.set_exception(e)",
        "_logger.error('%s', e)",
        "_logger.error('%s', str(e))",
        "self.b = str(e)",
    )
    body = "".join(f"  {line}\n" for line in lines)
    assert [line for line, _ in kept_in(f"try:\n  pass\nexcept E as e:\n{body}")] == [4, 5, 6, 7]


def test_no_error_is_kept() -> None:
    """Anywhere in the package."""
    places = [
        f"{path.relative_to(PACKAGE)}:{line}: {reason}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line, reason in kept_in(path.read_text(encoding="utf-8"))
    ]
    assert not places
