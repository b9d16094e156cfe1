"""A process with an outbox that forks, as a server with preloaded workers does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.privacy.key_file import add_key
from tests.support.logboek import LogboekProcess
from tests.support.postgresql import PostgresqlServer, skip_without_server

SERVICE = """
import os, sys
from sqlalchemy import create_engine, text
import ldv_otel as ldv

engine = create_engine(sys.argv[1])
outbox = ldv.outbox.sqlalchemy(engine)
store = outbox.store()
store.apply()
store.close()
with engine.begin() as connection:
    connection.execute(text("CREATE TABLE kenteken (nummer varchar(20))"))
engine.dispose()
ldv.install(outbox=outbox)

def change(nummer):
    with engine.begin() as connection, ldv.processing("https://register.example/a", name=nummer):
        connection.execute(text("INSERT INTO kenteken VALUES (:nummer)"), {"nummer": nummer})

change("ouder")
assert ldv.force_flush(60)
assert ldv.health().outbox.databases
engine.dispose()
children = []
for number in range(3):
    pid = os.fork()
    if not pid:
        change(f"kind {number}")
        flushed = ldv.force_flush(60)
        os._exit(0 if flushed and ldv.health().ok else 1)
    children.append(pid)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
change("ouder weer")
assert ldv.force_flush(60)
assert ldv.health().ok
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_parent_and_children_send_what_they_commit(kind: str, tmp_path: Path) -> None:
    """Each has a sender and connections of its own; nothing of the parent's is used by two."""
    add_key(tmp_path / "keys.json")
    with LogboekProcess(tmp_path / "logboek") as process:
        variables = {
            "LDV_LOGBOEK": f"clickhouse+http://127.0.0.1:{process.port}",
            "LDV_KEYS": str(tmp_path / "keys.json"),
            "LDV_SPOOL": str(tmp_path / "spool"),
        }
        settings = read_settings(variables)
        apply_schema(settings)
        if kind == "sqlite":
            run(f"sqlite:///{tmp_path / 'application.db'}", variables)
        else:
            skip_without_server()
            with PostgresqlServer() as server:
                run(server.url(server.new_database()), variables)
        with LogboekClient(settings) as client:
            rows = client.rows(Sql.verbatim("SELECT name, count() FROM logregel GROUP BY name ORDER BY name"))
    assert [(str(name), int(count)) for name, count in rows] == [
        *((f"kind {number}", 1) for number in range(3)),
        ("ouder", 1),
        ("ouder weer", 1),
    ]


def run(url: str, variables: dict[str, str]) -> None:
    """Run the service to its end."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SERVICE, url],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, result.stderr
