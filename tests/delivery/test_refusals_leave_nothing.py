"""A refusal costs its caller an error, and nobody memory: no frame of the application, no record, no error stays."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import subprocess
import sys
import time
import tracemalloc
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import ldv_otel as ldv
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.config.variables import DeliveryLevel
from ldv_otel._internal.delivery.durable import DurableDelivery
from ldv_otel._internal.delivery.otlp_sink import OtlpSink
from ldv_otel._internal.sdk.processor import LdvSpanProcessor
from ldv_otel.errors import LogboekUnavailable
from ldv_otel.testing import InMemoryLogboek
from tests.clickhouse.test_faults import a_batch
from tests.support.collector import HttpRecorder
from tests.torture.rig import log_through

ACTIVITY = "https://register.example/activiteiten/weigering"


class Away(InMemoryLogboek):
    """A Logboek that never answers."""

    def send(self, _batch: object) -> None:
        """Be away."""
        raise LogboekUnavailable("away", in_doubt=False)


class OwnError(Exception):
    """What the application raises by itself."""


class Request:
    """What a handler holds while it works: an identifier, and much else."""

    def __init__(self) -> None:
        self.bsn = "123456782"
        self.body = bytes(10_000)


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LdvSpanProcessor]:
    """A service whose disk is full, and whose Logboek is away."""
    processor = log_through(DurableDelivery(Away(), tmp_path, confirm_seconds=0.01))

    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        for call in ("fdatasync", "fsync"):
            patched.setattr(os, call, no_space)
        yield processor
    processor.shutdown()


@contextmanager
def without_collector() -> Iterator[None]:
    """Switch the collector of rings off, as some servers do: what is not let go of at once stays for ever."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


Held = list["weakref.ref[Any]"]


def plain(level: DeliveryLevel, held: Held) -> None:
    """A block."""
    request = Request()
    held.append(weakref.ref(request))
    with ldv.processing(ACTIVITY, delivery=level):
        pass


def decorated(level: DeliveryLevel, held: Held) -> None:
    """A function."""

    @ldv.processing(ACTIVITY, delivery=level)
    def work() -> None:
        request = Request()
        held.append(weakref.ref(request))

    work()


def generator(level: DeliveryLevel, held: Held) -> None:
    """A generator."""

    @ldv.processing(ACTIVITY, delivery=level)
    def work() -> Generator[int, None, None]:
        request = Request()
        held.append(weakref.ref(request))
        yield 1

    list(work())


def with_an_error_of_its_own(level: DeliveryLevel, held: Held) -> None:
    """A block that fails by itself: the refusal is a note on that."""
    request = Request()
    held.append(weakref.ref(request))
    with ldv.processing(ACTIVITY, delivery=level):
        raise OwnError


def kept_span(level: DeliveryLevel, held: Held) -> None:
    """An Actie that the application goes on holding, and so its span."""
    request = Request()
    held.append(weakref.ref(request))
    with ldv.processing(ACTIVITY, delivery=level) as actie:
        _ACTIES.append(actie)


def asynchronous(level: DeliveryLevel, held: Held) -> None:
    """A block in a coroutine; asyncio itself leaves rings, so these are collected."""

    async def work() -> None:
        request = Request()
        held.append(weakref.ref(request))
        async with ldv.processing(ACTIVITY, delivery=level):
            pass

    asyncio.run(work())


_ACTIES: list[ldv.Actie] = []


@pytest.mark.parametrize("level", ["durable", "write-ahead", "confirmed"])
@pytest.mark.parametrize("way", [plain, decorated, generator, with_an_error_of_its_own, kept_span, asynchronous])
def test_a_refusal_holds_no_frame(
    full: LdvSpanProcessor, way: Callable[[DeliveryLevel, Held], None], level: DeliveryLevel
) -> None:
    """Neither the error nor anything that its frames held is there once it has been handled."""
    del full
    held: Held = []
    with without_collector():
        for _ in range(3):
            try:
                way(level, held)
            except (LogboekUnavailable, OwnError) as error:
                held.append(weakref.ref(error))
            else:
                pytest.fail("not refused")
        if way is asynchronous:
            # asyncio makes a ring of a task and its error; and the thread that was refused may be about to return.
            deadline = time.monotonic() + 30
            while any(ref() is not None for ref in held) and time.monotonic() < deadline:
                gc.collect()
                time.sleep(0.01)
        assert [ref() for ref in held if ref() is not None] == []
    _ACTIES.clear()


#: How many refusals to make in a process of their own; `tests/torture/test_refusals.py` makes more.
ALONE = "LDV_TEST_REFUSALS"


def allocated_by_us() -> int:
    """Bytes that code of ours, or of these tests, allocated and that are still held.

    Not those of the whole process: what an earlier test left behind, such as an exporter, keeps the spans.
    """
    ours = [tracemalloc.Filter(True, f"*{part}*") for part in ("ldv_otel", Path(__file__).name)]
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(ours).traces)


def test_memory_is_flat_over_many_refusals() -> None:
    """In a process of its own: exporters that earlier tests left behind keep the spans of refused Acties."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "alone_memory_is_flat"]
    done = subprocess.run(command, env={**os.environ, ALONE: "1000"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(ALONE not in os.environ, reason="run by the test above, alone")
def test_alone_memory_is_flat(full: LdvSpanProcessor) -> None:
    """A full disk must not become a full memory: each refusal takes some 20 KB while it lasts, and leaves none."""
    del full

    def refuse(count: int) -> None:
        for _ in range(count):
            with suppress(LogboekUnavailable):
                plain("durable", [])

    refuse(200)
    gc.collect()
    tracemalloc.start()
    try:
        refuse(100)
        gc.collect()
        before = allocated_by_us()
        count = int(os.environ[ALONE])
        refuse(count)
        gc.collect()
        after = allocated_by_us()
    finally:
        tracemalloc.stop()
    print(f"{count} refusals, {after - before} bytes more")
    assert after - before < 50_000


def test_a_sinks_errors_hold_no_batch() -> None:
    """A batch without an answer is tried again for as long as an outage lasts, and each try has its error."""
    with HttpRecorder() as receiver:
        settings = Settings(logboek=LogboekAddress(scheme="otlp+http", host="127.0.0.1", port=receiver.port))
        sink = OtlpSink(settings)
        sink.open()
        held: Held = []
        for status in (503, 200, 400, 413):
            receiver.answers.append((status, {}, b""))
            with without_collector():
                try:
                    sink.send(a_batch())
                except ldv.LdvError as error:
                    held.append(weakref.ref(error))
                assert held[-1]() is None
        sink.close()
        assert len(held) == 4
