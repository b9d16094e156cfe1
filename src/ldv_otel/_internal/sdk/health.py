"""`Health` reports the state of logging in this process, for a readiness probe and for metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

import msgspec

from ldv_otel._internal.config.checks import CheckOutcome
from ldv_otel._internal.delivery.stats import DeliveryStats, OutboxState
from ldv_otel._internal.record.overlooked import OverlookedAttribute
from ldv_otel._internal.rules.misses import UnmatchedRule
from ldv_otel._internal.times.instants import now_ms

#: What to do about two providers in one process.
PROVIDER_ADVICE: Final = (
    "Either start the service without `ldv run` or `opentelemetry-instrument`, and call ldv_otel.install() where the "
    "provider is set; or leave the provider out of the code, and set OTEL_SERVICE_NAME and OTEL_TRACES_EXPORTER."
)


class OutboxHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How the outboxes of a process are doing.

    Attributes:
        rolled_back: Logregels of Acties whose transaction was rolled back, since the process started.
        refused_writes: Logregels that a database refused; the application got an error each time.
        in_doubt: Transactions with Acties of which it is not known whether they committed; PostgreSQL is asked later.
        databases: For each outbox, as its sender in this process saw it last.
    """

    rolled_back: int = 0
    refused_writes: int = 0
    in_doubt: int = 0
    databases: dict[str, OutboxState] = msgspec.field(default_factory=dict)


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
        overlooked: Attributes of the standard's namespace on spans that are no Acties, often misspelled (LDV-N9):
            `name`, the number of `spans`, and the `nearest` known name.
        resource_left_out: Names of attributes of the resource that records do not keep (LDV-N8); see
            `LDV_RESOURCE_ATTRIBUTES`.
        seal_key: Public key that stored Logregels are sealed with here; empty while none are.
        seal_problem: Why Logregels are stored without a seal though `LDV_SEAL` is on; empty for no such reason.
        unsealed: How many were, since the process started.
        provider_replaced: Whether another tracer provider was set unnoticed: its spans are not logged.
        propagator_replaced: Whether another propagator was set afterwards: records do not name callers (LDV-A6), and
            calls do not name the Actie that makes them.
        silenced_tracers: Tracers that a tracer configurator of the SDK has disabled: they make no spans to log.
        provider_refused: What a tracer provider that the application set beside the one of OpenTelemetry's
            auto-instrumentation would have done, and does not; empty for no such provider.
        unmatched_rules: Mapping rules that took no span so far, each with the reason.
        outbox: How the outboxes are doing; None where `install()` was given none. What is in them counts in `pending`
            and the other numbers, whichever process wrote it.
        tenants: With several Logboeken: of each tenant that this process has logged for, by its id, and of the
            `quarantine`; what is above are then their sums.
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
    overlooked: tuple[OverlookedAttribute, ...] = ()
    resource_left_out: tuple[str, ...] = ()
    seal_key: str = ""
    seal_problem: str = ""
    unsealed: int = 0
    provider_replaced: bool = False
    propagator_replaced: bool = False
    silenced_tracers: tuple[str, ...] = ()
    provider_refused: str = ""
    unmatched_rules: tuple[UnmatchedRule, ...] = ()
    outbox: OutboxHealth | None = None
    tenants: dict[str, Health] = msgspec.field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every Actie so far is stored, or will be, with its caller; with or without a seal."""
        return self.installed and not (
            self.lost
            or self.quarantined
            or "failed" in self.flags
            or self.provider_replaced
            or self.propagator_replaced
        )

    @property
    def checks(self) -> tuple[CheckOutcome, ...]:
        """The checks of `ldv doctor` that only the process itself can make."""
        return checks_of(self)


def checks_of(health: Health) -> tuple[CheckOutcome, ...]:
    """Return what `ldv doctor` would say of a process, in its words."""
    if not health.installed:
        return (
            CheckOutcome(
                "logging",
                "wrong",
                "This process keeps no Logboek: nothing called `ldv_otel.install()`.",
                "Call it at the start, or start the service with `ldv run` or `opentelemetry-instrument`; a plain "
                "`python app.py` reads no OTEL_TRACES_EXPORTER.",
            ),
        )
    return (_provider(health), _propagator(health), _rules(health))


def _provider(health: Health) -> CheckOutcome:
    if health.provider_refused:
        return CheckOutcome("provider", "wrong", health.provider_refused, PROVIDER_ADVICE)
    if health.provider_replaced:
        return CheckOutcome(
            "provider",
            "wrong",
            "Another tracer provider was set in a way that nobody saw; its spans are not logged.",
            "Set it with opentelemetry.trace.set_tracer_provider, or before ldv_otel.install().",
        )
    if health.silenced_tracers:
        return CheckOutcome(
            "provider",
            "look",
            f"A tracer configurator has disabled: {', '.join(health.silenced_tracers)}. They make no spans to log.",
            "Make sure that none of them processes personal data.",
        )
    return CheckOutcome("provider", "ok", "The spans of this process's tracer provider are looked at.")


def _propagator(health: Health) -> CheckOutcome:
    if health.propagator_replaced:
        return CheckOutcome(
            "propagator",
            "wrong",
            "Another propagator was set after logging began: records do not name callers, and calls do not name their "
            "Actie.",
            "Set it before ldv_otel.install(), or put `ldv` last in OTEL_PROPAGATORS.",
        )
    return CheckOutcome("propagator", "ok", "The Logboek's propagator is in use.")


def _rules(health: Health) -> CheckOutcome:
    if health.unmatched_rules:
        return CheckOutcome(
            "rules matched",
            "look",
            " ".join(rule.sentence() for rule in health.unmatched_rules),
            "Compare the rule with the span; `ldv rules test rules.yaml spans.json` shows all of them.",
        )
    return CheckOutcome("rules matched", "ok", "Every mapping rule took a span.")


def health_of(
    stats: DeliveryStats,
    *,
    logboek: str,
    flags: Mapping[str, int],
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
        seal_key=stats.seal.key,
        seal_problem=stats.seal.problem,
        unsealed=stats.seal.unsealed,
    )


def health_of_all(tenants: Mapping[str, Health]) -> Health:
    """Return the health of a process with several Logboeken, from that of each by its tenant."""
    healths = tenants.values()
    flags: Counter[str] = Counter()
    for health in healths:
        flags.update(health.flags)
    return Health(
        installed=True,
        pending=sum(health.pending for health in healths),
        in_doubt=sum(health.in_doubt for health in healths),
        oldest_seconds=max(health.oldest_seconds for health in healths),
        running=sum(health.running for health in healths),
        confirmed=sum(health.confirmed for health in healths),
        confirmed_ms=max((health.confirmed_ms for health in healths if health.confirmed_ms), default=None),
        adopted=sum(health.adopted for health in healths),
        retried=sum(health.retried for health in healths),
        quarantined=sum(health.quarantined for health in healths),
        lost=sum(health.lost for health in healths),
        flags=dict(flags),
        unsealed=sum(health.unsealed for health in healths),
        tenants=dict(tenants),
    )


def with_outboxes(health: Health, outbox: OutboxHealth) -> Health:
    """Return the health of a process that also sends what is in outboxes."""
    states = outbox.databases.values()
    ages = [(now_ms() - state.oldest_ms) / 1_000 for state in states if state.oldest_ms is not None]
    return msgspec.structs.replace(
        health,
        pending=health.pending + sum(state.waiting + state.in_batches for state in states),
        oldest_seconds=max(health.oldest_seconds, *ages, 0.0),
        confirmed=health.confirmed + sum(state.confirmed for state in states),
        confirmed_ms=max([ms for ms in (health.confirmed_ms, *(s.confirmed_ms for s in states)) if ms], default=None),
        retried=health.retried + sum(state.retried for state in states),
        quarantined=health.quarantined + sum(state.refused for state in states),
        lost=health.lost + outbox.refused_writes,
        outbox=outbox,
    )
