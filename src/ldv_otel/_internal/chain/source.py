"""The sources of a chain's records: this Logboek, and the protocol that other parties' read APIs follow too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import msgspec

from ldv_otel._internal.chain.model import PartyState
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.models import RecordQuery
from ldv_otel._internal.clickhouse.verification.prove import RecordId, prove_records
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.tamper.proof import encode_proof

#: The most records of one trace that one party contributes.
MAX_RECORDS: Final = 1_000


class SourceAnswer(msgspec.Struct, frozen=True):
    """The records that a party has; `complete` is False when there are more, or some could not be read."""

    logregels: list[Logregel]
    complete: bool = True


class PartyFailed(Exception):  # what happened, not a mistake of ours
    """A party could not be asked, or did not answer as a read API does."""

    def __init__(self, state: PartyState, detail: str) -> None:
        super().__init__(detail)
        self.state = state
        self.detail = detail


class RecordSource(Protocol):
    """One party's records."""

    async def of_trace(self, trace_id: bytes) -> SourceAnswer:
        """Return the records of a trace.

        Raises:
            PartyFailed: It could not be asked.
        """
        ...

    async def for_foreign_trace(self, trace_id: bytes) -> SourceAnswer:
        """Return what was done on behalf of a trace of another party, in traces of this one's own (LDV-X2).

        Raises:
            PartyFailed: It could not be asked.
        """
        ...


class ThisLogboek:
    """This Logboek.

    Args:
        ask: Calls a query with a client, as its other arguments say.
        visible: As in `RecordQuery`.
        subjects: As in `RecordQuery`.
        confidential: Whether to show records of confidential activities.
    """

    def __init__(
        self,
        ask: Callable[..., Awaitable[Any]],
        *,
        visible: tuple[str, ...] = (),
        subjects: tuple[bytes, ...] = (),
        confidential: bool,
    ) -> None:
        self._ask = ask
        self._visible = visible
        self._subjects = subjects
        self._confidential = confidential

    async def of_trace(self, trace_id: bytes) -> SourceAnswer:
        """Return the records of a trace."""
        return await self._answer(trace_id=trace_id)

    async def for_foreign_trace(self, trace_id: bytes) -> SourceAnswer:
        """Return what was done here on behalf of another party's trace."""
        return await self._answer(foreign_trace_id=trace_id)

    async def proofs_of(self, trace_id: bytes) -> list[bytes]:
        """Return the proofs of the records of a trace, of those that are sealed as they are."""
        query = RecordQuery(trace_id=trace_id, visible=self._visible, subjects=self._subjects)
        page = await self._ask(read.search, query, limit=MAX_RECORDS, confidential=self._confidential)
        ids = [RecordId.of(each) for each in page.records]
        proofs = await self._ask(prove_records, ids) if ids else {}
        return [encode_proof(proof) for proof in proofs.values() if proof is not None]

    async def _answer(self, **selection: Any) -> SourceAnswer:
        query = RecordQuery(**selection, visible=self._visible, subjects=self._subjects)
        page = await self._ask(read.search, query, limit=MAX_RECORDS, confidential=self._confidential)
        return SourceAnswer([stored.logregel for stored in page.records], complete=page.following is None)
