"""Whether a server can do its work now: asked of the store, in bounded time, and at most once a second.

Whoever asks gets the answer of before as long as it is fresh, so that those who nobody knows cannot load the store; a
question that hangs is not asked again beside itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from ldv_otel.errors import LdvError

_logger: Final = logging.getLogger(__name__)

#: How long an answer holds, and how long it may take.
FRESH_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 2.0


class Readiness:
    """Asks whether the store answers, and keeps the answer for a second.

    Args:
        check: Blocks; returns why the server is not ready, or empty text. Runs in a thread of its own, one at a time,
            so that queries under way do not stand before it.
        close: Called in that thread at the end.
    """

    def __init__(
        self,
        check: Callable[[], str],
        *,
        close: Callable[[], None] | None = None,
        fresh_seconds: float = FRESH_SECONDS,
        seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._check = check
        self._close = close
        self._fresh_seconds = fresh_seconds
        self._seconds = seconds
        self._executor = ThreadPoolExecutor(1, "ldv-readiness")
        self._running: asyncio.Future[str] | None = None
        self._began = 0.0
        self._until = 0.0
        self._problem = "it was not asked yet"
        self._logged = ""

    async def problem(self) -> str:
        """Return why the server is not ready; empty text only if a query was answered within the last second."""
        now = time.monotonic()
        if self._running is None and now >= self._until:
            self._began = now
            self._running = asyncio.ensure_future(
                asyncio.get_running_loop().run_in_executor(self._executor, self._check)
            )
        if self._running is not None:
            left = self._began + self._seconds - now
            # Shielded by `wait`: who leaves does not end the question for the others.
            done, _ = await asyncio.wait({self._running}, timeout=max(left, 0))
            if done:
                self._keep()
            else:
                self._problem = f"the Logboek gave no answer within {self._seconds:g} s"
        self._log()
        return self._problem

    def close(self) -> None:
        """End it, after a question that is under way."""
        if self._close is not None:
            self._executor.submit(self._close)
        self._executor.shutdown()

    def _keep(self) -> None:
        if self._running is not None and self._running.done():
            # Whatever was raised: without an answer nothing is ready. Texts of others may quote anything.
            match self._running.exception():
                case None:
                    self._problem = self._running.result()
                case LdvError() as error:
                    self._problem = str(error)
                case error:
                    self._problem = f"the check failed with {type(error).__name__}"
            self._until = time.monotonic() + self._fresh_seconds
            self._running = None

    def _log(self) -> None:
        """Log a change, once."""
        if self._problem != self._logged:
            if self._problem:
                _logger.warning("Not ready: %s", self._problem)
            else:
                _logger.warning("Ready again.")
            self._logged = self._problem
