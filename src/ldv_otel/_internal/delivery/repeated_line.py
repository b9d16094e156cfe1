"""A log line that may be due thousands of times a second: once at once, then once a minute with how often it came."""

from __future__ import annotations

import logging
from typing import Final

from ldv_otel._internal.delivery.clock import Clock, SystemClock

_EVERY_SECONDS: Final = 60.0


class RepeatedLine:
    """The line is about one state that lasts, such as a full disk.

    No lock: one that another thread held at a fork would be held for ever in the child, and a race costs no more than a
    line twice, or a count that is off by one.

    Args:
        logger: Of the module that reports.
        level: As of `logging`.
    """

    def __init__(self, logger: logging.Logger, level: int, *, clock: Clock | None = None) -> None:
        self._logger = logger
        self._level = level
        self._clock = clock or SystemClock()
        self._left_out = 0
        self._next_seconds = -1.0

    def log(self, message: str, *args: object) -> None:
        """Log a message, or count it until the minute is over."""
        now = self._clock.monotonic()
        if now < self._next_seconds:
            self._left_out += 1
            return
        left_out, self._left_out = self._left_out, 0
        self._next_seconds = now + _EVERY_SECONDS
        if left_out:
            self._logger.log(self._level, "%s (And %d times since the last such line.)", message % args, left_out)
        else:
            self._logger.log(self._level, message, *args)
