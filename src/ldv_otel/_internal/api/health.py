"""What `ldv serve` says of its own state: whether the Logboek answers it, and who may read its figures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.api.store_reader import StoreReader
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.services import WINDOW_MS, ServiceActivity, service_activity
from ldv_otel._internal.clickhouse.schema.migrations import check_schema
from ldv_otel._internal.clickhouse.verification.witnessed_log import WitnessReport, witness_status
from ldv_otel._internal.config.networks import Networks, asgi_peer
from ldv_otel._internal.config.settings import InzageSettings, ServeSettings, Settings
from ldv_otel._internal.http.health import HealthEndpoints, is_of_this_machine, was_forwarded
from ldv_otel._internal.http.openmetrics import Labels, MetricFamily
from ldv_otel._internal.http.readiness import ANSWER_SECONDS, Readiness
from ldv_otel._internal.tamper.witness_files import KnownWitnesses, read_known_witnesses
from ldv_otel._internal.times.instants import now_ms, seconds_from_ms
from ldv_otel._version import __version__
from ldv_otel.errors import LdvError

#: It reads some columns of 8 days; Prometheus asks four times a minute.
_SERVICES_SECONDS: Final = 60.0
_ASKING_SECONDS: Final = 5.0
#: Services with figures of their own: those that are expected or silent first, then the largest.
_MOST_SERVICES: Final = 200
_LOOPBACK: Final = ("127.0.0.1", "::1")


class StoreCheck:
    """Asks a Logboek for the version of its tables, over a connection that nothing else uses; by one thread.

    Raises:
        LdvError: It does not answer, or its tables are not of this version.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: LogboekClient | None = None

    def __call__(self) -> str:
        """Return empty text; what is wrong is raised."""
        if self._client is None:
            limits = {"max_execution_time": ANSWER_SECONDS, "timeout_overflow_mode": "throw"}
            self._client = LogboekClient(self._settings, limits=limits)
        try:
            check_schema(self._client)
        except BaseException:
            # Whatever broke, the next question gets a fresh connection.
            self.close()
            raise
        return ""

    def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            client.close()


def store_readiness(settings: Settings) -> Readiness:
    """Return what knows whether the Logboek of these settings answers."""
    check = StoreCheck(settings)
    return Readiness(check, close=check.close)


class ServiceFigures:
    """What `/metrics` says of the services in the Logboek; asked once a minute at most.

    Their names are those that they give themselves, and of no person.
    """

    def __init__(self, settings: Settings, reader: StoreReader) -> None:
        self._expected = dict(settings.expected_services)
        self._reader = reader
        self._services: list[ServiceActivity] = []
        self._until = 0.0

    async def __call__(self) -> list[MetricFamily]:
        """Return the figures; those of before where the Logboek does not answer in time."""
        now = time.monotonic()
        if now >= self._until:
            # Before it: whoever comes meanwhile has the figures of before.
            self._until = now + _SERVICES_SECONDS
            since = now_ms() - max([WINDOW_MS, *(2 * longest for longest in self._expected.values())])
            question = self._reader.ask(service_activity, now_ms(), self._expected, since_ms=since)
            with suppress(LdvError, Problem, TimeoutError):
                self._services = await asyncio.wait_for(question, _ASKING_SECONDS)
        named = {service.name: service for service in sorted(self._services, key=_loudest)[:_MOST_SERVICES]}

        def of_each(name: str, meaning: str, value: Callable[[ServiceActivity], float | None]) -> MetricFamily:
            values = {(("service", each.name),): value(each) for each in named.values()}
            return MetricFamily(
                name, "gauge", meaning, {labels: figure for labels, figure in values.items() if figure is not None}
            )

        return [
            of_each("ldv_service_logregels_day", "Logregels of the last 24 hours.", lambda each: each.day),
            of_each(
                "ldv_service_logregels_day_week_before",
                "Logregels of the same 24 hours a week before.",
                lambda each: each.week_before,
            ),
            of_each(
                "ldv_service_last_seen_timestamp_seconds",
                "When the last Logregel of a service started, since 1970.",
                lambda each: None if each.last_ms is None else seconds_from_ms(each.last_ms),
            ),
            of_each(
                "ldv_service_silent",
                "1 for a service that is silent for longer than it may, or that stopped since a week ago.",
                lambda each: float(each.silent),
            ),
        ]


class WitnessedFigures:
    """What `/metrics` says of the witnesses of this Logboek's log (`LDV_WITNESSES`); asked once a minute at most."""

    def __init__(self, settings: Settings, reader: StoreReader) -> None:
        self._roster = read_known_witnesses(settings)
        self._reader = reader
        self._families: list[MetricFamily] = []
        self._until = 0.0

    async def __call__(self) -> list[MetricFamily]:
        """Return the figures; those of before where the Logboek does not answer in time."""
        now = time.monotonic()
        if self._roster is not None and now >= self._until:
            self._until = now + _SERVICES_SECONDS
            with suppress(LdvError, Problem, TimeoutError):
                question = self._reader.ask(witness_status, self._roster)
                self._families = self._of(await asyncio.wait_for(question, _ASKING_SECONDS), self._roster)
        return self._families

    def _of(self, report: WitnessReport, roster: KnownWitnesses) -> list[MetricFamily]:
        cosigned: dict[Labels, float] = {
            (("witness", each.note_key.name),): float(each.note_key.name in report.cosigned)
            for each in roster.witnesses
        }
        return [
            MetricFamily(
                "ldv_witness_cosigned", "gauge", "1 for a witness that cosigned the last checkpoint.", cosigned
            ),
            MetricFamily(
                "ldv_checkpoint_witnessed",
                "gauge",
                "1 when enough witnesses cosigned the last checkpoint.",
                {(): float(report.enough)},
            ),
        ]


def with_health(app: Any, readiness: Readiness, settings: Settings, reader: StoreReader) -> HealthEndpoints:
    """Return an application with `/health/live`, `/health/ready` and `/metrics` before it."""
    services, witnesses = ServiceFigures(settings, reader), WitnessedFigures(settings, reader)

    async def figures() -> list[MetricFamily]:
        return [*await services(), *await witnesses()]

    return HealthEndpoints(
        app,
        readiness,
        version=__version__,
        may_read=metrics_readers(settings.serve, settings.inzage),
        figures=figures,
    )


def _loudest(service: ServiceActivity) -> tuple[bool, int, str]:
    return not (service.expected or service.silent), -service.day, service.name


def metrics_readers(serve: ServeSettings, inzage: InzageSettings | None = None) -> Callable[[Mapping[str, Any]], bool]:
    """Return who may read figures: the networks of the setting, or else this machine.

    Where a proxy is known to be on this machine, its requests and those of Prometheus come from one address. Then
    nobody may until the setting says who.
    """
    networks = serve.metrics_from
    if networks:
        return lambda scope: asgi_peer(scope) in networks and not was_forwarded(scope)
    if any(_has_loopback(proxies) for proxies in (serve.proxies, *([] if inzage is None else [inzage.proxies]))):
        return lambda _scope: False
    return is_of_this_machine


def _has_loopback(proxies: Networks) -> bool:
    return proxies.unix or any(address in proxies for address in _LOOPBACK)
