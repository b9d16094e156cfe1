"""What earlier batches taught a sender: how much goes through at a time."""

from __future__ import annotations

import math
from typing import Final

from ldv_otel._internal.delivery.batch import Batch

#: After so many batches of about the learnt size a larger one is tried.
_RAISE_AFTER: Final = 16
_RAISE_BY: Final = 1.5


class SendHistory:
    """The history of one sender; it is not shared between threads.

    Attributes:
        limit_bytes: Batches with more content are sent in parts: a proxy, or the Logboek, refused one as too large.
    """

    def __init__(self) -> None:
        self.limit_bytes = math.inf
        self._near_limit = 0

    def is_too_large(self, batch: Batch) -> bool:
        """Whether a batch is larger than what goes through, and can be made smaller."""
        return len(batch.seqs) > 1 and _size(batch) > self.limit_bytes

    def note_too_large(self, batch: Batch) -> None:
        """Learn that a batch did not go through for its size."""
        self.limit_bytes = min(self.limit_bytes, max(_size(batch) / 2, 1.0))
        self._near_limit = 0

    def note_passed(self, batch: Batch) -> None:
        """Learn that a batch went through: after many near the limit a larger one may, if somebody raised it."""
        if math.isfinite(self.limit_bytes) and _size(batch) > self.limit_bytes / 2:
            self._near_limit += 1
            if self._near_limit >= _RAISE_AFTER:
                self.limit_bytes *= _RAISE_BY
                self._near_limit = 0


def _size(batch: Batch) -> int:
    return sum(map(len, batch.payloads))
