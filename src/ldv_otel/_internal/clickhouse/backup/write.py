"""`ldv backup`: every table as blocks of ClickHouse's format Native, so that any Logboek of this version can take them.

ClickHouse's own BACKUP copies the parts of tables as they are, which is quicker, and fits the same kind of tables only;
to the process that shares an embedded engine it is refused, because it writes where it is asked to.

A Logboek that is written to meanwhile is not one moment. So the log of manifests is read before the records, and what
removals say after them: a record may then lack its manifest, and never the other way round.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from ldv_otel._internal.clickhouse.backup.contents import (
    CONTENTS_NAME,
    BackupContents,
    BackupFile,
    KeyName,
    TableBackup,
)
from ldv_otel._internal.clickhouse.backup.place import BackupTarget, new_target
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import schema_status
from ldv_otel._internal.clickhouse.sql_text import Sql, identifier, listed
from ldv_otel._internal.clickhouse.tables import Table
from ldv_otel._internal.http.zstd import zstd_module
from ldv_otel._internal.times.instants import now_ms
from ldv_otel._version import __version__
from ldv_otel.errors import ConfigurationError, LdvError

#: Rows of one file: some 50 MB in memory for records.
FILE_ROWS: Final = 100_000
_LEVEL: Final = 3

#: In this order; `collector_span` keeps nothing, and what is on a cluster is read through `logregel`.
_TABLES: Final = (
    Table.LDV_CHECKPOINT,
    Table.LDV_VERIFICATION,
    Table.LDV_MANIFEST,
    Table.LOGREGEL,
    Table.TECHNICAL_SPAN,
    Table.LDV_REGISTER,
    Table.LDV_TERM,
    Table.LDV_TERM_DATE,
    Table.LDV_SUBJECT_LINK,
    Table.LDV_REMOVAL,
    Table.LDV_REMOVAL_NOTE,
    Table.COLLECTOR_REFUSED,
)
_COLUMNS: Final = Sql("""
SELECT table, name FROM system.columns
WHERE database = currentDatabase() AND default_kind NOT IN ('ALIAS', 'MATERIALIZED')
    AND has({tables:Array(String)}, table)
ORDER BY table, position
""")
_MINUTES: Final = Sql("""
SELECT toInt64(floor(toUnixTimestamp64Milli(start_time) / 60000)) AS minute, count() FROM logregel
GROUP BY minute ORDER BY minute
""")
_OF_PERIOD: Final = Sql("""
start_time >= fromUnixTimestamp64Milli({since:Int64}) AND start_time < fromUnixTimestamp64Milli({until:Int64})
""")


_ALL: Final = Sql("1")
#: The row that this table has from the beginning is made with it.
_KEPT: Final = {Table.LDV_TERM: Sql("applied > toDateTime64(0, 6, 'UTC')")}


class _Portion(NamedTuple):
    """Rows of one file: those of a period, of which a hash of the row takes one part of several."""

    since_ms: int = 0
    until_ms: int = 0
    parts: int = 1
    part: int = 0


class BackupNotes(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup has beside the tables; see `BackupContents`.

    Attributes:
        register: The file of LDV_REGISTER, to be copied.
    """

    keys: list[KeyName] = []
    seal_key: str = ""
    register: Path | None = None
    waiting: int = 0


def write_backup(
    client: LogboekClient,
    path: Path,
    notes: BackupNotes,
    *,
    progress: Callable[[str, int], None] = lambda _table, _rows: None,
    file_rows: int = FILE_ROWS,
) -> tuple[BackupContents, str]:
    """Write a backup and return what it has, and the SHA-256 of the file in it that says so.

    Args:
        path: A new directory (0700), or a new file (0600) where it ends in `.tar`.

    Raises:
        ConfigurationError: It is there already, or cannot be made.
        LdvError: The Logboek cannot be read, or its tables are not of this version; what was written stays there,
            without the file that makes it a backup.
    """
    status = schema_status(client)
    if problem := status.problem():
        raise ConfigurationError(f"{problem} Nothing was backed up.")
    if os.path.lexists(path):
        raise ConfigurationError(f"{path} exists. Nothing was backed up. Choose a name that is not there yet.")
    try:
        writer = _BackupWriter(new_target(path))
        register = None if notes.register is None else writer.copied("register" + notes.register.suffix, notes.register)
        contents = BackupContents(
            made_ms=now_ms(),
            ldv_otel=__version__,
            logboek=str(client.address),
            schema_version=status.current,
            collector=status.collector,
            tables=_tables(client, writer, progress, file_rows),
            keys=notes.keys,
            seal_key=notes.seal_key,
            register=register,
            waiting=notes.waiting,
        )
        checksum = writer.finished(contents)
    except OSError as error:
        raise LdvError(
            f"{path} cannot be written ({error.strerror}). What is there is no backup: remove it, and make another."
        ) from error
    return contents, checksum


