"""The oldest ClickHouse: stated once, checked at each connection, and true of what the tables use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.server_version import OLDEST, check_server_version
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel.errors import SchemaError
from tests.support.logboek import LogboekProcess, settings_at

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "src/ldv_otel/_internal/clickhouse/schema"
ADDRESS = LogboekAddress(scheme="clickhouse+https", host="db.example", port=8443, database="ldv")


@pytest.mark.parametrize("version", ["26.7.9.1", "25.12.1.1", "9.9"])
def test_an_older_one_is_refused(version: str) -> None:
    """With both versions, and what becomes of records."""
    with pytest.raises(
        SchemaError, match=rf"is ClickHouse {version[:4].rstrip('.')}.*needs 26\.8 or newer.*records wait"
    ):
        check_server_version(ADDRESS, version)


@pytest.mark.parametrize("version", ["26.8.1.1", "26.10.2.3-lts", "27.1", "unknown", ""])
def test_others_are_taken(version: str) -> None:
    """Also one that cannot be read: a server of somebody's own build."""
    check_server_version(ADDRESS, version)


def test_it_is_checked_at_the_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over HTTP and of the engine in this process; the connection is closed, and another one works."""
    with LogboekProcess(tmp_path / "logboek") as process:
        settings = settings_at(process.port, "default")
        with monkeypatch.context() as patched, pytest.raises(SchemaError, match="or newer"):
            patched.setattr("ldv_otel._internal.clickhouse.server_version.OLDEST", (99, 1))
            LogboekClient(settings)
        with LogboekClient(settings) as client:
            assert client.rows(Sql("SELECT 1")) == [(1,)]


def test_it_is_the_version_of_the_newest_setting_that_the_tables_have(tmp_path: Path) -> None:
    """As the engine's own history of settings has it, and as the pages say."""
    texts = [path.read_text(encoding="utf-8") for path in SCHEMA.glob("*.sql")]
    used = {name for text in texts for name in re.findall(r"\b([a-z]\w+) = ", text)}
    with LogboekProcess(tmp_path / "logboek") as process, LogboekClient(settings_at(process.port, "default")) as client:
        changes = client.rows(
            Sql(
                "SELECT version, c.1 AS name FROM system.settings_changes ARRAY JOIN changes AS c"
                " WHERE startsWith(lower(c.4), 'new setting') AND type = 'MergeTree'"
            )
        )
    added = {tuple(map(int, version.split("."))) for version, name in changes if name in used}
    assert max(added) == OLDEST
    for page in ("docs/operate/deploy.md", "README.md"):
        assert f"{OLDEST[0]}.{OLDEST[1]}" in (ROOT / page).read_text(encoding="utf-8")
