"""Level `write-ahead` through the SDK side: what is on disk while the body of an Actie runs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import ldv_otel as ldv
from ldv_otel._internal.config.variables import DeliveryLevel
from ldv_otel._internal.delivery.durable import DurableDelivery, drain
from ldv_otel._internal.delivery.spool.inspect import inspect_spools
from ldv_otel._internal.delivery.spool.reader import OrphanSpool
from ldv_otel._internal.delivery.spool.write_ahead import interrupted_acties
from ldv_otel._internal.privacy.pseudonyms import KeyRing, Pseudonymiser, new_key
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.sdk import _private
from ldv_otel._internal.sdk.attach import attach
from ldv_otel._internal.sdk.processor import LdvSpanProcessor
from ldv_otel.attributes import INTERRUPTED
from ldv_otel.testing import InMemoryLogboek
from tests.sdk.conftest import ACTIVITY, OTHER

BSN = "123456782"


class Rig:
    """A service with a spool, of which the disk can be made to refuse."""

    def __init__(self, base: Path, level: DeliveryLevel) -> None:
        key = new_key("test")
        self.base = base
        self.pseudonymiser = Pseudonymiser(KeyRing([key], active=key.id))
        self.sink = InMemoryLogboek()
        self.delivery = DurableDelivery(self.sink, base, level=level)
        self.processor = LdvSpanProcessor(LogregelMaker(self.pseudonymiser.subject), self.delivery)
        provider = _private.current_provider()
        assert isinstance(provider, TracerProvider)
        attach(provider, self.processor)

    def begun(self) -> list[Logregel]:
        """What would be logged if the process were killed here."""
        (directory,) = self.base.iterdir()
        return [record for records in interrupted_acties(OrphanSpool(directory)) for record in records]

    def pseudonym(self, identifier: str) -> bytes:
        """What is on record for a person."""
        return self.pseudonymiser.subject(identifier, "BSN").pseudonym

    def logged(self) -> list[Logregel]:
        """What is in the Logboek after the service ended and another cleared up."""
        self.processor.shutdown()
        drain(self.sink, self.base)
        return self.sink.logregels


@contextmanager
def flushes(flush: Callable[[int], None]) -> Iterator[None]:
    """The spool flushes like this."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("ldv_otel._internal.delivery.spool.writer.os.fdatasync", flush)
        yield


@pytest.fixture
def ahead(tmp_path: Path, backend: object) -> Iterator[Rig]:
    """A service with LDV_DELIVERY=write-ahead."""
    del backend
    rig = Rig(tmp_path, "write-ahead")
    yield rig
    rig.processor.shutdown()


@pytest.fixture
def durable(tmp_path: Path, backend: object) -> Iterator[Rig]:
    """A service with LDV_DELIVERY=durable."""
    del backend
    rig = Rig(tmp_path, "durable")
    yield rig
    rig.processor.shutdown()


def test_the_start_is_on_disk_while_the_body_runs(ahead: Rig) -> None:
    """Complete: ids, activity, nested in what, about whom; Error and interrupted; and gone with the end."""
    with ldv.processing(ACTIVITY, name="Buiten", attributes={"dpl.objects.algorithm_id": "urn:a"}) as outer:
        with ldv.processing(OTHER, name="Binnen") as inner:
            ldv.data_subject(BSN, type="BSN")
            around, within = ahead.begun()
            assert (around.span_id.hex(), around.name) == (outer.span_id, "Buiten")
            assert around.attributes["dpl.objects.algorithm_id"] == "urn:a"
            assert within.span_id.hex() == inner.span_id
            assert within.parent_span_id == around.span_id
            assert (within.processing_activity_id, within.parent_processing_activity_id) == (OTHER, ACTIVITY)
            assert within.data_subject_id == ahead.pseudonym(BSN)
            for record in (around, within):
                assert record.status is Status.ERROR
                assert record.attributes[INTERRUPTED] == "true"
                assert record.flags == ("end_missing",)
                assert record.end_time_ms == record.start_time_ms > 0
        assert [record.name for record in ahead.begun()] == ["Buiten"]
    assert ahead.begun() == []
    assert [(record.name, record.status) for record in ahead.logged()] == [
        ("Binnen", Status.UNSET),
        ("Buiten", Status.UNSET),
    ]


def test_the_level_of_one_actie(durable: Rig) -> None:
    """`delivery="write-ahead"` asks it for that one, as a block, as a decorator of each kind."""
    found: list[int] = []

    def look() -> None:
        found.append(len(durable.begun()))

    with ldv.processing(ACTIVITY):
        look()
    with ldv.processing(ACTIVITY, delivery="write-ahead"):
        look()
    mark = ldv.processing(ACTIVITY, delivery="write-ahead")
    mark(look)()

    def generator() -> Iterator[None]:
        look()
        yield

    list(mark(generator)())

    async def coroutine() -> None:
        look()

    asyncio.run(mark(coroutine)())

    async def async_generator() -> AsyncIterator[None]:
        look()
        yield

    async def consume() -> None:
        async for _ in mark(async_generator)():
            pass
        async with ldv.processing(ACTIVITY, delivery="write-ahead"):
            look()

    asyncio.run(consume())
    assert found == [0, 1, 1, 1, 1, 1, 1]
    assert [record.status for record in durable.logged()] == [Status.UNSET] * 7


