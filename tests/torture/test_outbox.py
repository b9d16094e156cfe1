"""Services with an outbox and their senders are killed, PostgreSQL too: changes and Logregels agree exactly."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import create_engine, text

from ldv_otel._internal.delivery.outbox import sender as sending
from ldv_otel._internal.delivery.outbox import store as storing
from ldv_otel._internal.delivery.outbox.addresses import store_at
from ldv_otel._internal.delivery.outbox.sender import OutboxSender
from ldv_otel._internal.delivery.outbox.store import OutboxAway
from tests.support.chance import dice
from tests.support.postgresql import PostgresqlServer, skip_without_server
from tests.torture.outbox_service import SharedFileLogboek
from tests.torture.rig import Forge, size

#: A life of this length ends in its first transactions, or in the middle of claims and sends.
_LONGEST_LIFE_SECONDS: Final = 0.4


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[PostgresqlServer | None]:
    """A PostgreSQL that can be killed; none where the test is about SQLite."""
    if request.node.callspec.params["kind"] == "sqlite":
        yield None
        return
    skip_without_server()
    with PostgresqlServer() as server:
        yield server


def lives(forge: Forge, chance: random.Random, kills: int, *workload: str) -> None:
    """Let a process live for a while, kill it, and begin another."""
    for kill in range(kills):
        pid = forge.fork(*workload, *([str(chance.random())] if workload[0] == "outbox" else []))
        forge.open_gate()
        forge.wait_ready()
        time.sleep(chance.uniform(0, _LONGEST_LIFE_SECONDS if kill % 3 else 0.05))
        os.kill(pid, signal.SIGKILL)
        assert forge.reap() == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_changes_and_logregels_agree(
    kind: str, server: PostgresqlServer | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is killed when: each committed change has one Logregel, and no Logregel is without its change."""
    chance = dice(f"outbox {kind}")
    if server is None:
        url = address = f"sqlite:///{tmp_path / 'application.db'}"
    else:
        database = server.new_database()
        url, address = server.url(database), server.conninfo(database)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE kenteken (nummer varchar(60) PRIMARY KEY)"))
    made = store_at(address)
    made.apply()
    made.close()
    engine.dispose()
    logboek = tmp_path / "logboek"
    kills = size(12, 600)
    with Forge() as services, Forge() as senders:
        seed = chance.random()
        killing = [
            threading.Thread(
                target=lives,
                args=(services, random.Random(seed), kills, "outbox", url, str(logboek), str(tmp_path / "spool")),
            ),
            threading.Thread(
                target=lives, args=(senders, random.Random(-seed), kills, "outbox_sender", address, str(logboek))
            ),
        ]
        for thread in killing:
            thread.start()
        crashes = 0
        while any(thread.is_alive() for thread in killing):
            time.sleep(chance.uniform(0.8, 1.6))
            if server is not None and crashes < size(1, 30):
                server.stop("immediate")
                server.start()
                crashes += 1
    monkeypatch.setattr(sending, "_MOST_ROWS", 1_000)
    monkeypatch.setattr(storing, "LEASE_SECONDS", 0.4)
    sink = SharedFileLogboek(logboek)
    store = store_at(address)
    while (backlog := store.backlog()).waiting or backlog.in_batches:
        try:
            OutboxSender(sink, store).run_once()
        except OutboxAway:
            time.sleep(0.1)
    assert not store.backlog().refused
    store.close()
    with engine.connect() as connection:
        changes = set(connection.execute(text("SELECT nummer FROM kenteken")).scalars())
    engine.dispose()
    logged = Counter(sink.names())
    doubled = {name for name, count in logged.items() if count > 1}
    print(
        f"{kind}: {2 * kills} processes and {crashes} servers killed, {len(changes)} changes, {len(logged)} Logregels, "
        f"{len(changes - logged.keys())} missing, {len(logged.keys() - changes)} without a change, {len(doubled)} twice"
    )
    assert len(changes) >= 60
    assert changes == logged.keys()
    assert not doubled
