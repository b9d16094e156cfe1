"""`ldv outbox` as people run it, on an SQLite database."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from ldv_otel._internal.delivery.outbox.dialects import SQLITE, rows_of
from ldv_otel._internal.record.logregel import encode_logregel
from tests.delivery.outbox.conftest import record


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An empty Logboek of one's own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "OTEL_"))}
    return clean | {"LDV_LOGBOEK": f"chdb://{tmp_path}/logboek", "LDV_STATE": str(tmp_path / "state")}


def ldv(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, "-m", "ldv_otel._internal.cli", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300, check=False)


def test_from_the_tables_to_the_logboek(environ: dict[str, str], tmp_path: Path) -> None:
    """Made, filled, counted, drained; what is no record is refused, listed and counted, with exit code 1."""
    path = tmp_path / "application.db"
    at = ("--database", f"sqlite:///{path}")
    missing = ldv(environ, "outbox", "status", *at)
    assert (missing.returncode, missing.stderr.count("\n")) == (1, 1)
    assert "There is no SQLite database" in missing.stderr
    path.touch()
    assert "ldv outbox apply" in ldv(environ, "outbox", "drain", *at).stderr
    for _ in range(2):
        assert ldv(environ, "outbox", "apply", *at).returncode == 0
    connection = sqlite3.connect(path)
    for row in rows_of([encode_logregel(record(number)) for number in range(3)]):
        connection.execute(SQLITE.insert, row)
    connection.commit()
    assert json.loads(ldv(environ, "outbox", "status", *at, "--json").stdout) == {
        "waiting": 3,
        "in_batches": 0,
        "refused": 0,
    }
    drained = ldv(environ, "outbox", "drain", *at)
    assert (drained.returncode, drained.stdout) == (
        0,
        "confirmed 3, refused 0, in batches of other senders 0\n",
    ), drained.stderr
    connection.execute(SQLITE.insert, (1, b"rubbish"))
    connection.commit()
    connection.close()
    assert ldv(environ, "outbox", "drain", *at).returncode == 1
    assert ldv(environ, "outbox", "status", *at).stdout == "waiting 0, in batches 0, refused 1\n"
    (refused,) = json.loads(ldv(environ, "outbox", "refused", "list", *at, "--json").stdout)
    assert "not a Logregel" in refused["reason"]
    assert refused["writer_id"] in ldv(environ, "outbox", "refused", "list", *at).stdout
    retried = ldv(environ, "outbox", "refused", "retry", *at)
    assert (retried.returncode, retried.stdout) == (1, "confirmed 0, refused 1\n")


def test_the_statements_are_those_that_apply_runs(environ: dict[str, str], tmp_path: Path) -> None:
    """Another tool may run them, as a migration does."""
    printed = ldv(environ, "outbox", "schema", "--dialect", "sqlite").stdout
    path = tmp_path / "application.db"
    connection = sqlite3.connect(path)
    connection.executescript(printed)
    connection.close()
    assert ldv(environ, "outbox", "status", "--database", f"sqlite:///{path}").stdout.startswith("waiting 0")
    assert "GENERATED ALWAYS AS IDENTITY" in ldv(environ, "outbox", "schema", "--dialect", "postgresql").stdout
