"""What is in the directory of a backup: the file that says so, and the check that all of it is there and whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from ldv_otel._internal.clickhouse.backup.place import BackupSource
from ldv_otel.errors import ConfigurationError

#: Made last: a directory without it is no backup.
CONTENTS_NAME: Final = "backup.json"
FORMAT: Final = 1
_READ_BYTES: Final = 1 << 20
#: A list of files, and nothing that grows with the records in them but by their number of files.
_MAX_CONTENTS_BYTES: Final = 256 << 20


class BackupFile(msgspec.Struct, frozen=True):
    """One file of the directory.

    Attributes:
        size: In bytes, as it is on disk.
        sha256: Of the file as it is on disk, in hexadecimal digits.
    """

    name: str
    size: int
    sha256: str


class TableBackup(msgspec.Struct, frozen=True):
    """The rows of one table.

    Attributes:
        rows: How many there were at least, when it was begun with.
        columns: In the order of the files' blocks (ClickHouse's format Native, packed with zstd).
    """

    name: str
    rows: int
    columns: list[str]
    files: list[BackupFile]


class KeyName(msgspec.Struct, frozen=True):
    """Which key of pseudonyms there was; never the key itself."""

    id: str
    active: bool


class BackupContents(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup has.

    Attributes:
        made_ms: When it was begun, in ms since 1970-01-01 UTC.
        schema_version: Of the tables.
        collector: Whether there were the tables of a Collector.
        keys: The ids in the key file, where one was named.
        seal_key: Public key of this machine's sealer; empty where it has none.
        register: Copy of the file of LDV_REGISTER; None where that is no file.
        waiting: Logregels that waited on this machine, and are not in here.
    """

    format: int = FORMAT
    made_ms: int
    ldv_otel: str
    logboek: str
    schema_version: int
    collector: bool = False
    tables: list[TableBackup]
    keys: list[KeyName] = []
    seal_key: str = ""
    register: BackupFile | None = None
    waiting: int = 0

    @property
    def files(self) -> Iterator[BackupFile]:
        """Every file but the one with these contents."""
        for table in self.tables:
            yield from table.files
        if self.register is not None:
            yield self.register


def read_contents(source: BackupSource) -> BackupContents:
    """Return what a backup says that it has; the files are not looked at.

    Raises:
        ConfigurationError: It is no backup, or one of a newer version.
    """
    path = source.path / CONTENTS_NAME
    try:
        with source.open(CONTENTS_NAME) as file:
            content = file.read(_MAX_CONTENTS_BYTES)
        contents = msgspec.json.decode(content, type=BackupContents)
    except OSError as error:
        raise ConfigurationError(
            f"{source.path} is no whole backup: {CONTENTS_NAME} cannot be read ({error.strerror}). Nothing was "
            "restored."
        ) from error
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"{path} is not what `ldv backup` writes ({error}). Nothing was restored.") from error
    if contents.format != FORMAT:
        raise ConfigurationError(
            f"{path} is of format {contents.format}, and this ldv_otel reads {FORMAT}. Nothing was restored. Use the "
            "version that made it, or a later one."
        )
    return contents


def check_files(source: BackupSource, contents: BackupContents) -> None:
    """Read every file of a backup and compare it with its checksum.

    Raises:
        ConfigurationError: One is missing, was changed, or lies outside of the directory.
    """
    for file in contents.files:
        if Path(file.name).name != file.name:
            raise ConfigurationError(f"{source.path}: {file.name!r} is no name of a file. Nothing was restored.")
        try:
            checksum, size = _checksum_of(source, file.name)
        except OSError as error:
            raise ConfigurationError(
                f"{source.path / file.name} cannot be read ({error.strerror}). Nothing was restored."
            ) from error
        if (size, checksum) != (file.size, file.sha256):
            raise ConfigurationError(
                f"{source.path / file.name} is not the file that was written: its checksum differs. Nothing was "
                "restored. Take another copy of the backup."
            )


def _checksum_of(source: BackupSource, name: str) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with source.open(name) as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size
