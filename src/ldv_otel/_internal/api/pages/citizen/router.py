"""The routes of the page for citizens.

What a citizen may see is decided here and in the named queries: the pseudonyms come from the identity, and from links
of its number that are in force; and every query has `confidential=False`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends
from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from ldv_otel._internal.api.app import Api
from ldv_otel._internal.api.auth.clients import Client, Scope
from ldv_otel._internal.api.envelope import log_client, log_records
from ldv_otel._internal.api.limits import RateLimiter
from ldv_otel._internal.api.pages.citizen.chain_diagram import chain_diagram
from ldv_otel._internal.api.pages.citizen.download import as_csv, as_json, file_rows, with_proofs
from ldv_otel._internal.api.pages.citizen.identity import Citizen, DemoIdentity, Identity
from ldv_otel._internal.api.pages.citizen.proofs import check_proofs_are_given, proofs_of
from ldv_otel._internal.api.pages.page import PAGE_HEADERS, PageRoute, page, rendered
from ldv_otel._internal.api.pages.requests import add_not_found_page, chosen_activity, cursor_of, form_of, texts_of
from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.api.read_api.chains import chain_for
from ldv_otel._internal.api.services import services_of
from ldv_otel._internal.api.state import state_of
from ldv_otel._internal.clickhouse.columns import StoredLogregel
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.models import Page, PageLimits, RecordQuery, UsedActivity, parse_trace_id
from ldv_otel._internal.clickhouse.queries.subject_links import person_of
from ldv_otel._internal.questions.complaint import MOST_PROOFS
from ldv_otel._internal.tamper.verifier_page import verifier_page
from ldv_otel._internal.times.instants import now_ms
from ldv_otel.errors import LdvError

BASE_PATH: Final = "/inzage"
PAGE_RECORDS: Final = 50
_DOWNLOAD_RECORDS: Final = 10_000
_DOWNLOAD_PAGE: Final = 1_000
#: The most time that a page waits for other organisations, in seconds; the rest of it is there before.
_OTHERS_SECONDS: Final = 5.0
#: Marks in the template where the part about other organisations comes.
_LATER: Final = "<!-- later -->"
#: The client for which chains are followed: it has no right to what is confidential.
_READER: Final = Client(id="inzage", scopes=frozenset({Scope.READ, Scope.CHAIN}))

router: Final = APIRouter(prefix=BASE_PATH, route_class=PageRoute)
INZAGE: Final = Api(router)


def install_inzage(state: State, identity: Identity) -> None:
    """Give the application of `create_app(..., apis=[INZAGE])`, by its state, what identifies its citizens."""
    state.inzage_identity = identity
    state.inzage_demo = isinstance(identity, DemoIdentity)
    # One for citizens apart from that of clients, whose names could be equal to a pseudonym.
    state.inzage_limiter = RateLimiter()


async def _citizen(request: Request) -> Citizen:
    log_client(request, "inzage")
    identity: Identity = state_of(request).inzage_identity
    citizen = await identity.citizen(request)
    # By pseudonym, in memory only: the access log has the same name for all citizens.
    limiter: RateLimiter = state_of(request).inzage_limiter
    limiter.check(citizen.subjects[0].hex(), services_of(request).settings.serve.requests_per_minute)
    return citizen


SignedIn = Annotated[Citizen, Depends(_citizen)]


@router.get("")
async def timeline(request: Request, citizen: SignedIn) -> Response:
    """Show what was done, the last first, by day."""
    after = cursor_of(request)
    activity = await chosen_activity(request, partial(_used, request, citizen))
    services = services_of(request)
    texts, linked, missing, result = await asyncio.gather(
        texts_of(request, confidential=False),
        services.reader.ask(person_of, citizen.subjects),
        services.missing_keys.counts(),
        services.reader.ask(
            read.latest_by_subject,
            citizen.subjects,
            PageLimits(after=after, limit=PAGE_RECORDS),
            activities=() if activity is None else (activity,),
            confidential=False,
        ),
    )
    log_records(request, len(result.records))
    return page(
        request,
        "tijdlijn.html",
        section="dag",
        days=texts.days(stored.logregel for stored in result.records),
        following=result.following or "",
        later=after is not None,
        lacking=linked.lacking(services.pseudonymiser.keys.keys),
        missing=missing,
        chosen=None if activity is None else texts.activity(activity, now_ms()),
        count=len(result.records),
    )


@router.get("/verwerkingen")
async def activities(request: Request, citizen: SignedIn) -> Response:
    """Show which activities there were, and how often."""
    texts = await texts_of(request, confidential=False)
    summaries = texts.summaries(await _used(request, citizen))
    return page(request, "verwerkingen.html", section="verwerking", summaries=summaries)


@router.get("/handelingen/{trace_id}")
async def trace(request: Request, trace_id: str, citizen: SignedIn) -> Response:
    """Show one trace: first what this Logboek has, then what other organisations answer, as soon as they do."""
    services = services_of(request)
    trace_bytes = parse_trace_id(trace_id)
    result = await _of_trace(request, trace_bytes, citizen)
    texts = await texts_of(request, confidential=False)
    records = [stored.logregel for stored in result.records]
    begin, end = rendered(
        request,
        "handeling.html",
        days=texts.days(reversed(records)),
        waits=any(map(texts.names_other_party, records)),
        later=_LATER,
        partial=result.following is not None,
        proof=f"{BASE_PATH}/handelingen/{trace_bytes.hex()}/bewijs.json" if services.settings.inzage.proof else "",
    ).split(_LATER)

    # Sent in parts, because other organisations may take seconds and the citizen can read the first part meanwhile.
    # Its status is sent before they answer, so an error in the second part can only become a sentence in it.
    async def parts() -> AsyncIterator[str]:
        yield begin
        try:
            chain = await chain_for(services, _READER, trace_bytes, subjects=citizen.subjects, seconds=_OTHERS_SECONDS)
            diagram = chain_diagram(chain, texts, services.settings.organisation or "Deze organisatie")
            yield rendered(request, "anderen.html", diagram=diagram)
        except (LdvError, Problem):
            yield rendered(request, "anderen.html", diagram=None)
        yield end

    return StreamingResponse(parts(), HTTPStatus.OK, PAGE_HEADERS, "text/html")


@router.get("/downloaden")
async def downloads(request: Request, citizen: SignedIn) -> Response:
    """Show what can be downloaded."""
    count = sum(entry.logregels for entry in await _used(request, citizen))
    proofs = MOST_PROOFS if services_of(request).settings.inzage.proof else 0
    return page(request, "downloaden.html", section="downloaden", count=count, most=_DOWNLOAD_RECORDS, proofs=proofs)


@router.get("/mijn-gegevens.json")
async def json_file(request: Request, citizen: SignedIn) -> Response:
    """Return the citizen's own records as JSON."""
    rows, _, complete = await _file_rows(request, citizen)
    return _file(as_json(rows, complete=complete), "application/json", "mijn-gegevens.json")


