"""The Logboek behind the server: a few connections, and threads that ask questions over them."""

from __future__ import annotations

import asyncio
import contextlib
import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from ldv_otel._internal.api.problem import unavailable
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import checked
from ldv_otel._internal.config.settings import Settings
from ldv_otel.errors import LdvError, QueryError

_T = TypeVar("_T")

#: Questions at a time; the engine spreads each over the cores by itself.
THREADS: Final = 8


class StoreReader:
    """Asks the named questions off the event loop, each on a connection that nobody else uses meanwhile.

    An embedded Logboek stays open as long as this does: its engine is one for the process.

    Args:
        settings: Which Logboek.
        seconds: The most time for one question, waiting for a turn included.
        threads: Questions at a time.
    """

    def __init__(self, settings: Settings, *, seconds: float, threads: int = THREADS) -> None:
        self._settings = settings
        self._seconds = seconds
        # The engine stops by itself a little after nobody waits for it any more.
        self._limits = {"max_execution_time": seconds, "timeout_overflow_mode": "throw"}
        self._executor = ThreadPoolExecutor(threads, "ldv-serve")
        self._idle: queue.SimpleQueue[LogboekClient] = queue.SimpleQueue()

    def open(self) -> None:
        """Open a first connection, if there is none yet, and check that the tables are of this version.

        Raises:
            ConfigurationError: They are not, or the Logboek cannot be opened as it is configured.
            LogboekUnavailable: The server does not answer.
        """
        if not self._idle.empty():
            return
        self._idle.put(checked(self._connect()))

    def close(self) -> None:
        """Wait for the questions under way, and let go of the Logboek."""
        self._executor.shutdown(cancel_futures=True)
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()

    async def ask(self, question: Callable[..., _T], /, *args: Any, **kwargs: Any) -> _T:
        """Return the answer of `question(client, *args, **kwargs)`.

        Raises:
            Problem: 503, when it takes too long.
            LdvError: What the question raises.
        """
        answer = asyncio.get_running_loop().run_in_executor(self._executor, self._ask, question, args, kwargs)
        try:
            return await asyncio.wait_for(answer, self._seconds)
        except TimeoutError:
            raise unavailable() from None

    def _ask(self, question: Callable[..., _T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _T:
        try:
            client = self._idle.get_nowait()
        except queue.Empty:
            client = self._connect()
        try:
            found = question(client, *args, **kwargs)
        except LdvError as error:
            # Whatever broke, the next question gets a fresh connection; a wrong question breaks none.
            self._idle.put(client) if isinstance(error, QueryError) else client.close()
            raise
        except BaseException:
            client.close()
            raise
        self._idle.put(client)
        return found

    def _connect(self) -> LogboekClient:
        return LogboekClient(self._settings, limits=self._limits)
