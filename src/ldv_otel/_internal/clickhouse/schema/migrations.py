"""The tables' version: numbered SQL files, applied in order, each once, and a check that refuses what does not fit.

The views that readers use hold nothing, so they have no number: they are made anew behind the tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import Final

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.errors import APPLY_ADVICE
from ldv_otel._internal.clickhouse.schema.cluster import LOCAL_TABLE, Cluster, clustered, create_database
from ldv_otel._internal.config.settings import Settings
from ldv_otel.errors import SchemaError

_FILE: Final = re.compile(r"(\d{4})_(\w+)\.sql")
_STATEMENT_END: Final = re.compile(r";[^\S\n]*(?:--[^\n]*)?(?:\n|$)")
_DISTRIBUTED: Final = re.compile(r"Distributed\('([^']+)'")
_WINDOW: Final = re.compile(r"replicated_deduplication_window = (\d+)")
_MINIMUM_WINDOW: Final = 1_000
_MATERIALIZED_VIEW: Final = re.compile(r"^CREATE MATERIALIZED VIEW IF NOT EXISTS (\w+) TO \w+ AS\n", re.MULTILINE)

_CREATE_VERSIONS: Final = """
CREATE TABLE IF NOT EXISTS ldv_schema (version UInt32, name String, applied DateTime64(3, 'UTC') DEFAULT now64(3))
ENGINE = MergeTree ORDER BY version
"""


class Migration(msgspec.Struct, frozen=True):
    """One numbered file."""

    version: int
    name: str
    statements: tuple[str, ...]


class SchemaStatus(msgspec.Struct, frozen=True):
    """How the store compares with this version of the package.

    Attributes:
        current: Highest version applied; 0 when there are no tables yet.
        latest: Highest version this package knows.
        deduplication_window: How many batches the table remembers; below 1,000 retries may store a batch twice.
        cluster: Name of the cluster the tables are on; empty for a single server or an embedded Logboek.
        collector: Whether a Collector can write to it.
    """

    current: int
    latest: int
    deduplication_window: int
    cluster: str = ""
    collector: bool = False

    def problem(self) -> str:
        """Return what has to be done before writing, or empty text."""
        if self.current == 0:
            return f"The Logboek has no tables yet. {APPLY_ADVICE}"
        if self.current > self.latest:
            return (
                f"The Logboek's tables are of version {self.current}, and this ldv_otel knows versions up to "
                f"{self.latest}. Upgrade ldv_otel; nothing was written."
            )
        if self.current < self.latest:
            return (
                f"The Logboek's tables are of version {self.current}, this ldv_otel needs {self.latest}. {APPLY_ADVICE}"
            )
        if self.deduplication_window < _MINIMUM_WINDOW:
            return (
                f"The table logregel remembers {self.deduplication_window} batches, so one that is repeated could be "
                "stored twice. Run `ALTER TABLE logregel MODIFY SETTING non_replicated_deduplication_window = 10000`."
            )
        return ""


def migrations() -> list[Migration]:
    """Return all migrations of this package, in order."""
    found = []
    for resource in files("ldv_otel._internal.clickhouse").joinpath("schema").iterdir():
        match = _FILE.fullmatch(resource.name)
        if match:
            found.append(Migration(int(match[1]), match[2], _statements_in(resource.name)))
    return sorted(found, key=lambda migration: migration.version)


def view_statements() -> tuple[str, ...]:
    """Return what makes the views that readers use, in place of those that are there."""
    return _statements_in("views.sql")


def collector_statements() -> tuple[str, ...]:
    """Return what makes the tables and views that a Collector writes to, or changes them to what they are now.

    A materialised view is changed in place: between dropping and making it, an insert would vanish without an error.
    """
    found = []
    for statement in _statements_in("collector.sql"):
        found.append(statement)
        if view := _MATERIALIZED_VIEW.search(statement):
            found.append(f"ALTER TABLE {view[1]} MODIFY QUERY\n{statement[view.end() :]}")
    return tuple(found)


def apply_schema(
    settings: Settings, *, up_to: int | None = None, cluster: Cluster | None = None, collector: bool = False
) -> list[Migration]:
    """Bring the tables to the latest version, or to `up_to`; return what was applied.

    Every statement of a migration can be repeated, so one that was cut short is simply run again.

    Args:
        cluster: Where to make the tables; tables that are on a cluster already stay there without being told.
        collector: Make what a Collector writes to as well; where that is already, it is kept up to date untold.

    Raises:
        SchemaError: The store is newer than this package.
    """
    applied = []
    # The first connection stays open beside the second: without any, an embedded engine stops and starts again.
    with LogboekClient(settings, database="") as outside:
        # A plain identifier: settings let nothing else through.
        outside.command(create_database(settings.logboek.database, cluster))
        client = LogboekClient(settings)
    with client:
        before = schema_status(client)
        if cluster is None and before.cluster:
            cluster = Cluster(before.cluster)
        _run(client, [_CREATE_VERSIONS], cluster)
        current = _current(client)
        known = migrations()
        if current > known[-1].version:
            raise SchemaError(schema_status(client).problem())
        for migration in known:
            if current < migration.version <= (up_to or migration.version):
                _run(client, migration.statements, cluster)
                client.command(
                    "INSERT INTO ldv_schema (version, name) SELECT {version:UInt32}, {name:String}",
                    {"version": migration.version, "name": migration.name},
                )
                applied.append(migration)
        if up_to is None:
            _run(client, view_statements(), cluster)
        if collector or (applied and before.collector):
            _run(client, collector_statements(), cluster)
    return applied


def _run(client: LogboekClient, written: Iterable[str], cluster: Cluster | None) -> None:
    for text in written:
        for statement in _statements(text, cluster):
            client.command(statement)


def schema_status(client: LogboekClient) -> SchemaStatus:
    """Return how the store compares with this package."""
    known = client.rows(
        "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase() "
        "AND name IN ('ldv_schema', 'logregel', 'logregel_local', 'collector_to_logregel')"
    )
    tables: dict[str, str] = dict(known)
    current = _current(client) if "ldv_schema" in tables else 0
    distributed = _DISTRIBUTED.match(tables.get("logregel", ""))
    window = _WINDOW.search(tables.get(LOCAL_TABLE if distributed else "logregel", ""))
    return SchemaStatus(
        current,
        migrations()[-1].version,
        int(window[1]) if window else 0,
        distributed[1] if distributed else "",
        "collector_to_logregel" in tables,
    )


def check_schema(client: LogboekClient) -> None:
    """Refuse a store that this version cannot write to safely.

    Raises:
        SchemaError: It says what to do.
    """
    problem = schema_status(client).problem()
    if problem:
        raise SchemaError(f"{client.address}: {problem}")


def checked(client: LogboekClient) -> LogboekClient:
    """Return a connection whose tables this version can use; one to other tables is closed.

    Raises:
        SchemaError: As `check_schema`.
    """
    try:
        check_schema(client)
    except BaseException:
        client.close()
        raise
    return client


def all_statements(database: str, cluster: Cluster | None = None, *, collector: bool = False) -> Iterator[str]:
    """Give every statement that makes the tables from nothing, in order, for who runs or reads them by hand."""
    yield create_database(database, cluster)
    numbered = [text for found in migrations() for text in found.statements]
    others = (*view_statements(), *(collector_statements() if collector else ()))
    for written in (_CREATE_VERSIONS.strip(), *numbered, *others):
        yield from _statements(written, cluster)


def statements_of(text: str) -> tuple[str, ...]:
    """Return the statements of an SQL file, each with the comment above it."""
    return tuple(part.strip() for part in _STATEMENT_END.split(text) if part.strip())


def _statements_in(name: str) -> tuple[str, ...]:
    return statements_of(files("ldv_otel._internal.clickhouse").joinpath("schema", name).read_text(encoding="utf-8"))


def _statements(written: str, cluster: Cluster | None) -> list[str]:
    return [written] if cluster is None else clustered(written, cluster)


def _current(client: LogboekClient) -> int:
    return int(client.rows("SELECT max(version) FROM ldv_schema")[0][0])
