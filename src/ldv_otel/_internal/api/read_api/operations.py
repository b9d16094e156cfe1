"""The lezen API in its form of 2026: `POST /data-processing-operations`, and several questions at once (LDV-N1, N5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from ldv_otel._internal.api.auth.authentication import client_with
from ldv_otel._internal.api.auth.clients import Client, Scope
from ldv_otel._internal.api.envelope import log_records
from ldv_otel._internal.api.messages import json_response
from ldv_otel._internal.api.problem import InputError
from ldv_otel._internal.api.read_api.linked_data import context_address, linked_operation, wants_linked_data
from ldv_otel._internal.api.read_api.metadata import answer_metadata
from ldv_otel._internal.api.read_api.paging import MAX_ANSWER_BYTES, last_page, next_page, page_parameters, read_page
from ldv_otel._internal.api.read_api.request import (
    LezenRequest,
    bad_request,
    json_object,
    lezen_request,
    malformed_subject,
    missing_key,
    read_members,
)
from ldv_otel._internal.api.read_api.selection import record_query, seen_by
from ldv_otel._internal.api.services import services_of
from ldv_otel._internal.linked_data.context import MEDIA_TYPE
from ldv_otel._internal.record.read_form import data_processing_operation

router: Final = APIRouter()
PATH: Final = "/data-processing-operations"
#: The most questions in one request.
MAX_REQUESTS: Final = 100

Reading = Annotated[Client, Depends(client_with(Scope.READ))]


@router.post(PATH)
async def data_processing_operations(request: Request, client: Reading) -> Response:
    """Return the records that a client asks for, oldest first; as linked data where it asks for that."""
    services = services_of(request)
    after, limit = page_parameters(request, services)
    asked = lezen_request(await json_object(request))
    query = record_query(asked, client, services.pseudonymiser)
    linked = wants_linked_data(request)
    as_json = linked_operation(request) if linked else data_processing_operation
    page = await read_page(services, client, query, as_json, after=after, limit=limit)
    log_records(request, len(page.records))
    metadata = await answer_metadata(request, services, [query])
    content = {"metadata": metadata, "dataProcessingOperations": page.records}
    return json_response(
        {"@context": context_address(request), **content} if linked else content,
        headers={"Link": next_page(request, page.following, limit) or last_page(request), "Vary": "Accept"},
        media_type=MEDIA_TYPE if linked else "application/json",
    )


@router.post(f"{PATH}/_batch")
async def batch(request: Request, client: Reading) -> Response:
    """Return the answers to several questions in their order; each is authorised by itself (LDV-N5).

    A question that has more records than fit gets its first ones and a member `next`: the query part of the address
    below which the same question, asked alone, goes on.
    """
    services = services_of(request)
    _, limit = page_parameters(request, services, cursor=False)
    asked = batch_requests(await json_object(request))
    # All before any is answered: one that this client may not ask makes the whole a 403, as one that is wrong a 400.
    queries = [record_query(each, client, services.pseudonymiser) for each in asked]
    queries = [query and seen_by(client, query) for query in queries]
    left, count, results = MAX_ANSWER_BYTES, 0, []
    for query in queries:
        page = await read_page(
            services, client, query, data_processing_operation, after=None, limit=limit, max_bytes=max(left, 0)
        )
        left -= sum(map(len, map(bytes, page.records)))
        count += len(page.records)
        link = next_page(request, page.following, limit)
        results.append({"items": page.records} | ({"next": link[1:].partition(">")[0]} if link else {}))
    log_records(request, count)
    return json_response({"metadata": await answer_metadata(request, services, queries), "results": results})


def batch_requests(content: Mapping[str, Any]) -> list[LezenRequest]:
    """Return the questions of a batch, each with what their `context` says for all.

    The text of the extension has each question in an object `filter`, its OpenAPI file has not: both are taken.

    Raises:
        Problem: 400; everything that is wrong in any of them is named.
    """
    errors = [InputError("body", "Dit veld bestaat niet.", "", "unknown") for name in content if name not in _MEMBERS]
    context, requests = content.get("context", {}), content.get("requests")
    shared: dict[str, Any] = {}
    if not isinstance(context, dict):
        errors.append(InputError("body", "Dit moet een object zijn.", "/context", "type"))
    else:
        shared, wrong = read_members(context, "/context")
        errors += wrong
        if shared.keys() - _IN_CONTEXT:
            detail = "In context staan alleen startTime en endTime."
            errors.append(InputError("body", detail, "/context", "unknown"))
    if not isinstance(requests, list) or not 1 <= len(requests) <= MAX_REQUESTS:
        detail = f"Geef een lijst van 1 tot {MAX_REQUESTS} vragen."
        raise bad_request([*errors, InputError("body", detail, "/requests", "type")])
    asked = []
    for index, each in enumerate(requests):
        pointer, question = f"/requests/{index}", each
        if isinstance(each, dict) and each.keys() == {_FILTER}:
            pointer, question = f"{pointer}/{_FILTER}", each[_FILTER]
        if not isinstance(question, dict):
            errors.append(InputError("body", "Dit moet een object zijn.", pointer, "type"))
            continue
        fields, wrong = read_members(question, pointer)
        errors += wrong or missing_key(fields, pointer) or malformed_subject(fields, pointer)
        if fields.keys() & shared.keys():
            errors.append(InputError("body", "Dit staat ook in context.", pointer, "ambiguous"))
        asked.append(shared | fields)
    if errors:
        raise bad_request(errors)
    return [LezenRequest(**fields) for fields in asked]


_MEMBERS: Final = frozenset({"context", "requests"})
_FILTER: Final = "filter"
_IN_CONTEXT: Final = frozenset({"since_ms", "ended_by_ms"})
