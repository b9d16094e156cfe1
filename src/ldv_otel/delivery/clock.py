"""Time as a thing passed in, so that tests need not wait for it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings: one for waiting, one for writing down."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""

    def time_ms(self) -> int:
        """Return ms since 1970-01-01 UTC."""


class SystemClock:
    """The clocks of the operating system."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    def time_ms(self) -> int:
        """Return ms since 1970-01-01 UTC."""
        return time.time_ns() // 1_000_000