@router.get("/mijn-gegevens.csv")
async def csv_file(request: Request, citizen: SignedIn) -> Response:
    """Return the citizen's own records for a spreadsheet program."""
    rows, _, complete = await _file_rows(request, citizen)
    return _file(as_csv(rows, complete=complete), "text/csv; charset=utf-8", "mijn-gegevens.csv")


@router.get("/mijn-gegevens-met-bewijs.json")
async def proven_file(request: Request, citizen: SignedIn) -> Response:
    """Return the citizen's own records as JSON, each with a proof that it was not changed."""
    check_proofs_are_given(request)
    rows, records, complete = await _file_rows(request, citizen, most=MOST_PROOFS)
    rows = with_proofs(rows, await proofs_of(request, records))
    return _file(as_json(rows, complete=complete), "application/json", "mijn-gegevens-met-bewijs.json")


@router.get("/handelingen/{trace_id}/bewijs.json")
async def proven_trace(request: Request, trace_id: str, citizen: SignedIn) -> Response:
    """Return what the page of a trace shows of this Logboek, with proofs."""
    check_proofs_are_given(request)
    records = await _of_trace(request, parse_trace_id(trace_id), citizen)
    texts = await texts_of(request, confidential=False)
    organisation = services_of(request).settings.organisation
    rows = file_rows((stored.logregel for stored in records.records), texts, organisation)
    rows = with_proofs(rows, await proofs_of(request, records.records))
    content = as_json(rows, complete=records.following is None)
    return _file(content, "application/json", f"bewijs-{trace_id[:8]}.json")


