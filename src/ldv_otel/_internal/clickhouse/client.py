"""A connection to a Logboek over the ClickHouse driver, with the driver's errors turned into ours.

The same driver speaks to a server over HTTP and to the engine in this process (chDB), so that no caller needs
to know which of them it is.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Self

from ldv_otel._internal.clickhouse.columns import Column
from ldv_otel._internal.clickhouse.connect import claim_engine, connect, forked_message, locked_directory
from ldv_otel._internal.clickhouse.cut_offs import CutOffs
from ldv_otel._internal.clickhouse.directory_lock import DirectoryLock
from ldv_otel._internal.clickhouse.errors import translated
from ldv_otel._internal.clickhouse.read_settings import may_set_nothing, without_settings
from ldv_otel._internal.clickhouse.server_version import check_server_version
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.transport import ProvenAnswers
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel.errors import ConfigurationError, SchemaError


def check_there(address: LogboekAddress) -> None:
    """Refuse to open an embedded Logboek that nothing ever logged into: opening would make it.

    Raises:
        NothingLogged: There is no such directory.
    """
    if address.embedded and not Path(address.path).exists():
        raise NothingLogged(
            f"Nothing was ever logged in {address}: there is no such directory. Nothing was made. If services log "
            "somewhere else, let LDV_LOGBOEK name that; chdb:logboek is a directory below the one in which they start. "
            "Otherwise the first one that logs makes it."
        )


class NothingLogged(SchemaError):
    """There is no Logboek yet where it should be."""


class LogboekClient:
    """An open connection, for one thread at a time and never for a forked child.

    Args:
        settings: Which Logboek, and how to get in.
        database: Database to work in; empty for none, as needed before it exists.
        limits: ClickHouse settings for each query of `rows`, such as `max_execution_time` (seconds).

    Raises:
        SchemaError: The server is older than the tables need; an upgrade of it is waited for.
        NothingLogged: An embedded one is not there, and `database` was left out.
        ConfigurationError: Wrong password, missing database, locked directory, missing extra: it says which.
        LogboekUnavailable: The server does not answer.
    """

    def __init__(
        self, settings: Settings, *, database: str | None = None, limits: Mapping[str, Any] | None = None
    ) -> None:
        self.address = settings.logboek
        #: What `queries/lookups.py` remembers, by whether what is confidential may be seen.
        self.cut_offs: dict[bool, CutOffs] = {}
        self._limits = dict(limits or {})
        self._connect = functools.partial(connect, settings, self.address.database if database is None else database)
        self._pid = os.getpid()
        self._lock: DirectoryLock | None = None
        if self.address.embedded:
            if database is None:
                check_there(self.address)
            # The lock comes first: chDB tells a second process nothing that it could act on.
            claim_engine(self.address)
            self._lock = locked_directory(Path(self.address.path))
        try:
            with translated(self.address):
                self._client = self._connect()
            try:
                check_server_version(self.address, str(self._client.server_version))
            except SchemaError:
                self._client.close()
                raise
        except BaseException:
            if self._lock is not None:
                self._lock.release()
            raise

    def command(self, statement: Sql, parameters: Mapping[str, Any] | None = None) -> Any:
        """Run a statement that returns at most one value."""
        with self._usable():
            return self._client.command(statement.text, parameters=dict(parameters or {}))

    def rows(
        self,
        query: Sql,
        parameters: Mapping[str, Any] | None = None,
        *,
        settings: Mapping[str, Any] | None = None,
        bytes_columns: Sequence[str] = (),
        self_proving: bool = False,
    ) -> list[tuple[Any, ...]]:
        """Run a query with server-side parameters and return its rows.

        Args:
            bytes_columns: String columns that hold bytes, not text.
            self_proving: Whether the caller finds out from the rows that they answer this very query. Then it can be
                asked through a proxy that hides what else would show it.
        """
        with self._usable(), pool.self_proving() if self_proving and (pool := self._pool) else nullcontext():
            result = self._client.query(
                self._text(query),
                parameters=dict(parameters or {}),
                settings=self._limits | dict(settings or {}),
                # For every type, because formats that the application made its defaults do not hold for the Logboek.
                query_formats={"*": "native"},
                column_formats=dict.fromkeys(bytes_columns, "bytes"),
            )
            return [tuple(row) for row in result.result_rows]

    def named_rows(self, query: Sql, settings: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        """Run a query and return the names of its columns, and its rows."""
        with self._usable():
            result = self._client.query(
                query.text, settings=self._limits | dict(settings), query_formats={"*": "native"}
            )
            return tuple(result.column_names), [tuple(row) for row in result.result_rows]

    def arrow(self, query: Sql, parameters: Mapping[str, Any] | None = None) -> Any:
        """Run a query and return its rows as a `pyarrow.Table`; needs the extra `export` or `embedded`."""
        with self._usable():
            return self._client.query_arrow(self._text(query), parameters=dict(parameters or {}), use_strings=True)

    def native(self, query: Sql, parameters: Mapping[str, Any] | None = None) -> bytes:
        """Run a query and return its rows as blocks of ClickHouse's format Native; nothing where there are none."""
        with self._usable():
            content = self._client.raw_query(self._text(query), parameters=dict(parameters or {}), fmt="Native")
            return bytes(content)

    def insert(self, table: str, columns: Mapping[str, Column], settings: Mapping[str, Any]) -> None:
        """Insert columns as exactly one block; returning means that the server confirmed this very insert.

        Args:
            columns: Each column by its name; all have the same length.

        Raises:
            BatchRefused: A value does not fit its column, or the server refused one; no try would change that.
            NotProven: It was answered as a success, and nothing shows that the answer is one to this insert.
        """
        from ldv_otel._internal.clickhouse.encoding import block  # imports the driver

        # Encoded before the request begins: a value that does not fit is refused with nothing sent.
        self.insert_native(table, list(columns), block(columns), settings)

    def insert_native(self, table: str, columns: Sequence[str], content: bytes, settings: Mapping[str, Any]) -> None:
        """Insert blocks of ClickHouse's format Native; returning means that the server confirmed this very insert.

        Args:
            columns: Names, in the order that the blocks have them.

        Raises:
            BatchRefused: As `insert`.
            NotProven: As `insert`.
        """
        from clickhouse_connect.driver.compression import get_compressor  # as in connect.connect

        with self._usable(inserting=True):
            compression = self._client.write_compression
            compressor: Any = get_compressor(compression)
            body = bytes(compressor.compress_block(content)) + (compressor.flush() or b"")
            pool = self._pool
            with pool.inserting() if pool is not None else nullcontext():
                self._client.raw_insert(table, list(columns), body, dict(settings), "Native", compression)

    def close(self) -> None:
        """Close the connection, and release the directory of an embedded Logboek."""
        # A forked child closes nothing: socket and lock are its parent's.
        if self._pid == os.getpid():
            self._client.close()
            if (pool := self._pool) is not None:
                pool.close()
            if self._lock is not None:
                self._lock.release()

    @property
    def query_id(self) -> str:
        """Id of the query that is under way in another thread; empty where none is, or the engine is embedded."""
        return "" if self._pool is None else self._pool.query_id

    def _text(self, query: Sql) -> str:
        """Return a query as this account may send it."""
        return without_settings(query.text) if may_set_nothing(self._client.server_settings) else query.text

    @property
    def _pool(self) -> ProvenAnswers | None:
        """What judges answers over HTTP; None for the embedded engine, whose answers are returned by calls."""
        pool = getattr(self._client, "http", None)
        return pool if isinstance(pool, ProvenAnswers) else None

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    @contextmanager
    def _usable(self, *, inserting: bool = False) -> Iterator[None]:
        if self._pid != os.getpid():
            raise ConfigurationError(forked_message(self.address))
        with translated(self.address, inserting=inserting):
            try:
                yield
            except Exception:
                if self.address.embedded:
                    self._replace_handle()
                raise

    def _replace_handle(self) -> None:
        """Replace the handle to the embedded engine.

        After an error, chDB gives what was left of the failed answer before the next one on the same handle.
        """
        # The new one is opened first: the engine stops when its last handle closes.
        stale, self._client = self._client, self._connect()
        stale.close()
