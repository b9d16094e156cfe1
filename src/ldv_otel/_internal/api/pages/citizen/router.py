"""The routes of the page for citizens.

What a citizen may see is decided here and in the named queries: the pseudonyms come from the identity and from nowhere
else, and every question is asked with `confidential=False`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, FastAPI
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from ldv_otel._internal.api.app import Api
from ldv_otel._internal.api.auth.clients import Client, Scope
from ldv_otel._internal.api.cursors import decode_cursor, encode_cursor
from ldv_otel._internal.api.envelope import log_client, log_records
from ldv_otel._internal.api.limits import RateLimiter
from ldv_otel._internal.api.pages.citizen.chain_diagram import chain_diagram
from ldv_otel._internal.api.pages.citizen.download import as_csv, as_json, rows
from ldv_otel._internal.api.pages.citizen.identity import Citizen, DemoIdentity, Identity
from ldv_otel._internal.api.pages.forms import form_of
from ldv_otel._internal.api.pages.page import PAGE_HEADERS, PageRoute, page, rendered
from ldv_otel._internal.api.pages.view import DutchTexts, activity_key
from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.api.read_api.chains import chain_for
from ldv_otel._internal.api.services import services_of
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.models import Page, PageLimits, RecordQuery, UsedActivity, parse_trace_id
from ldv_otel._internal.clickhouse.register_table import registered
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.errors import LdvError

BASE_PATH: Final = "/inzage"
PAGE_RECORDS: Final = 50
_DOWNLOAD_RECORDS: Final = 10_000
_DOWNLOAD_PAGE: Final = 1_000
#: The most time that a page waits for other organisations, in seconds; the rest of it is there before.
_OTHERS_SECONDS: Final = 5.0
#: Stands in the template where the part about other organisations comes.
_LATER: Final = "<!-- later -->"
#: As whom chains are followed: without any right to what is confidential.
_READER: Final = Client(id="inzage", scopes=frozenset({Scope.READ, Scope.CHAIN}))

router: Final = APIRouter(prefix=BASE_PATH, route_class=PageRoute)
INZAGE: Final = Api(router)


def install_inzage(app: FastAPI, identity: Identity) -> None:
    """Tell the application of `create_app(..., apis=[INZAGE])` who its citizens are."""
    app.state.inzage_identity = identity
    app.state.inzage_demo = isinstance(identity, DemoIdentity)
    app.state.inzage_limiter = RateLimiter()


async def _citizen(request: Request) -> Citizen:
    log_client(request, "inzage")
    identity: Identity = request.app.state.inzage_identity
    citizen = await identity.citizen(request)
    # In memory only: the pseudonym is in no log.
    limiter: RateLimiter = request.app.state.inzage_limiter
    limiter.check(citizen.subjects[0].hex(), services_of(request).settings.serve.requests_per_minute)
    return citizen


SignedIn = Annotated[Citizen, Depends(_citizen)]


@router.get("")
async def timeline(request: Request, citizen: SignedIn) -> Response:
    """Show what was done, the last first, by day."""
    after = None
    if "vanaf" in request.query_params:
        after = decode_cursor(request.query_params["vanaf"])
        if after is None:
            raise Problem(HTTPStatus.NOT_FOUND, "")
    activity = await _chosen(request, citizen)
    words, found = await asyncio.gather(
        _words(request),
        _ask(
            request,
            read.latest_by_subject,
            citizen.subjects,
            PageLimits(after=after),
            activities=() if activity is None else (activity,),
            confidential=False,
        ),
    )
    log_records(request, len(found.records))
    return page(
        request,
        "tijdlijn.html",
        section="dag",
        days=words.days(record.logregel for record in found.records),
        following=encode_cursor(found.following) if found.following is not None else "",
        later=after is not None,
        chosen=None if activity is None else words.activity(activity),
        count=len(found.records),
    )


async def _chosen(request: Request, citizen: Citizen) -> str | None:
    """Return the activity that stands in the address, by its key: one of this citizen's."""
    key = request.query_params.get("verwerking")
    if not key:
        return None
    used = await _ask(request, read.activities_of_subject, citizen.subjects, confidential=False)
    found = next((one.activity for one in used if activity_key(one.activity) == key), None)
    if found is None:
        raise Problem(HTTPStatus.NOT_FOUND, "")
    return str(found)


@router.get("/verwerkingen")
async def activities(request: Request, citizen: SignedIn) -> Response:
    """Show what for, and how often."""
    words = await _words(request)
    used = await _ask(request, read.activities_of_subject, citizen.subjects, confidential=False)
    return page(request, "verwerkingen.html", section="verwerking", summaries=words.summaries(used))


