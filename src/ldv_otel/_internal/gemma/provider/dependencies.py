"""What the routers of both APIs share, and how a client comes in."""

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
    """One for each application; in `app.state.gemma`.

    Attributes:
        activity: Our own Verwerkingsactiviteit, for questions to the register.
        zone: Of the dates in a question.
    """

    access_guard: AccessGuard
    authorisation: Authorisation
    acties: VerwerkingsactieRepository
    activity: str
    zone: ZoneInfo


def provider_of(request: Request) -> Provider:
    """Return the provider behind a request."""
    found: Provider = request.app.state.gemma
    return found


async def _entered(request: Request) -> Client:
    client = await provider_of(request).access_guard.enter(request, frozenset())
    check_media_types(request)
    return client


#: The client of a request that has an acceptable form: authentication goes before media types (GW-15).
Entered = Annotated[Client, Depends(_entered)]
