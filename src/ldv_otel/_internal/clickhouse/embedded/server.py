"""`ldv logboek`: the embedded engine as a process of its own, for several services and the CLI to share."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, NamedTuple

from ldv_otel._internal.clickhouse.connect import locked_directory
from ldv_otel._internal.clickhouse.embedded.app import LogboekApp
from ldv_otel._internal.clickhouse.embedded.check import EngineCheck
from ldv_otel._internal.clickhouse.embedded.engine import Engine
from ldv_otel._internal.clickhouse.front_secret import announced, make_secret
from ldv_otel._internal.config.tls import tls_context
from ldv_otel._internal.http.health import HealthEndpoints, is_of_this_machine
from ldv_otel._internal.http.openmetrics import Counts, Histogram, MetricFamily
from ldv_otel._internal.http.readiness import Readiness
from ldv_otel._internal.http.serving import address_of, stopping_on_signals
from ldv_otel._version import __version__
from ldv_otel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    import uvicorn

#: Statements at a time; more wait their turn. The engine spreads each over the cores by itself.
_STATEMENTS_AT_A_TIME: Final = 16
#: As a server's own. Longer than a delivery pauses between batches, so that a batch rarely meets a closing connection.
_KEEP_ALIVE_SECONDS: Final = 30
_GRACE_SECONDS: Final = 10
#: How long a client may pause within what it sends, and before it takes more of an answer.
_SILENCE_SECONDS: Final = 60
_STALL_SECONDS: Final = 300
#: Connections at a time; more are told to come back.
_CONNECTIONS: Final = 500
#: A server's `http_max_uri_size` is 1 MiB; the rest of the head comes on top.
_MAX_HEAD_BYTES: Final = (1 << 20) + (64 << 10)


class Listening(NamedTuple):
    """Where the server listens, and how.

    Attributes:
        host: An IP address, or `localhost`; beyond loopback only with a certificate.
        port: 0 for any that is free.
        certificate: PEM files of the server's certificate and of its key (None where that stands in the same file), for
            TLS; None for plain HTTP.
    """

    host: str
    port: int
    certificate: tuple[Path, Path | None] | None = None


def serve(path: Path, listening: Listening, *, database: str = "", ready: Callable[[str], None] | None = None) -> None:
    """Serve one directory over ClickHouse's HTTP interface until SIGTERM or SIGINT.

    Statements under way are finished first. Whoever has the secret, which is made beside the directory and which only
    this user may read, may read the Logboek and add to it; `access.py` and `permission.py` say what else.

    Args:
        path: The chDB directory; made (0700) if it is not there.
        database: Where the tables are whose version it looks at to be ready; empty for an engine that only has to
            answer.
        ready: Called once, with `http://host:port` or `https://`, when requests are answered.

    Raises:
        ConfigurationError: Not loopback without TLS, a certificate that cannot be used, port taken, directory in use or
            open to others, or the extra `embedded` not installed.
    """
    _require_extra()
    certificate = listening.certificate
    if certificate is not None:
        # uvicorn makes a context of its own, and a mistake there would end the process with a traceback.
        tls_context(
            None,
            certificate,
            named_by="--certificate or --private-key",
            consequence="Nothing was started.",
            purpose=ssl.Purpose.CLIENT_AUTH,
        )
    previous_mask = os.umask(0o077)
    try:
        with _listening(listening) as listener, locked_directory(path, "--path"):
            secret = make_secret(path)
            with Engine(path) as engine, ThreadPoolExecutor(_STATEMENTS_AT_A_TIME, "ldv-logboek") as executor:
                app = LogboekApp(engine, executor, secret)
                readiness = Readiness(EngineCheck(engine, database))
                health = HealthEndpoints(
                    app, readiness, version=__version__, may_read=is_of_this_machine, figures=_figures(app, path)
                )
                server = _server(health, listener, certificate, ready)
                try:
                    # With TLS clients may be anywhere, and are told where the secret is.
                    note = announced(listener.getsockname()[1], path) if certificate is None else nullcontext()
                    with stopping_on_signals(server), note:
                        server.run(sockets=[listener])
                finally:
                    readiness.close()
    finally:
        os.umask(previous_mask)


def _figures(app: LogboekApp, path: Path) -> Callable[[], Awaitable[list[MetricFamily | Histogram | Counts]]]:
    async def figures() -> list[MetricFamily | Histogram | Counts]:
        disk = shutil.disk_usage(path)
        return [
            *app.figures,
            MetricFamily("ldv_logboek_disk_free_bytes", "gauge", "Room on the disk of the Logboek.", {(): disk.free}),
            MetricFamily("ldv_logboek_disk_size_bytes", "gauge", "Size of that disk.", {(): disk.total}),
        ]

    return figures


def _require_extra() -> None:
    if any(find_spec(package) is None for package in ("uvicorn", "clickhouse_cityhash")):
        raise ConfigurationError(
            "The server for the embedded engine is not installed. Nothing was started. "
            "Run `pip install 'ldv-otel[embedded]'`."
        )


def _server(
    app: HealthEndpoints,
    listener: socket.socket,
    certificate: tuple[Path, Path | None] | None,
    ready: Callable[[str], None] | None,
) -> uvicorn.Server:
    """Return a uvicorn server that calls `ready` when it has started."""
    import uvicorn  # an extra that only this command needs

    from ldv_otel._internal.http.bounded_protocol import BoundedProtocol

    class AnnouncingServer(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if ready is not None:
                ready(address_of(listener, "http" if certificate is None else "https"))

    return AnnouncingServer(
        uvicorn.Config(
            app,
            http=BoundedProtocol.bounded(silence_seconds=_SILENCE_SECONDS, stall_seconds=_STALL_SECONDS),
            limit_concurrency=_CONNECTIONS,
            ws="none",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            # The app logs its own failures. What is left would be one error for each stream it cuts on purpose.
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            ssl_certfile=certificate[0] if certificate is not None else None,
            ssl_keyfile=certificate[1] if certificate is not None else None,
        )
    )


@contextmanager
def _listening(listening: Listening) -> Iterator[socket.socket]:
    """Listen on an address; beyond loopback only with TLS: the secret would cross a network in the clear."""
    host, port, certificate = listening
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host.strip("[]"))
    except ValueError:
        address = None
    if address is None:
        raise ConfigurationError(
            f"--listen: {host} is no IP address. Nothing was started. Use one of this machine, as 127.0.0.1:8123, or "
            "0.0.0.0:8123 for all that it has."
        )
    if certificate is None and not address.is_loopback:
        raise ConfigurationError(
            f"The embedded Logboek listens beyond this machine only with TLS, because clients send its secret, and "
            f"{host} is not a loopback address. Nothing was started. Give --certificate and --private-key, or use "
            "--listen 127.0.0.1:8123."
        )
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET  # noqa: PLR2004
    # The protocol is named because asyncio sets TCP_NODELAY only where it is: without, each answer waits 40 ms.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((str(address), port))
            listener.listen(128)
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ConfigurationError(
                f"The embedded Logboek cannot listen on {address} port {port} ({reason}). Nothing was started. "
                "Choose another port with --listen, or 0 for any that is free."
            ) from error
        yield listener
