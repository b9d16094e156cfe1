"""Two things never share a name: a class is found by its name alone."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import ldv_otel

PACKAGE = Path(ldv_otel.__file__).parent


def test_a_class_name_exists_once() -> None:
    """Over all of the package; private classes, and those in functions, count too."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name.strip("_")].append(path.relative_to(PACKAGE).as_posix())
    assert len(places) > 200
    assert not {name: files for name, files in places.items() if len(files) > 1}
