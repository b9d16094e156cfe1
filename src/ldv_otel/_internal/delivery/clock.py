"""Time as a thing passed in, so that tests need not wait for it."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from ldv_otel._internal.times.instants import now_ms


class Clock(Protocol):
    """Two readings, one for waiting and one for writing down; and the waiting itself."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""

    def time_ms(self) -> int:
        """Return ms since 1970-01-01 UTC."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for an event, at most so long; say whether it came."""


class SystemClock:
    """The clocks of the operating system."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    def time_ms(self) -> int:
        """Return ms since 1970-01-01 UTC."""
        return now_ms()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for an event, at most so long; say whether it came."""
        return event.wait(seconds)
