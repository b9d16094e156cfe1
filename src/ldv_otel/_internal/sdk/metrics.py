"""What `health()` says, as OpenTelemetry metrics: read when a metric reader asks, so without one they cost nothing.

Names are those of the semantic conventions for the SDK's own metrics where they have one, with a Logregel counted as
the span it is; else they begin with `ldv.`. Source: OpenTelemetry semantic conventions, "OpenTelemetry SDK metrics".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from ldv_otel._internal.sdk.health import Health

#: The id of the tenant, or `quarantine`, where there are several Logboeken.
_TENANT: Final = "ldv.tenant"
_COMPONENT_TYPE: Final = "ldv_otel.LdvSpanProcessor"
_COMPONENT: Final = {"otel.component.type": _COMPONENT_TYPE, "otel.component.name": f"{_COMPONENT_TYPE}/0"}


def observe(meter: Meter, read: Callable[[], Health]) -> None:
    """Make the instruments; each reads anew when it is asked."""

    def values(
        of: Callable[[Health], Iterable[Observation]],
    ) -> list[Callable[[CallbackOptions], Iterable[Observation]]]:
        return [lambda _: _of_each(of, read())]

    meter.create_observable_up_down_counter(
        "otel.sdk.processor.span.queue.size",
        values(lambda health: [_of_component(health.pending)]),
        "{span}",
        "Logregels that the Logboek has not confirmed yet.",
    )
    meter.create_observable_up_down_counter(
        "otel.sdk.exporter.span.inflight",
        values(lambda health: [_of_component(health.in_doubt)]),
        "{span}",
        "Logregels that are being sent, or were without an answer that can be believed.",
    )
    meter.create_observable_counter(
        "otel.sdk.exporter.span.exported",
        values(_exported),
        "{span}",
        "Logregels that the Logboek confirmed, or refused as data (`error.type` = `refused`).",
    )
    meter.create_observable_gauge(
        "ldv.logregel.pending.age",
        values(lambda health: [Observation(health.oldest_seconds)]),
        "s",
        "How long ago the oldest Logregel ended that is not confirmed.",
    )
    meter.create_observable_counter(
        "ldv.logregel.lost",
        values(_lost),
        "{logregel}",
        "Logregels that are stored nowhere: anything but 0 is a breach of duty.",
    )
    meter.create_observable_counter(
        "ldv.logregel.flagged",
        values(_flagged),
        "{logregel}",
        "Logregels with a value that had to be normalised, by `ldv.flag`.",
    )
    meter.create_observable_counter(
        "ldv.logregel.unsealed",
        values(lambda health: [Observation(health.unsealed)]),
        "{logregel}",
        "Logregels that were stored without a seal though they should have one: a change of them would not show.",
    )
    meter.create_observable_counter(
        "ldv.logregel.adopted",
        values(lambda health: [Observation(health.adopted)]),
        "{logregel}",
        "Logregels of processes that are gone, confirmed through this one.",
    )
    meter.create_observable_counter(
        "ldv.delivery.retries",
        values(lambda health: [Observation(health.retried)]),
        "{attempt}",
        "How often opening the Logboek or sending a batch was tried again.",
    )
    meter.create_observable_up_down_counter(
        "ldv.actie.running",
        values(lambda health: [Observation(health.running)]),
        "{actie}",
        "Acties that have begun and not ended, with level write-ahead.",
    )


def _of_each(of: Callable[[Health], Iterable[Observation]], health: Health) -> Iterator[Observation]:
    """Give what there is to say of the one Logboek, or of that of each tenant, which an attribute names."""
    if not health.tenants:
        yield from of(health)
    for tenant_id, each in health.tenants.items():
        for observation in of(each):
            yield Observation(observation.value, {**(observation.attributes or {}), _TENANT: tenant_id})


def _of_component(value: int, attributes: Mapping[str, str] | None = None) -> Observation:
    return Observation(value, {**_COMPONENT, **(attributes or {})})


def _exported(health: Health) -> Iterator[Observation]:
    yield _of_component(health.confirmed)
    yield _of_component(health.quarantined, {"error.type": "refused"})


def _lost(health: Health) -> Iterator[Observation]:
    yield Observation(health.lost, {"error.type": "refused"})
    yield Observation(health.flags.get("failed", 0), {"error.type": "failed"})


def _flagged(health: Health) -> Iterator[Observation]:
    for flag, count in sorted(health.flags.items()):
        if flag != "failed":
            yield Observation(count, {"ldv.flag": flag})
