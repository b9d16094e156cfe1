"""Tests of users, run by a pytest of their own with the plugin that comes along."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

#: Only the plugin: that of the environment may be there under its own name already, and others change what is shown.
_PLUGINS: Final = ("no:ldv_otel", "ldv_otel_pytest", "no:logfire", "no:cacheprovider")


def run_tests_of_user(directory: Path) -> subprocess.CompletedProcess[str]:
    """Run the tests in a directory, without any variable of ours, and with it as the home."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "PYTEST_"))}
    plugins = [word for name in _PLUGINS for word in ("-p", name)]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins],
        cwd=directory,
        env={**environ, "HOME": str(directory)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
