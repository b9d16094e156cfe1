"""`Health` reports the state of logging in this process, for a readiness probe and for metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from ldv_otel._internal.delivery.stats import DeliveryStats
from ldv_otel._internal.times.instants import now_ms


class Health(msgspec.Struct, frozen=True):
    """The state of logging in this process, for a readiness probe.

    Attributes:
        installed: Whether `install()` was called here.
        pending: Logregels not yet confirmed by the Logboek.
        in_doubt: Of those, how many are being sent, or were sent without a conclusive answer.
        oldest_seconds: How long ago the oldest pending one ended; 0 when nothing is pending.
        running: Acties that have begun and not ended, with level `write-ahead`.
        confirmed: Logregels confirmed since the process started.
        confirmed_ms: When it last confirmed some, in ms since 1970-01-01 UTC; None for never.
        adopted: Logregels of dead processes, confirmed through this one.
        retried: How often opening the Logboek or sending a batch was tried again.
        quarantined: Logregels that the Logboek refused as data; `ldv spool quarantine list` shows them.
        lost: Logregels that will never be stored; anything but 0 is a breach of duty.
        flags: How often each flag was put on a record; `failed` are spans that could not be logged at all.
        provider_replaced: Whether another tracer provider was set unnoticed: its spans are not logged.
        silenced_tracers: Tracers that a tracer configurator of the SDK has disabled: they make no spans to log.
    """

    installed: bool
    logboek: str = ""
    pending: int = 0
    in_doubt: int = 0
    oldest_seconds: float = 0.0
    running: int = 0
    confirmed: int = 0
    confirmed_ms: int | None = None
    adopted: int = 0
    retried: int = 0
    quarantined: int = 0
    lost: int = 0
    flags: dict[str, int] = msgspec.field(default_factory=dict)
    provider_replaced: bool = False
    silenced_tracers: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every Actie so far is stored, or will be."""
        return self.installed and not (
            self.lost or self.quarantined or "failed" in self.flags or self.provider_replaced
        )


def health_of(
    stats: DeliveryStats,
    *,
    logboek: str,
    flags: Mapping[str, int],
    provider_replaced: bool = False,
    silenced_tracers: Iterable[str] = (),
) -> Health:
    """Return the health of a process that logs, from the statistics of its delivery."""
    oldest_ms = stats.oldest_ms
    return Health(
        installed=True,
        logboek=logboek,
        pending=stats.pending,
        in_doubt=stats.in_doubt,
        oldest_seconds=max(0, now_ms() - oldest_ms) / 1_000 if oldest_ms is not None else 0.0,
        running=stats.running,
        confirmed=stats.confirmed,
        confirmed_ms=stats.confirmed_ms,
        adopted=stats.adopted,
        retried=stats.retried,
        quarantined=stats.quarantined,
        lost=stats.lost,
        flags=dict(flags),
        provider_replaced=provider_replaced,
        silenced_tracers=tuple(silenced_tracers),
    )
