"""Sending a batch as a whole, for tests of a sink."""

from __future__ import annotations

from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.delivery.retry import Wait, deliver
from ldv_otel._internal.delivery.sink import Sink


def deliver_whole(batch: Batch, sink: Sink, *, wait: Wait, in_doubt: bool = False) -> None:
    """Send a batch by the protocol of delivery; a refusal is raised, for that batch and not for its halves."""
    for outcome in deliver(batch, sink, wait=wait, in_doubt=in_doubt, split=lambda _: ()):
        if outcome.refused is not None:
            raise outcome.refused
