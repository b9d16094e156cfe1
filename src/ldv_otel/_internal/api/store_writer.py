"""Writing to the Logboek behind the server: records of requests that wait at one moment are sent as one batch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from ldv_otel._internal.delivery.batch import Batch, new_writer_id, number_batch
from ldv_otel._internal.delivery.retry import RetryPolicy, deliver, sleep
from ldv_otel._internal.delivery.sink import Sink
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.errors import LogboekUnavailable


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
        self._policy = RetryPolicy(waits_out=(LogboekUnavailable,), patience_seconds=seconds)
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

    @property
    def sending(self) -> bool:
        """Whether records are being stored, or wait for it."""
        return self._sending is not None

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
        most = self._sink.traits.batch_records
        while self._waiting and (count := count + len(self._waiting[0][0])) <= most:
            taken.append(self._waiting.pop(0))
        return taken

    async def _send(self, taken: list[tuple[Sequence[Logregel], asyncio.Future[None]]]) -> None:
        requests = [logregels for logregels, _ in taken]
        errors = await asyncio.get_running_loop().run_in_executor(self._executor, self._store, requests)
        for (_, confirmed), error in zip(taken, errors, strict=True):
            if not confirmed.done():  # its request may have been cancelled meanwhile
                confirmed.set_result(None) if error is None else confirmed.set_exception(error)

    def _store(self, requests: Sequence[Sequence[Logregel]]) -> list[Exception | None]:
        """Store what requests bring in one batch; return for each why it is not confirmed, or None."""
        records = [record for logregels in requests for record in logregels]
        batch = number_batch(self._writer_id, self._seq, records)
        groups = _RequestGroups(batch, [len(logregels) for logregels in requests])
        # By request and not in the order of the outcomes: each part has numbers of its own, which say nothing of order.
        errors: dict[int, Exception | None] = {}
        whole = False
        # Only an outcome confirms; this is for those that got none.
        rest: Exception = LogboekUnavailable("The Logboek did not confirm these records.")
        try:
            for part in deliver(batch, self._sink, wait=sleep, policy=self._policy, split=groups.split):
                errors |= dict.fromkeys(groups.requests(part.batch), part.refused)
                whole = part.batch is batch and part.refused is None
        except Exception as error:  # noqa: BLE001  (a request that waits must get an answer, whatever it is)
            rest = error
        if whole:
            self._seq += len(records)
        else:
            # Sequence numbers of a batch in doubt, or refused, would be gaps for ever. A new writer leaves none: what
            # the old one confirmed is a whole sequence.
            self._writer_id, self._seq = new_writer_id(), 0
        return [errors.get(index, rest) for index in range(len(requests))]


class _RequestGroups:
    """Which requests a batch holds, so that a refused one is split between requests and never inside one.

    Each part is that of a writer of its own: the numbers of a request that is refused would else be a gap, which says
    that a record was lost, and its caller knows that it was not stored.
    """

    def __init__(self, batch: Batch, sizes: Sequence[int]) -> None:
        self._sizes = sizes
        self._requests = {batch.token: range(len(sizes))}

    def requests(self, batch: Batch) -> range:
        """Return the indexes of the requests of a batch."""
        return self._requests[batch.token]

    def split(self, batch: Batch) -> Sequence[Batch]:
        """Return the two halves of the requests of a batch; nothing for a single one."""
        requests = self.requests(batch)
        if len(requests) == 1:
            return ()
        middle = len(requests) // 2
        border = sum(self._sizes[index] for index in requests[:middle])
        return (
            self._part(batch.logregels[:border], requests[:middle]),
            self._part(batch.logregels[border:], requests[middle:]),
        )

    def _part(self, logregels: Sequence[Logregel], requests: range) -> Batch:
        part = number_batch(new_writer_id(), 0, logregels)
        self._requests[part.token] = requests
        return part
