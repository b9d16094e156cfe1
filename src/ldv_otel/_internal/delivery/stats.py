"""Statistics of a delivery: the one source of `ldv_otel.health()` and of the metrics."""

from __future__ import annotations

import msgspec


class SealState(msgspec.Struct, frozen=True, kw_only=True):
    """How a sink seals what it stores, so that a change shows.

    Attributes:
        key: Public key that it seals with, as a `vkey`; empty while it does not seal.
        problem: Why it does not seal though it should; empty for no such reason.
        unsealed: How many Logregels it stored without a seal though it should have sealed them.
    """

    key: str = ""
    problem: str = ""
    unsealed: int = 0


class OutboxState(msgspec.Struct, frozen=True, kw_only=True):
    """How an outbox is doing, as its sender in this process saw it last. Counts of sending are of this process.

    Attributes:
        waiting: Logregels of all processes that no sender has claimed; counted up to some ten thousand Acties.
        in_batches: Logregels that a sender has claimed, and the Logboek has not confirmed.
        refused: Logregels that the Logboek refuses as data; `ldv outbox refused` shows them.
        oldest_ms: When the oldest one that nobody has claimed ended, in ms since 1970-01-01 UTC; None for none.
        confirmed: Confirmed by the Logboek through this process.
        confirmed_ms: When it last confirmed some, in ms since 1970-01-01 UTC; None for never.
        taken_over: Batches that a sender had begun to send and did not finish, most often because it died.
        retried: How often opening the Logboek or sending a batch was tried again.
        problem: Why nothing can be sent; empty for no such reason.
    """

    waiting: int = 0
    in_batches: int = 0
    refused: int = 0
    oldest_ms: int | None = None
    confirmed: int = 0
    confirmed_ms: int | None = None
    taken_over: int = 0
    retried: int = 0
    problem: str = ""


class DeliveryStats(msgspec.Struct, frozen=True, kw_only=True):
    """The state of delivery in this process. Counts are of Logregels, since the process started.

    Attributes:
        pending: Neither confirmed nor quarantined yet.
        in_doubt: Of those, how many are in a batch that was sent, or is being sent, and is not confirmed.
        oldest_ms: When the oldest pending one ended, in ms since 1970-01-01 UTC; None when nothing is pending.
        running: Acties that have a start on disk and no end (level `write-ahead`).
        confirmed: Confirmed by the Logboek.
        confirmed_ms: When it last confirmed some, in ms since 1970-01-01 UTC; None for never.
        adopted: Left by dead processes, and confirmed through this one.
        retried: How often something was tried again: opening the Logboek, or sending a batch.
        quarantined: Kept apart from the spool, because the Logboek refuses them as data.
        lost: Refused to the application, or given up (level `memory`): stored nowhere.
        seal: What the sink says of its seals; nothing where it makes none.
    """

    pending: int = 0
    in_doubt: int = 0
    oldest_ms: int | None = None
    running: int = 0
    confirmed: int = 0
    confirmed_ms: int | None = None
    adopted: int = 0
    retried: int = 0
    quarantined: int = 0
    lost: int = 0
    seal: SealState = SealState()
