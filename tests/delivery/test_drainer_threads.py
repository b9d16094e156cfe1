"""Many Logboeken, a few threads: one that is away holds up nobody else, and nothing grows without a bound."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ldv_otel import testing
from ldv_otel._internal.delivery import drainer as drainer_module
from ldv_otel._internal.delivery import drainer_threads
from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.delivery.drainer_threads import DrainerThreads, SharedThreads
from ldv_otel._internal.delivery.durable import DurableDelivery
from ldv_otel._internal.delivery.spool.orphans import has_orphan
from ldv_otel._internal.delivery.turns import Turns
from ldv_otel._internal.sdk.tenants.orphans import OrphanSweep
from ldv_otel.errors import LogboekUnavailable
from tests.delivery.test_durable import record

LONG = 30.0


class HangingLogboek(testing.InMemoryLogboek):
    """Answers nothing until it is let go, as a server behind a firewall that drops packets."""

    def __init__(self, let_go: threading.Event) -> None:
        super().__init__()
        self._let_go = let_go
        self.asked = threading.Event()

    def send(self, batch: Batch) -> None:
        """Hang."""
        self.asked.set()
        if not self._let_go.wait(LONG):
            raise LogboekUnavailable("It answers nothing.")
        super().send(batch)


@pytest.fixture
def threads() -> DrainerThreads:
    """Threads of a test's own."""
    return DrainerThreads()


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait until something is so; the test fails where it never is."""
    end = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < end
        threading.Event().wait(0.01)


def delivery_at(path: Path, sink: testing.InMemoryLogboek, threads: DrainerThreads, server: str) -> DurableDelivery:
    """A delivery of one of many."""
    return DurableDelivery(sink, path, shared=SharedThreads(threads, server))


def test_many_share_a_few_threads_and_each_gets_its_own(tmp_path: Path, threads: DrainerThreads) -> None:
    """Two hundred, at one server; the threads are bounded, and nothing is mixed."""
    before = threading.active_count()
    pairs = []
    for number in range(200):
        memory = testing.InMemoryLogboek()
        pairs.append((memory, delivery_at(tmp_path / str(number), memory, threads, "server")))
    for turn in range(3):
        for number, (_, delivery) in enumerate(pairs):
            delivery.submit(record(number * 10 + turn))
    assert threading.active_count() - before <= drainer_threads._MOST
    assert all(delivery.flush(LONG) for _, delivery in pairs)
    for number, (memory, delivery) in enumerate(pairs):
        assert [each.name for each in memory.logregels] == [record(number * 10 + turn).name for turn in range(3)]
        assert delivery.stats().confirmed == 3
        assert delivery.shutdown(LONG)
        assert [path.name for path in (tmp_path / str(number)).iterdir()] == []
    assert threads.count <= drainer_threads._MOST


def test_servers_that_hang_hold_up_nobody(tmp_path: Path, threads: DrainerThreads) -> None:
    """Fifty drainers at five servers that answer nothing; another's records arrive meanwhile, again and again."""
    let_go = threading.Event()
    hanging = [HangingLogboek(let_go) for _ in range(50)]
    stuck = [
        delivery_at(tmp_path / f"h{number}", sink, threads, f"server {number % 5}")
        for number, sink in enumerate(hanging)
    ]
    for number, delivery in enumerate(stuck):
        delivery.submit(record(number))
        delivery.flush(0.0)
    assert hanging[0].asked.wait(LONG)
    memory = testing.InMemoryLogboek()
    healthy = delivery_at(tmp_path / "healthy", memory, threads, "another")
    for number in range(5):
        healthy.submit(record(number))
        # Far below the time for which the others hang.
        assert healthy.flush(LONG / 2), number
    assert not let_go.is_set()
    assert threads.count <= drainer_threads._MOST
    # No server has more turns than its share, so most of them have not even been asked.
    assert sum(sink.asked.is_set() for sink in hanging) <= 5 * drainer_threads._AT_A_SERVER
    let_go.set()
    assert all(delivery.flush(LONG) for delivery in stuck)
    for delivery in [*stuck, healthy]:
        delivery.shutdown(LONG)


