"""Waiting for a disk needs nothing of the application's: its loop, its executor and its exit are as they were."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import pytest
import trio

import ldv_otel as ldv
from ldv_otel._internal.delivery.durable import drain
from ldv_otel._internal.sdk import waiting_threads
from ldv_otel._internal.sdk.waiting_threads import WaitingThreads
from ldv_otel.testing import InMemoryLogboek
from tests.sdk.conftest import ACTIVITY
from tests.sdk.test_write_ahead import Rig

PATIENCE_SECONDS = 60


async def actie() -> None:
    """Do something about somebody."""
    async with ldv.processing(ACTIVITY):
        ldv.data_subject("123456782", type="BSN")


def test_an_executor_full_of_threads_that_wait_for_the_loop(rig: Rig) -> None:
    """Each thread hands a coroutine back to the loop, and waits for it: its Actie may not need a thread of theirs."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(4))

        def hand_back() -> None:
            asyncio.run_coroutine_threadsafe(actie(), loop).result(PATIENCE_SECONDS)

        await asyncio.wait_for(
            asyncio.gather(*(asyncio.to_thread(hand_back) for _ in range(12))), timeout=PATIENCE_SECONDS
        )

    asyncio.run(main())
    assert len(rig.logged()) == 12


def test_an_executor_that_is_busy_or_gone(rig: Rig) -> None:
    """The end of an Actie waits for its disk, and for nothing else."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        release = threading.Event()
        busy = asyncio.create_task(asyncio.to_thread(release.wait, PATIENCE_SECONDS))
        await asyncio.sleep(0)
        await actie()
        assert not busy.done()
        release.set()
        await busy
        await loop.shutdown_default_executor()
        await actie()

    asyncio.run(main())
    assert len(rig.logged()) == 2


def test_trio(rig: Rig) -> None:
    """There is no loop of asyncio: what waits does so in place, and the record is there."""
    trio.run(actie)
    assert len(rig.logged()) == 1


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_no_thread_can_be_had(
    rig: Rig, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As at the end of the interpreter, or in a process with too many threads."""
    monkeypatch.setattr(waiting_threads, "_threads", WaitingThreads())
    with mock.patch.object(threading.Thread, "start", side_effect=error):
        asyncio.run(actie())
        with ldv.processing(ACTIVITY):
            ldv.data_subject("123456782", type="BSN")
        assert not rig.processor.force_flush(100)
    assert "No thread can be started" in caplog.text
    # With the next record they are sent after all.
    asyncio.run(actie())
    assert rig.processor.force_flush()
    assert len(rig.sink.logregels) == 3


def test_in_a_fork(rig: Rig) -> None:
    """It has none of its parent's threads, and may find their lock held."""
    asyncio.run(actie())
    held = waiting_threads._threads._changed
    with held:
        child = os.fork()
        if child == 0:
            done = 1
            try:
                asyncio.run(asyncio.wait_for(actie(), PATIENCE_SECONDS))
                done = 0
            finally:
                os._exit(done)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    asyncio.run(actie())
    assert len(rig.logged()) == 3


def test_threads_are_shared_and_end() -> None:
    """No more than were allowed, however much there is to do; and none where there is nothing to do."""
    threads = WaitingThreads(most=3, idle_seconds=0.05)
    done, names = [], set()
    all_done = threading.Event()

    def work(number: int) -> Callable[[], None]:
        def run() -> None:
            names.add(threading.get_ident())
            done.append(number)
            if len(done) == 100:
                all_done.set()

        return run

    assert all(threads.take(work(number)) for number in range(100))
    assert all_done.wait(PATIENCE_SECONDS)
    assert sorted(done) == list(range(100))
    assert 1 <= len(names) <= 3
    deadline = time.monotonic() + PATIENCE_SECONDS
    while threads._threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threads._threads == 0
    again = threading.Event()
    assert threads.take(again.set)
    assert again.wait(PATIENCE_SECONDS)


def test_an_error_that_nobody_waits_for_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The task was cancelled, or its loop has closed."""
    begun, release = threading.Event(), threading.Event()

    def refused() -> None:
        begun.set()
        release.wait(PATIENCE_SECONDS)
        raise ldv.LogboekUnavailable("The disk is full.")

    async def main(*, ended: bool) -> None:
        task = asyncio.ensure_future(waiting_threads.in_thread(refused))
        await asyncio.to_thread(begun.wait, PATIENCE_SECONDS)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if not ended:
            release.set()
            await asyncio.to_thread(wait_for_line)

    def wait_for_line() -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not caplog.messages and time.monotonic() < deadline:
            time.sleep(0.01)

    asyncio.run(main(ended=False))
    assert "The disk is full." in caplog.text
    caplog.clear()
    begun.clear()
    release.clear()
    asyncio.run(main(ended=True))
    release.set()
    wait_for_line()
    assert "The disk is full." in caplog.text


PROGRAM = """
import asyncio, atexit
import ldv_otel as ldv

async def actie():
    async with ldv.processing("https://register.example/a", name="aan het eind"):
        ldv.data_subject("123456782", type="BSN")

ldv.install()
asyncio.run(actie())
atexit.register(lambda: asyncio.run(actie()))
"""


def test_in_an_exit_handler(tmp_path: Path) -> None:
    """The interpreter may give no thread any more."""
    keys = tmp_path / "keys.json"
    keys.write_text('{"active": "k", "keys": [{"id": "k", "secret": "0123456789abcdef0123456789abcdef"}]}')
    keys.chmod(0o600)
    environ = {
        **os.environ,
        "LDV_LOGBOEK": "clickhouse+http://127.0.0.1:9/ldv",
        "LDV_KEYS": str(keys),
        "LDV_STATE": str(tmp_path / "state"),
        "LDV_SPOOL": str(tmp_path / "spool"),
        "LDV_FLUSH_SECONDS": "0.1",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    sink = InMemoryLogboek()
    (base,) = (tmp_path / "spool").iterdir()
    drain(sink, base)
    assert [record.name for record in sink.logregels] == ["aan het eind"] * 2
