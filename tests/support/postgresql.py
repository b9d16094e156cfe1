"""A PostgreSQL server of Debian for tests: on a unix socket in a directory of its own, and not as root."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: PostgreSQL refuses to run as root.
_ACCOUNTS = ("postgres", "nobody")
_numbers = itertools.count()


def programs() -> Path | None:
    """Return the directory of the newest server that is installed."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return installed[-1].parent if installed else None


def skip_without_server() -> None:
    """Skip with a reason where no server is; in CI, which installs one, fail."""
    reason = ""
    if programs() is None:
        reason = "no PostgreSQL server is installed (apt-get install postgresql)"
    elif find_spec("psycopg") is None:
        reason = "psycopg is not installed"
    if reason:
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


class PostgresqlServer:
    """A server without a network, with a database for each test."""

    def __init__(self) -> None:
        # Not below pytest's directories, which another account may not enter.
        self._directory = Path(tempfile.mkdtemp(prefix="ldv-pg-"))
        bin_ = programs()
        assert bin_ is not None
        self._bin = bin_
        self._as: list[str] = []
        if os.geteuid() == 0:
            account = next(name for name in _ACCOUNTS if _exists(name))
            shutil.chown(self._directory, account)
            self._as = ["setpriv", f"--reuid={account}", "--clear-groups"]
        self._run("initdb", "-D", self._data, "-A", "trust", "-U", "ldv", "--no-sync")
        self.start()

    @property
    def _data(self) -> str:
        return str(self._directory / "data")

    def _run(self, program: str, *arguments: str) -> None:
        command: Sequence[str] = [*self._as, str(self._bin / program), *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd="/", timeout=120)

    def start(self) -> None:
        """Start it."""
        options = (
            f"-k {self._directory} -c listen_addresses='' -c shared_buffers=16MB -c max_connections=40 "
            "-c max_prepared_transactions=4"
        )
        log = str(self._directory / "log")
        self._run("pg_ctl", "-D", self._data, "-o", options, "-l", log, "-w", "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it; `immediate` is as if the machine lost its power."""
        self._run("pg_ctl", "-D", self._data, "-m", mode, "-w", "stop")

    @property
    def host(self) -> str:
        """Directory of its socket."""
        return str(self._directory)

    def conninfo(self, database: str) -> str:
        """Return what libpq connects with."""
        return f"postgresql://ldv@/{database}?host={self._directory}"

    def url(self, database: str, driver: str = "psycopg") -> str:
        """Return what SQLAlchemy connects with."""
        return self.conninfo(database).replace("postgresql:", f"postgresql+{driver}:", 1)

    def new_database(self) -> str:
        """Make a database and return its name."""
        name = f"test_{next(_numbers)}"
        self._run("createdb", "-h", str(self._directory), "-U", "ldv", name)
        return name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop("immediate")
        shutil.rmtree(self._directory)


def _exists(account: str) -> bool:
    try:
        pwd.getpwnam(account)
    except KeyError:
        return False
    return True


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A server for all tests; each makes a database of its own."""
    skip_without_server()
    with PostgresqlServer() as server:
        yield server
