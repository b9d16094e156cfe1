"""What the pages for citizens and for officers take from a request alike: form, cursor, activity, texts, time zone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Final, Protocol
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ldv_otel._internal.api.messages import media_type_of
from ldv_otel._internal.api.pages.view import DutchTexts, activity_key
from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.api.services import services_of
from ldv_otel._internal.clickhouse.queries.models import Cursor
from ldv_otel._internal.clickhouse.register_table import stored_versions

_FORM_BYTES: Final = 8_192
_FIELDS: Final = 10


class OfActivity(Protocol):
    """Something that a query found about one processing activity."""

    @property
    def activity(self) -> str:
        """The URI of the activity."""
        ...


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form, those that are empty left out.

    Pages have no script and so no token against forged requests: the browser itself says which site sent the form.

    Raises:
        Problem: 403, another site's page sent it, or the browser does not say; 415, it is none; 413, it is too large;
            400, it cannot be read.
    """
    origin = request.headers.get("origin", "")
    is_ours = request.headers.get("sec-fetch-site") == "same-origin"
    # Safari sends it from 16.4 (2023) on; browsers without it send `Origin` with each form.
    if "sec-fetch-site" not in request.headers:
        is_ours = bool(origin) and urlsplit(origin).netloc == request.headers.get("host")
    if not is_ours:
        raise Problem(HTTPStatus.FORBIDDEN, "", reason="the page of another site sent this form")
    if media_type_of(request) != "application/x-www-form-urlencoded":
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "")
    body = await request.body()
    if len(body) > _FORM_BYTES:
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "")
    try:
        return {name: values[0] for name, values in parse_qs(body.decode("ascii"), max_num_fields=_FIELDS).items()}
    except ValueError:
        raise Problem(HTTPStatus.BAD_REQUEST, "") from None


def cursor_of(request: Request) -> Cursor | None:
    """Return the cursor in the address of a further page; None for the first page.

    Raises:
        QueryError: It is no cursor.
    """
    text = request.query_params.get("vanaf")
    return None if text is None else Cursor.parse(text)


async def chosen_activity(request: Request, used: Callable[[], Awaitable[Iterable[OfActivity]]]) -> str | None:
    """Return the URI of the activity whose key is in the address; None when it has no key.

    A key that leads to no activity that the reader may see is as good as none that exists.

    Args:
        used: Finds the activities that the reader may see; called only when there is a key.

    Raises:
        Problem: 404, no such activity.
    """
    key = request.query_params.get("verwerking")
    if not key:
        return None
    # Only activities that the reader may see are compared: a key says nothing about others.
    for entry in await used():
        if activity_key(entry.activity) == key:
            return entry.activity
    raise Problem(HTTPStatus.NOT_FOUND, "")


async def texts_of(request: Request, *, confidential: bool) -> DutchTexts:
    """Return the texts of the Register in force, as the reader may see them.

    Args:
        confidential: Whether the reader may see its confidential entries.
    """
    services = services_of(request)
    register = await services.reader.ask(stored_versions)
    return DutchTexts(
        register,
        services.remotes.apis,
        zone_of(request),
        confidential=confidential,
        unknown_caller=services.settings.unknown_caller_url,
    )


def zone_of(request: Request) -> ZoneInfo:
    """Return the time zone of all dates and times on the pages."""
    return ZoneInfo(services_of(request).settings.inzage.timezone)


def add_not_found_page(router: APIRouter) -> None:
    """Answer every other address below a router with a page; to be called after all its routes are there."""

    @router.get("/{rest:path}")
    async def not_found(rest: str) -> Response:
        del rest
        raise Problem(HTTPStatus.NOT_FOUND, "")