def test_everybody_named_so_far_is_in_the_start(ahead: Rig) -> None:
    """Each a record of their own, each once, and never as a number."""
    people = [BSN, "111222333", "999990019"]
    with ldv.processing(ACTIVITY):
        for person in [*people, *people]:
            ldv.data_subject(person, type="BSN")
        begun = ahead.begun()
        assert {record.data_subject_id for record in begun} == set(map(ahead.pseudonym, people))
        assert len(begun) == 3
        assert {record.parent_span_id for record in begun[1:]} == {begun[0].span_id}
        assert all(record.attributes[INTERRUPTED] == "true" for record in begun)
        (directory,) = ahead.base.iterdir()
        content = b"".join(path.read_bytes() for path in directory.iterdir())
        assert not any(person.encode() in content for person in people)
    assert ahead.begun() == []


def test_a_span_marked_by_hand_is_begun_too(ahead: Rig, tracer: trace.Tracer) -> None:
    """If it has its mark at the start; also for several people in one attribute. One that gets it later only ends."""
    marks = {"dpl.core.processing_activity_id": ACTIVITY, "dpl.core.data_subject_id_type": "BSN"}
    with tracer.start_as_current_span("x", attributes={**marks, "dpl.core.data_subject_id": [BSN, "111222333"]}):
        assert {record.data_subject_id for record in ahead.begun()} == {
            ahead.pseudonym(BSN),
            ahead.pseudonym("111222333"),
        }
    with tracer.start_as_current_span("technical"):
        assert ahead.begun() == []
    with tracer.start_as_current_span("y") as span:
        span.set_attribute("dpl.core.processing_activity_id", ACTIVITY)
        assert ahead.begun() == []
    assert [(record.name, record.status) for record in ahead.logged()] == [
        ("x", Status.UNSET),
        ("x", Status.UNSET),
        ("y", Status.UNSET),
    ]


def test_a_start_that_is_refused_stops_the_work(ahead: Rig) -> None:
    """Before it begins, so there is nothing to roll back; and nothing is logged of it as ended."""
    worked: list[str] = []

    async def in_a_coroutine() -> None:
        async with ldv.processing(ACTIVITY):
            worked.append("async with")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with flushes(full):
        with pytest.raises(ldv.LogboekUnavailable, match="No space left"), ldv.processing(ACTIVITY):
            worked.append("with")
        with pytest.raises(ldv.LogboekUnavailable):
            ldv.processing(ACTIVITY)(lambda: worked.append("decorated"))()
        with pytest.raises(ldv.LogboekUnavailable):
            asyncio.run(in_a_coroutine())
        assert trace.get_current_span() is trace.INVALID_SPAN
    assert worked == []
    assert ahead.delivery.running == 0
    with ldv.processing(ACTIVITY, name="daarna"):
        pass
    ended = [record.name for record in ahead.logged() if record.status is not Status.ERROR]
    assert ended == ["daarna"]


def test_an_end_that_is_refused_is_logged_as_interrupted(ahead: Rig) -> None:
    """The caller hears it; the work was begun, and nobody knows what became of it: that is what is logged then."""
    with pytest.MonkeyPatch.context() as patched, pytest.raises(ldv.LogboekUnavailable), ldv.processing(ACTIVITY):
        patched.setattr(
            "ldv_otel._internal.delivery.spool.writer.os.pwrite", lambda *_: (_ for _ in ()).throw(OSError(28, "full"))
        )
    (spool,) = inspect_spools(ahead.base)
    assert spool.running == 1
    (record,) = ahead.logged()
    assert record.attributes[INTERRUPTED] == "true"


def test_a_thread_that_never_ends_its_actie(ahead: Rig) -> None:
    """The process ends around it: logged as interrupted by the next."""
    inside, go_on = threading.Event(), threading.Event()

    def work() -> None:
        with suppress(ldv.LogboekUnavailable), ldv.processing(ACTIVITY, name="blijft hangen"):
            inside.set()
            go_on.wait(30)

    thread = threading.Thread(target=work)
    thread.start()
    assert inside.wait(10)
    with ldv.processing(ACTIVITY, name="af"):
        pass
    found = {record.name: record.attributes.get(INTERRUPTED) for record in ahead.logged()}
    go_on.set()
    thread.join()
    assert found == {"af": None, "blijft hangen": "true"}


def test_a_coroutine_does_not_hold_up_the_loop(ahead: Rig) -> None:
    """While a flush takes long, at the start and at the end, others go on."""
    on_loop: list[bool] = []

    def slow(_: int) -> None:
        on_loop.append(threading.current_thread() is threading.main_thread())
        time.sleep(0.05)

    @ldv.processing(ACTIVITY)
    async def decorated() -> None:
        ldv.data_subject(BSN, type="BSN")
        await asyncio.sleep(0)

    async def block() -> None:
        async with ldv.processing(ACTIVITY):
            ldv.data_subject(BSN, type="BSN")
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(decorated(), block())

    with flushes(slow):
        asyncio.run(main())
    assert len(on_loop) >= 3
    assert not any(on_loop)
    assert [record.data_subject_id for record in ahead.logged()] == [ahead.pseudonym(BSN)] * 2


@pytest.mark.parametrize("moment", ["begin", "end"])
def test_a_cancelled_task_leaves_its_record(ahead: Rig, moment: str) -> None:
    """Cancelled while a busy pool of threads has not even begun to commit: its end is logged, as ended."""
    busy = threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))

        async def work() -> None:
            async with ldv.processing(ACTIVITY, delivery="write-ahead" if moment == "begin" else "durable"):
                pass

        blocker = loop.run_in_executor(None, busy.wait, 10)
        task = asyncio.create_task(work())
        await asyncio.sleep(0.05)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        busy.set()
        await blocker

    asyncio.run(main())
    (record,) = ahead.logged()
    assert (record.status, INTERRUPTED in record.attributes) == (Status.UNSET, False)
