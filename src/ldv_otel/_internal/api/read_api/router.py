"""The lezen API of Logboek Dataverwerkingen (extension *lezen*), in the forms of 2025 and 2026 side by side (LDV-N1).

What the standard leaves open is settled so: a page has a maximum, and the header `Link` names the next one; the query
itself stays in the body, because addresses end up in logs, where a data subject's identifier must not be.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from ldv_otel._internal.api.auth.authentication import client_with
from ldv_otel._internal.api.auth.clients import Client, Scope
from ldv_otel._internal.api.constraints import check, parse_trace_id_field
from ldv_otel._internal.api.envelope import log_records
from ldv_otel._internal.api.messages import document_response, json_response, mounted_at
from ldv_otel._internal.api.problem import InputError, Problem
from ldv_otel._internal.api.read_api import chains, linked_data, operations, proofs
from ldv_otel._internal.api.read_api.metadata import answer_metadata
from ldv_otel._internal.api.read_api.openapi import BASE_PATH, openapi_document
from ldv_otel._internal.api.read_api.paging import next_page, page_parameters, read_page
from ldv_otel._internal.api.read_api.request import SpanId, json_object, lezen_request
from ldv_otel._internal.api.read_api.selection import record_query
from ldv_otel._internal.api.services import services_of
from ldv_otel._internal.clickhouse.queries.models import Cursor, RecordQuery
from ldv_otel._internal.record.read_form import processing_activity

router: Final = APIRouter(prefix=BASE_PATH)
router.include_router(operations.router)
router.include_router(chains.router)
router.include_router(proofs.router)
router.include_router(linked_data.router)
# Records of others name a read API by its base too, and clients ask at the address that a record names (LDV-N7a).
router.post("")(operations.data_processing_operations)

#: RFC 9745: since when the form of 2025 has a successor, 2026-11-29 UTC, and where that is: beside it.
_DEPRECATED_SINCE: Final = "@1795910400"
_SUCCESSOR: Final = f'<{operations.PATH[1:]}>; rel="successor-version"'

Reading = Annotated[Client, Depends(client_with(Scope.READ))]


@router.get("/openapi.json")
async def openapi_json(request: Request) -> Response:
    """Return the OpenAPI document; anybody may have it."""
    # Below this server, where its own address is not set: that of the socket is nothing to tell everybody.
    return document_response(openapi_document(services_of(request).settings.serve.url or mounted_at(request)))


@router.post("/processing-activities")
async def processing_activities(request: Request, client: Reading) -> Response:
    """Return the records that a client asks for, oldest first, in the form of 2025."""
    services = services_of(request)
    after, limit = page_parameters(request, services)
    asked = lezen_request(await json_object(request))
    answer = await _answer(request, client, record_query(asked, client, services.pseudonymiser), after, limit)
    answer.headers["Deprecation"] = _DEPRECATED_SINCE
    # After the next page, which older clients of ours take from the first of several.
    answer.headers["Link"] = ", ".join(filter(None, [answer.headers.get("Link"), _SUCCESSOR]))
    return answer


@router.get("/foreign-operations")
async def foreign_operations(request: Request, client: Reading) -> Response:
    """Return what was done here on behalf of a trace of the asking party, in traces of our own (LDV-X2)."""
    services = services_of(request)
    after, limit = page_parameters(request, services, "traceId", "spanId")
    query = RecordQuery(
        foreign_trace_id=_query_trace_id(request),
        foreign_span_id=_query_span_id(request),
    )
    return await _answer(request, client, query, after, limit)


async def _answer(
    request: Request, client: Client, query: RecordQuery | None, after: Cursor | None, limit: int
) -> Response:
    """Return a page as the contract's `ListProcessingActivities`, with the next page in `Link`."""
    services = services_of(request)
    page = await read_page(services, client, query, processing_activity, after=after, limit=limit)
    log_records(request, len(page.records))
    content: dict[str, Any] = {
        "processingActivities": page.records,
        "metadata": await answer_metadata(request, services, [query]),
    }
    link = next_page(request, page.following, limit)
    return json_response(content, headers={"Link": link} if link else None)


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
