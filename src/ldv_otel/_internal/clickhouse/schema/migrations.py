"""Brings the tables to a version: numbered SQL files, applied in order, each once, and a check of what is there.

The views that readers use hold nothing, so they have no number: they are made anew after the tables.
"""

from __future__ import annotations

import functools
import re
import secrets
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import Final

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.errors import APPLY_ADVICE
from ldv_otel._internal.clickhouse.schema.cluster import Cluster, clustered, create_database
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.tables import Table, View
from ldv_otel._internal.config.settings import Settings
from ldv_otel.errors import LogboekUnavailable, SchemaError

_SCHEMA: Final = files(__package__ or "")
_FILE: Final = re.compile(r"(\d{4})_(\w+)\.sql")
_STATEMENT_END: Final = re.compile(r";[^\S\n]*(?:--[^\n]*)?(?:\n|$)")
_DISTRIBUTED: Final = re.compile(r"Distributed\('([^']+)'")
_WINDOW: Final = re.compile(r"replicated_deduplication_window = (\d+)")
_MINIMUM_WINDOW: Final = 1_000
_CREATE_TABLE: Final = re.compile(r"^CREATE TABLE IF NOT EXISTS (\w+)", re.MULTILINE)
#: The last column of a table, where it is computed.
_MATERIALIZED_COLUMN: Final = re.compile(
    r"^CREATE TABLE IF NOT EXISTS (?P<table>\w+)$.*^ {4}(?P<definition>\w+ +\S+ MATERIALIZED .*?)\n\)$",
    re.MULTILINE | re.DOTALL,
)
_MATERIALIZED_VIEW: Final = re.compile(r"^CREATE MATERIALIZED VIEW IF NOT EXISTS (\w+) TO \w+ AS\n", re.MULTILINE)

_CREATE_VERSIONS: Final = """
CREATE TABLE IF NOT EXISTS ldv_schema (version UInt32, name String, applied DateTime64(3, 'UTC') DEFAULT now64(3))
ENGINE = MergeTree ORDER BY version
"""


