"""A service with an outbox is killed at every system call of one full life: changes and Logregels agree exactly."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from ldv_otel._internal.delivery.outbox.addresses import store_at
from ldv_otel._internal.delivery.outbox.sender import OutboxSender
from ldv_otel._internal.delivery.outbox.store import OutboxAway
from tests.support.postgresql import PostgresqlServer, skip_without_server
from tests.torture.outbox_service import SharedFileLogboek
from tests.torture.rig import Forge, size, strace

#: Each message to the server, each change of a file, and each flush and lock.
SYSCALLS = {
    "postgresql": ("connect", "sendto", "write", "fsync", "flock"),
    "sqlite": ("write", "pwrite64", "fdatasync", "fsync", "unlink", "flock"),
}
#: How many of these there are goes by when the server answers, so the last ones may not be reached.
TIMED = {"postgresql": ("recvfrom", "poll"), "sqlite": ()}
_KILLED = -9


@pytest.fixture
def forge() -> Iterator[Forge]:
    """What forks the processes to be killed."""
    with Forge() as forge:
        yield forge


class Rig:
    """A database with an outbox, and the Logboek that it leads to."""

    def __init__(self, forge: Forge, url: str, address: str, directory: Path) -> None:
        self.forge, self.address, self.directory = forge, address, directory
        self.logboek = directory / "logboek"
        self._arguments = (url, address, str(self.logboek), str(directory / "spool"))
        self._engine = create_engine(url)
        with self._engine.begin() as connection:
            connection.execute(text("CREATE TABLE kenteken (nummer varchar(60) PRIMARY KEY)"))
        store = store_at(address)
        store.apply()
        store.close()
        self._engine.dispose()

    def life(self, *options: str) -> int:
        """Live once below strace, and return how it ended."""
        pid = self.forge.fork("outbox_cycle", *self._arguments)
        tracer = strace(pid, *options)
        self.forge.open_gate()
        status = self.forge.reap()
        tracer.communicate()
        return status

    def calls(self, names: tuple[str, ...]) -> dict[str, int]:
        """Count each system call of one undisturbed life."""
        log = self.directory / "strace.log"
        assert self.life("-e", f"trace={','.join(names)}", "-o", str(log)) == 0
        lines = log.read_text(errors="replace")
        return {name: len(re.findall(rf"^{name}\(", lines, re.MULTILINE)) for name in names}

    def drain(self) -> None:
        """Send what a life has left."""
        store = store_at(self.address)
        while (backlog := store.backlog()).waiting or backlog.in_batches:
            try:
                OutboxSender(SharedFileLogboek(self.logboek), store).run_once()
            except OutboxAway:
                time.sleep(0.02)
        assert not store.backlog().refused
        store.close()

    def agrees(self) -> bool:
        """Whether each change has one Logregel, and each Logregel its change."""
        with self._engine.connect() as connection:
            changes = set(connection.execute(text("SELECT nummer FROM kenteken")).scalars())
        self._engine.dispose()
        logged = Counter(SharedFileLogboek(self.logboek).names())
        return changes == logged.keys() and all(count == 1 for count in logged.values())


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_every_crash_point_of_an_outbox(kind: str, forge: Forge, tmp_path: Path) -> None:
    """From connecting to confirming: before and after each message, flush and lock, nothing is missing or doubled."""
    if kind == "sqlite":
        address = f"sqlite:///{tmp_path / 'application.db'}"
        every_point(Rig(forge, address, address, tmp_path), kind)
        return
    skip_without_server()
    with PostgresqlServer() as server:
        database = server.new_database()
        every_point(Rig(forge, server.url(database), server.conninfo(database), tmp_path), kind)


def every_point(rig: Rig, kind: str) -> None:
    """Kill at each point once."""
    names = (*SYSCALLS[kind], *TIMED[kind])
    rig.calls(names)
    # The second: the first one makes directories.
    counts = rig.calls(names)
    rig.drain()
    assert rig.agrees()
    assert all(counts[name] for name in SYSCALLS[kind])
    points = [(name, when) for name, count in counts.items() for when in range(1, count + 1)]
    wrong, survived = [], []
    # In `make test` some of them, spread over the whole life.
    for name, when in points[:: max(1, len(points) // size(len(points) // 8, len(points)))]:
        status = rig.life("-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={when}")
        if status != _KILLED:
            survived.append((name, when))
        rig.drain()
        if not rig.agrees():
            wrong.append((name, when))
            break  # all later ones would be blamed for it
    print(f"{kind}: {len(points)} points {counts}, {len(survived)} not reached")
    assert not wrong
    assert not [name for name, _ in survived if name not in TIMED[kind]]
