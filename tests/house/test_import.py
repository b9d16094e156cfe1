from __future__ import annotations

import os
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
    "rdflib",
    "rich",
    "typer",
    "uvicorn",
]


#: Public names whose modules are imported when they are asked for.
LATE = {"ClickHouseSpanExporter", "outbox"}

#: What setting logging up needs, or what only some services use: `import ldv_otel` does not wait for it.
NEEDED_LATER = [
    "asyncio",
    "hashlib",
    "importlib.metadata",
    "ldv_otel._internal.delivery.durable",
    "ldv_otel._internal.delivery.memory",
    "ldv_otel._internal.delivery.sink",
    "ldv_otel._internal.delivery.spool.writer",
    "ldv_otel._internal.delivery.spool.write_ahead",
    "ldv_otel._internal.privacy.key_file",
    "ldv_otel._internal.clickhouse.client",
    "ldv_otel._internal.delivery.otlp_sink",
    "ldv_otel._internal.rules.rules",
    "ldv_otel._internal.sdk.exporter",
    "ldv_otel._internal.config.yaml_file",
    "re2",
    "ssl",
    "yaml",
]


@pytest.fixture(scope="module")
def modules_of_a_fresh_import() -> frozenset[str]:
    """The names in `sys.modules` of an interpreter that did nothing but `import ldv_otel`."""
    program = "import sys, ldv_otel; print(*sys.modules)"
    # Measuring branches would import modules of its own.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300, env=env
    )
    return frozenset(result.stdout.split())


@pytest.mark.parametrize("module", HEAVY)
def test_importing_stays_light(modules_of_a_fresh_import: frozenset[str], module: str) -> None:
    """A service that only makes spans pays for no driver, engine, web framework or command line."""
    assert "ldv_otel._internal.sdk.install" in modules_of_a_fresh_import
    assert module not in modules_of_a_fresh_import


@pytest.mark.parametrize("module", NEEDED_LATER)
def test_importing_waits_for_nothing_needed_later(modules_of_a_fresh_import: frozenset[str], module: str) -> None:
    """Tests, commands and workers that import a service's modules do not pay for its logging."""
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
    public = {name for name in names if not name.startswith("_")} - {"Any", "TYPE_CHECKING"}
    assert public | LATE == set(ldv_otel.__all__) - {"__version__"}
