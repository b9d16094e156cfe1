"""The embedded Logboek as a process that a test can stop, kill and start again."""

from __future__ import annotations

import http.client
import os
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Final, NamedTuple, Self
from urllib.parse import urlencode, urlsplit

from ldv_otel._internal.clickhouse.front_secret import secret_file
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from tests.support.loopback import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: The secret of every Logboek of tests: what stands between it and a client, such as `tests.support.faults`, hides the
#: port by which clients find it by themselves.
SECRET: Final = "the-secret-of-the-tests"
#: Where tests make tables of their own: chDB's `default` is an overlay of files, to which there is no right here.
DATABASE: Final = "tests"
AUTHORISED: Final = {"X-ClickHouse-Key": SECRET, "X-ClickHouse-Database": DATABASE}
#: Nobody waits so long but on a machine that stands still.
_START_SECONDS: Final = 120
_STOP_SECONDS: Final = 60


_DIRECTLY: Final = """
import sys
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
with LogboekClient(Settings(logboek=LogboekAddress(scheme="chdb", path=sys.argv[1])), database="default") as client:
    for statement in sys.argv[2:]:
        client.command(Sql.verbatim(statement))
"""


class LogboekProcess:
    """The embedded ClickHouse front on a free port of loopback; the port stays the same over restarts.

    Args:
        path: The chDB directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.port = free_port()
        secret_file(path).parent.mkdir(parents=True, exist_ok=True)
        secret_file(path).touch(mode=0o600)
        secret_file(path).write_text(f"{SECRET}\n")
        self._process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def program(self) -> list[str]:
        """Python's arguments that start it."""
        return ["-m", "ldv_otel._internal.clickhouse.embedded"]

    @property
    def arguments(self) -> list[str]:
        """What it is told beside its directory."""
        return ["--listen", f"127.0.0.1:{self.port}"]

    @property
    def address(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id, 0 when it does not run."""
        return self._process.pid if self._process else 0

    @property
    def killed(self) -> bool:
        """Whether it ended without having been told to by us."""
        return self._process is not None and self._process.poll() is not None

    def start(self) -> None:
        """Start and wait until it answers."""
        command = [sys.executable, *self.program]
        command += ["--path", os.fspath(self.path), *self.arguments]
        # Its own process group, so that a signal meant for the test run is not one for the Logboek, nor back.
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        if urlsplit(self._first_line()).port != self.port:
            self.kill()
            raise RuntimeError("the embedded Logboek did not start; its standard error says why")
        if "--certificate" not in self.arguments:
            ask(
                self, f"CREATE DATABASE IF NOT EXISTS {DATABASE}".encode(), headers={"X-ClickHouse-Database": "default"}
            )

    def stop(self) -> int:
        """Stop it as a service manager does, and return its exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """Kill it as a crash does."""
        return self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it if it runs, and start it on the same directory and port."""
        self.stop()
        self.start()

    def directly(self, *statements: str) -> None:
        """Run statements that `ldv logboek` serves to nobody, such as DROP and RENAME, while it does not run."""
        self.stop()
        subprocess.run([sys.executable, "-c", _DIRECTLY, os.fspath(self.path), *statements], check=True)
        self.start()

    def __enter__(self) -> Self:
        """Return the process itself, running."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            if process.stdout:
                process.stdout.close()

    def _first_line(self) -> str:
        stdout = self._process.stdout if self._process else None
        if stdout is None or not select.select([stdout], [], [], _START_SECONDS)[0]:
            return ""
        return stdout.readline().strip()


def settings_at(port: int, database: str = "ldv") -> Settings:
    """Return the settings of who logs to what listens on a port of this machine."""
    address = LogboekAddress(scheme="clickhouse+http", host="127.0.0.1", port=port, database=database)
    return Settings(logboek=address, password=SECRET)


class Got(NamedTuple):
    """What came back over plain HTTP."""

    status: int
    headers: http.client.HTTPMessage
    content: bytes

    @property
    def code(self) -> int:
        """The exception's code, 0 without one."""
        return int(self.headers.get("X-ClickHouse-Exception-Code", "0"))


def ask(
    server: LogboekProcess,
    body: bytes = b"",
    *,
    method: str = "POST",
    path: str = "/",
    headers: Mapping[str, str] | None = None,
    **parameters: str,
) -> Got:
    """Send one request without a driver, with the secret unless headers say otherwise."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    try:
        target = f"{path}?{urlencode(parameters)}" if parameters else path
        connection.request(method, target, body=body or None, headers=AUTHORISED | dict(headers or {}))
        answer = connection.getresponse()
        return Got(answer.status, answer.headers, answer.read())
    finally:
        connection.close()
