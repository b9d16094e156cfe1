"""Both APIs as an application: for `ldv serve --gemma`, or to be mounted into another application."""

from __future__ import annotations

import logging
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response

from ldv_otel._internal.api.app import Api, create_app
from ldv_otel._internal.api.auth.authentication import AccessGuard, Authentication, NoAuthentication
from ldv_otel._internal.api.limits import RateLimiter
from ldv_otel._internal.api.messages import document_response, mounted_at
from ldv_otel._internal.api.server import ExtraApi
from ldv_otel._internal.api.services import services_of
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.gemma.conversion import VerwerkingsactieMapper
from ldv_otel._internal.gemma.provider import bewerking_router as bewerking
from ldv_otel._internal.gemma.provider import inzage_router as inzage
from ldv_otel._internal.gemma.provider.clients import read_registered_clients
from ldv_otel._internal.gemma.provider.dependencies import Provider
from ldv_otel._internal.gemma.provider.openapi import API_VERSION, BASE_PATH, openapi_document
from ldv_otel._internal.gemma.provider.repository import VerwerkingsactieRepository
from ldv_otel._internal.gemma.provider.scopes import AllRights, Authorisation
from ldv_otel._internal.privacy.stray_numbers import stray_numbers
from ldv_otel._internal.register.known_activities import known_activities
from ldv_otel.errors import ConfigurationError

_logger = logging.getLogger(__name__)

LEGAL_NOTE: Final = (
    "GEMMA Verwerkingenlogging is switched on. A note that VNG put on the standard's pages on 28 May 2024, and took "
    "off again the same day, said that legal review had found no ground in the AVG (art. 6) for the personal data in "
    "such a log, nor a need for it under art. 5(2), 15 or 32, and advised against use in production or with real "
    "personal data until other approaches had been studied. The pages have said nothing about it since. Ask your FG "
    "before you use it with real personal data."
)
#: The largest body: an actie about some thousands of persons.
BODY_BYTES: Final = 1 << 20

router: Final = APIRouter(prefix=BASE_PATH)
router.include_router(bewerking.router)
router.include_router(inzage.router)
GEMMA: Final = Api(router, API_VERSION)


class ClientDirectory(Authentication, Authorisation, Protocol):
    """Knows who the clients are, and what each may do."""


class OpenAccess(NoAuthentication, AllRights):
    """Lets everybody do everything: for development on loopback only."""


@router.get("/openapi.json")
async def openapi_json(request: Request) -> Response:
    """Return the OpenAPI document; anybody may have it."""
    address = services_of(request).settings.serve.url or mounted_at(request)
    return document_response(openapi_document(f"{address}{BASE_PATH}"))


def create_gemma_app(settings: Settings, clients: ClientDirectory) -> FastAPI:
    """Return an application with both APIs at `/api/v1`, and nothing else.

    Mounted into another application, it opens and closes the Logboek in the lifespan of that one, which has to call its
    lifespan: servers call the outer one only.

    Raises:
        ConfigurationError: It cannot serve with these settings.
    """
    app = create_app(settings, clients, apis=[GEMMA], body_bytes=BODY_BYTES, writes=True)
    install_gemma(app, clients)
    return app


def install_gemma(app: FastAPI, clients: ClientDirectory) -> None:
    """Give the application of `create_app(..., apis=[GEMMA], writes=True)` its clients and its settings.

    Raises:
        ConfigurationError: It has no Verwerkingsactiviteit of its own, or its keys do not seal.
    """
    services = app.state.services
    settings: Settings = services.settings
    gemma = settings.gemma
    if not gemma.activity:
        raise ConfigurationError(
            "LDV_GEMMA_ACTIVITY is not set. Queries of the register are logged before they are answered, under a "
            "Verwerkingsactiviteit of your own: name its URI. Nothing was started."
        )
    if not services.pseudonymiser.keys.active.seal:
        raise ConfigurationError(
            "The active key does not seal, and the APIs give identifiers back as they were sent. Nothing was started. "
            "Make a key that does with `ldv key new --seal`."
        )
    activities = known_activities(settings)
    app.state.gemma = Provider(
        # Clients of these APIs are not those of the read API, so they have a guard and a count of their own.
        access_guard=AccessGuard(clients, RateLimiter(), requests_per_minute=settings.serve.requests_per_minute),
        authorisation=clients,
        repository=VerwerkingsactieRepository(
            services.reader,
            services.writer,
            VerwerkingsactieMapper(
                services.pseudonymiser,
                processor=gemma.processor,
                stray=stray_numbers(settings),
                unknown_caller=settings.unknown_caller_url,
                knows=activities.knows if activities is not None else None,
            ),
            gebruiker=gemma.gebruiker,
        ),
        activity=gemma.activity,
        zone=ZoneInfo(gemma.timezone),
    )


def configured_clients(settings: Settings) -> ClientDirectory:
    """Return the clients that the settings name.

    Raises:
        ConfigurationError: They name none, or a file that cannot be used.
    """
    if settings.gemma.clients is None:
        raise ConfigurationError(
            "LDV_GEMMA_CLIENTS is not set, so nobody could use the APIs of GEMMA. Nothing was started. Let it name the "
            "file of the clients; for development on loopback there is --without-authentication."
        )
    return read_registered_clients(settings.gemma.clients, settings.serve)


def gemma_api(settings: Settings, *, without_authentication: bool = False) -> ExtraApi:
    """Return the API that `ldv serve --gemma` adds to the server, and log the legal note for the server's owner.

    Raises:
        ConfigurationError: As `configured_clients`.
    """
    clients = OpenAccess() if without_authentication else configured_clients(settings)
    # At each start, because the owner of the server may have changed.
    _logger.warning("%s", LEGAL_NOTE)
    return ExtraApi(GEMMA, lambda app: install_gemma(app, clients), writes=True, body_bytes=BODY_BYTES)
