"""Where records of a chain come from: this Logboek, or another party's read API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import msgspec

from ldv_otel._internal.chain.model import PartyState
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.models import Page, RecordQuery
from ldv_otel._internal.record.logregel import Logregel

#: The most records of one trace that one party contributes.
MAX_RECORDS: Final = 1_000


class Records(msgspec.Struct, frozen=True):
    """What a party has; `complete` is False when there is more, or some could not be read."""

    logregels: list[Logregel]
    complete: bool = True


class PartyFailed(Exception):  # noqa: N818  (what happened, not a mistake of ours)
    """A party could not be asked, or did not answer as a read API does."""

    def __init__(self, state: PartyState, detail: str) -> None:
        super().__init__(detail)
        self.state = state
        self.detail = detail


class Source(Protocol):
    """One party's records."""

    async def of_trace(self, trace_id: bytes) -> Records:
        """Return the records of a trace.

        Raises:
            PartyFailed: It could not be asked.
        """
        ...

    async def for_foreign_trace(self, trace_id: bytes) -> Records:
        """Return what was done on behalf of a trace of another party, in traces of this one's own (LDV-X2).

        Raises:
            PartyFailed: It could not be asked.
        """
        ...


class ThisLogboek:
    """The Logboek here.

    Args:
        ask: Calls `read.search` with a client, as its other arguments say.
        visible: As in `RecordQuery`.
        subjects: As in `RecordQuery`.
        confidential: Whether to show records of confidential activities.
    """

    def __init__(
        self,
        ask: Callable[..., Awaitable[Page]],
        *,
        visible: tuple[str, ...] = (),
        subjects: tuple[bytes, ...] = (),
        confidential: bool,
    ) -> None:
        self._ask = ask
        self._visible = visible
        self._subjects = subjects
        self._confidential = confidential

    async def of_trace(self, trace_id: bytes) -> Records:
        """Return the records of a trace."""
        return await self._records(trace_id=trace_id)

    async def for_foreign_trace(self, trace_id: bytes) -> Records:
        """Return what was done here on behalf of another party's trace."""
        return await self._records(foreign_trace_id=trace_id)

    async def _records(self, **question: Any) -> Records:
        asked = RecordQuery(**question, visible=self._visible, subjects=self._subjects)
        page = await self._ask(read.search, asked, limit=MAX_RECORDS, confidential=self._confidential)
        return Records([found.logregel for found in page.records], complete=page.following is None)
