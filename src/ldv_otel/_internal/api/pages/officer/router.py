"""The routes of the pages for privacy officers.

A client with the scope `ldv:oversee` may see them; what is confidential needs `ldv:confidential` besides, and the
records about one person `ldv:identify`. Those are shown only when the Logboek has confirmed the record of the access.
"""

from __future__ import annotations

import asyncio
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ldv_otel._internal.api.app import Api
from ldv_otel._internal.api.auth.authentication import require
from ldv_otel._internal.api.auth.clients import Client, Scope
from ldv_otel._internal.api.envelope import log_records
from ldv_otel._internal.api.pages.officer.access import BASE_PATH, Officer, OfficerRoute, sees_confidential
from ldv_otel._internal.api.pages.officer.access_record import REASON_CHARACTERS, REASON_LEAST, officer_access
from ldv_otel._internal.api.pages.officer.person_files import (
    PersonForm,
    offered_person_forms,
    person_file,
    person_form_of,
)
from ldv_otel._internal.api.pages.officer.question_pages import router as questions_router
from ldv_otel._internal.api.pages.officer.view import (
    Period,
    gap_row,
    period_figures,
    period_of,
    record_row,
    verification_row,
)
from ldv_otel._internal.api.pages.page import page
from ldv_otel._internal.api.pages.requests import (
    add_not_found_page,
    chosen_activity,
    cursor_of,
    form_of,
    texts_of,
    zone_of,
)
from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.api.services import services_of
from ldv_otel._internal.clickhouse.queries import oversight
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.models import PageLimits
from ldv_otel._internal.clickhouse.queries.oversight import ActivityCounts, OversightKind
from ldv_otel._internal.clickhouse.queries.subject_links import person_of
from ldv_otel._internal.clickhouse.verification.made import latest_verifications
from ldv_otel._internal.privacy.pseudonyms import KNOWN_TYPES
from ldv_otel._internal.privacy.stray_numbers import stray_numbers
from ldv_otel._internal.questions.asking import Choices
from ldv_otel._internal.questions.complaint import COMPLAINT
from ldv_otel._internal.questions.tampering import check_sentences
from ldv_otel._internal.times.instants import now_ms
from ldv_otel.attributes import REASON
from ldv_otel.errors import LdvError

#: In a demonstration that names no activity; no Register has it, so it is shown as one without explanation.
DEMO_ACTIVITY: Final = "urn:ldv:voorbeeld:inzage-door-de-privacyofficer"
_PAGE_RECORDS: Final = 100
_PERSON_RECORDS: Final = 250


router: Final = APIRouter(prefix=BASE_PATH, route_class=OfficerRoute)
router.include_router(questions_router)
TOEZICHT: Final = Api(router)


@router.get("")
async def overview(request: Request, client: Officer) -> Response:
    """Show the counts of a period."""
    period = period_of(request.query_params, zone_of(request))
    texts, used = await asyncio.gather(
        texts_of(request, confidential=sees_confidential(client)), _used(request, period, client)
    )
    figures = period_figures(used, texts)
    return page(request, "toezicht/overzicht.html", section="overzicht", period=period, figures=figures)


@router.get("/regels")
async def records(request: Request, client: Officer) -> Response:
    """Show the records of a period: all of them, or of one activity, or those that failed or were normalised."""
    period = period_of(request.query_params, zone_of(request))
    after = cursor_of(request)
    try:
        kind = OversightKind(request.query_params.get("soort", OversightKind.ALL))
    except ValueError:
        raise Problem(HTTPStatus.NOT_FOUND, "") from None
    activity = await chosen_activity(request, partial(_used, request, period, client))
    texts, result = await asyncio.gather(
        texts_of(request, confidential=sees_confidential(client)),
        services_of(request).reader.ask(
            oversight.latest_in_period,
            PageLimits(since_ms=period.since_ms, until_ms=period.until_ms, after=after, limit=_PAGE_RECORDS),
            activity=activity,
            kind=kind,
            confidential=sees_confidential(client),
        ),
    )
    log_records(request, len(result.records))
    return page(
        request,
        "toezicht/regels.html",
        period=period,
        kind=kind,
        chosen=None if activity is None else texts.activity(activity, now_ms()),
        rows=[record_row(record.logregel, texts) for record in result.records],
        following=result.following or "",
        later=after is not None,
    )


