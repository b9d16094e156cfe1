"""The routes of the pages for privacy officers.

Who may see them is a client with the scope `ldv:oversee`; what is confidential needs `ldv:confidential` besides, and
the records about one person `ldv:identify`. Those are shown only when the Logboek has confirmed that they are looked
into.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from ldv_otel._internal.api.app import Api
from ldv_otel._internal.api.auth.authentication import require
from ldv_otel._internal.api.auth.clients import Client, Scope
from ldv_otel._internal.api.cursors import decode_cursor, encode_cursor
from ldv_otel._internal.api.envelope import log_records
from ldv_otel._internal.api.pages.forms import form_of
from ldv_otel._internal.api.pages.officer.access_record import REASON_CHARACTERS, officer_access
from ldv_otel._internal.api.pages.officer.view import Period, figures, period_of, row, writing
from ldv_otel._internal.api.pages.page import PageRoute, page
from ldv_otel._internal.api.pages.view import DutchTexts, activity_key
from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.api.services import services_of
from ldv_otel._internal.clickhouse.queries import oversight as overseeing
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.models import PageLimits
from ldv_otel._internal.clickhouse.queries.oversight import ActivityCounts, OversightKind
from ldv_otel._internal.clickhouse.register_table import registered
from ldv_otel._internal.privacy.pseudonyms import KNOWN_TYPES
from ldv_otel.errors import LdvError

BASE_PATH: Final = "/toezicht"
#: In a demonstration that names no activity; no Register has it, so it is shown as one without explanation.
DEMO_ACTIVITY: Final = "urn:ldv:voorbeeld:inzage-door-de-privacyofficer"
_PAGE_RECORDS: Final = 100
_PERSON_RECORDS: Final = 250


class OfficerRoute(PageRoute):
    """A route whose errors are pages for officers."""

    home = BASE_PATH
    base = "toezicht/basis.html"
    stranger = "toezicht/geen-toegang.html"


router: Final = APIRouter(prefix=BASE_PATH, route_class=OfficerRoute)
TOEZICHT: Final = Api(router)


async def _officer(request: Request) -> Client:
    client = await services_of(request).access_guard.enter(request, frozenset({Scope.OVERSEE}))
    if client.activities:
        # Who sees some activities only would take a part for the whole.
        raise Problem(HTTPStatus.FORBIDDEN, "")
    return client


Officer = Annotated[Client, Depends(_officer)]


@router.get("")
async def overview(request: Request, client: Officer) -> Response:
    """Show a period in figures."""
    period = _period(request)
    words, used = await asyncio.gather(_words(request, client), _used(request, period, client))
    return page(request, "toezicht/overzicht.html", section="overzicht", period=period, figures=figures(used, words))


@router.get("/regels")
async def records(request: Request, client: Officer) -> Response:
    """Show the records of a period: all of them, or of one activity, or those that failed or were changed."""
    period = _period(request)
    given = request.query_params
    after = decode_cursor(given["vanaf"]) if "vanaf" in given else None
    kind = next((one for one in OversightKind if one == given.get("soort", OversightKind.ALL)), None)
    if kind is None or ("vanaf" in given and after is None):
        raise Problem(HTTPStatus.NOT_FOUND, "")
    activity = await _chosen(request, period, client)
    words, found = await asyncio.gather(
        _words(request, client),
        _ask(
            request,
            overseeing.latest,
            PageLimits(since_ms=period.since_ms, until_ms=period.until_ms, after=after, limit=_PAGE_RECORDS),
            activity=activity,
            kind=kind,
            confidential=Scope.CONFIDENTIAL in client.scopes,
        ),
    )
    log_records(request, len(found.records))
    return page(
        request,
        "toezicht/regels.html",
        period=period,
        kind=kind,
        chosen=None if activity is None else words.activity(activity),
        rows=[row(record.logregel, words) for record in found.records],
        following=encode_cursor(found.following) if found.following is not None else "",
        later=after is not None,
    )


@router.get("/reeksen")
async def sequences(request: Request, client: Officer) -> Response:
    """Show the writers whose sequence is not whole."""
    del client
    found = await _ask(request, overseeing.gaps)
    return page(
        request, "toezicht/reeksen.html", section="reeksen", found=[writing(one, _zone(request)) for one in found]
    )


@router.get("/persoon")
async def person(request: Request, client: Officer) -> Response:
    """Ask whom, and why."""
    require(client, frozenset({Scope.IDENTIFY}))
    return _person(request)


@router.post("/persoon")
async def records_about(request: Request, client: Officer) -> Response:
    """Put on record that somebody looks, and then show the records about a person."""
    require(client, frozenset({Scope.IDENTIFY}))
    services = services_of(request)
    given = await form_of(request)
    looking = officer_access(given, services.pseudonymiser)
    if isinstance(looking, dict):
        return _person(request, HTTPStatus.UNPROCESSABLE_ENTITY, given=given, wrong=looking)
    period = period_of(given, _zone(request)) if given.get("van") or given.get("tot") else None
    if period is not None and period.wrong:
        return _person(request, HTTPStatus.UNPROCESSABLE_ENTITY, given=given, wrong={"van": period.wrong})
    activity = services.settings.toezicht_activity or DEMO_ACTIVITY
    record = looking.logregel(activity, client, services.pseudonymiser)
    if services.writer is None:
        raise RuntimeError("the application was made without a writer")
    try:
        await services.writer.write([record])
    except LdvError:
        # No record of it, no data: nothing was read yet.
        return _person(request, HTTPStatus.SERVICE_UNAVAILABLE, given=given, failed=True)
    words, found = await asyncio.gather(
        _words(request, client),
        _ask(
            request,
            read.latest_by_subject,
            looking.pseudonyms,
            PageLimits(
                since_ms=None if period is None else period.since_ms,
                until_ms=None if period is None else period.until_ms,
                limit=_PERSON_RECORDS,
            ),
            confidential=Scope.CONFIDENTIAL in client.scopes,
        ),
    )
    log_records(request, len(found.records))
    return page(
        request,
        "toezicht/persoon-regels.html",
        section="persoon",
        days=words.days(one.logregel for one in found.records),
        count=len(found.records),
        more=found.following is not None,
        period=period,
        reason=looking.reason,
        trace_id=record.trace_id.hex(),
    )


@router.get("/{rest:path}")
async def elsewhere(rest: str) -> Response:
    """Say that there is nothing at this address, as a page."""
    del rest
    raise Problem(HTTPStatus.NOT_FOUND, "")


def _person(request: Request, code: HTTPStatus = HTTPStatus.OK, **context: Any) -> Response:
    usual = {"soort": services_of(request).settings.inzage.subject_type}
    context = {"given": usual, "wrong": {}, "failed": False} | context
    return page(
        request, "toezicht/persoon.html", code, section="persoon", types=KNOWN_TYPES, most=REASON_CHARACTERS, **context
    )


async def _chosen(request: Request, period: Period, client: Client) -> str | None:
    """Return the activity whose key stands in the address: one of the period's."""
    key = request.query_params.get("verwerking")
    if not key:
        return None
    used = await _used(request, period, client)
    found = next((one.activity for one in used if activity_key(one.activity) == key), None)
    if found is None:
        raise Problem(HTTPStatus.NOT_FOUND, "")
    return found


async def _used(request: Request, period: Period, client: Client) -> list[ActivityCounts]:
    confidential = Scope.CONFIDENTIAL in client.scopes
    found: list[ActivityCounts] = await _ask(
        request, overseeing.used_in_period, period.since_ms, period.until_ms, confidential=confidential
    )
    return found


async def _words(request: Request, client: Client) -> DutchTexts:
    services = services_of(request)
    register = await _ask(request, registered)
    return DutchTexts(register, services.remotes.apis, _zone(request), confidential=Scope.CONFIDENTIAL in client.scopes)


async def _ask(request: Request, question: Any, *arguments: Any, **limits: Any) -> Any:
    return await services_of(request).reader.ask(question, *arguments, **limits)


def _period(request: Request) -> Period:
    return period_of(request.query_params, _zone(request))


def _zone(request: Request) -> ZoneInfo:
    return ZoneInfo(services_of(request).settings.inzage.timezone)
