"""Makes the tables on a cluster: rewrites each statement of a migration for replicas and shards.

`logregel` becomes a Distributed table, so the writer and the named queries work unchanged on it. The rows are in
`logregel_local`, a ReplicatedMergeTree on every node. With `shards_by` "trace" all records of a trace live on one
shard. Without it there is one shard, and every node has everything.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from ldv_otel._internal.clickhouse.tables import Table
from ldv_otel.errors import ConfigurationError

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")
#: ClickHouse replaces the macros on each node. With the shard in the path, shards share nothing; without it, the table
#: is the same on every node, as the version of the tables has to be.
_PER_SHARD: Final = "ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')"
_EVERYWHERE: Final = "ReplicatedMergeTree('/clickhouse/tables/all/{database}/{table}', '{shard}-{replica}')"
_SHARDING_KEYS: Final[dict[str, str]] = {"trace": "cityHash64(trace_id)", "": "0"}

#: How long the keeper remembers batches. An hour, the default, is shorter than an outage.
_WINDOW_SECONDS: Final = 30 * 24 * 3600

_CREATE_TABLE: Final = re.compile(r"^CREATE TABLE IF NOT EXISTS (\w+)(?=\s*\()", re.MULTILINE)
_CREATE_VIEW: Final = re.compile(r"^CREATE OR REPLACE VIEW (\w+)", re.MULTILINE)
_CREATE_MATERIALIZED_VIEW: Final = re.compile(r"^CREATE MATERIALIZED VIEW IF NOT EXISTS (\w+)", re.MULTILINE)
_INSERT: Final = re.compile(r"^INSERT INTO ldv_\w+", re.MULTILINE)
_ALTER: Final = re.compile(r"^ALTER TABLE (\w+)", re.MULTILINE)
_ENGINE: Final = re.compile(r"\bENGINE = MergeTree\b")
_WINDOW: Final = re.compile(r"\bnon_replicated_deduplication_window = (\d+)")


class Cluster(msgspec.Struct, frozen=True):
    """Where the tables are made.

    Attributes:
        name: As in the servers' `remote_servers`.
        shards_by: What decides on a row's shard; empty when there is one.
    """

    name: str
    shards_by: str = ""

    def __post_init__(self) -> None:
        """Refuse names that could be anything but names."""
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError(f"--cluster {self.name!r} is no name of a cluster (letters, digits, _ and -).")
        if self.shards_by not in _SHARDING_KEYS:
            raise ConfigurationError(f"--shards-by {self.shards_by!r} is not known; it can be `trace`, or left out.")

    @property
    def everywhere(self) -> str:
        """The clause that runs a statement on every node."""
        return f"ON CLUSTER '{self.name}'"


def create_database(database: str, cluster: Cluster | None) -> str:
    """Return the statement that makes the database."""
    return f"CREATE DATABASE IF NOT EXISTS {database}" + (f" {cluster.everywhere}" if cluster else "")


def clustered(statement: str, cluster: Cluster) -> list[str]:
    """Return what a statement of a migration becomes on a cluster.

    Raises:
        ValueError: The statement is of a kind that is not prepared for clusters; a test tries all migrations.
    """
    if match := _CREATE_TABLE.search(statement):
        return _create_table(statement, match[1], cluster)
    if match := _CREATE_VIEW.search(statement):
        return [_CREATE_VIEW.sub(rf"CREATE OR REPLACE VIEW \1 {cluster.everywhere}", statement, count=1)]
    if match := _CREATE_MATERIALIZED_VIEW.search(statement):
        view = rf"CREATE MATERIALIZED VIEW IF NOT EXISTS \1 {cluster.everywhere}"
        return [_CREATE_MATERIALIZED_VIEW.sub(view, statement, count=1)]
    if match := _ALTER.search(statement):
        tables = [Table.LOGREGEL_LOCAL if match[1] == Table.LOGREGEL else match[1]]
        if match[1] == Table.LOGREGEL and " COLUMN " in statement:
            # The Distributed table has columns too, but no projections and no settings of a MergeTree.
            tables.append(Table.LOGREGEL)
        return [_ALTER.sub(f"ALTER TABLE {table} {cluster.everywhere}", statement, count=1) for table in tables]
    if _INSERT.search(statement):
        return [statement]  # replicated: the table is the same on every node
    raise ValueError(f"a migration has a statement that is not prepared for clusters: {statement[:60]!r}")


def _create_table(statement: str, table: str, cluster: Cluster) -> list[str]:
    distributed = table == Table.LOGREGEL
    local = Table.LOGREGEL_LOCAL if distributed else table
    statement = _CREATE_TABLE.sub(f"CREATE TABLE IF NOT EXISTS {local} {cluster.everywhere}", statement, count=1)
    statement = _ENGINE.sub(f"ENGINE = {_PER_SHARD if distributed else _EVERYWHERE}", statement)
    statement = _WINDOW.sub(
        rf"replicated_deduplication_window = \1,\n    replicated_deduplication_window_seconds = {_WINDOW_SECONDS}",
        statement,
    )
    if not distributed:
        return [statement]
    key = _SHARDING_KEYS[cluster.shards_by]
    engine = f"ENGINE = Distributed('{cluster.name}', currentDatabase(), '{local}', {key})"
    return [statement, f"CREATE TABLE IF NOT EXISTS {table} {cluster.everywhere} AS {local}\n{engine}"]
