"""What a server has to say of records under keys that it lacks: whoever is in those is not found (LDV-R7)."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Final

from ldv_otel._internal.api.store_reader import StoreReader
from ldv_otel._internal.clickhouse.queries.keys import records_under_other_keys

#: It reads a column of the whole table, and changes when somebody changes keys.
_SECONDS: Final = 60.0


class MissingKeys:
    """Knows how many records are under other keys than a server's own; asked once a minute at most."""

    def __init__(self, reader: StoreReader, keys: Collection[str]) -> None:
        self._reader = reader
        self._keys = tuple(keys)
        self._counts: dict[str, int] | None = None
        self._until = 0.0

    async def counts(self) -> dict[str, int]:
        """Return how many records there are by the id of a key that is missing, the most first.

        Raises:
            Problem: 503, when it takes too long.
            LdvError: The Logboek cannot be asked, and never could.
        """
        now = time.monotonic()
        if self._counts is None or now >= self._until:
            # Before it: requests that come meanwhile have the answer of before.
            self._until = now + _SECONDS
            self._counts = await self._reader.ask(records_under_other_keys, self._keys)
        return self._counts