def test_one_that_fails_is_tried_again_apart(tmp_path: Path, threads: DrainerThreads) -> None:
    """It refuses connections at first; what waits arrives, once, and tries are counted."""
    memory = testing.InMemoryLogboek()
    memory.failures = [LogboekUnavailable("refused", in_doubt=False) for _ in range(3)]
    delivery = delivery_at(tmp_path / "a", memory, threads, "server")
    delivery.submit(record(1))
    assert delivery.flush(LONG)
    assert delivery.stats().retried == 3
    assert len(memory.logregels) == 1
    delivery.shutdown(LONG)


def test_a_spool_is_given_back_and_taken_again(
    tmp_path: Path, threads: DrainerThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenant that says nothing for a while has no file open; figures go on, and nothing is lost in between."""
    monkeypatch.setattr(drainer_module, "_REST_SECONDS", 0.0)
    memory = testing.InMemoryLogboek()
    delivery = delivery_at(tmp_path / "a", memory, threads, "server")
    for number in range(20):
        delivery.submit(record(number))
        assert delivery.flush(LONG)
        # Woken with nothing to send, it rests.
        delivery.flush(0.0)
        wait_until(lambda: not list((tmp_path / "a").iterdir()))
        assert delivery._own is None
    assert delivery.stats().confirmed == 20
    assert len(memory.logregels) == 20


def test_records_come_in_while_it_is_given_back(
    tmp_path: Path, threads: DrainerThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several threads write at any moment of it; each record arrives."""
    monkeypatch.setattr(drainer_module, "_REST_SECONDS", 0.0)
    monkeypatch.setattr(drainer_threads, "_REST_SECONDS", 0.0)
    monkeypatch.setattr(drainer_module, "_GATHER_SECONDS", 0.0)
    memory = testing.InMemoryLogboek()
    delivery = delivery_at(tmp_path / "a", memory, threads, "server")

    def write(first: int, pause_seconds: float) -> None:
        for number in range(first, first + 100):
            delivery.submit(record(number))
            threading.Event().wait(pause_seconds)

    # About as long as it takes to send a record and find nothing more, so that they meet at any point of that.
    pauses = [0.0031, 0.0047, 0.0073]
    writers = [threading.Thread(target=write, args=(each * 1_000, pause)) for each, pause in enumerate(pauses)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert delivery.flush(LONG)
    assert delivery.stats().confirmed == len(memory.logregels) == 300
    assert len({each.name for each in memory.logregels}) == 300
    assert len({batch.writer_id for batch in memory._batches.values()}) > 1


def test_a_running_actie_keeps_its_spool(tmp_path: Path) -> None:
    """Who adopted the spool would log it as interrupted."""
    from ldv_otel._internal.delivery.spool.writer import SpoolWriter

    spool = SpoolWriter(tmp_path / "a", "w")
    spool.append_start(b"actie", b"start")
    assert not spool.retire(0)
    spool.append(b"end", ended=b"actie")
    assert not spool.retire(0)
    assert spool.retire(1)
    spool.close()
    assert has_orphan(tmp_path / "a")


def test_a_fork_has_threads_of_its_own(tmp_path: Path, threads: DrainerThreads) -> None:
    """The parent's are not there; what is logged in the child gets a spool and a turn."""
    memory = testing.InMemoryLogboek()
    delivery = delivery_at(tmp_path / "a", memory, threads, "server")
    delivery.submit(record(1))
    child = os.fork()
    if child == 0:
        delivery.submit(record(2))
        settled = delivery.flush(LONG) and delivery.stats().confirmed == 1 and threads.count >= 1
        os._exit(0 if settled else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert delivery.flush(LONG)
    delivery.shutdown(LONG)


class Counting(OrphanSweep):
    """Notes that it had a turn."""

    def __init__(self, asked: list[int]) -> None:
        super().__init__({}, lambda _: None)
        self._asked = asked

    def turns(self) -> Turns[None]:
        """Note it."""
        self._asked.append(os.getpid())
        yield from super().turns()


def test_what_lasts_takes_turns_in_a_fork_too(threads: DrainerThreads) -> None:
    """A worker that was forked looks for spools of the dead as its parent did."""
    asked: list[int] = []
    sweep = OrphanSweep({"0363": Path("/nowhere")}, lambda _: None)
    threads.last(sweep)
    threads.last(Counting(asked))
    wait_until(lambda: bool(asked))
    child = os.fork()
    if child == 0:
        asked.clear()
        threads.add(sweep)
        wait_until(lambda: bool(asked))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    sweep.ask_to_stop()
