from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

import ldv_otel

HEAVY = [
    "chdb",
    "clickhouse_connect",
    "cryptography",
    "fastapi",
    "flask",
    "numpy",
    "pandas",
    "rich",
    "typer",
    "uvicorn",
]


@pytest.fixture(scope="module")
def modules_of_a_fresh_import() -> frozenset[str]:
    """The names in `sys.modules` of an interpreter that did nothing but `import ldv_otel`."""
    program = "import sys, ldv_otel; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return frozenset(result.stdout.split())


@pytest.mark.parametrize("module", HEAVY)
def test_importing_stays_light(modules_of_a_fresh_import: frozenset[str], module: str) -> None:
    """A service that only makes spans pays for no driver, engine, web framework or command line."""
    assert "ldv_otel.sdk.install" in modules_of_a_fresh_import
    assert module not in modules_of_a_fresh_import


def test_all_is_sorted() -> None:
    """The list of public names is kept in order, so that a change to it reads well."""
    assert ldv_otel.__all__ == sorted(ldv_otel.__all__)


def test_all_names_exist() -> None:
    """Every public name is there."""
    assert [name for name in ldv_otel.__all__ if not hasattr(ldv_otel, name)] == []


def test_nothing_public_is_left_out_of_all() -> None:
    """What can be imported from the package without an underscore is public on purpose, and so in the list."""
    names = {name for name, value in vars(ldv_otel).items() if not isinstance(value, ModuleType)}
    public = {name for name in names if not name.startswith("_")}
    assert public == set(ldv_otel.__all__) - {"__version__"}
