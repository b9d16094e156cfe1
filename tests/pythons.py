"""Runs tests with each supported Python that is installed, and asks whether a newer one could be.

python tests/pythons.py           `make test-pythons`: all tests but those of whole servers and torture
python tests/pythons.py --small   the core alone, with other Pythons than the one of `make test`

Each Python gets an environment of its own in `build/pythons`. Of one that is not installed the run says so. For the
newest, which the metadata allows and no test runs, pip is asked whether everything the package needs has wheels.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

ROOT: Final = Path(__file__).parents[1]
RUN: Final = ("3.11", "3.12", "3.13")
BY_METADATA: Final = "3.14"
SMALL: Final = ("tests/config", "tests/parties", "tests/privacy", "tests/record", "tests/rules")
LARGE: Final = ("tests", "--ignore", "tests/processes", "--ignore", "tests/torture", "--ignore", "tests/house")


def find_python(version: str) -> Path | None:
    """Return an installed Python of a version: from the PATH, or from pyenv."""
    if found := shutil.which(f"python{version}"):
        answer = subprocess.run([found, "-c", "import venv"], capture_output=True, check=False)
        if answer.returncode == 0:
            return Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return max(pyenv.glob(f"versions/{version}.*/bin/python"), default=None)


def run_tests(python: Path, version: str, tests: tuple[str, ...], group: str) -> bool:
    """Run tests with a Python, in an environment with a group of what tests need; return whether all passed."""
    directory = ROOT / "build" / "pythons" / version
    own = directory / "bin" / "python"
    if not own.exists():
        subprocess.run([python, "-m", "venv", directory], check=True)
    pip: list[str | Path] = [own, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--upgrade", "pip>=25.1"], check=True)
    subprocess.run([*pip, "--editable", ".[all]", "--group", group], cwd=ROOT, check=True)
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    return (
        subprocess.run(
            [own, "-m", "pytest", "-q", "-n", "2", *tests], cwd=ROOT, env=environment, check=False
        ).returncode
        == 0
    )


def has_wheels(version: str) -> bool:
    """Return whether there are wheels for a Python that need not be here, of everything that the package needs."""
    # Not by pip alone: it reads conditions such as `python_version < "3.14"` as of the Python that runs it.
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps"]
    wheels = ["--only-binary", ":all:", "--python-version", version, "--target", "build/pythons/none"]
    return subprocess.run([*command, *wheels, *sorted(needed_by(version))], cwd=ROOT, check=False).returncode == 0


def needed_by(version: str) -> set[str]:
    """Return the names of all distributions that the package needs with a Python, from the metadata of those here."""
    environment = {"python_version": version, "python_full_version": f"{version}.0", "extra": ""}
    needed: set[str] = set()
    waiting = ["ldv-otel"]
    while waiting:
        for text in metadata.requires(waiting.pop()) or ():
            requirement = Requirement(text)
            wanted = requirement.marker is None or requirement.marker.evaluate(environment)
            if wanted and requirement.name not in needed:
                needed.add(requirement.name)
                waiting.append(requirement.name)
    return needed


def main() -> int:
    """Do what the module says; 0 where all passed."""
    tests, group = (SMALL, "core-tests") if "--small" in sys.argv else (LARGE, "dev")
    results: dict[str, str] = {}
    for version in RUN:
        python = find_python(version)
        if "--small" in sys.argv and version == f"{sys.version_info.major}.{sys.version_info.minor}":
            results[version] = "that of `make test`"
        elif python is None:
            results[version] = "not installed here"
        else:
            print(f"\n=== {python}", flush=True)
            results[version] = "passed" if run_tests(python, version, tests, group) else "FAILED"
    results[BY_METADATA] = (
        "has wheels of all that is needed" if has_wheels(BY_METADATA) else "LACKS wheels of what is needed"
    )
    print("\n" + "\n".join(f"Python {version}: {result}" for version, result in results.items()))
    return int(any(result.startswith(("FAILED", "LACKS")) for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
