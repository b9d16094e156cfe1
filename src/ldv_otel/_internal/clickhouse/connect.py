"""Opens connections of the driver: over HTTP to a server, or to the engine in this process.

This is the one module that sets options of the driver, and it sets them for our own clients only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from urllib3 import PoolManager
from urllib3.exceptions import HTTPError

from ldv_otel._internal.clickhouse.directory_lock import DirectoryLock
from ldv_otel._internal.clickhouse.errors import our_error
from ldv_otel._internal.config.address import LogboekAddress, is_loopback
from ldv_otel._internal.config.secrets import logboek_password
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.http.retry_after import retry_after_seconds
from ldv_otel.errors import ConfigurationError, LogboekUnavailable

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from urllib3.response import BaseHTTPResponse

CONNECT_TIMEOUT_SECONDS: Final = 5
ANSWER_TIMEOUT_SECONDS: Final = 60
#: Answers that may carry `Retry-After`; usually those of a proxy or gateway before the server.
_BUSY: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


def connect(settings: Settings, database: str) -> Client:
    """Return a new connection of the driver, with nothing but our own retries."""
    import clickhouse_connect  # 0.2 s of imports that only a process with a Logboek pays
    from clickhouse_connect.driver.httpclient import HttpClient

    address = settings.logboek
    if address.written_only:
        raise ConfigurationError(
            f"LDV_LOGBOEK is {address}, which can be written to but not read. "
            "For this command let it name the ClickHouse behind it, if it is yours, as clickhouse+https://..."
        )
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
        password=logboek_password(settings),
        database=database or "default",
        compress=not is_loopback(address.host),
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        send_receive_timeout=ANSWER_TIMEOUT_SECONDS,
        # A pool of our own: children of a fork would share the sockets of the driver's common one
        # (clickhouse-connect#1021).
        dedicated_pool=True,
        # Delivery and readers decide on retries; only they know whether a repeated statement does harm.
        query_retries=0,
        client_name="ldv_otel",
        # An option of this client: the setting of the same name is that of the application's clients too. A session
        # would make the server refuse a second statement while one runs.
        autogenerate_session_id=False,
        ca_cert=str(settings.ca_file) if settings.ca_file else None,
    )
    if isinstance(client, HttpClient):
        client.http_retries = 0
        client.http = SendsOnce(client.http, address)
    return client


class SendsOnce(PoolManager):
    """A connection pool that reports what the driver would pass over.

    The driver repeats an insert when the connection breaks, and reports only the second answer; delivery has to know
    of the first, because after it a batch must be read back (LDV-L2). And it takes an insert's status 200 for success
    whatever follows, though a server that fails late can only say so in the body (ClickHouse#33205).
    """

    def __init__(self, pool: PoolManager, address: LogboekAddress) -> None:
        super().__init__()
        self._pool = pool
        self._inserting = False
        self._address = address

    def request(self, *args: Any, **kwargs: Any) -> BaseHTTPResponse:
        """Send a request once, and raise our error when the connection breaks."""
        try:
            response = self._pool.request(*args, **kwargs)
        except HTTPError as error:
            raise our_error(self._address, error, inserting=True) from None
        # A proxy or a connection out of step may hand us the answer to somebody else's request.
        answered = response.headers.get("X-ClickHouse-Query-Id")
        if answered and answered not in parse_qs(urlsplit(args[1]).query).get("query_id", [answered]):
            response.close()
            raise LogboekUnavailable(f"The Logboek {self._address} answered another request than ours.")
        # The server sends progress headers while it works; with nothing but those the answer itself never began.
        if all(name.lower() == "x-clickhouse-progress" for name in response.headers):
            response.close()
            raise LogboekUnavailable(f"The Logboek {self._address} broke the connection off before it answered.")
        if response.status in _BUSY and (retry_after := retry_after_seconds(response.headers.get("Retry-After", ""))):
            response.close()
            raise LogboekUnavailable(
                f"The Logboek {self._address} answered {response.status} and asks to be left alone for "
                f"{retry_after:.0f} s.",
                retry_after_seconds=retry_after,
            )
        if self._inserting and response.status == HTTPStatus.OK and response.data:
            raise LogboekUnavailable(f"The Logboek {self._address} answered 200 and then that the insert failed.")
        return response

    @contextmanager
    def expecting_nothing(self) -> Iterator[None]:
        """Treat any body of an answer as a failure: a successful insert has none."""
        self._inserting = True
        try:
            yield
        finally:
            self._inserting = False

    def clear(self) -> None:
        """Close all connections."""
        self._pool.clear()


def claim_engine(address: LogboekAddress) -> None:
    """Refuse in a child of the process that started the engine.

    A fork copies the engine without its threads, so that any call into the copy would wait for them for ever.
    """
    global _engine_pid  # noqa: PLW0603  (the engine is one for the process, and so is this)
    if _engine_pid not in (0, os.getpid()):
        raise ConfigurationError(forked_message(address))
    _engine_pid = os.getpid()


_engine_pid = 0


def locked_directory(path: Path) -> DirectoryLock:
    """Make the directory of an embedded Logboek if need be, and lock it for this process."""
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


def forked_message(address: LogboekAddress) -> str:
    """Return what to do in a forked child of the process that started the engine."""
    return (
        f"The Logboek {address} was opened in the process that this one was forked from, and the embedded engine "
        "does not survive a fork. Run `ldv logboek` beside the service and let LDV_LOGBOEK name it, or call install() "
        "after the fork."
    )