@router.get("/bewijs-controleren.html")
async def verifier(request: Request, citizen: SignedIn) -> Response:
    """Return the page that checks proofs, as a file: it works without us, which is its point."""
    del citizen
    check_proofs_are_given(request)
    return _file(verifier_page(), "text/html; charset=utf-8", "bewijs-controleren.html")


@router.post("/aanmelden")
async def sign_in(request: Request) -> Response:
    """Sign in to a demonstration."""
    identity = _demo(request)
    form = await form_of(request)
    answer = RedirectResponse(BASE_PATH, HTTPStatus.SEE_OTHER, PAGE_HEADERS)
    identity.sign_in(form.get("nummer", ""), answer)
    return answer


@router.post("/afmelden")
async def sign_out(request: Request) -> Response:
    """End the session of a demonstration."""
    identity = _demo(request)
    await form_of(request)
    answer = RedirectResponse(BASE_PATH, HTTPStatus.SEE_OTHER, PAGE_HEADERS)
    identity.sign_out(request, answer)
    return answer


add_not_found_page(router)


async def _used(request: Request, citizen: Citizen) -> list[UsedActivity]:
    return await services_of(request).reader.ask(read.activities_of_subject, citizen.subjects, confidential=False)


async def _of_trace(request: Request, trace_id: bytes, citizen: Citizen) -> Page:
    """Return the citizen's own records of a trace.

    Raises:
        Problem: 404, one answer for a trace that does not exist, that is about somebody else, and that is confidential.
    """
    query = RecordQuery(trace_id=trace_id, subjects=citizen.subjects)
    result = await services_of(request).reader.ask(read.search, query, limit=_DOWNLOAD_PAGE, confidential=False)
    if not result.records:
        raise Problem(HTTPStatus.NOT_FOUND, "")
    log_records(request, len(result.records))
    return result


async def _file_rows(
    request: Request, citizen: Citizen, *, most: int = _DOWNLOAD_RECORDS
) -> tuple[list[dict[str, Any]], list[StoredLogregel], bool]:
    """Return a citizen's records as rows of a file and as they are, and whether that is all of them."""
    texts = await texts_of(request, confidential=False)
    records: list[StoredLogregel] = []
    complete = True
    pages = services_of(request).reader.pages(
        read.by_subject, citizen.subjects, limits=PageLimits(limit=min(_DOWNLOAD_PAGE, most)), confidential=False
    )
    async for result in pages:
        records += result.records
        complete = result.following is None
        # A file is made in memory; the page says how many it has at most.
        if len(records) >= most:
            break
    log_records(request, len(records))
    organisation = services_of(request).settings.organisation
    # Records under a key that is missing here may be about them too.
    complete = complete and not await services_of(request).missing_keys.counts()
    return file_rows((stored.logregel for stored in records), texts, organisation), records, complete


def _file(content: bytes, media_type: str, name: str) -> Response:
    # As a file, so that no browser shows it with rights of this page.
    headers = {**PAGE_HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, headers=headers, media_type=media_type)


def _demo(request: Request) -> DemoIdentity:
    log_client(request, "inzage")
    identity = state_of(request).inzage_identity
    if not isinstance(identity, DemoIdentity):
        raise Problem(HTTPStatus.NOT_FOUND, "")
    return identity
