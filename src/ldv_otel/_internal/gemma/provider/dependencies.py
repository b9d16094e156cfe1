"""The parts that the routers of both APIs share, and how a client comes in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import Depends
from starlette.requests import Request

from ldv_otel._internal.api.auth.authentication import AccessGuard
from ldv_otel._internal.api.auth.clients import Client
from ldv_otel._internal.gemma.provider.repository import VerwerkingsactieRepository
from ldv_otel._internal.gemma.provider.requests import check_media_types
from ldv_otel._internal.gemma.provider.scopes import Authorisation


@dataclass(frozen=True)
class Provider:
    """The parts of a register; one for each application, in `app.state.gemma`.

    Attributes:
        activity: Our own Verwerkingsactiviteit, under which queries of the register are logged.
        zone: Of the dates in a query.
    """

    access_guard: AccessGuard
    authorisation: Authorisation
    repository: VerwerkingsactieRepository
    activity: str
    zone: ZoneInfo


def provider_of(request: Request) -> Provider:
    """Return the provider behind a request."""
    provider: Provider = request.app.state.gemma
    return provider


async def _authenticated_client(request: Request) -> Client:
    # In this order, because authentication goes before media types (GW-15).
    client = await provider_of(request).access_guard.enter(request, frozenset())
    check_media_types(request)
    return client


#: The client of a request whose body and answer are in JSON.
AuthenticatedClient = Annotated[Client, Depends(_authenticated_client)]
