"""The lezen API of Logboek Dataverwerkingen (extension *lezen*), as its OpenAPI file says.

What the file leaves open is settled so: a page has a maximum, and the header `Link` names the next one; the query
itself stays in the body, because addresses end up in logs, where a data subject's identifier must not be.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from ldv_otel._internal.api.auth.authentication import client_with
from ldv_otel._internal.api.auth.clients import Client, Scope
from ldv_otel._internal.api.constraints import check
from ldv_otel._internal.api.envelope import log_records
from ldv_otel._internal.api.messages import document_response, json_response, server_url
from ldv_otel._internal.api.problem import InputError, Problem
from ldv_otel._internal.api.read_api import chains
from ldv_otel._internal.api.read_api.openapi import BASE_PATH, openapi_document
from ldv_otel._internal.api.read_api.request import (
    LezenRequest,
    SpanId,
    json_object,
    lezen_request,
    parse_trace_id_field,
)
from ldv_otel._internal.api.read_api.response import within_bytes
from ldv_otel._internal.api.services import Services, services_of
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.models import Cursor, Page, RecordQuery
from ldv_otel._internal.privacy.pseudonyms import KNOWN_TYPES, PSEUDONYM_BYTES, Pseudonymiser
from ldv_otel.errors import QueryError

router: Final = APIRouter(prefix=BASE_PATH)
router.include_router(chains.router)

#: JSON of one answer; records beyond it are for the next page.
_MAX_ANSWER_BYTES: Final = 4 << 20

Reading = Annotated[Client, Depends(client_with(Scope.READ))]


@router.get("/openapi.json")
async def openapi_json(request: Request) -> Response:
    """Return the OpenAPI document; anybody may have it."""
    return document_response(openapi_document(server_url(request, services_of(request).settings.serve)))


@router.post("/processing-activities")
async def processing_activities(request: Request, client: Reading) -> Response:
    """Return the records that a client asks for, oldest first."""
    services = services_of(request)
    after, limit = _page_of(request, services)
    asked = lezen_request(await json_object(request))
    return await _answer(request, client, _record_query(asked, client, services.pseudonymiser), after, limit)


@router.get("/foreign-operations")
async def foreign_operations(request: Request, client: Reading) -> Response:
    """Return what was done here on behalf of a trace of the asking party, in traces of our own (LDV-X2)."""
    services = services_of(request)
    after, limit = _page_of(request, services, "traceId", "spanId")
    query = RecordQuery(
        foreign_trace_id=_query_trace_id(request),
        foreign_span_id=_query_span_id(request),
        visible=client.activities,
    )
    return await _answer(request, client, query, after, limit)


def _record_query(asked: LezenRequest, client: Client, pseudonymiser: Pseudonymiser) -> RecordQuery | None:
    """Return the query for a request; None when no record can meet it.

    An identifier that nobody can have must not become a query without a subject, which all records meet.
    """
    subjects = _subjects(asked, client, pseudonymiser)
    subject_type = pseudonymiser.normal_type(asked.subject_type)
    if (asked.subject and not subjects) or (asked.subject_type and not subject_type):
        return None
    return RecordQuery(
        trace_id=asked.trace_id,
        subjects=subjects,
        subject_type=subject_type,
        activity=asked.activity,
        processor=asked.processor,
        read_api=asked.read_api,
        visible=client.activities,
        since_ms=asked.since_ms,
        ended_by_ms=asked.ended_by_ms,
    )


def _subjects(asked: LezenRequest, client: Client, pseudonymiser: Pseudonymiser) -> tuple[bytes, ...]:
    """Return the pseudonyms of the person that a client asks about; the identifier goes no further (LDV-R7).

    Raises:
        Problem: 403, this client may ask with pseudonyms only.
    """
    if not asked.subject:
        return ()
    is_pseudonym = re.fullmatch(f"[0-9a-fA-F]{{{2 * PSEUDONYM_BYTES}}}", asked.subject)
    pseudonyms = [bytes.fromhex(asked.subject)] if is_pseudonym else []
    if Scope.IDENTIFY in client.scopes:
        # A pseudonym is one of type and identifier, so without a type each one is tried.
        for type_ in (asked.subject_type,) if asked.subject_type else ("", *KNOWN_TYPES):
            pseudonyms += pseudonymiser.candidates(asked.subject, type_)
    elif not is_pseudonym:
        raise Problem(
            HTTPStatus.FORBIDDEN,
            f"Deze client mag alleen met een pseudoniem (32 hexadecimale cijfers) vragen: het recht {Scope.IDENTIFY} "
            "ontbreekt.",
        )
    # In the table zeros stand for no data subject at all, so that as a pseudonym they would find all such records.
    return tuple(dict.fromkeys(pseudonym for pseudonym in pseudonyms if any(pseudonym)))


async def _answer(
    request: Request, client: Client, query: RecordQuery | None, after: Cursor | None, limit: int
) -> Response:
    """Return a page as the contract's `ListProcessingActivities`, with the next page in `Link`."""
    # Records that the client may not see are left out by the query itself: filtered here, pages would tell how many.
    confidential = Scope.CONFIDENTIAL in client.scopes
    reader = services_of(request).reader
    page = Page([], None)
    if query is not None:
        page = await reader.ask(read.search, query, after=after, limit=limit, confidential=confidential)
    encoded = within_bytes(page.records, _MAX_ANSWER_BYTES)
    following = page.following if len(encoded) == len(page.records) else Cursor.after(page.records[len(encoded) - 1])
    headers = {}
    if following is not None:
        # A relative address with only a query is right too behind a proxy that has this API at another path.
        target = request.url.include_query_params(cursor=str(following), limit=limit)
        headers["Link"] = f'<?{target.query}>; rel="next"'
    log_records(request, len(encoded))
    content: dict[str, Any] = {"processingActivities": [msgspec.Raw(record) for record in encoded]}
    settings = services_of(request).settings
    if settings.logboek_id and settings.organisation:
        content["metadata"] = {"logbookId": settings.logboek_id, "organizationName": settings.organisation}
    return json_response(content, headers=headers)


