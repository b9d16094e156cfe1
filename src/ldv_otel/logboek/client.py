"""One connection to a Logboek, over the ClickHouse driver, with its errors turned into ours.

The same driver speaks to a server over HTTP and to the engine in this process (chDB), so nothing above here needs to
know which of them it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from ldv_otel.errors import BatchRefused, ConfigurationError, LdvError, LogboekUnavailable, QueryError, SchemaError
from ldv_otel.logboek.lock import DirectoryLock
from ldv_otel.settings import LogboekAddress, Settings, is_loopback

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

CONNECT_TIMEOUT_SECONDS: Final = 5
ANSWER_TIMEOUT_SECONDS: Final = 60

#: What ClickHouse's error codes mean for the caller; any other code means: wait and try again.
_ACCESS_CODES: Final = frozenset({164, 192, 193, 194, 291, 495, 497, 516, 519})
_SCHEMA_CODES: Final = frozenset({8, 10, 15, 16, 20, 47, 60, 81, 218})
_DATA_CODES: Final = frozenset({6, 25, 26, 27, 38, 41, 43, 50, 53, 69, 70, 72, 117, 131, 321, 349, 469})
_SPACE_CODES: Final = frozenset({243})
_QUESTION_CODES: Final = frozenset({36, 42, 62, 115, 456, 457})

APPLY_ADVICE: Final = "Run `ldv schema apply` with an account that may create tables."


class LogboekClient:
    """One open connection. Not for several threads at a time, and not for a forked child.

    Args:
        settings: Which Logboek, and how to get in.
        database: Database to work in; empty for none, as needed before it exists.

    Raises:
        ConfigurationError: Wrong password, missing database, locked directory, missing extra: it says which.
        LogboekUnavailable: The server does not answer.
    """

    def __init__(self, settings: Settings, *, database: str | None = None) -> None:
        self.address = settings.logboek
        self._pid = os.getpid()
        self._lock: DirectoryLock | None = None
        if self.address.embedded:
            self._lock = _locked(Path(self.address.path))
        try:
            with _translated(self.address):
                self._client = _connect(settings, self.address.database if database is None else database)
        except BaseException:
            if self._lock is not None:
                self._lock.release()
            raise

    def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """Run a statement that returns at most one value."""
        with self._usable():
            return self._client.command(sql, parameters=dict(parameters or {}))

    def rows(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        settings: Mapping[str, Any] | None = None,
        bytes_columns: Sequence[str] = (),
    ) -> list[tuple[Any, ...]]:
        """Run a query with server-side parameters and return its rows.

        Args:
            bytes_columns: String columns that hold bytes, not text.
        """
        with self._usable():
            result = self._client.query(
                sql,
                parameters=dict(parameters or {}),
                settings=dict(settings or {}),
                column_formats=dict.fromkeys(bytes_columns, "bytes"),
            )
            return [tuple(row) for row in result.result_rows]

    def insert(self, table: str, columns: Mapping[str, tuple[str, Sequence[Any]]], settings: Mapping[str, Any]) -> None:
        """Insert columns as exactly one block; returning means that the server confirmed it.

        Args:
            columns: For each column its ClickHouse type and its values.
        """
        with self._usable(inserting=True):
            context = self._client.create_insert_context(
                table,
                column_names=list(columns),
                column_type_names=[type_ for type_, _ in columns.values()],
                column_oriented=True,
                settings=dict(settings),
            )
            values = [values for _, values in columns.values()]
            # By itself the driver cuts blocks of about 2 MiB, and a deduplication token is only good for one block.
            context.req_block_size = max(len(values[0]), 1)
            context.data = values
            self._client.data_insert(context)

    def close(self) -> None:
        """Let go of the connection, and of the directory of an embedded Logboek."""
        if self._pid == os.getpid():
            self._client.close()
            if self._lock is not None:
                self._lock.release()

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    @contextmanager
    def _usable(self, *, inserting: bool = False) -> Iterator[None]:
        if self._pid != os.getpid():
            raise ConfigurationError(_forked(self.address))
        with _translated(self.address, inserting=inserting):
            yield


def _connect(settings: Settings, database: str) -> Client:
    import clickhouse_connect  # noqa: PLC0415  (0.2 s of imports that only a process with a Logboek pays)
    from clickhouse_connect import common  # noqa: PLC0415
    from clickhouse_connect.driver.httpclient import HttpClient  # noqa: PLC0415

    common.set_setting("autogenerate_session_id", False)
    address = settings.logboek
    if address.embedded:
        try:
            client = clickhouse_connect.get_client(interface="chdb", path=address.path, database=database or None)
        except ImportError as error:
            raise ConfigurationError(
                f"LDV_LOGBOEK is {address}, but the embedded engine is not installed. "
                "Run `pip install 'ldv-otel[embedded]'`, or let LDV_LOGBOEK name a server."
            ) from error
        return client
    client = clickhouse_connect.get_client(
        interface=address.scheme.removeprefix("clickhouse+"),
        host=address.host,
        port=address.port,
        username=address.user or None,
        password=_password(settings),
        database=database or "default",
        compress=not is_loopback(address.host),
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        send_receive_timeout=ANSWER_TIMEOUT_SECONDS,
        # Delivery decides what is sent again; a driver that does so unasked makes two of one.
        query_retries=0,
        client_name="ldv_otel",
        ca_cert=str(settings.ca_file) if settings.ca_file else None,
    )
    if isinstance(client, HttpClient):
        client.http_retries = 0
    return client


def _password(settings: Settings) -> str:
    if settings.password_file is None:
        return settings.password
    try:
        return settings.password_file.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ConfigurationError(
            f"LDV_LOGBOEK_PASSWORD_FILE: {settings.password_file} cannot be read ({error.strerror})."
        ) from error


def _locked(path: Path) -> DirectoryLock:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"LDV_LOGBOEK: the directory {path} cannot be made ({error.strerror}). Choose one that this user may write."
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigurationError(f"LDV_LOGBOEK: the directory {path} is not writable for this user.")
    lock = DirectoryLock(path)
    lock.acquire()
    return lock


def _forked(address: LogboekAddress) -> str:
    return (
        f"The Logboek {address} was opened in the process that this one was forked from, and the embedded engine "
        "does not survive a fork. Run `ldv logboek` beside the service and let LDV_LOGBOEK name it, or install() after the fork."
    )


@contextmanager
def _translated(address: LogboekAddress, *, inserting: bool = False) -> Iterator[None]:
    """Turn the driver's errors into ours; ours pass.

    A server's message may quote what was inserted, so for inserts only its code and name are shown.
    """
    try:
        yield
    except LdvError:
        raise
    except Exception as error:
        from clickhouse_connect.driver.exceptions import ClickHouseError  # noqa: PLC0415

        if not isinstance(error, ClickHouseError | OSError | RuntimeError):
            raise
        # Without the driver's error as cause where it may quote records: tracebacks print causes.
        raise _ours(address, error, inserting=inserting) from (None if inserting else error)


def _ours(address: LogboekAddress, error: Exception, *, inserting: bool) -> LdvError:
    code: int | None = getattr(error, "code", None)
    name = getattr(error, "name", None) or type(error).__name__
    label = f"{name} ({code})" if code else _transport_label(error)
    said = f"The Logboek {address} answered {label}." if code else f"The Logboek {address} cannot be reached: {label}."
    detail = "" if inserting else f" It said: {_first_line(error)}" if code else ""
    if code in _ACCESS_CODES:
        return ConfigurationError(f"{said} Check user, password and rights of LDV_LOGBOEK.{detail}")
    if code in _SCHEMA_CODES:
        return SchemaError(f"{said} Its tables are missing or of another version. {APPLY_ADVICE}{detail}")
    if code in _SPACE_CODES:
        return LogboekUnavailable(f"{said} Its disk is full. Make room; nothing is given up meanwhile.")
    if inserting and code in _DATA_CODES:
        return BatchRefused(f"{said} It will never take these records as they are.", code=code)
    if not inserting and code in _QUESTION_CODES | _DATA_CODES:
        return QueryError(f"{said}{detail}")
    return LogboekUnavailable(f"{said}{detail}", in_doubt=code is not None or not _never_sent(error))


def _transport_label(error: Exception) -> str:
    cause = error.__cause__ or error.__context__ or error
    return type(cause).__name__


def _never_sent(error: BaseException | None) -> bool:
    """Say whether no connection came about, so that the request cannot have had any effect."""
    while error is not None:
        if type(error).__name__ in {"NewConnectionError", "ConnectTimeoutError", "NameResolutionError"}:
            return True
        error = error.__cause__ or error.__context__
    return False


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:500]
