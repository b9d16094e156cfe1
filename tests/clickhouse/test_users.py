"""`ldv schema users`: statements that the engine reads, with hashes of passwords that are in files alone."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ldv_otel._internal.cli.app import app
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.roles import ROLES
from ldv_otel._internal.clickhouse.schema.users import USERS, new_users
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel.errors import ConfigurationError


@pytest.mark.parametrize("cluster", ["", "prod"])
def test_the_engine_reads_every_statement(client: LogboekClient, cluster: str) -> None:
    """For each role one account."""
    users = new_users(cluster)
    assert tuple(USERS.values()) == ROLES
    for user in users:
        for statement in user.statements:
            assert client.rows(Sql("SELECT formatQuery({text:String})"), {"text": statement})
            assert ("ON CLUSTER 'prod'" in statement) == bool(cluster)
            assert user.password not in statement
        assert user.password not in repr(user)
    assert len({user.password for user in users}) == len(users)


def test_passwords_are_in_files_alone(tmp_path: Path) -> None:
    """Which are the owner's, and are never written over."""
    directory = tmp_path / "wachtwoorden"
    done = CliRunner().invoke(app, ["schema", "users", "--passwords", str(directory)])
    assert done.exit_code == 0
    hashes = dict(re.findall(r"CREATE USER IF NOT EXISTS (\w+) IDENTIFIED WITH sha256_hash BY '(\w+)'", done.stdout))
    assert hashes.keys() == USERS.keys()
    for name, digest in hashes.items():
        file = directory / name
        assert file.stat().st_mode & 0o777 == 0o600
        password = file.read_text().strip()
        assert hashlib.sha256(password.encode()).hexdigest() == digest
        assert password not in done.stdout
    again = CliRunner().invoke(app, ["schema", "users", "--passwords", str(directory)])
    assert isinstance(again.exception, ConfigurationError)
    assert "would be lost" in str(again.exception)