@router.get("/reeksen")
async def sequences(request: Request, client: Officer) -> Response:
    """Show the writers of a period whose sequence has gaps."""
    del client
    period = period_of(request.query_params, zone_of(request))
    checked = await services_of(request).reader.ask(oversight.check_sequences, period.since_ms, period.until_ms)
    rows = [gap_row(gap, zone_of(request)) for gap in checked.gaps]
    return page(
        request, "toezicht/reeksen.html", section="reeksen", rows=rows, period=period, sequences=checked.writers
    )


@router.get("/controles")
async def verifications(request: Request, client: Officer) -> Response:
    """Show when the Logboek was last checked for changes, by whom, and what came out."""
    del client
    made = await services_of(request).reader.ask(latest_verifications)
    rows = [verification_row(each, zone_of(request)) for each in made]
    return page(
        request, "toezicht/controles.html", section="controles", rows=rows, sentences=list(check_sentences(made))
    )


@router.get("/persoon")
async def person(request: Request, client: Officer) -> Response:
    """Show the form that asks for a person and a reason."""
    require(client, frozenset({Scope.IDENTIFY}))
    return _form(request)


@router.post("/persoon")
async def records_about(request: Request, client: Officer) -> Response:
    """Log the access, and then show the records about a person."""
    require(client, frozenset({Scope.IDENTIFY}))
    services = services_of(request)
    form = await form_of(request)
    form_wanted = person_form_of(form)
    access = officer_access(form, services.pseudonymiser, stray_numbers(services.settings))
    if isinstance(access, dict):
        return _form(request, HTTPStatus.UNPROCESSABLE_ENTITY, given=form, wrong=access)
    period = period_of(form, zone_of(request)) if form.get("van") or form.get("tot") else None
    if period is not None and period.wrong:
        return _form(request, HTTPStatus.UNPROCESSABLE_ENTITY, given=form, wrong={"van": period.wrong})
    activity = services.settings.toezicht_activity or DEMO_ACTIVITY
    record = access.logregel(activity, client.person or client.id, services.pseudonymiser)
    if services.writer is None:
        raise RuntimeError("the application was made without a writer")
    try:
        await services.writer.write([record])
    except LdvError:
        # Without a record of the access no data is shown; up to here nothing was read.
        return _form(request, HTTPStatus.SERVICE_UNAVAILABLE, given=form, failed=True)
    if form_wanted is not PersonForm.SCREEN:
        choices = Choices(
            since_ms=None if period is None else period.since_ms,
            until_ms=None if period is None else period.until_ms,
            pseudonyms=access.pseudonyms,
        )
        return await person_file(request, form_wanted, choices, client, record.trace_id.hex())
    texts, linked, missing, result = await asyncio.gather(
        texts_of(request, confidential=sees_confidential(client)),
        services.reader.ask(person_of, access.pseudonyms),
        services.missing_keys.counts(),
        services.reader.ask(
            read.latest_by_subject,
            access.pseudonyms,
            PageLimits(
                since_ms=None if period is None else period.since_ms,
                until_ms=None if period is None else period.until_ms,
                limit=_PERSON_RECORDS,
            ),
            confidential=sees_confidential(client),
        ),
    )
    log_records(request, len(result.records))
    return page(
        request,
        "toezicht/persoon-regels.html",
        section="persoon",
        days=texts.days(stored.logregel for stored in result.records),
        count=len(result.records),
        more=result.following is not None,
        lacking=linked.lacking(services.pseudonymiser.keys.keys),
        missing=missing,
        period=period,
        all_shown=sees_confidential(client),
        reason=record.attributes[REASON],
        trace_id=record.trace_id.hex(),
    )


add_not_found_page(router)


def _form(request: Request, code: HTTPStatus = HTTPStatus.OK, **context: Any) -> Response:
    asked_for = PersonForm.EVIDENCE if request.query_params.get("vraag") == COMPLAINT.address else PersonForm.SCREEN
    default = {"soort": services_of(request).settings.inzage.subject_type, "vorm": asked_for.value}
    context = {"given": default, "wrong": {}, "failed": False} | context
    return page(
        request,
        "toezicht/persoon.html",
        code,
        section="persoon",
        types=KNOWN_TYPES,
        least=REASON_LEAST,
        most=REASON_CHARACTERS,
        forms=offered_person_forms(),
        **context,
    )


async def _used(request: Request, period: Period, client: Client) -> list[ActivityCounts]:
    return await services_of(request).reader.ask(
        oversight.used_in_period, period.since_ms, period.until_ms, confidential=sees_confidential(client)
    )
