"""Who may see the pages for privacy officers, and what they may see there."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Depends
from starlette.requests import Request

from ldv_otel._internal.api.auth.clients import Client, Scope
from ldv_otel._internal.api.pages.page import PageRoute
from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.api.services import services_of

BASE_PATH: Final = "/toezicht"


class OfficerRoute(PageRoute):
    """A route whose errors are pages for officers."""

    home = BASE_PATH
    base = "toezicht/basis.html"
    no_access = "toezicht/geen-toegang.html"


async def _officer(request: Request) -> Client:
    client = await services_of(request).access_guard.enter(request, frozenset({Scope.OVERSEE}))
    if client.activities:
        # An officer who sees some activities only would take a part for the whole.
        raise Problem(HTTPStatus.FORBIDDEN, "", reason="LDV_SERVE_CLIENTS lets this client see some activities only")
    return client


Officer = Annotated[Client, Depends(_officer)]


def sees_confidential(client: Client) -> bool:
    """Return whether a client may see what is confidential."""
    return Scope.CONFIDENTIAL in client.scopes
