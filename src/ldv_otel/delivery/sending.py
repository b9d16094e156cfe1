"""The send protocol: retry without doubling, and never believe a doubtful answer (LDV-L2).

A retry with the same token is not enough. ClickHouse writes the note that a token was seen before it puts the rows in
place, so a server killed between the two answers the retry with success and has no rows. Hence: when the first attempt
was not a clean success, a batch is read back before it counts as confirmed, and what is missing is sent again under a
new token.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Final

from ldv_otel.delivery.batch import Batch
from ldv_otel.delivery.sink import Sink
from ldv_otel.errors import ConfigurationError, LdvError, LogboekUnavailable

_logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 30.0


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
        in_doubt: Whether the batch may have been sent before, by a process that is gone.
        waits_out: Errors that are waited out. By default also those of rights and tables: a service goes on running
            while an administrator puts them right. Where somebody waits for the outcome, an error is better.

    Raises:
        Stopped: The writer is to stop; some or all rows are not confirmed.
        BatchRefused: The Logboek will never take the batch.
    """
    doubtful = in_doubt
    pause = _FIRST_PAUSE_SECONDS
    remaining: Batch | None = batch
    while remaining is not None:
        try:
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
            _logger.warning("The Logboek did not confirm a batch; it is tried again in %.1f s. %s", pause, error)
            if wait(pause * random.uniform(0.5, 1.0)):  # noqa: S311  (spreads retries, guards nothing)
                raise Stopped from error
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
