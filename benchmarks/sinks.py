"""Sinks that benchmarks deliver to."""

from __future__ import annotations

from ldv_otel._internal.delivery.batch import Batch


class Forgetful:
    """Takes every batch, and knows of no other than the last."""

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