def _page_of(request: Request, services: Services, *others: str) -> tuple[Cursor | None, int]:
    """Return the cursor and the length of a page, from the parameters of the address.

    Args:
        others: Names of further parameters that may be there.

    Raises:
        Problem: 400; a parameter that does not exist, comes twice, or cannot be read.
    """
    parameters = request.query_params
    names = {"cursor", "limit", *others}
    errors = [
        # A parameter that is ignored could be a condition that the client believes to hold for the answer.
        InputError("query", "Deze parameter bestaat niet.", code="unknown")
        for name in parameters
        if name not in names
    ]
    errors += [
        InputError("query", "Deze parameter staat er meer dan eens.", name, "double")
        for name in names
        if len(parameters.getlist(name)) > 1
    ]
    limit = parameters.get("limit")
    highest = services.settings.serve.records
    if limit is not None and not re.fullmatch(r"[1-9][0-9]{0,8}", limit):
        errors.append(InputError("query", "Dit moet een geheel getal vanaf 1 zijn.", "limit", "invalid"))
    after = None
    if "cursor" in parameters:
        try:
            after = Cursor.parse(parameters["cursor"])
        except QueryError:
            detail = "Dit is geen cursor; neem het adres uit de header Link over zoals het is."
            errors.append(InputError("query", detail, "cursor", "invalid"))
    if errors:
        raise Problem(HTTPStatus.BAD_REQUEST, errors[0].detail, errors=errors)
    return after, min(int(limit), highest) if limit else highest


def _query_trace_id(request: Request) -> bytes:
    try:
        return parse_trace_id_field(request.query_params.get("traceId"))
    except ValueError as error:
        raise _invalid_parameter("traceId", str(error)) from None


def _query_span_id(request: Request) -> bytes:
    text = request.query_params.get("spanId")
    if text is None:
        return b""
    try:
        check(SpanId, text)
    except ValueError as error:
        raise _invalid_parameter("spanId", str(error)) from None
    return bytes.fromhex(text)


def _invalid_parameter(name: str, detail: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, detail, errors=[InputError("query", detail, name, "invalid")])