#: With a number that only this query has, so that it can be asked before each batch, whatever is on the way there.
_VERSION: Final = Sql("SELECT max(version), {proof:UInt64} FROM ldv_schema")
_SET_VERSION: Final = Sql("INSERT INTO ldv_schema (version, name) SELECT {version:UInt32}, {name:String}")
_TABLES: Final = Sql("""
SELECT name, engine_full FROM system.tables WHERE database = currentDatabase() AND has({names:Array(String)}, name)
""")


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
        missing: Tables of its version that are not there, or that this account may not see.
        clustered: Whether tables are on a cluster, also where it is not known any more on which.
    """

    current: int
    latest: int
    deduplication_window: int
    cluster: str = ""
    collector: bool = False
    missing: tuple[str, ...] = ()
    clustered: bool = False

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
        if Table.LOGREGEL in self.missing:
            advice = APPLY_ADVICE
            if self.clustered and not self.cluster:
                advice = "Run `ldv schema apply --cluster NAME` with an account that may create tables."
            return (
                f"The Logboek's table {Table.LOGREGEL} is gone: somebody dropped it, with the rows in it. Records wait "
                f"meanwhile. {advice}"
            )
        if self.deduplication_window < _MINIMUM_WINDOW:
            return (
                f"The table logregel remembers {self.deduplication_window} batches, so one that is repeated could be "
                "stored twice. Run `ALTER TABLE logregel MODIFY SETTING non_replicated_deduplication_window = 10000`."
            )
        return ""


@functools.cache
def migrations() -> tuple[Migration, ...]:
    """Return all migrations of this package, in order."""
    matches = (_FILE.fullmatch(resource.name) for resource in _SCHEMA.iterdir())
    numbered = (Migration(int(match[1]), match[2], statements_in(match[0])) for match in matches if match)
    return tuple(sorted(numbered, key=lambda migration: migration.version))


def view_statements(database: str) -> tuple[str, ...]:
    """Return what makes the views that readers use, in place of those that are there.

    A view with parameters that asks another one looks for it in the reader's own database, unless it says where: what a
    table's name means is settled when a view is made, what that of a view with parameters means is not.

    Args:
        database: A plain identifier, as settings let nothing else through.
    """
    return tuple(statement.replace("DATABASE.", f"{database}.") for statement in statements_in("views.sql"))


def collector_statements() -> tuple[str, ...]:
    """Return what makes the tables and views that a Collector writes to, or changes them to what they are now.

    A materialised view is changed in place: between dropping and making it, an insert would vanish without an error
    (LDV-A3). So is what the landing table computes: which span is an Actie.
    """
    statements = []
    for statement in statements_in("collector.sql"):
        statements.append(statement)
        if column := _MATERIALIZED_COLUMN.search(statement):
            statements.append(f"ALTER TABLE {column['table']} MODIFY COLUMN {column['definition']}")
        if view := _MATERIALIZED_VIEW.search(statement):
            statements.append(f"ALTER TABLE {view[1]} MODIFY QUERY\n{statement[view.end() :]}")
    return tuple(statements)


def apply_schema(
    settings: Settings, *, up_to: int | None = None, cluster: Cluster | None = None, collector: bool = False
) -> list[Migration]:
    """Bring the tables to the latest version, or to `up_to`; return what was applied.

    Every statement of a migration can be repeated, so one that was cut short is simply run again.

    Args:
        cluster: Where to make the tables; tables that are on a cluster already stay there without it.
        collector: Make what a Collector writes to as well; where that is already, it is brought up to date without it.

    Raises:
        SchemaError: The store is newer than this package.
    """
    # The first connection stays open beside the second: without any, an embedded engine stops and starts again.
    with LogboekClient(settings, database="") as without_database:
        # A plain identifier: settings let nothing else through.
        without_database.command(Sql.verbatim(create_database(settings.logboek.database, cluster)))
        client = LogboekClient(settings)
    with client:
        # The cluster is read from the tables themselves, so that a later run without --cluster cannot make local ones.
        before = schema_status(client)
        if cluster is None and before.cluster:
            cluster = Cluster(before.cluster)
        applied = _migrate(client, cluster, up_to)
        # An earlier version of the tables may lack columns that these views name.
        if up_to is None:
            _run(client, view_statements(settings.logboek.database), cluster)
        if collector or (applied and before.collector):
            _run(client, collector_statements(), cluster)
    return applied


def _migrate(client: LogboekClient, cluster: Cluster | None, up_to: int | None) -> list[Migration]:
    _run(client, [_CREATE_VERSIONS], cluster)
    status = schema_status(client)
    numbered = migrations()
    if status.current > numbered[-1].version or (status.missing and status.clustered and cluster is None):
        raise SchemaError(status.problem())
    # Each statement makes what is not there and leaves the rest, so what was dropped comes back by running all again.
    first = 0 if status.missing else status.current
    applied = [migration for migration in numbered if first < migration.version <= (up_to or migration.version)]
    for migration in applied:
        _run(client, migration.statements, cluster)
        if migration.version <= status.current:
            continue
        # After its statements: a migration that is cut short has no version yet, and is run again.
        client.command(_SET_VERSION, {"version": migration.version, "name": migration.name})
    return applied


def _run(client: LogboekClient, statements: Iterable[str], cluster: Cluster | None) -> None:
    for statement in statements:
        for part in _on_cluster(statement, cluster):
            client.command(Sql.verbatim(part))


def schema_status(client: LogboekClient) -> SchemaStatus:
    """Return how the store compares with this package."""
    names = [*Table, View.COLLECTOR_TO_LOGREGEL]
    engines: dict[str, str] = dict(client.rows(_TABLES, {"names": [name.value for name in names]}))
    current = _current_version(client) if Table.LDV_SCHEMA in engines else 0
    distributed = _DISTRIBUTED.match(engines.get(Table.LOGREGEL, ""))
    window = _WINDOW.search(engines.get(Table.LOGREGEL_LOCAL if distributed else Table.LOGREGEL, ""))
    return SchemaStatus(
        current,
        migrations()[-1].version,
        int(window[1]) if window else 0,
        distributed[1] if distributed else "",
        View.COLLECTOR_TO_LOGREGEL in engines,
        tuple(sorted(_tables_of(current) - engines.keys())),
        Table.LOGREGEL_LOCAL in engines or distributed is not None,
    )


def _tables_of(version: int) -> set[str]:
    """Return the tables that the migrations up to a version make."""
    statements = (text for migration in migrations() if migration.version <= version for text in migration.statements)
    return {match[1] for text in statements for match in _CREATE_TABLE.finditer(text)}


def check_version(client: LogboekClient) -> None:
    """Refuse a store of which the version is not ours any more: another service, or an administrator, changed it.

    Raises:
        SchemaError: Its message tells what to do.
    """
    if _current_version(client) != migrations()[-1].version:
        check_schema(client)


def check_schema(client: LogboekClient) -> None:
    """Refuse a store that this version cannot write to safely.

    Raises:
        SchemaError: Its message tells what to do.
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
    """Give every statement that makes the tables from nothing, in order, to be run or read by hand."""
    yield create_database(database, cluster)
    numbered = [statement for migration in migrations() for statement in migration.statements]
    others = (*view_statements(database), *(collector_statements() if collector else ()))
    for statement in (_CREATE_VERSIONS.strip(), *numbered, *others):
        yield from _on_cluster(statement, cluster)


def statements_in(file: str) -> tuple[str, ...]:
    """Return the statements of an SQL file of this package, each with the comment above it."""
    text = _SCHEMA.joinpath(file).read_text(encoding="utf-8")
    return tuple(part.strip() for part in _STATEMENT_END.split(text) if part.strip())


def _on_cluster(statement: str, cluster: Cluster | None) -> list[str]:
    return [statement] if cluster is None else clustered(statement, cluster)


def _current_version(client: LogboekClient) -> int:
    proof = secrets.randbits(63)
    match client.rows(_VERSION, {"proof": proof}, self_proving=True):
        case [(version, answered)] if answered == proof:
            return int(version)
    raise LogboekUnavailable(f"The Logboek {client.address} answered another question than that for its version.")
