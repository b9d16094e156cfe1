"""The statements for a cluster, as texts; `test_cluster_engine.py` runs them."""

from __future__ import annotations

import re

import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.cluster import Cluster, clustered
from ldv_otel._internal.clickhouse.schema.migrations import all_statements, migrations, view_statements
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel.errors import ConfigurationError


@pytest.mark.parametrize(
    "cluster", [None, Cluster("ldv"), Cluster("ldv-prod", "trace")], ids=["single", "one", "shards"]
)
def test_the_engine_reads_every_statement(client: LogboekClient, cluster: Cluster | None) -> None:
    """A slip in a rewritten statement shows here, not on somebody's cluster."""
    for statement in all_statements("ldv", cluster):
        assert client.command(Sql("SELECT formatQuery({text:String})"), {"text": statement})


@pytest.mark.parametrize("shards_by", ["", "trace"])
def test_what_becomes_of_the_table(shards_by: str) -> None:
    """Rows in a replicated table, a Distributed one in front under the name that writer and readers know."""
    statements = list(all_statements("ldv", Cluster("ldv", shards_by)))
    text = "\n".join(statements)
    assert "CREATE TABLE IF NOT EXISTS logregel_local ON CLUSTER 'ldv'" in text
    (front,) = [statement for statement in statements if "ENGINE = Distributed" in statement]
    assert front.startswith("CREATE TABLE IF NOT EXISTS logregel ON CLUSTER 'ldv' AS logregel_local")
    assert ("cityHash64(trace_id)" in front) is (shards_by == "trace")
    assert "non_replicated_deduplication_window" not in text
    assert re.search(r"[^_]replicated_deduplication_window = 10000", text)
    assert "replicated_deduplication_window_seconds = 2592000" in text
    assert not re.search(r"ENGINE = MergeTree", text)
    for statement in statements:
        # A row goes into a table that is replicated to every node.
        assert "ON CLUSTER 'ldv'" in statement or "INSERT INTO ldv_term" in statement
    (terms,) = [statement for statement in statements if "NOT EXISTS ldv_term ON CLUSTER" in statement]
    assert "ReplicatedMergeTree('/clickhouse/tables/all/" in terms


def test_the_version_is_the_same_on_every_node() -> None:
    """A table of the tables' version for each shard would tell a client of another shard that there are none."""
    (versions,) = [found for found in all_statements("ldv", Cluster("ldv", "trace")) if "ldv_schema" in found]
    assert "/clickhouse/tables/all/" in versions
    assert "'{shard}-{replica}'" in versions


def test_a_new_column_is_one_of_both_tables() -> None:
    """A projection is of the rows' own table only."""
    column = clustered("ALTER TABLE logregel ADD COLUMN IF NOT EXISTS x String", Cluster("ldv"))
    assert [statement.split()[2] for statement in column] == ["logregel_local", "logregel"]
    projection = clustered("ALTER TABLE logregel MATERIALIZE PROJECTION p", Cluster("ldv"))
    assert [statement.split()[2] for statement in projection] == ["logregel_local"]


def test_every_migration_is_prepared_for_clusters() -> None:
    """A statement of a new kind fails here first."""
    for statement in [text for migration in migrations() for text in migration.statements] + [*view_statements("ldv")]:
        assert clustered(statement, Cluster("ldv", "trace"))
    with pytest.raises(ValueError, match="not prepared"):
        clustered("OPTIMIZE TABLE logregel", Cluster("ldv"))


@pytest.mark.parametrize(("name", "shards_by"), [("ldv'; DROP TABLE x", ""), ("", "trace"), ("ldv", "subject")])
def test_a_name_is_a_name(name: str, shards_by: str) -> None:
    """It goes into statements as it is."""
    with pytest.raises(ConfigurationError, match=r"--cluster|--shards-by"):
        Cluster(name, shards_by)
