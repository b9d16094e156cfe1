"""Target 7: answers that do not say what happened. Nothing is lost, nothing doubled, and no false OK is believed."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from urllib3 import Timeout

from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import Batch, new_writer_id, number_batch
from tests.support import faults
from tests.support.chance import dice
from tests.support.logboek import LogboekProcess, settings_at
from tests.support.sending import deliver_whole
from tests.torture.rig import Oracle, record, size, span_ids

_ROWS = 5
_WRITERS = 4
_TIMEOUT_SECONDS = 0.25


def fail_after(status: int) -> faults.Action:
    """Let the insert take effect, and answer that it failed."""

    async def act(exchange: faults.Exchange) -> None:
        await exchange.forward()
        await faults.refuse(status)(exchange)

    return act


def say_after(then: faults.Action) -> faults.Action:
    """Let the insert take effect, and answer something else."""

    async def act(exchange: faults.Exchange) -> None:
        await exchange.forward()
        await then(exchange)

    return act


def body_cut(chance: random.Random) -> faults.Action:
    """Let the backend see a part of the body, whose length promises more, and break off."""

    async def act(exchange: faults.Exchange) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", exchange._backend_port)
        head, body = exchange.request.head, exchange.request.body
        lines = [
            line
            for line in head.rstrip().split(b"\r\n")
            if not line.lower().startswith((b"transfer-encoding:", b"content-length:", b"connection:"))
        ]
        lines.append(b"Content-Length: %d" % len(body))
        writer.write(b"\r\n".join(lines) + b"\r\n\r\n" + body[: chance.randrange(len(body))])
        await writer.drain()
        writer.transport.abort()
        exchange.cut()

    return act


def answer_cut(chance: random.Random) -> faults.Action:
    """Pass on only the beginning of the answer's head."""

    async def act(exchange: faults.Exchange) -> None:
        answer = await exchange.forward()
        await exchange.reply(answer[: chance.randrange(answer.index(b"\r\n\r\n"))])
        exchange.cut()

    return act


def drip(seconds: float) -> faults.Action:
    """Pass the answer on a piece at a time, each of them within the time limit."""

    async def act(exchange: faults.Exchange) -> None:
        answer = await exchange.forward()
        for start in range(0, len(answer), 100):
            await exchange.reply(answer[start : start + 100])
            await asyncio.sleep(seconds)

    return act


def twice() -> faults.Action:
    """Deliver the same request twice, as a proxy that tries again does."""

    async def act(exchange: faults.Exchange) -> None:
        await asyncio.gather(exchange.forward(), exchange.forward())
        await exchange.reply(await exchange.forward())

    return act


def always(action: faults.Action) -> Fault:
    """Return a kind of fault that knows no chance."""
    return lambda _: action


Fault = Callable[[random.Random], faults.Action]

#: The ten classes of the target; where one has several forms, chance chooses.
CLASSES: dict[str, tuple[Fault, ...]] = {
    "answer lost after commit": (always(faults.cut_after()), answer_cut),
    "body cut": (body_cut,),
    "connection reset": (always(faults.cut_before()),),
    "timeout": (
        lambda chance: faults.delay(_TIMEOUT_SECONDS * chance.uniform(0.9, 1.3)),
        lambda chance: say_after(faults.delay(_TIMEOUT_SECONDS * chance.uniform(0.9, 1.3))),
    ),
    "slow drip": (lambda chance: drip(_TIMEOUT_SECONDS * chance.uniform(0.05, 0.3)),),
    "200 with an exception header": (
        always(faults.exception_header(241)),
        always(say_after(faults.exception_header(209))),
    ),
    "200 with an exception in the body": (
        always(faults.late_exception(241)),
        always(say_after(faults.late_exception(209))),
    ),
    "5xx": (
        lambda chance: faults.refuse(chance.choice((500, 502, 503, 504))),
        lambda chance: fail_after(chance.choice((500, 502, 503, 504))),
    ),
    "the same request twice": (always(twice()),),
    "answer of another request": (
        always(faults.answer_of_another()),
        always(say_after(faults.answer_of_another())),
    ),
}

_databases = itertools.count()


@pytest.fixture
def database(process: LogboekProcess) -> Settings:
    """Tables of its own for a class, asked directly."""
    settings = settings_at(process.port, f"ambiguous_{next(_databases)}")
    apply_schema(settings)
    return settings


def through(settings: Settings, front: faults.FaultFront, timeout_seconds: float) -> ClickHouseSink:
    """A sink for the same tables behind the front, which waits so long for an answer."""
    sink = ClickHouseSink(settings_at(front.port, settings.logboek.database))
    sink.open()
    # The driver takes whole seconds only.
    driver: Any = sink._connected()._client
    driver.timeout = Timeout(connect=5, read=timeout_seconds)
    return sink


def pause(seconds: float) -> bool:
    """Wait as delivery does, up to a point: without, retries of slow inserts would only make them slower."""
    time.sleep(min(seconds, 0.4) if seconds > 0.2 else 0)
    return False


def batches(oracle: Oracle, writer_id: str, start: int) -> Iterator[Batch]:
    """Small batches of one writer, without end."""
    for first in itertools.count(start, step=_ROWS):
        records = [record(number) for number in range(first, first + _ROWS)]
        oracle.issued.update(logregel.name for logregel in records)
        yield number_batch(writer_id, first, records)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("kind", CLASSES)
def test_no_ambiguous_answer_loses_or_doubles(process: LogboekProcess, database: Settings, kind: str) -> None:
    """When `deliver` returns, every row can be read at that moment; in the end each is there once."""
    oracle = Oracle()
    each = size(200, 10_000) // _WRITERS

    def write(number: int) -> int:
        """Send batches through a front of its own; return how many rows could not be read on return."""
        chance = dice(f"{kind}/{number}")
        false_ok = 0
        reader = ClickHouseSink(database)
        with faults.FaultFront(process.port) as front:
            sink = through(database, front, _TIMEOUT_SECONDS if "timeout" in kind else 30)
            for batch in itertools.islice(batches(oracle, new_writer_id(), number * 1_000_000), each):
                # Now and then the retry meets the same fault.
                front.add(
                    chance.choice(CLASSES[kind])(chance), when=faults.is_insert, times=1 + (chance.random() < 0.2)
                )
                deliver_whole(batch, sink, wait=pause)
                false_ok += len(set(batch.seqs) - reader.read_back(batch))
                oracle.acknowledged.update(logregel.name for logregel in batch.logregels)
                front.clear()
            sink.close()
        reader.close()
        return false_ok

    # Several at a time, because most of an insert is waiting for the disk.
    with ThreadPoolExecutor(_WRITERS) as writers:
        false_ok = sum(writers.map(write, range(_WRITERS)))
    raw, shown = oracle.verdict(span_ids(database, "logregel")), oracle.verdict(span_ids(database, "logregels"))
    print(f"{kind}: {len(oracle.acknowledged)} rows; raw: {raw}; shown: {shown}")
    assert false_ok == 0
    assert shown.clean, f"raw: {raw}; shown: {shown}"
    assert not raw.lost
