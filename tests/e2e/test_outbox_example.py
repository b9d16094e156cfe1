"""`examples/outbox` as its page says: one number plate, one Logregel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.postgresql import PostgresqlServer, skip_without_server

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "outbox"
BIN: Final = Path(sys.executable).parent


def run(directory: Path, environ: dict[str, str], *command: str) -> str:
    """Run a command as a person would, and return what it says."""
    process = subprocess.run(
        command, cwd=directory, env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_example(kind: str, tmp_path: Path) -> None:
    """What the page shows is what comes out, with both databases."""
    page = (EXAMPLE / "README.md").read_text("utf-8")
    environ = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "LDV_LOGBOEK": "chdb:ldv-outbox/logboek",
        "LDV_SPOOL": str(tmp_path / "spool"),
    }
    assert f"export LDV_LOGBOEK={environ['LDV_LOGBOEK']}" in page
    if kind == "sqlite":
        (command,) = re.findall(r"^\$ touch kentekens\.db && (.+)$", page, re.MULTILINE)
        (tmp_path / "kentekens.db").touch()
        run(tmp_path, environ, *command.split())
        check(page, tmp_path, environ)
        return
    skip_without_server()
    with PostgresqlServer() as server:
        database = server.new_database()
        run(tmp_path, environ, "ldv", "outbox", "apply", "--database", server.conninfo(database))
        check(page, tmp_path, {**environ, "DATABASE_URL": server.url(database)})


def check(page: str, directory: Path, environ: dict[str, str]) -> None:
    """Run the program, and look into the Logboek."""
    said = run(directory, environ, sys.executable, str(EXAMPLE / "kentekens.py"))
    assert f"$ python kentekens.py\n{said}" in page
    (command,) = re.findall(r"^\$ (ldv activity .+)$", page, re.MULTILINE)
    lines = run(directory, environ, *command.split()).splitlines()
    assert len(lines) == 2  # with the heading
    assert "Stel te naam" in lines[1]
