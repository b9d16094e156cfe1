"""Reading the Logboek behind the server: a few connections, and threads that run queries over them."""

from __future__ import annotations

import asyncio
import contextlib
import queue
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import msgspec

from ldv_otel._internal.api.problem import unavailable
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.models import Page, PageLimits
from ldv_otel._internal.clickhouse.schema.migrations import checked
from ldv_otel._internal.config.settings import Settings
from ldv_otel.errors import LdvError, QueryError

_T = TypeVar("_T")

#: Queries at a time; the engine spreads each over the cores by itself.
THREADS: Final = 8


class StoreReader:
    """Runs the named queries off the event loop, each on a connection that no other query uses meanwhile.

    An embedded Logboek stays open as long as this does: its engine is one for the process.

    Args:
        settings: Which Logboek.
        seconds: The most time for one query, waiting for a thread included.
        threads: Queries at a time.
    """

    def __init__(self, settings: Settings, *, seconds: float, threads: int = THREADS) -> None:
        self._settings = settings
        self._seconds = seconds
        # The engine ends a query by itself at the time when its request has given up: a thread cannot be interrupted.
        self._limits = {"max_execution_time": seconds, "timeout_overflow_mode": "throw"}
        self._executor = ThreadPoolExecutor(threads, "ldv-serve")
        #: Connections that no query uses; threads take and return them without a lock of ours.
        self._idle: queue.SimpleQueue[LogboekClient] = queue.SimpleQueue()
        self._checked = False

    def open(self) -> None:
        """Open a first connection, if there is none yet, and check that the tables are of this version.

        Raises:
            ConfigurationError: They are not, or the Logboek cannot be opened as it is configured.
            LogboekUnavailable: The server does not answer.
        """
        if not self._idle.empty():
            return
        self._idle.put(self._connect())

    def close(self) -> None:
        """Wait for the queries under way, and close the connections."""
        self._executor.shutdown(cancel_futures=True)
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()

    async def ask(self, query: Callable[..., _T], /, *args: Any, **kwargs: Any) -> _T:
        """Return the result of `query(client, *args, **kwargs)`.

        Raises:
            Problem: 503, when it takes too long.
            LdvError: What the query raises.
        """
        answer = asyncio.get_running_loop().run_in_executor(self._executor, self._run, query, args, kwargs)
        try:
            return await asyncio.wait_for(answer, self._seconds)
        except TimeoutError:
            raise unavailable() from None

    async def pages(
        self, query: Callable[..., Page], /, *args: Any, limits: PageLimits, **kwargs: Any
    ) -> AsyncIterator[Page]:
        """Give the pages of `query(client, *args, limits, **kwargs)` from a first one on; see `ask`."""
        while True:
            page = await self.ask(query, *args, limits, **kwargs)
            yield page
            if page.following is None:
                return
            limits = msgspec.structs.replace(limits, after=page.following)

    def _run(self, query: Callable[..., _T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _T:
        try:
            client = self._idle.get_nowait()
        except queue.Empty:
            client = self._connect()
        try:
            result = query(client, *args, **kwargs)
        except LdvError as error:
            # Whatever broke, the next query gets a fresh connection; a query that is wrong breaks none.
            self._idle.put(client) if isinstance(error, QueryError) else client.close()
            raise
        except BaseException:
            client.close()
            raise
        self._idle.put(client)
        return result

    def _connect(self) -> LogboekClient:
        client = LogboekClient(self._settings, limits=self._limits)
        if not self._checked:
            # Once; of two threads that come first both may. A reader of a tenant is not opened before it is asked.
            client = checked(client)
            self._checked = True
        return client
