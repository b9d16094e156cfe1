"""Sinks that benchmarks deliver to."""

from __future__ import annotations

from typing import Final

from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.delivery.sink import SinkTraits


class Forgetful:
    """Takes every batch, and knows of no other than the last."""

    traits: Final = SinkTraits()
    _last = ""

    def open(self) -> None:
        """Be ready."""

    def send(self, batch: Batch) -> None:
        """Take it."""
        self._last = batch.token

    def read_back(self, batch: Batch) -> frozenset[int]:
        """Have all of what was sent last."""
        return frozenset(batch.seqs if batch.token == self._last else ())

    def close(self) -> None:
        """Do nothing."""
