"""`ldv sql`: questions in SQL that read, whatever is in them."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli import test_cli
from tests.cli.test_cli import ldv

environ = test_cli.environ


def test_a_query_in_three_ways(environ: dict[str, str]) -> None:
    """As an argument, on standard input, several at a time; as JSON and CSV."""
    assert json.loads(ldv(environ, "sql", "--json", "SELECT count() AS n FROM logregels").stdout) == [{"n": 2}]
    several = "SELECT 1 AS a;\n\nSELECT ';' AS b,\n  'x' AS c;\n"
    assert ldv(environ, "sql", "--csv", typed=several).stdout == "a\n1\nb,c\n;,x\n"
    assert "Wijzig kenteken" in ldv(environ, "sql", "SELECT name, start_time FROM logregels ORDER BY start_time").stdout
    assert ldv(environ, "sql", "--csv", "SELECT '=1+1' AS a").stdout == "a\n'=1+1\n"


def test_there_are_more_rows(environ: dict[str, str]) -> None:
    """Which is said, and not shown as everything."""
    done = ldv(environ, "sql", "--limit", "3", "--csv", "SELECT number FROM numbers(10)")
    assert done.stdout.split() == ["number", "0", "1", "2"]
    assert "There are more rows" in done.stderr


@pytest.mark.parametrize(
    "query",
    [
        "DROP TABLE logregel",
        "INSERT INTO ldv_term_date (trace_id) VALUES ('')",
        "ALTER TABLE logregel DELETE WHERE 1",
        "CREATE TABLE x (a Int8) ENGINE = Memory",
        "SET readonly = 0",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1 INTO OUTFILE 'OUT'",
        "SELECT 1 /* */ INTO/**/OUTFILE 'OUT'",
        "SELECT 1; DROP TABLE logregel",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM `file`('/etc/passwd', 'LineAsString')",
        "SELECT file('/etc/passwd')",
        "SELECT * FROM url('http://127.0.0.1:9/', 'LineAsString')",
        "SELECT * FROM remote('127.0.0.1', system.one)",
        "EXPLAIN INSERT INTO ldv_term SELECT 1",
        "SYSTEM FLUSH LOGS",
        "KILL QUERY WHERE 1",
        "SELECT 1 FORMAT JSON",
        "SELEC 1",
        "SELECT nothing_of_that_name FROM logregels",
        "",
        ";",
    ],
)
def test_it_reads_and_does_nothing_else(environ: dict[str, str], tmp_path: Path, query: str) -> None:
    """One line says why; the Logboek is as it was, and no file was written."""
    done = ldv(environ, "sql", typed=query.replace("OUT'", f"{tmp_path}/out'") or ";")
    assert done.returncode == 1
    assert "root:" not in done.stdout
    assert done.stderr.startswith("ldv: ")
    assert list(tmp_path.iterdir()) == []
    assert json.loads(ldv(environ, "sql", "--json", "SELECT count() AS n FROM logregel").stdout) == [{"n": 2}]


def test_a_prompt_goes_on_after_a_mistake(environ: dict[str, str]) -> None:
    """At a terminal; a query may have several lines, and `exit` leaves."""
    main, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "ldv_otel._internal.cli", "sql"],
        env=environ | {"TERM": "dumb", "PAGER": "cat"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    ) as process:
        os.close(terminal)
        os.write(main, b"DROP TABLE logregel;\rSELECT 40 +\r2 AS answer;\rexit\r")
        shown = b""
        while True:
            try:
                chunk = os.read(main, 4096)
            except OSError:  # the other side is closed
                break
            if not chunk:
                break
            shown += chunk
        assert process.wait(60) == 0
    os.close(main)
    assert b"Here one can read only" in shown
    assert b"42" in shown
