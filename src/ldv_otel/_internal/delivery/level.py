"""The contract of a delivery level: what the SDK side asks of `memory`, `durable`, `write-ahead` and `confirmed`.

A processor knows nothing else of how a Logregel gets to the Logboek; `sdk.install` chooses the implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ldv_otel._internal.config.variables import DeliveryLevel
from ldv_otel._internal.delivery.stats import DeliveryStats
from ldv_otel._internal.record.logregel import Logregel

if TYPE_CHECKING:
    # The spool is imported by the levels that keep one.
    from ldv_otel._internal.delivery.spool.write_ahead import ActieStart


class EndedActie(NamedTuple):
    """The records of an Actie that ended, as `Delivery.submit_encoded` takes them.

    Attributes:
        payloads: At least one.
        ended: The Actie's id.
    """

    payloads: Sequence[bytes]
    ended: bytes


class Delivery(Protocol):
    """A delivery level takes Logregels over from the processor and gets them to the sink.

    Attributes:
        blocks: Whether `submit` may wait for a disk or a server, so that an event loop should not.
    """

    @property
    def blocks(self) -> bool: ...

    def stats(self) -> DeliveryStats:
        """Return how it is doing."""

    def submit(self, logregel: Logregel, level: DeliveryLevel | None = None) -> None:
        """Take a record over, with the promise of a level, or of the one that is set.

        Raises:
            LogboekUnavailable: The promise cannot be kept.
        """

    def submit_encoded(
        self, payloads: Sequence[bytes], level: DeliveryLevel | None = None, *, ended: bytes = b""
    ) -> None:
        """Take records over at once, at least one, as `encode_logregel` gives them; otherwise as `submit`.

        Args:
            ended: The Actie, if any, that they are the end of; `submit` takes its record's own.
        """

    def commits_together(self, level: DeliveryLevel | None) -> bool:
        """Say whether `commit_together` keeps the promise of a level, or of the one that is set, after some waiting."""

    def commit_together(self, acties: Sequence[EndedActie]) -> None:
        """Commit several Acties with one flush, all of them or none; any thread may call it.

        Raises:
            LogboekUnavailable: The promise cannot be kept.
        """

    def writes_ahead(self, level: DeliveryLevel | None) -> bool:
        """Say whether an Actie of a level, or of the one that is set, needs `begin` before it does anything."""

    def begin(self, start: ActieStart, *, more: bool = False) -> None:
        """Keep what becomes of an Actie if it is never ended; `more` adds to one that runs.

        Raises:
            LogboekUnavailable: The promise cannot be kept.
        """

    def flush(self, timeout_seconds: float, *, patient: bool = True) -> bool:
        """Deliver what is pending; True only if nothing is pending and nothing was lost.

        Args:
            patient: Wait all the time for a Logboek that is away; otherwise only as long as it may be there.
        """

    def shutdown(self, timeout_seconds: float, *, last_words: bool = False) -> bool:
        """Flush and stop.

        Args:
            last_words: The process ends, and its exit handlers may log yet: what can be kept for others to send is.
        """