def _tables(
    client: LogboekClient, writer: _BackupWriter, progress: Callable[[str, int], None], file_rows: int
) -> list[TableBackup]:
    columns: dict[str, list[str]] = {}
    for table, column in client.rows(_COLUMNS, {"tables": [table.value for table in _TABLES]}):
        columns.setdefault(str(table), []).append(str(column))
    tables = []
    for table in _TABLES:
        if table not in columns:
            continue
        count = Sql("SELECT count() FROM $table WHERE $kept", table=identifier(table), kept=_KEPT.get(table, _ALL))
        rows = int(client.rows(count)[0][0])
        files: list[BackupFile] = []
        for portion in _portions(client, table, rows, file_rows):
            content = client.native(*_query(table, columns[table], portion))
            if content:
                files.append(writer.packed(f"{table}.{len(files):06}.native.zst", content))
        tables.append(TableBackup(table, rows, columns[table], files))
        progress(table, rows)
    return tables


def _portions(client: LogboekClient, table: Table, rows: int, file_rows: int) -> Iterator[_Portion]:
    """Give what goes into each file: some minutes of records, in their order; a share of other tables."""
    if table is not Table.LOGREGEL:
        parts = max(1, -(-rows // file_rows))
        yield from (_Portion(parts=parts, part=part) for part in range(parts))
        return
    first: int | None = None
    gathered = 0
    last = 0
    for minute, count in client.rows(_MINUTES):
        if first is not None and gathered + count > file_rows:
            yield from _of_minutes(first, last, gathered, file_rows)
            first, gathered = None, 0
        first = minute if first is None else first
        last, gathered = minute, gathered + count
    if first is not None:
        yield from _of_minutes(first, last, gathered, file_rows)


def _of_minutes(first: int, last: int, rows: int, file_rows: int) -> Iterator[_Portion]:
    # More than one part only where a single minute has more than goes into a file.
    parts = max(1, -(-rows // file_rows))
    for part in range(parts):
        yield _Portion(first * 60_000, (last + 1) * 60_000, parts, part)


def _query(table: Table, columns: list[str], portion: _Portion) -> tuple[Sql, dict[str, int]]:
    timed = table is Table.LOGREGEL
    shared = Sql("cityHash64($columns) % {parts:UInt64} = {part:UInt64}", columns=listed(map(identifier, columns[:2])))
    query = Sql(
        "SELECT $columns FROM $table WHERE $period AND $share",
        columns=listed(map(identifier, columns)),
        table=identifier(table),
        period=_OF_PERIOD if timed else _KEPT.get(table, _ALL),
        share=shared if portion.parts > 1 else _ALL,
    )
    parameters = {"since": portion.since_ms, "until": portion.until_ms} if timed else {}
    return query, parameters | ({"parts": portion.parts, "part": portion.part} if portion.parts > 1 else {})


class _BackupWriter:
    """Puts files into a target, and keeps account of them."""

    def __init__(self, target: BackupTarget) -> None:
        self._target = target

    def packed(self, name: str, content: bytes) -> BackupFile:
        """Write a file, packed."""
        return self._written(name, bytes(zstd_module().compress(content, level=_LEVEL)))

    def copied(self, name: str, source: Path) -> BackupFile:
        """Write a file that is as another one."""
        return self._written(name, source.read_bytes())

    def finished(self, contents: BackupContents) -> str:
        """Write down what there is, and return the checksum of that."""
        file = self._written(CONTENTS_NAME, msgspec.json.format(msgspec.json.encode(contents)) + b"\n")
        self._target.close()
        return file.sha256

    def _written(self, name: str, content: bytes) -> BackupFile:
        self._target.put(name, content)
        return BackupFile(name, len(content), hashlib.sha256(content).hexdigest())
