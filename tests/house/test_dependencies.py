"""What the package imports it declares, where it is imported; and no known hole is let in by a lowest version."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT: Final = Path(__file__).parents[2]
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
#: The distribution behind a module, where it has another name.
DISTRIBUTIONS: Final = {"yaml": "pyyaml", "re2": "google-re2", "jwt": "joserfc", "stdnum": "python-stdnum"}
#: What is imported where it is there, and not needed: an application brings it along.
OPTIONAL: Final = {
    "gevent",
    "pandas",
    "numpy",
    "pydantic",
    "uwsgi",
    "uwsgidecorators",
    "typing_extensions",
    "requests",
    "django",
    "pytest",
    "sqlalchemy",
}
#: The first version without a hole that was known when it was set.
FIRST_WITHOUT_HOLE: Final = {
    "urllib3": ("2.6.3", "bombs of compressed answers and redirects (CVE-2025-66418, CVE-2025-66471, CVE-2026-21441)"),
    "joserfc": ("1.6.8", "tokens whose size or iterations nothing bounded"),
    "h11": ("0.16", "lenient chunks, by which two servers see two requests (CVE-2025-43859)"),
    "starlette": ("0.49.1", "quadratic work for a Range header (CVE-2025-62727)"),
    "jinja2": ("3.1.6", "a way out of the sandbox (CVE-2025-27516)"),
    "cryptography": ("44.0.1", "OpenSSL in its wheels (CVE-2024-12797)"),
}
REQUESTS: Final = ("requests", "2.33", "files of others in a shared temporary directory (CVE-2026-25645)")


def declared() -> list[Requirement]:
    """Every dependency, those of extras included."""
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(text) for text in [*PROJECT["dependencies"], *(text for extra in extras for text in extra)]]


def imported() -> set[str]:
    """The top modules that the package imports, anywhere."""
    modules: set[str] = set()
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.partition(".")[0])
    return modules - set(sys.stdlib_module_names) - {"ldv_otel", "ldv_otel_start"}


def test_what_is_imported_is_declared() -> None:
    """A dependency of a dependency may go with its next version."""
    names = {requirement.name.lower().replace("-", "_") for requirement in declared()}
    undeclared = {
        module
        for module in imported() - OPTIONAL
        if DISTRIBUTIONS.get(module, module).lower().replace("-", "_") not in names
        and not any(name.startswith(module.lower()) for name in names)
    }
    assert not undeclared


@pytest.mark.parametrize("name", FIRST_WITHOUT_HOLE)
def test_no_lowest_version_has_a_known_hole(name: str) -> None:
    """Wherever it is declared."""
    first, hole = FIRST_WITHOUT_HOLE[name]
    floors = [
        Version(part.version)
        for requirement in declared()
        if requirement.name.lower() == name
        for part in requirement.specifier
        if part.operator == ">="
    ]
    assert floors
    assert min(floors) >= Version(first), hole


def test_the_examples_are_without_them_too() -> None:
    """They are what people copy."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    name, first, hole = REQUESTS
    (requirement,) = (Requirement(text) for text in groups["example"] if Requirement(text).name == name)
    assert not requirement.specifier.contains("2.32.5"), hole
    assert requirement.specifier.contains(first)


def test_the_constraints_pin_everything_by_hash_and_name_no_registry() -> None:
    """Each with the hashes of its files, and within what is declared."""
    text = (ROOT / "release" / "constraints.txt").read_text("utf-8")
    assert "://" not in text
    pinned = dict(re.findall(r"^([a-z0-9._-]+)==([^ ]+) \\\n    --hash=sha256:", text, re.MULTILINE))
    assert len(pinned) == len(re.findall(r"^[a-z]", text, re.MULTILINE))
    for requirement in declared():
        if requirement.name == "ldv-otel":
            continue
        version = pinned[requirement.name.lower()]
        assert requirement.specifier.contains(version, prereleases=True), requirement.name
