"""The embedded engine behind the server: one chDB directory, one handle for each statement.

A handle is a session of its own (0.14 ms to open once the engine runs): settings and database set on it reach no
other statement, and it is closed after use. It is never used again, least of all after an error: what a failed
statement had written so far stays in chDB's buffer and would come out in front of the next answer.

An INSERT's data reaches the engine as `FROM INFILE` on the body's anonymous file. Both other ways lose records
without an error in chDB 4.4: inline data ends at the first empty line (a RowBinary number 0x0A0A is enough), and
`send_insert` reports success when a constraint, a view or a limit refused the rows.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final, Self

from ldv_otel._internal.clickhouse.embedded.access import open_restricted
from ldv_otel._internal.clickhouse.embedded.errors import BAD_ARGUMENTS, QUERY_IS_TOO_LARGE, EngineError
from ldv_otel._internal.clickhouse.embedded.permission import Permission
from ldv_otel._internal.clickhouse.embedded.statement import (
    Statement,
    StatementKind,
    find_insert,
    find_values,
    parse_statement,
)
from ldv_otel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from ldv_otel._internal.clickhouse.embedded.body import RequestBody

#: Enough of a body to find out whether it is an INSERT with data, as a server's own `max_query_size`.
_HEAD_BYTES: Final = 256 << 10
#: A statement's text is parsed and held in memory; data belongs behind a FORMAT clause.
_MAX_STATEMENT_BYTES: Final = 64 << 20

_SETTING_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PARSE: Final = b"SELECT formatQuerySingleLine("
_REMEMBERED: Final = 512
_REMEMBERED_BYTES: Final = 16 << 10
_PARSE_SCOPE: Final = re.compile(r"\.?: In scope SELECT formatQuerySingleLine\(.*(\([A-Z_]+\))", re.DOTALL)
#: Formats without head, foot or separator, so that the blocks chDB streams make one valid whole.
_STREAMED_FORMATS: Final = frozenset({"Native", "RowBinary", "TabSeparated", "TSV", "CSV", "JSONEachRow"})


@dataclass(frozen=True, slots=True)
class EngineQuery:
    """A statement and everything a request sets for it.

    Attributes:
        sql: The statement, or its beginning where the body continues it.
        body: The rest of the statement, or an INSERT's data.
        parameters: By name without `param_`; values in ClickHouse's escaped text.
        at_once: Whether the whole answer is wanted before its first byte.
    """

    sql: bytes
    body: RequestBody
    database: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    default_format: str = "TabSeparated"
    read_only: bool = False
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class EngineAnswer:
    """What came of a statement.

    Attributes:
        format: The output format; empty for a statement that returns nothing.
        content: All of the output, or its beginning.
        rest: The blocks that follow, to be closed by the caller; None when the content is all.
        summary: Counts under the names of ClickHouse's `X-ClickHouse-Summary`.
    """

    format: str
    content: bytes
    rest: BlockStream | None = None
    summary: Mapping[str, int] = field(default_factory=dict)


class BlockStream:
    """The blocks of a running SELECT, read one at a time; the engine waits while nobody reads.

    Attributes:
        encode: What is done to each block before it is handed out.
    """

    encode: Callable[[bytes], bytes] = bytes

    def __init__(self, connection: Any, stream: Any) -> None:
        self._connection = connection
        self._stream = stream

    def next(self) -> bytes | None:
        """Return the next block, or None after the last.

        Raises:
            EngineError: The query failed midway.
        """
        try:
            block = self._stream.fetch()
        except RuntimeError as error:
            raise EngineError.parse(str(error)) from error
        return None if block is None else self.encode(block.bytes())

    def close(self) -> None:
        """End the query if it still runs, and close its handle."""
        try:
            self._stream.close()
        finally:
            self._connection.close()


class Engine:
    """One open chDB directory. Any number of threads may ask it at the same time.

    The caller holds the directory's lock, and closes the engine when no statement is under way.

    Raises:
        ConfigurationError: The extra is not installed, or the directory does not open.
    """

    def __init__(self, path: Path) -> None:
        try:
            chdb: Any = import_module("chdb")  # an extra, and 0.5 s of start-up
        except ImportError as error:
            raise ConfigurationError(
                "The embedded engine is not installed. Nothing was started. Run `pip install 'ldv-otel[embedded]'`."
            ) from error
        if odd := set("?&%") & set(str(path)):
            raise ConfigurationError(
                f"The directory {path} has a `{odd.pop()}` in its name, which chDB reads as part of an option."
            )
        self._open: Callable[[str], Any] = chdb.connect
        # Services send the same few statements again and again, with parameters.
        self._parsed = lru_cache(_REMEMBERED)(self._parse)
        self._path = str(path)
        try:
            # Held open for as long as we live: the engine stops when the last handle to it closes. Handles that are
            # opened later have the rights of this first one.
            self._anchor, fixed = open_restricted(self._open, path)
            names = self._anchor.query("SELECT name FROM system.table_functions", "TabSeparated").bytes()
            facts = self._anchor.query("SELECT version(), timezone(), displayName()", "TabSeparated").bytes()
        except RuntimeError as error:
            raise ConfigurationError(
                f"The embedded Logboek {path} does not open: {error}. Nothing was started. "
                "Check that the directory is one of this engine's, and that this user may write it."
            ) from error
        self._permission = Permission(names.decode().split(), fixed)
        self.version, self.timezone, self.display_name = facts.decode().rstrip("\n").split("\t")

    def answer(self, query: EngineQuery) -> EngineAnswer:
        """Run one statement. Blocks; an INSERT that returns is stored.

        Raises:
            EngineError: Refused, by the engine or because it is not one statement that may be run here.
        """
        head = query.body.read(_HEAD_BYTES)
        insert = find_insert(_joined(query.sql, head), complete=query.body.size <= _HEAD_BYTES)
        if insert is not None:
            return self._insert(query, insert)
        if query.body.size > _MAX_STATEMENT_BYTES:
            raise EngineError.of(
                QUERY_IS_TOO_LARGE, f"A statement has at most {_MAX_STATEMENT_BYTES} bytes; data goes behind FORMAT"
            )
        sql = _joined(query.sql, query.body.read())
        data = find_insert(sql) or find_values(sql)
        if data is not None:
            return self._insert(query, data)
        canonical = self._canonical(sql)
        self._permission.check(canonical)
        statement = parse_statement(canonical)
        connection = self._handle(query)
        output = statement.format or query.default_format
        if statement.kind is StatementKind.STREAM and not query.at_once and output in _STREAMED_FORMATS:
            return _streamed(connection, sql, output, query)
        try:
            return _run(connection, sql, "" if statement.kind is StatementKind.SILENT else output, query)
        finally:
            connection.close()

    def close(self) -> None:
        """Close the directory."""
        self._anchor.close()

    def __enter__(self) -> Self:
        """Return the engine itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _insert(self, query: EngineQuery, insert: Statement) -> EngineAnswer:
        with ExitStack() as owned:
            data = query.body
            body_at = len(query.sql) + 1 if query.sql else 0
            if insert.data_at != body_at:
                data = owned.enter_context(data.derived(_behind_clause(query, insert.data_at, body_at)))
            data.flush()
            source = f"FROM INFILE '{data.path}' COMPRESSION 'none'".encode()
            sql = b"\n".join((insert.target, source, insert.settings, f"FORMAT {insert.format}".encode()))
            self._permission.check(self._canonical(sql), data.path)
            connection = self._handle(query)
            owned.callback(connection.close)
            return _run(connection, sql, "", query)

    def _canonical(self, sql: bytes) -> bytes:
        return self._parsed(sql) if len(sql) <= _REMEMBERED_BYTES else self._parse(sql)

    def _parse(self, sql: bytes) -> bytes:
        """Return a statement as the engine's parser understands it; nothing of it is run.

        Raises:
            EngineError: It is none, or more than one.
        """
        # A handle of its own: settings of the request would be settings of this question too.
        connection = self._open(self._path)
        try:
            return bytes(connection.query(_PARSE + _literal_of(sql) + b")", "TabSeparatedRaw").bytes())
        except RuntimeError as error:
            # Without our own question around the statement.
            raise EngineError.parse(_PARSE_SCOPE.sub(r". \1", str(error))) from error
        finally:
            connection.close()

    def _handle(self, query: EngineQuery) -> Any:
        # A new handle for each statement: what is set on it must not reach the next one.
        connection = self._open(self._path)
        try:
            # A session begins in `default`. A server goes there without a right to; `USE` asks for it.
            if query.database not in {"", "default"}:
                connection.query(f"USE {_identifier(query.database)}")
            if settings := _assignments(query):
                connection.query(f"SET {settings}")
        except RuntimeError as error:
            connection.close()
            raise EngineError.parse(str(error)) from error
        except EngineError:
            connection.close()
            raise
        return connection


