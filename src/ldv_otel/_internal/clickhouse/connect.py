"""Opens connections of the driver: over HTTP to a server, or to the engine in this process.

This is the one module that sets options of the driver, and it sets them for our own clients only.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ldv_otel._internal.clickhouse.directory_lock import DirectoryLock
from ldv_otel._internal.clickhouse.front_secret import announced_secret
from ldv_otel._internal.clickhouse.transport import ProvenAnswers
from ldv_otel._internal.config.address import LogboekAddress, is_loopback
from ldv_otel._internal.config.private_directories import claim_directory
from ldv_otel._internal.config.secrets import logboek_password
from ldv_otel._internal.config.settings import Settings
from ldv_otel.errors import ConfigurationError

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

CONNECT_TIMEOUT_SECONDS: Final = 5
ANSWER_TIMEOUT_SECONDS: Final = 60


def connect(settings: Settings, database: str) -> Client:
    """Return a new connection of the driver, with nothing but our own retries."""
    import clickhouse_connect  # 0.2 s of imports that only a process with a Logboek pays

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
    pool = _pool(settings)
    try:
        return _over_http(settings, database, pool)
    except BaseException:
        pool.close()
        raise


def _over_http(settings: Settings, database: str, pool: ProvenAnswers) -> Client:
    import clickhouse_connect
    from clickhouse_connect.driver.httpclient import HttpClient

    address = settings.logboek
    client = clickhouse_connect.get_client(
        interface=_interface(address),
        host=address.host,
        port=address.port,
        username=address.user or "default",
        password=_password(settings),
        database=database or "default",
        compress=not is_loopback(address.host),
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        send_receive_timeout=ANSWER_TIMEOUT_SECONDS,
        pool_mgr=pool,
        # Delivery and readers decide on retries; only they know whether a repeated statement does harm.
        query_retries=0,
        client_name="ldv_otel",
        # An option of this client: the setting of the same name is that of the application's clients too. A session
        # would make the server refuse a second statement while one runs.
        autogenerate_session_id=False,
        # An answer is known by it.
        autogenerate_query_id=True,
    )
    if isinstance(client, HttpClient):
        client.http_retries = 0
    return client


def _password(settings: Settings) -> str:
    """Return the password that is set, or else the secret of an `ldv logboek` of this user on this machine."""
    address = settings.logboek
    password = logboek_password(settings)
    if password or not is_loopback(address.host) or not address.scheme.endswith("+http"):
        return password
    return announced_secret(address.port)


def _pool(settings: Settings) -> ProvenAnswers:
    """Return a pool of our own: children of a fork would share the sockets of the driver's common one.

    It is there before the driver's first request, so that those of connecting are judged like all others.

    Source: clickhouse-connect#1021.
    """
    from clickhouse_connect.driver.httputil import get_pool_manager

    address = settings.logboek
    interface = _interface(address)
    options: dict[str, Any] = {"ca_cert": str(settings.ca_file) if settings.ca_file else None}
    # Not the environment's: with `HTTP_PROXY` set, records and password would go to whoever that is.
    if settings.proxy and not is_loopback(address.host):
        options[f"{interface}_proxy"] = settings.proxy
    return ProvenAnswers(get_pool_manager(**options), address)


def _interface(address: LogboekAddress) -> str:
    return address.scheme.removeprefix("clickhouse+")


def claim_engine(address: LogboekAddress) -> None:
    """Refuse in a child of the process that started the engine.

    A fork copies the engine without its threads, so that any call into the copy would wait for them for ever.
    """
    global _engine_pid  # noqa: PLW0603  (the engine is one for the process, and so is this)
    if _engine_pid not in (0, os.getpid()):
        raise ConfigurationError(forked_message(address))
    _engine_pid = os.getpid()


_engine_pid = 0


def locked_directory(path: Path, named_by: str = "LDV_LOGBOEK") -> DirectoryLock:
    """Make the directory of an embedded Logboek if need be, and lock it for this process.

    Args:
        named_by: What names it in messages.

    Raises:
        ConfigurationError: It cannot be made, others have a hand in it, or another process has it.
    """
    try:
        claim_directory(path, named_by)
    except OSError as error:
        raise ConfigurationError(
            f"{named_by}: the directory {path} cannot be made ({error.strerror}). Choose one that this user may write."
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{named_by}: the directory {path} is not writable for this user.")
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
