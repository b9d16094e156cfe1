"""What the routers of the application share."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from ldv_otel.api.authentication import Door
from ldv_otel.api.reader import Reader
from ldv_otel.chain.remote import Remotes
from ldv_otel.pseudonym import Pseudonymiser
from ldv_otel.settings import Settings


@dataclass(frozen=True)
class Services:
    """One for each application; in `app.state.services`."""

    settings: Settings
    reader: Reader
    pseudonymiser: Pseudonymiser
    door: Door
    remotes: Remotes


def services_of(request: Request) -> Services:
    """Return the services behind a request."""
    found: Services = request.app.state.services
    return found