def _joined(sql: bytes, body: bytes) -> bytes:
    """Put the statement of the URL before the body, as the server does."""
    return sql + b"\n" + body if sql else body


def _behind_clause(query: EngineQuery, data_at: int, body_at: int) -> Iterator[bytes]:
    if data_at < body_at:
        yield (query.sql + b"\n")[data_at:]
    yield from query.body.blocks(max(data_at - body_at, 0))


def _run(connection: Any, sql: bytes, output: str, query: EngineQuery) -> EngineAnswer:
    started = perf_counter_ns()
    try:
        result = connection.query(sql, output or "TabSeparated", params=dict(query.parameters))
    except RuntimeError as error:
        raise EngineError.parse(str(error)) from error
    summary = {
        "read_rows": result.storage_rows_read(),
        "read_bytes": result.storage_bytes_read(),
        "written_rows": result.rows_written(),
        "written_bytes": result.bytes_written(),
        "result_rows": result.rows_read() if output else 0,
        "result_bytes": result.bytes_read() if output else 0,
        "elapsed_ns": perf_counter_ns() - started,
    }
    return EngineAnswer(output, bytes(result.bytes() or b""), summary=summary)


def _streamed(connection: Any, sql: bytes, output: str, query: EngineQuery) -> EngineAnswer:
    """Start a SELECT and read two blocks of it: most answers end there, and an early error is still an error."""
    started = perf_counter_ns()
    try:
        stream = BlockStream(connection, connection.send_query(sql, output, params=dict(query.parameters)))
    except RuntimeError as error:
        connection.close()
        raise EngineError.parse(str(error)) from error
    try:
        first = stream.next()
        second = None if first is None else stream.next()
    except EngineError:
        stream.close()
        raise
    if second is not None:
        return EngineAnswer(output, (first or b"") + second, stream)
    stream.close()
    return EngineAnswer(output, first or b"", summary={"elapsed_ns": perf_counter_ns() - started})


def _assignments(query: EngineQuery) -> str:
    settings = dict(query.settings)
    if query.read_only and settings.get("readonly") != "1":
        settings.pop("readonly", None)
        settings["readonly"] = "2"
    return ", ".join(f"{_setting_name(name)} = {_literal(value)}" for name, value in settings.items())


def _setting_name(name: str) -> str:
    if not _SETTING_NAME.match(name):
        raise EngineError.of(BAD_ARGUMENTS, f"{name[:100]!r} is not the name of a setting")
    return name


def _literal(text: str) -> str:
    # Quoted whatever it is: the engine reads numbers out of strings, but not strings out of numbers.
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _literal_of(sql: bytes) -> bytes:
    return b"'" + sql.replace(b"\\", b"\\\\").replace(b"'", b"\\'") + b"'"


def _identifier(text: str) -> str:
    return "`" + text.replace("\\", "\\\\").replace("`", "\\`") + "`"
