"""Acties that end under an event loop wait for their disk together: no thread each, and every promise as without."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

import ldv_otel as ldv
from ldv_otel._internal.delivery.durable import DurableDelivery
from ldv_otel.errors import LogboekUnavailable
from tests.sdk.conftest import ACTIVITY
from tests.sdk.flushing import flushing
from tests.sdk.test_write_ahead import Rig

TASKS = 100
PATIENCE_SECONDS = 60


@pytest.fixture(autouse=True)
def _without_gevent(monkeypatch: pytest.MonkeyPatch) -> None:
    # Where it was imported, here by another test, each Actie waits for itself.
    monkeypatch.delitem(sys.modules, "gevent", raising=False)


def on_disk(rig: Rig) -> int:
    """How many records are in the spool, or were sent from there."""
    stats = rig.processor.delivery.stats()
    return stats.pending + stats.confirmed


async def actie(after: Callable[[], None] = lambda: None) -> None:
    """Do something about somebody, and something when the Actie has ended."""
    async with ldv.processing(ACTIVITY, name="Actie"):
        ldv.data_subject("123456782", type="BSN")
    after()


def test_each_is_on_disk_when_its_block_has_ended(rig: Rig) -> None:
    """The task goes on after its own commit, whoever made that."""
    ended: list[int] = []

    async def main() -> None:
        def look() -> None:
            ended.append(0)
            assert on_disk(rig) >= len(ended)

        await asyncio.gather(*(actie(look) for _ in range(TASKS)))

    asyncio.run(main())
    assert len(ended) == TASKS
    assert len(rig.logged()) == TASKS


def test_tasks_share_flushes_and_a_thread(tmp_path: Path, backend: object) -> None:
    """A hundred that end at once take a few flushes, and the loop's thread makes none."""
    del backend
    rig = Rig(tmp_path, "durable")

    async def main() -> None:
        await asyncio.gather(*(actie() for _ in range(TASKS)))

    with flushing() as threads:
        asyncio.run(main())
    assert on_disk(rig) == TASKS
    assert set(threads) == {"ldv-waiting"}
    assert len(threads) <= TASKS // 4
    rig.processor.shutdown()


@pytest.mark.usefixtures("rig")
def test_a_refusal_reaches_each_task(caplog: pytest.LogCaptureFixture) -> None:
    """So that the application can roll back; its own exception goes before ours, which is a note on it."""
    refusal = LogboekUnavailable("The spool refused a record (no room).", in_doubt=False)

    async def fails() -> None:
        async with ldv.processing(ACTIVITY):
            raise ValueError("of the application")

    async def main() -> list[BaseException | None]:
        return list(await asyncio.gather(actie(), actie(), fails(), return_exceptions=True))

    with mock.patch.object(DurableDelivery, "commit_together", side_effect=refusal):
        first, second, own = asyncio.run(main())
    for error in (first, second):
        assert isinstance(error, LogboekUnavailable)
        assert not error.in_doubt
    assert isinstance(own, ValueError)
    assert own.__notes__ == ["And its Logregel was refused: The spool refused a record (no room)."]
    assert "A Logregel was refused" in caplog.text


def test_an_error_nobody_foresaw_leaves_no_task_waiting(rig: Rig) -> None:
    """It is a refusal in doubt, and quotes nothing."""

    async def main() -> None:
        await asyncio.wait_for(actie(), PATIENCE_SECONDS)

    with (
        mock.patch.object(DurableDelivery, "commit_together", side_effect=KeyError("123456782")),
        pytest.raises(LogboekUnavailable, match=r"\(KeyError\)") as caught,
    ):
        asyncio.run(main())
    assert caught.value.in_doubt
    assert "123456782" not in str(caught.value)
    asyncio.run(main())
    assert on_disk(rig) == 1


def test_a_task_that_is_cancelled_meanwhile_is_logged_all_the_same(rig: Rig) -> None:
    """What it did is done; only nobody waits for its record."""
    began, release = threading.Event(), threading.Event()
    commit = DurableDelivery.commit_together

    def slow(delivery: DurableDelivery, acties: object) -> None:
        began.set()
        assert release.wait(PATIENCE_SECONDS)
        commit(delivery, acties)  # type: ignore[arg-type]

    async def main() -> None:
        task = asyncio.create_task(actie())
        assert await asyncio.to_thread(began.wait, PATIENCE_SECONDS)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()
        await actie()

    with mock.patch.object(DurableDelivery, "commit_together", slow):
        asyncio.run(main())
    assert len(rig.logged()) == 2


def test_a_plain_block_in_a_coroutine_waits_itself(rig: Rig) -> None:
    """It has no place to wait later: the record is on disk when its block ends."""

    async def main() -> None:
        async with ldv.processing(ACTIVITY):
            with ldv.processing(ACTIVITY):
                pass
            assert on_disk(rig) == 1

    asyncio.run(main())
    assert len(rig.logged()) == 2


def test_loops_of_several_threads_share_the_queue(rig: Rig) -> None:
    """Each task is woken in its own loop."""

    async def main() -> None:
        await asyncio.gather(*(actie() for _ in range(20)))

    threads = [threading.Thread(target=lambda: asyncio.run(main())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert not any(thread.is_alive() for thread in threads)
    assert len(rig.logged()) == 80


def test_a_fork_that_ran_no_hooks_has_a_queue_of_its_own(rig: Rig) -> None:
    """What waits in the parent is the parent's, and its lock may be held."""
    queue = rig.processor._loop_queue
    queue._changing.acquire()
    queue._at_work = True
    queue._pid = -1
    asyncio.run(actie())
    assert len(rig.logged()) == 1


def test_what_a_thread_has_not_committed_in_time_keeps_nothing_else(rig: Rig) -> None:
    """A flush says that it is not done, and sends what is on disk all the same."""
    queue = rig.processor._loop_queue
    queue._at_work = True
    try:
        with mock.patch.object(DurableDelivery, "flush", autospec=True, return_value=True) as flush:
            assert not rig.processor.force_flush(10)
        assert flush.call_count == 1
    finally:
        queue._at_work = False
