from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

# Building and installing fetch what pip is configured to fetch, so the limit is that of a slow network.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "ldv_otel"

USE = """
import ldv_otel as ldv
from ldv_otel import testing

with testing.logboek() as logboek:
    with ldv.processing("https://register.example/activiteiten/inzien"):
        ldv.data_subject("123456782", type="BSN")
(logregel,) = logboek.logregels
assert logregel.data_subject_id == logboek.pseudonym("123456782", type="BSN")
print(logregel.name)
"""

INSTALL = """
import ldv_otel as ldv

try:
    ldv.install()
except ldv.ConfigurationError as error:
    print(error)
"""


def run(command: Sequence[str | Path], environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command outside the repository, without what this process was told about logging or imports."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "OTEL_", "PYTHON"))}
    return subprocess.run(
        [*command], env=kept | (environ or {}), cwd=Path(sys.prefix), capture_output=True, text=True, check=False
    )


def succeed(command: Sequence[str | Path]) -> str:
    """Run a command that has to work, and return what it printed."""
    result = run(command)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as pip builds it from this checkout."""
    directory = tmp_path_factory.mktemp("wheel")
    succeed([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", directory, ROOT])
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with the wheel, its dependencies, and no extra."""
    directory = tmp_path_factory.mktemp("bare")
    venv.create(directory, with_pip=True)
    succeed([directory / "bin" / "python", "-m", "pip", "install", "--quiet", wheel])
    return directory / "bin"


def test_the_wheel_holds_the_package(wheel: Path) -> None:
    """The schema, the mark that says "typed" and the licence travel along; tests and examples do not."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    schema = {
        f"ldv_otel/{path.relative_to(PACKAGE).as_posix()}" for path in PACKAGE.glob("_internal/clickhouse/schema/*.sql")
    }
    assert schema
    # With what `make assets` made, if it did, and the licences of that.
    static = {
        f"ldv_otel/{path.relative_to(PACKAGE).as_posix()}" for path in PACKAGE.glob("_internal/api/pages/static/*")
    }
    assert "ldv_otel/_internal/api/pages/static/eigen.css" in static
    assert static == {name for name in names if name.startswith("ldv_otel/_internal/api/pages/static/")}
    assert any(name.endswith("nlds.css") for name in static) == any("licences" in name for name in static)
    assert schema | {"ldv_otel/py.typed", "ldv_otel/testing.py"} <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {
        "ldv_otel",
        "ldv_otel_start.py",
        "ldv_otel_pytest.py",
    }
    assert not [name for name in names if "tests" in name.split("/") or name.rpartition("/")[2].startswith("test_")]


def test_the_core_works_without_extras(bare: Path) -> None:
    """Importing, logging and reading back need nothing but the dependencies; no warning is given."""
    assert succeed([bare / "python", "-W", "error", "-c", USE]) == "Inzien\n"


def test_the_command_names_its_extra(bare: Path) -> None:
    """Who runs `ldv` without its libraries is told what to install, not shown a traceback."""
    result = run([bare / "ldv", "--version"])
    assert result.returncode != 0
    assert "ldv-otel[cli]" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_embedded_engine_names_its_extra(bare: Path, tmp_path: Path) -> None:
    """A service configured for chDB without it does not start, and says what to install."""
    result = run([bare / "python", "-c", INSTALL], {"LDV_LOGBOEK": f"chdb://{tmp_path}/logboek"})
    assert result.returncode == 0, result.stderr
    assert "ldv-otel[embedded]" in result.stdout