@router.get("/handelingen/{trace_id}")
async def trace(request: Request, trace_id: str, citizen: SignedIn) -> Response:
    """Show one trace: first what this Logboek has, and what other organisations say when they have said it."""
    services = services_of(request)
    wanted = parse_trace_id(trace_id)
    question = RecordQuery(trace_id=wanted, subjects=citizen.subjects)
    found: Page = await _ask(request, read.search, question, limit=_DOWNLOAD_PAGE, confidential=False)
    if not found.records:
        # The same for what is not there, what is somebody else's and what is confidential.
        raise Problem(HTTPStatus.NOT_FOUND, "")
    log_records(request, len(found.records))
    words = await _words(request)
    records = [record.logregel for record in found.records]
    begin, end = rendered(
        request,
        "handeling.html",
        days=words.days(reversed(records)),
        waits=any(record.external_read_api_id or record.foreign_operation_processor for record in records),
        later=_LATER,
        partial=found.following is not None,
    ).split(_LATER)

    async def parts() -> AsyncIterator[str]:
        yield begin
        try:
            chain = await chain_for(services, _READER, wanted, subjects=citizen.subjects, seconds=_OTHERS_SECONDS)
            shown = chain_diagram(chain, words, services.settings.organisation or "Deze organisatie")
            yield rendered(request, "anderen.html", picture=shown)
        except (LdvError, Problem):
            yield rendered(request, "anderen.html", picture=None)
        yield end

    return StreamingResponse(parts(), HTTPStatus.OK, PAGE_HEADERS, "text/html")


@router.get("/downloaden")
async def downloads(request: Request, citizen: SignedIn) -> Response:
    """Show what can be downloaded."""
    used: list[UsedActivity] = await _ask(request, read.activities_of_subject, citizen.subjects, confidential=False)
    count = sum(found.logregels for found in used)
    return page(request, "downloaden.html", section="downloaden", count=count, most=_DOWNLOAD_RECORDS)


@router.get("/mijn-gegevens.json")
async def json_file(request: Request, citizen: SignedIn) -> Response:
    """Return the citizen's own records as JSON."""
    found, complete = await _everything(request, citizen)
    return _file(as_json(found, complete=complete), "application/json", "mijn-gegevens.json")


@router.get("/mijn-gegevens.csv")
async def csv_file(request: Request, citizen: SignedIn) -> Response:
    """Return the citizen's own records for a spreadsheet program."""
    found, complete = await _everything(request, citizen)
    return _file(as_csv(found, complete=complete), "text/csv; charset=utf-8", "mijn-gegevens.csv")


@router.post("/aanmelden")
async def sign_in(request: Request) -> Response:
    """Sign in to a demonstration."""
    identity = _demo(request)
    given = await form_of(request)
    answer = RedirectResponse(BASE_PATH, HTTPStatus.SEE_OTHER, PAGE_HEADERS)
    identity.sign_in(given.get("nummer", ""), answer)
    return answer


@router.post("/afmelden")
async def sign_out(request: Request) -> Response:
    """End the session of a demonstration."""
    identity = _demo(request)
    await form_of(request)
    answer = RedirectResponse(BASE_PATH, HTTPStatus.SEE_OTHER, PAGE_HEADERS)
    identity.sign_out(request, answer)
    return answer


@router.get("/{rest:path}")
async def elsewhere(rest: str) -> Response:
    """Say that there is nothing at this address, as a page."""
    del rest
    raise Problem(HTTPStatus.NOT_FOUND, "")


async def _ask(request: Request, question: Any, *arguments: Any, **limits: Any) -> Any:
    return await services_of(request).reader.ask(question, *arguments, **limits)


async def _words(request: Request) -> DutchTexts:
    services = services_of(request)
    register = await services.reader.ask(registered)
    return DutchTexts(register, services.remotes.apis, ZoneInfo(services.settings.inzage.timezone))


async def _everything(request: Request, citizen: Citizen) -> tuple[list[dict[str, Any]], bool]:
    """Return a citizen's records as rows of a file, and whether that is all of them."""
    words = await _words(request)
    records: list[Logregel] = []
    complete = True
    pages = services_of(request).reader.pages(
        read.by_subject, citizen.subjects, limits=PageLimits(limit=_DOWNLOAD_PAGE), confidential=False
    )
    async for found in pages:
        records += [record.logregel for record in found.records]
        complete = found.following is None
        if len(records) >= _DOWNLOAD_RECORDS:
            break
    log_records(request, len(records))
    organisation = services_of(request).settings.organisation
    return rows(records, words, organisation), complete


def _file(content: bytes, media_type: str, name: str) -> Response:
    headers = {**PAGE_HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, headers=headers, media_type=media_type)


def _demo(request: Request) -> DemoIdentity:
    log_client(request, "inzage")
    identity = request.app.state.inzage_identity
    if not isinstance(identity, DemoIdentity):
        raise Problem(HTTPStatus.NOT_FOUND, "")
    return identity
