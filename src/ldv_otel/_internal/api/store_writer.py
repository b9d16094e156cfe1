"""Writing to the Logboek behind the server: records of requests that wait at one moment are sent as one batch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.delivery.retry import Stopped, deliver
from ldv_otel._internal.delivery.sink import Sink
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.errors import BatchRefused, LdvError, LogboekUnavailable

#: The most Logregels in a batch, unless one request brings more.
_BATCH_RECORDS: Final = 5_000


class StoreWriter:
    """Stores Logregels off the event loop; when `write` returns, the Logboek has confirmed them (LDV-L2).

    A batch is sent while the next one gathers, so many requests at a time cost few inserts. Open it, use it and close
    it with one event loop running: that loop, and not a lock, orders all changes of the state here.

    Args:
        sink: Not opened yet.
        seconds: How long a Logboek that does not answer is tried again.
    """

    def __init__(self, sink: Sink, *, seconds: float) -> None:
        self._sink = sink
        self._seconds = seconds
        # One thread: the sink is used by one thread at a time, and batches are numbered in the order of sending.
        self._executor = ThreadPoolExecutor(1, "ldv-writer")
        self._writer_id = new_writer_id()
        self._seq = 0
        self._waiting: list[tuple[Sequence[Logregel], asyncio.Future[None]]] = []
        self._sending: asyncio.Task[None] | None = None
        self._closed = False

    def open(self) -> None:
        """Reach the Logboek and check that it can be written to.

        Raises:
            ConfigurationError: It cannot.
            LogboekUnavailable: It does not answer.
        """
        self._executor.submit(self._sink.open).result()

    def close(self) -> None:
        """Wait for the batch under way, and close the sink."""
        if not self._closed:
            self._closed = True
            self._executor.submit(self._sink.close).result()
            self._executor.shutdown()

    async def write(self, logregels: Sequence[Logregel]) -> None:
        """Store records, all of them or none.

        Those of one start time are in one partition of the table, and ClickHouse stores an insert into one partition
        whole or not at all.

        Raises:
            LdvError: They are not confirmed.
        """
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((logregels, confirmed))
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_what_waits())
        await confirmed

    async def _send_what_waits(self) -> None:
        try:
            while self._waiting:
                await self._send(self._take())
        finally:
            self._sending = None

    def _take(self) -> list[tuple[Sequence[Logregel], asyncio.Future[None]]]:
        taken = [self._waiting.pop(0)]
        count = len(taken[0][0])
        while self._waiting and (count := count + len(self._waiting[0][0])) <= _BATCH_RECORDS:
            taken.append(self._waiting.pop(0))
        return taken

    async def _send(self, taken: list[tuple[Sequence[Logregel], asyncio.Future[None]]]) -> None:
        records = [record for logregels, _ in taken for record in logregels]
        error: Exception | None = None
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, self._store, records)
        except BatchRefused as refused:
            if len(taken) > 1:  # one request is at fault; alone, each of the others is stored
                for each in taken:
                    await self._send([each])
                return
            error = refused
        except Exception as other:  # noqa: BLE001  (a request that waits must get an answer, whatever it is)
            error = other
        for _, confirmed in taken:
            if not confirmed.done():  # its request may have been cancelled meanwhile
                confirmed.set_result(None) if error is None else confirmed.set_exception(error)

    def _store(self, records: list[Logregel]) -> None:
        batch = number_batch(self._writer_id, self._seq, records)
        end = time.monotonic() + self._seconds

        def wait(seconds: float) -> bool:
            if time.monotonic() + seconds > end:
                return True
            time.sleep(seconds)
            return False

        try:
            deliver(batch, self._sink, wait=wait, waits_out=(LogboekUnavailable,))
        except (Stopped, LdvError) as error:
            # Sequence numbers of a batch in doubt, or refused, would be gaps for ever. A new writer leaves none: what
            # the old one confirmed is a whole sequence.
            self._writer_id, self._seq = new_writer_id(), 0
            if isinstance(error, Stopped) and isinstance(error.__cause__, LdvError):
                raise error.__cause__ from None
            raise
        self._seq += len(records)
