"""The send protocol: retry without doubling, and never believe a doubtful answer (LDV-L2).

A retry with the same token is not enough. ClickHouse writes the note that a token was seen before it puts the rows in
place, so a server killed between the two answers the retry with success and has no rows. Hence: when the first attempt
was not a clean success, a batch is read back before it counts as confirmed, and what is missing is sent again under a
new token. A batch that may have been sent by somebody who is gone is read back before it is sent at all: what froze it
may be lost or damaged, and the token of a batch that was formed anew would not be known.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Final

from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.delivery.sink import Sink
from ldv_otel.errors import ConfigurationError, LdvError, LogboekUnavailable

_logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 30.0
#: A `Retry-After` may be a slip, or a date by a clock that is wrong.
_LONGEST_WISH_SECONDS: Final = 300.0


class Stopped(Exception):  # noqa: N818  (an answer to the caller's own wish, not an error)
    """Waiting was cut short because the writer is to stop; the batch is not confirmed."""


def deliver(
    batch: Batch,
    sink: Sink,
    *,
    wait: Callable[[float], bool],
    in_doubt: bool = False,
    waits_out: tuple[type[LdvError], ...] = (LogboekUnavailable, ConfigurationError),
) -> None:
    """Send a batch until the Logboek has confirmed every row of it.

    Args:
        wait: Waits that many seconds, or returns True at once when the writer is to stop.
        in_doubt: Whether the batch, or one like it, may have been sent before, by a process that is gone.
        waits_out: Errors that are waited out. By default also those of rights and tables: a service goes on running
            while an administrator puts them right. Where somebody waits for the outcome, an error is better.

    Raises:
        Stopped: The writer is to stop; some or all rows are not confirmed.
        BatchRefused: The Logboek will never take the batch.
    """
    doubtful = in_doubt
    pause = _FIRST_PAUSE_SECONDS
    remaining: Batch | None = batch
    unread = in_doubt
    while remaining is not None:
        try:
            if unread and (stored := sink.read_back(remaining)):
                remaining = remaining.without(stored)
            unread = False
            if remaining is None:
                return
            sink.send(remaining)
            if not doubtful:
                return
            remaining = remaining.without(sink.read_back(remaining))
            if remaining is not None:
                _logger.warning(
                    "The Logboek said it had a batch of which %d records are missing; they are sent again.",
                    len(remaining.seqs),
                )
        except waits_out as error:
            doubtful = doubtful or not isinstance(error, LogboekUnavailable) or error.in_doubt
            seconds = pause_after(error, pause)
            _logger.warning("The Logboek did not confirm a batch; it is tried again in %.1f s. %s", seconds, error)
            if wait(seconds):
                raise Stopped from error
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


def pause_after(error: LdvError, pause_seconds: float) -> float:
    """Return how long to wait after an error: our own pause, or what the Logboek asked for if that is longer.

    Both are spread, ours downwards and its wish upwards, so that services do not come back all at once. A wish counts
    up to five minutes.
    """
    spread = random.uniform(0.5, 1.0)  # noqa: S311  (guards nothing)
    wish = error.retry_after_seconds if isinstance(error, LogboekUnavailable) else 0.0
    return max(pause_seconds * spread, min(wish, _LONGEST_WISH_SECONDS) * (1.5 - spread / 2))
