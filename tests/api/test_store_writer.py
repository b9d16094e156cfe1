"""What requests bring at one moment is stored as one batch, and each request hears of its own records only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from ldv_otel._internal.api.store_writer import StoreWriter
from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.errors import BatchRefused, LogboekUnavailable
from ldv_otel.testing import InMemoryLogboek


class Strict(InMemoryLogboek):
    """Refuses what is called `refused`; counts sends and keeps their writers."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Batch] = []

    def send(self, batch: Batch) -> None:
        """Store, or refuse the whole batch."""
        self.sent.append(batch)
        if any(record.name == "refused" for record in batch.logregels):
            raise BatchRefused("no", code=27)
        super().send(batch)


def records(name: str, count: int = 2) -> list[Logregel]:
    """What one request brings."""
    return [
        Logregel(
            trace_id=b"t" * 16,
            span_id=f"{name:4.4}{number:4}".encode(),
            name=name,
            start_time_ms=1_750_000_000_000,
            end_time_ms=1_750_000_000_001,
        )
        for number in range(count)
    ]


def writing(sink: InMemoryLogboek, use: Callable[[StoreWriter], Awaitable[Sequence[object]]]) -> Sequence[object]:
    """Use a writer on an event loop."""

    async def run() -> Sequence[object]:
        writer = StoreWriter(sink, seconds=0.05)
        writer.open()
        try:
            return await use(writer)
        finally:
            writer.close()

    return asyncio.run(run())


def together(*requests: list[Logregel]) -> Callable[[StoreWriter], Awaitable[Sequence[object]]]:
    """Let requests come at one moment; the first goes alone, because nothing is under way yet."""
    return lambda writer: asyncio.gather(*map(writer.write, requests), return_exceptions=True)


def no_gaps(sink: InMemoryLogboek) -> bool:
    """Whether each writer's numbers run on from 0: a gap would say that a record was lost."""
    seqs: dict[str, list[int]] = {}
    for batch in sink._batches.values():
        seqs.setdefault(batch.writer_id, []).extend(batch.seqs)
    return all(sorted(numbers) == list(range(len(numbers))) for numbers in seqs.values())


def test_requests_at_one_moment_are_one_batch() -> None:
    """An insert costs ClickHouse as much as hundreds of rows."""
    sink = Strict()
    assert writing(sink, together(*(records(f"r{number}") for number in range(20)))) == [None] * 20
    assert len(sink.sent) <= 2
    assert len(sink.logregels) == 40
    assert no_gaps(sink)


def test_a_refused_request_does_not_keep_the_others_out() -> None:
    """All of a request is stored or none of it, also where one record is at fault; the others are stored."""
    sink = Strict()
    requests = [records(f"r{number}") for number in range(64)]
    requests[40] = [*records("good"), *records("refused", 1), *records("more")]
    results = writing(sink, together(*requests))
    assert [isinstance(result, BatchRefused) for result in results] == [number == 40 for number in range(64)]
    assert [result for result in results if not isinstance(result, BatchRefused)] == [None] * 63
    assert sorted(record.name for record in sink.logregels) == sorted(
        f"r{n}" for n in range(64) if n != 40 for _ in "12"
    )
    assert len(sink.sent) <= 2 + 2 * 6
    assert no_gaps(sink)


def test_a_logboek_that_stays_away_is_an_error_in_time() -> None:
    """It is said what is wrong; what comes later is stored, by another writer, whose numbers have no gap."""
    sink = Strict()
    sink.failures = [LogboekUnavailable("away", in_doubt=False)] * 3

    async def use(writer: StoreWriter) -> Sequence[object]:
        (error,) = await asyncio.gather(writer.write(records("lost")), return_exceptions=True)
        sink.failures = []
        await writer.write(records("kept"))
        return [error]

    (error,) = writing(sink, use)
    assert isinstance(error, LogboekUnavailable)
    assert [record.name for record in sink.logregels] == ["kept", "kept"]
    assert no_gaps(sink)


def test_an_unexpected_error_reaches_whoever_waits() -> None:
    """Nobody waits for ever."""

    class Broken(Strict):
        def send(self, batch: Batch) -> None:
            raise RuntimeError(batch.token)

    (error,) = writing(Broken(), together(records("x")))
    with pytest.raises(RuntimeError):
        raise error  # type: ignore[misc]  # an exception, says the line before
