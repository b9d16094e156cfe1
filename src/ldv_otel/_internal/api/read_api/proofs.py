"""Proofs of the records of a trace, for other organisations: beside the lezen API, which knows none.

A proof shows its record whole, also what the read API leaves out: the sealed identifier, the ids of keys. So it takes a
scope of its own.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from ldv_otel._internal.api.auth.authentication import client_with
from ldv_otel._internal.api.auth.clients import Client, Scope
from ldv_otel._internal.api.constraints import parse_trace_id_field
from ldv_otel._internal.api.envelope import log_records
from ldv_otel._internal.api.messages import json_response
from ldv_otel._internal.api.problem import InputError, Problem
from ldv_otel._internal.api.read_api.paging import last_page, next_page, page_parameters
from ldv_otel._internal.api.read_api.selection import seen_by
from ldv_otel._internal.api.services import services_of
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.models import RecordQuery
from ldv_otel._internal.questions.complaint import proofs_of_records
from ldv_otel._internal.tamper.proof import encode_proof

router: Final = APIRouter()

Proving = Annotated[Client, Depends(client_with(Scope.READ, Scope.PROOF))]

#: Each may be in a batch of its own, whose rows are all read, and a request has its time.
_MOST: Final = 25


@router.get("/proofs")
async def proofs(request: Request, client: Proving) -> Response:
    """Return the proofs of those records of a trace that the client may see and that are sealed as they are."""
    services = services_of(request)
    after, limit = page_parameters(request, services, "traceId")
    try:
        trace_id = parse_trace_id_field(request.query_params.get("traceId"))
    except ValueError as error:
        errors = [InputError("query", str(error), "traceId", "invalid")]
        raise Problem(HTTPStatus.BAD_REQUEST, str(error), errors=errors) from None
    limit = min(limit, _MOST)
    page = await services.reader.ask(
        read.search,
        seen_by(client, RecordQuery(trace_id=trace_id)),
        after=after,
        limit=limit,
        confidential=Scope.CONFIDENTIAL in client.scopes,
    )
    shown = [
        msgspec.Raw(encode_proof(proof))
        for proof in await services.reader.ask(proofs_of_records, page.records)
        if proof is not None
    ]
    log_records(request, len(shown))
    link = next_page(request, page.following, limit) or last_page(request)
    return json_response({"proofs": shown}, headers={"Link": link})
