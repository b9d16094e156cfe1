"""The processor that `install()` sets up for a service with one Logboek."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ldv_otel._internal.sdk.health import Health, health_of, with_outboxes
from ldv_otel._internal.sdk.processor import LdvSpanProcessor

if TYPE_CHECKING:
    from ldv_otel._internal.sdk.outbox.installed import InstalledOutboxes


class InstalledProcessor(LdvSpanProcessor):
    """Goes on when one of the service's providers is shut down: another one may take its place, or has.

    Attributes:
        senders: Its outboxes, if it was given any.
        logboek: The address of its Logboek, as it is shown.
    """

    senders: InstalledOutboxes | None = None
    logboek = ""

    def shutdown(self) -> None:
        """Deliver what is pending."""
        self.flush(self.flush_seconds)

    def flush(self, timeout_seconds: float) -> bool:
        """Deliver what is pending; True only if nothing is any more and nothing was ever lost."""
        in_time = self.senders is None or self.senders.flush(timeout_seconds)
        return self.deliver(timeout_seconds) and in_time

    def close(self) -> None:
        """Deliver what is pending, at the end of the process.

        Exit handlers that were registered before ours run after it, and may log too: with a spool to the last moment.
        """
        if self.senders is not None:
            self.senders.close(self.flush_seconds)
        self.settle(self.flush_seconds)
        self.delivery.shutdown(self.flush_seconds, last_words=True)

    def health(self) -> Health:
        """Return how logging is doing, but for what stands around it."""
        health = health_of(self.delivery.stats(), logboek=self.logboek, flags=self.flags)
        if self.senders is not None:
            health = with_outboxes(health, self.senders.health())
        return msgspec.structs.replace(
            health,
            unmatched_rules=self.mapper.unmatched(),
            overlooked=self.overlooked.report(),
            resource_left_out=tuple(self.maker.left_out),
        )
