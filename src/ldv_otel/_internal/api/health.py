"""What `ldv serve` says of its own state: whether the Logboek answers it, and who may read its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import check_schema
from ldv_otel._internal.config.networks import Networks, asgi_peer
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.http.health import HealthEndpoints, is_of_this_machine, was_forwarded
from ldv_otel._internal.http.readiness import ANSWER_SECONDS, Readiness
from ldv_otel._version import __version__

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


def with_health(app: Any, readiness: Readiness, settings: Settings) -> HealthEndpoints:
    """Return an application with `/health/live`, `/health/ready` and `/metrics` before it."""
    return HealthEndpoints(app, readiness, version=__version__, may_read=metrics_readers(settings))


def metrics_readers(settings: Settings) -> Callable[[Mapping[str, Any]], bool]:
    """Return who may read figures: the networks of the setting, or else this machine.

    Where a proxy is known to be on this machine, its requests and those of Prometheus come from one address. Then
    nobody may until the setting says who.
    """
    networks = settings.serve.metrics_from
    if networks:
        return lambda scope: asgi_peer(scope) in networks and not was_forwarded(scope)
    if any(_has_loopback(proxies) for proxies in (settings.serve.proxies, settings.inzage.proxies)):
        return lambda _scope: False
    return is_of_this_machine


def _has_loopback(proxies: Networks) -> bool:
    return proxies.unix or any(address in proxies for address in _LOOPBACK)
