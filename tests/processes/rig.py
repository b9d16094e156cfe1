"""The rig of these tests: a Logboek, services that are started and stopped as in production, and the verdict.

The oracle is the test itself: it draws the ids, and an id counts as acknowledged when the service said so after its
`processing` block had ended. The verdict reads the raw table, and is three sets that have to be empty.
"""

from __future__ import annotations

import glob
import http.client
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.privacy.key_file import add_key
from tests.support.logboek import LogboekProcess, settings_at
from tests.support.sealing import not_whole, with_seal_key

ROOT: Final = Path(__file__).parents[2]
#: What a service may take to stop before it counts as hanging.
HANG_SECONDS: Final = 120.0
_START_SECONDS: Final = 120.0
_ADOPT_SECONDS: Final = 120.0
_CLIENTS: Final = 8
_CLEAN: Final = ("LDV_", "OTEL_", "PYTHONWARNINGS")

_databases = itertools.count()

#: A process that only adopts what others have left, until its standard input ends.
_ADOPTER: Final = "import ldv_otel, sys; ldv_otel.install(); print('ready', flush=True); sys.stdin.read()"


class Service:
    """A process group of our own: a server with its workers.

    Args:
        log: File for standard output and standard error; part of every failure's message.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], log: Path, cwd: Path = ROOT) -> None:
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=cwd,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # So that what is left at the end can be killed by its group, and nothing else.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The id of the first process, to which a service manager sends its signals."""
        return self._process.pid

    @property
    def output(self) -> str:
        """What it has said so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until it has said something."""
        found: list[re.Match[str] | None] = [None]

        def said() -> bool:
            found[0] = re.search(pattern, self.output)
            return found[0] is not None or self._process.poll() is not None

        wait_until(said, _START_SECONDS, lambda: self.output)
        assert found[0] is not None, self.output
        return found[0]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal the first process, as a service manager does, and return its status; a hang is a failure."""
        self._process.send_signal(number)
        try:
            return self._process.wait(HANG_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"It did not stop in {HANG_SECONDS} s.\n{self.output}") from None

    def interrupt_all(self) -> None:
        """Signal the whole group, as a terminal does with Ctrl-C."""
        os.killpg(self._process.pid, signal.SIGINT)

    def end(self, timeout_seconds: float) -> int:
        """Wait until it ends by itself, and return its status."""
        try:
            return self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"It did not end in {timeout_seconds} s.\n{self.output}") from None

    def __enter__(self) -> Self:
        """Return the service itself, started."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing of its group behind."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            self._process.wait()


class Rig:
    """A database of its own in a Logboek, a spool, a state directory and keys.

    Args:
        logboek: Runs; a test may stop it and start it again.
        directory: Empty, for all files.
    """

    def __init__(self, logboek: LogboekProcess, directory: Path) -> None:
        self.logboek = logboek
        self.directory = directory
        self.spool = directory / "spool"
        self.acknowledgements = directory / "acknowledged"
        self.settings = settings_at(logboek.port, f"processes_{next(_databases)}")
        apply_schema(self.settings)
        add_key(directory / "keys.json")
        # Made before: a service that makes it says so, and tests compare all that it says.
        self.settings = with_seal_key(self.settings, directory)
        clean = {name: value for name, value in os.environ.items() if not name.startswith(_CLEAN)}
        self.environ = clean | {
            "LDV_LOGBOEK": str(self.settings.logboek),
            "LDV_KEYS": str(directory / "keys.json"),
            "LDV_DELIVERY": "durable",
            "LDV_SPOOL": str(self.spool),
            "LDV_STATE": str(directory / "state"),
            "LDV_SEAL_KEY": str(self.settings.seal_key),
            # Where apps and children write down what they have done, for those that nobody waits for.
            "ACKNOWLEDGEMENTS": str(self.acknowledgements),
            "PYTHONUNBUFFERED": "1",
        }
        self._logs = itertools.count()

    def start(self, *command: str, **environ: str) -> Service:
        """Start a service in the root of this repository, with the interpreter of the tests."""
        return Service(
            [sys.executable, *command], self.environ | environ, self.directory / f"service-{next(self._logs)}.log"
        )

    def acknowledged(self) -> list[str]:
        """Return the ids that apps and children have written down."""
        if not self.acknowledgements.exists():
            return []
        return self.acknowledgements.read_text(encoding="ascii").split()

    def stored(self) -> Counter[str]:
        """Return how often each id is in the raw table."""
        with LogboekClient(self.settings) as client:
            return Counter(str(name) for (name,) in client.rows(Sql("SELECT name FROM logregel")))

    def left_over(self) -> list[Path]:
        """Return the spools that are still there."""
        # Not `Path.glob`: it raises when a directory that it has seen is taken away.
        found = map(Path, glob.glob(f"{self.spool}/*/*/"))  # noqa: PTH207  (as above)
        return [path for path in found if path.name != "quarantine"]

    def adopt(self) -> None:
        """Let a fresh process of the service send what the others have left on disk."""
        while self.left_over():
            with self.start_adopter() as adopter:
                # However long all of it takes: without any progress it hangs.
                while (before := len(self.left_over())) > 1:
                    wait_until(
                        lambda: len(self.left_over()) < before,
                        _ADOPT_SECONDS,
                        lambda: f"left in the spool: {self.left_over()[:5]}",
                    )
                said, _ = adopter.communicate(timeout=_ADOPT_SECONDS)
                assert adopter.returncode == 0, said

    def start_adopter(self) -> subprocess.Popen[str]:
        """Start a process that adopts until its standard input ends."""
        adopter = subprocess.Popen(
            [sys.executable, "-c", _ADOPTER],
            env=self.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert adopter.stdout is not None
        # Before it, perhaps, what it has to say about its start, such as that it made a key.
        assert "ready\n" in iter(adopter.stdout.readline, "")
        return adopter

    def verdict(self, *, acknowledged: Iterable[str], issued: Iterable[str]) -> None:
        """Adopt what is left, and compare the raw table with what the oracle knows."""
        self.adopt()
        stored = self.stored()
        lost = set(acknowledged) - set(stored)
        doubled = {name: count for name, count in stored.items() if count > 1}
        foreign = set(stored) - set(issued)
        assert (lost, doubled, foreign) == (set(), {}, set()), self.logs()
        assert not list(self.spool.rglob("quarantine/*"))
        # Neither a crash nor a second sender makes the log look changed (LDV-L7).
        assert not_whole(self.settings) == [], self.logs()

    def logs(self) -> str:
        """Return the end of what each service has said."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text(encoding='utf-8', errors='replace')[-4_000:]}"
            for path in sorted(self.directory.glob("service-*.log"))
        )


def issue(count: int, prefix: str = "id") -> list[str]:
    """Return new oracle ids."""
    return [f"{prefix}-{number:04d}" for number in range(count)]


def request_all(port: int, ids: Sequence[str]) -> list[str]:
    """Send a request for each id from several clients at a time; return those that were answered with success."""

    def request(oracle_id: str) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("GET", f"/{oracle_id}")
            answer = connection.getresponse()
            return answer.status == http.HTTPStatus.OK and answer.read() == oracle_id.encode()
        finally:
            connection.close()

    with ThreadPoolExecutor(_CLIENTS) as clients:
        return [oracle_id for oracle_id, done in zip(ids, clients.map(request, ids), strict=True) if done]


def wait_until(condition: Callable[[], bool], timeout_seconds: float, state: Callable[[], str]) -> None:
    """Wait for something outside of this process; fails with its state."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, state()
        time.sleep(0.02)
