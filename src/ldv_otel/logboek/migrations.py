"""The tables' version: numbered SQL files, applied in order, each once, and a check that refuses what does not fit."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Final

import msgspec

from ldv_otel.errors import SchemaError
from ldv_otel.logboek.client import LogboekClient
from ldv_otel.logboek.failures import APPLY_ADVICE
from ldv_otel.settings import Settings

_FILE: Final = re.compile(r"(\d{4})_(\w+)\.sql")
_STATEMENT_END: Final = re.compile(r";[^\S\n]*(?:--[^\n]*)?(?:\n|$)")
_MINIMUM_WINDOW: Final = 1_000

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
    """

    current: int
    latest: int
    deduplication_window: int

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
    for resource in files("ldv_otel.logboek").joinpath("schema").iterdir():
        match = _FILE.fullmatch(resource.name)
        if match:
            text = resource.read_text(encoding="utf-8")
            statements = tuple(part.strip() for part in _STATEMENT_END.split(text) if part.strip())
            found.append(Migration(int(match[1]), match[2], statements))
    return sorted(found, key=lambda migration: migration.version)


def apply_schema(settings: Settings, *, up_to: int | None = None) -> list[Migration]:
    """Bring the tables to the latest version, or to `up_to`; return what was applied.

    Every statement of a migration can be repeated, so one that was cut short is simply run again.

    Raises:
        SchemaError: The store is newer than this package.
    """
    applied = []
    # The first connection stays open beside the second: without any, an embedded engine stops and starts again.
    with LogboekClient(settings, database="") as outside:
        # A plain identifier: settings let nothing else through.
        outside.command(f"CREATE DATABASE IF NOT EXISTS {settings.logboek.database}")
        client = LogboekClient(settings)
    with client:
        client.command(_CREATE_VERSIONS)
        current = _current(client)
        known = migrations()
        if current > known[-1].version:
            raise SchemaError(schema_status(client).problem())
        for migration in known:
            if current < migration.version <= (up_to or migration.version):
                for statement in migration.statements:
                    client.command(statement)
                client.command(
                    "INSERT INTO ldv_schema (version, name) SELECT {version:UInt32}, {name:String}",
                    {"version": migration.version, "name": migration.name},
                )
                applied.append(migration)
    return applied


def schema_status(client: LogboekClient) -> SchemaStatus:
    """Return how the store compares with this package."""
    known = client.rows(
        "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase() "
        "AND name IN ('ldv_schema', 'logregel')"
    )
    tables = dict(known)
    current = _current(client) if "ldv_schema" in tables else 0
    window = re.search(r"non_replicated_deduplication_window = (\d+)", tables.get("logregel", ""))
    return SchemaStatus(current, migrations()[-1].version, int(window[1]) if window else 0)


def check_schema(client: LogboekClient) -> None:
    """Refuse a store that this version cannot write to safely.

    Raises:
        SchemaError: It says what to do.
    """
    problem = schema_status(client).problem()
    if problem:
        raise SchemaError(f"{client.address}: {problem}")


def _current(client: LogboekClient) -> int:
    return int(client.rows("SELECT max(version) FROM ldv_schema")[0][0])
