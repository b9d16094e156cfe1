"""Sealing: the manifest of each batch goes into the table with its rows, as one insert.

It stands in the first row of the batch, in a column that is empty in all others. So there is no moment at which rows
are stored and their manifest is not, and a batch costs no second insert. A batch that was sent more than once may have
several manifests, which all hold.

Without a usable key nothing is sealed, and delivery goes on: whoever verifies sees rows without a manifest. A key that
was read once is kept, so that a writer's records are not sealed in turns; one that was not there is looked for again.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from ldv_otel._internal.clickhouse.columns import Column
from ldv_otel._internal.config.error_places import type_and_places
from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.delivery.stats import SealState
from ldv_otel._internal.tamper.manifest import SealedBatch, Sealer
from ldv_otel._internal.tamper.note import NoteSigner
from ldv_otel._internal.times.instants import now_ms
from ldv_otel.errors import LdvError

_logger = logging.getLogger(__name__)

#: A key that could not be used is looked for again after so long.
_SEARCH_SECONDS: Final = 60.0
#: Batches that are sent again after others: parts of one that was refused. More are not on the way at a time.
_REMEMBERED: Final = 64

T = TypeVar("T")


class BatchSealer:
    """Makes the manifests of the batches that one sink sends; for one thread, as the sink.

    Attributes:
        state: How it does; any thread may look.
    """

    def __init__(self) -> None:
        self.state = SealState()
        self._find: Callable[[], NoteSigner | None] = lambda: None
        self._signer: NoteSigner | None = None
        #: When the key was last looked for, by the monotonic clock.
        self._searched = 0.0
        self._sealer: Sealer | None = None
        #: By token: a batch that is sent again has the manifest that it had.
        self._sealed: OrderedDict[str, SealedBatch] = OrderedDict()
        #: Tokens under which an attempt, here or of a dead process, may have stored another manifest than ours.
        self._in_doubt: OrderedDict[str, None] = OrderedDict()
        #: The batch that was read back last: a repair of it seals it whole.
        self._read_back: Batch | None = None

    def open(self, find: Callable[[], NoteSigner | None]) -> None:
        """Begin as a new sealer; called in each process, as a fork may not go on with the numbers of its parent.

        Args:
            find: Gives the key, raises an `LdvError` when it cannot be used, or gives None when nothing is sealed.
        """
        self._find = find
        self._sealer = None
        self._sealed.clear()
        self._search()

    def _search(self) -> None:
        """Look for the key, unless it was found once."""
        self._searched = time.monotonic()
        if self._signer is None:
            try:
                self._signer = self._find()
            except LdvError as error:
                self._not_sealing(str(error))
            except Exception as error:  # sealing never stops logging
                self._not_sealing(f"Looking for the key failed unexpectedly: {type_and_places(error)}")
        if self._signer is not None:
            self._sealer = Sealer(self._signer)
            self.state = SealState(key=str(self._signer.key), unsealed=self.state.unsealed)

    def _not_sealing(self, problem: str) -> None:
        if problem != self.state.problem:
            _logger.error("Records are stored WITHOUT a seal, so that a change of them would not show. %s", problem)
        self.state = SealState(problem=problem, unsealed=self.state.unsealed)

    def columns_of(self, batch: Batch) -> dict[str, Column]:
        """Return the columns of a batch's manifest; empty texts when it is not sealed."""
        sealed = self._seal(batch)
        note, salts = (sealed.note, sealed.salts) if sealed is not None else ("", b"")
        others = len(batch.seqs) - 1
        return {"manifest": ("String", [note, *[""] * others]), "manifest_salts": ("String", [salts, *[b""] * others])}

    def stored(self, batch: Batch) -> None:
        """Note that the Logboek confirmed a batch at the first attempt, so that its manifest is the one stored."""
        sealed = self._sealed.pop(batch.token, None)
        if sealed is None and (self.state.problem or self._sealer is not None):
            unsealed = self.state.unsealed + len(batch.seqs)
            self.state = SealState(key=self.state.key, problem=self.state.problem, unsealed=unsealed)
        if sealed is not None and self._sealer is not None and batch.token not in self._in_doubt:
            self._sealer.confirm(sealed.manifest)

    def doubted(self, batch: Batch) -> None:
        """Note that an attempt to send a batch may have stored it."""
        _remember(self._in_doubt, batch.token, None)

    def read_back(self, batch: Batch) -> None:
        """Note that a batch is in doubt, whoever sent it."""
        self.doubted(batch)
        self._read_back = batch

    def _seal(self, batch: Batch) -> SealedBatch | None:
        if self._sealer is None and self.state.problem and time.monotonic() - self._searched >= _SEARCH_SECONDS:
            self._search()
        if self._sealer is None:
            return None
        sealed = self._sealed.get(batch.token)
        if sealed is not None:
            return sealed
        # The rows that are stored already may be without the one that had their manifest (a cluster stores the rows of
        # each shard by themselves), so a repair lists them too.
        whole = self._read_back
        if not batch.repair or whole is None or whole.writer_id != batch.writer_id or not _has(whole.seqs, batch.seqs):
            whole = batch
        try:
            sealed = self._sealer.seal(whole.writer_id, whole.seqs, whole.logregels, now_ms())
        except Exception as error:  # sealing never stops logging
            _logger.error(
                "A batch is stored WITHOUT a seal, because making it failed unexpectedly. %s", type_and_places(error)
            )
            return None
        _remember(self._sealed, batch.token, sealed)
        return sealed


def _has(seqs: Sequence[int], some: Sequence[int]) -> bool:
    return set(some) <= set(seqs)


def _remember(memory: OrderedDict[str, T], token: str, value: T) -> None:
    memory[token] = value
    while len(memory) > _REMEMBERED:
        memory.popitem(last=False)
