"""The Autorisatiecomponent (AC): a ZGW Autorisaties API that knows the scopes of clients.

Source: the ZGW Autorisaties API 1.0.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final

import httpx
import msgspec

from ldv_otel._internal.api.problem import unavailable
from ldv_otel._internal.config.address import is_loopback
from ldv_otel._internal.config.tls import tls_context
from ldv_otel._internal.gemma.provider.scopes import SCOPES, Component
from ldv_otel._internal.gemma.zgw_token import SecretHolder, zgw_token
from ldv_otel._internal.http.bounded_answers import content_of
from ldv_otel._internal.http.outgoing import async_client

_logger = logging.getLogger(__name__)

_MAX_ANSWER_BYTES: Final = 1 << 20
_TIMEOUT_SECONDS: Final = 5.0
#: After a failure the AC is left alone for so long: it may be overloaded, and every request here would add one there.
_RETRY_SECONDS: Final = 2.0

#: The scopes of a client, by API.
Grants = Mapping[Component, frozenset[str]]


class Autorisaties(SecretHolder, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The part `autorisaties` of the file of `LDV_GEMMA_CLIENTS`: where the AC is.

    Attributes:
        url: Its base, which has `/applicaties` below it.
        client_id: The name under which it knows us, with our secret there.
        component_bewerking: What it calls the Bewerking API in `autorisaties[].component`.
        component_inzage: And the Inzage API.
        cache_seconds: How long an answer is valid; 0 asks each time.
        ca_file: PEM file of the authority that signed its certificate.
    """

    url: str
    client_id: str
    component_bewerking: str = "verwerkingenlogging-bewerking"
    component_inzage: str = "verwerkingenlogging-inzage"
    cache_seconds: float = 60.0
    ca_file: str = ""

    def __post_init__(self) -> None:
        """Refuse an address to which a secret would go in the clear."""
        url = httpx.URL(self.url)
        if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.host)):
            raise ValueError("url is no https address")


class Autorisatiecomponent:
    """Asks an AC for the scopes of clients, and remembers its answers for a while.

    Args:
        secret: Ours there.
        proxy: `LDV_PROXY`; may be empty.
        clock: Seconds; monotonic.
    """

    def __init__(
        self, settings: Autorisaties, secret: str, *, proxy: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._proxy = proxy
        self._secret = secret
        self._clock = clock
        #: Client id to when it was asked for, and the answer; None for a client that the AC does not know.
        self._answers: dict[str, tuple[float, Grants | None]] = {}
        self._failed_at = float("-inf")
        self._lock = asyncio.Lock()

    async def granted(self, client_id: str) -> Grants | None:
        """Return the scopes of a client in both APIs; None for one that the AC does not know.

        Raises:
            Problem: 503, the AC does not answer, or not in a form that could be understood. An answer that is no longer
                valid does not count: in doubt nothing is allowed.
        """
        # One question at a time: requests that come in together wait here and find the first one's answer.
        async with self._lock:
            asked_at, grants = self._answers.get(client_id, (float("-inf"), None))
            if self._clock() - asked_at < self._settings.cache_seconds:
                return grants
            if self._clock() - self._failed_at < _RETRY_SECONDS:
                raise unavailable()
            try:
                grants = await self._ask(client_id)
            except (httpx.HTTPError, msgspec.DecodeError, ValueError) as error:
                self._failed_at = self._clock()
                _logger.error("The Autorisaties API at %s does not answer (%s).", self._settings.url, _label(error))
                raise unavailable() from error
            self._answers[client_id] = (self._clock(), grants)
            return grants

    async def _ask(self, client_id: str) -> Grants | None:
        headers = {"Authorization": f"Bearer {zgw_token(self._settings.client_id, self._secret)}"}
        verify = tls_context(
            self._settings.ca_file or None, None, named_by="LDV_GEMMA_CLIENTS: ca_file of autorisaties"
        )
        async with async_client(self._settings.url, self._proxy, tls=verify, timeout=_TIMEOUT_SECONDS) as http:
            url = f"{self._settings.url.rstrip('/')}/applicaties/consumer"
            async with http.stream("GET", url, params={"clientId": client_id}, headers=headers) as answer:
                if answer.status_code == HTTPStatus.NOT_FOUND:
                    return None
                answer.raise_for_status()
                content = await content_of(answer, _MAX_ANSWER_BYTES)
        return self._grants(client_id, msgspec.json.decode(content, type=_Applicatie))

    def _grants(self, client_id: str, applicatie: _Applicatie) -> Grants:
        if client_id not in applicatie.client_ids:
            raise ValueError("an answer about another client")
        if applicatie.heeft_alle_autorisaties:
            return SCOPES
        names = {
            Component.BEWERKING: self._settings.component_bewerking,
            Component.INZAGE: self._settings.component_inzage,
        }
        return {
            component: SCOPES[component]
            & {
                scope
                for autorisatie in applicatie.autorisaties
                if autorisatie.component == name
                for scope in autorisatie.scopes
            }
            for component, name in names.items()
        }


class _Autorisatie(msgspec.Struct, rename="camel"):
    component: str
    scopes: list[str] = []


class _Applicatie(msgspec.Struct, rename="camel"):
    client_ids: list[str]
    heeft_alle_autorisaties: bool = False
    autorisaties: list[_Autorisatie] = []


def _label(error: Exception) -> str:
    return f"HTTP {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else type(error).__name__
