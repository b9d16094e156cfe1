"""`ldv restore`: a backup into an empty Logboek, of whatever kind; nothing is written before all files were checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from ldv_otel._internal.clickhouse.backup.contents import BackupContents, TableBackup, check_files, read_contents
from ldv_otel._internal.clickhouse.backup.place import BackupSource, opened_source
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema, migrations
from ldv_otel._internal.clickhouse.sql_text import Sql, identifier
from ldv_otel._internal.clickhouse.tables import Table
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.http.zstd import zstd_module
from ldv_otel.errors import ConfigurationError, LdvError

#: Blocks that are alike must both be stored: they are rows that were there twice.
_INSERT_SETTINGS: Final = {"insert_deduplicate": 0}


def restore_backup(
    settings: Settings, path: Path, *, progress: Callable[[str, int], None] = lambda _table, _rows: None
) -> BackupContents:
    """Put a backup into the Logboek of these settings, and return what it has.

    Raises:
        ConfigurationError: The backup is not whole, is of newer tables, or the Logboek has rows already; nothing was
            written.
        LdvError: The Logboek does not take it; it has a part of the rows then, and has to be emptied.
    """
    try:
        with opened_source(path) as source:
            return _restored(settings, source, progress)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}). Nothing was restored.") from error


def _restored(settings: Settings, source: BackupSource, progress: Callable[[str, int], None]) -> BackupContents:
    contents = read_contents(source)
    latest = migrations()[-1].version
    if contents.schema_version > latest:
        raise ConfigurationError(
            f"The backup has tables of version {contents.schema_version}, and this ldv_otel knows versions up to "
            f"{latest}. Nothing was restored. Upgrade ldv_otel."
        )
    if odd := [table.name for table in contents.tables if table.name not in set(Table)]:
        raise ConfigurationError(f"The backup has a table {odd[0]!r}, which is not of a Logboek. Nothing was restored.")
    check_files(source, contents)
    apply_schema(settings, collector=contents.collector)
    with LogboekClient(settings) as client:
        for table in contents.tables:
            # The terms have a row from the beginning, which is older than all others; theirs come with the Register.
            if table.name != Table.LDV_TERM and _count(client, table.name):
                raise ConfigurationError(
                    f"{client.address} has rows in {table.name} already. Nothing was restored. Restore into a database "
                    "that is empty: let LDV_LOGBOEK name another one."
                )
        for table in contents.tables:
            _restore(client, source, table)
            progress(table.name, table.rows)
    return contents


def _restore(client: LogboekClient, source: BackupSource, table: TableBackup) -> None:
    columns = [identifier(column).text for column in table.columns]
    for file in table.files:
        with source.open(file.name) as packed:
            content = bytes(zstd_module().decompress(packed.read()))
        client.insert_native(table.name, columns, content, _INSERT_SETTINGS)
    rows = _count(client, table.name)
    if rows < table.rows:
        raise LdvError(
            f"{table.name} has {rows} rows after the restore, and the backup has {table.rows}. Empty this Logboek, and "
            "restore again from another copy."
        )


def _count(client: LogboekClient, table: str) -> int:
    return int(client.rows(Sql("SELECT count() FROM $table", table=identifier(table)))[0][0])
