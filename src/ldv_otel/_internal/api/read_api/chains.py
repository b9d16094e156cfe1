"""A chain over organisations, for pages and auditors (LDV-R6); a resource of the same API as the lezen one."""

from __future__ import annotations

import uuid
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from ldv_otel._internal.api.auth.authentication import client_with
from ldv_otel._internal.api.auth.clients import Client, Scope
from ldv_otel._internal.api.constraints import parse_trace_id_field
from ldv_otel._internal.api.envelope import log_records
from ldv_otel._internal.api.messages import json_response
from ldv_otel._internal.api.problem import InputError, Problem
from ldv_otel._internal.api.read_api.openapi import own_url
from ldv_otel._internal.api.services import Services, services_of
from ldv_otel._internal.chain.follow import follow
from ldv_otel._internal.chain.model import Chain
from ldv_otel._internal.chain.source import ThisLogboek
from ldv_otel._internal.record.read_form import processing_activity

router: Final = APIRouter()

#: Part of a request's time that other parties may take: the rest is for this Logboek and the answer.
_OTHERS_SHARE: Final = 0.8


@router.get("/chains/{trace_id}")
async def chain(
    request: Request, trace_id: str, client: Annotated[Client, Depends(client_with(Scope.READ, Scope.CHAIN))]
) -> Response:
    """Return a trace over organisations; parties that do not answer are in it as such."""
    try:
        trace_bytes = parse_trace_id_field(trace_id)
    except ValueError as error:
        raise Problem(
            HTTPStatus.BAD_REQUEST, str(error), errors=[InputError("path", str(error), "traceId", "invalid")]
        ) from None
    followed = await chain_for(services_of(request), client, trace_bytes)
    log_records(request, len(followed.logregels))
    return json_response(_as_json(followed))


async def chain_for(
    services: Services,
    client: Client,
    trace_id: bytes,
    *,
    subjects: tuple[bytes, ...] = (),
    seconds: float = float("inf"),
) -> Chain:
    """Return a chain as a client may see it: its own limits hold here, and those of our credentials elsewhere.

    Args:
        subjects: Pseudonyms of the only person whose records of this Logboek are in it; none for all.
        seconds: The most time that other parties may take, if that is less than what the server gives them.
    """
    settings = services.settings
    this_logboek = ThisLogboek(
        services.reader.ask,
        visible=client.activities,
        subjects=subjects,
        confidential=Scope.CONFIDENTIAL in client.scopes,
    )
    # Parties that do not answer in time are in the answer as such; without a limit of their own the whole request would
    # run out of time and have no answer.
    seconds = min(seconds, settings.serve.seconds * _OTHERS_SHARE)
    return await follow(trace_id, this_logboek, services.remotes, own_url=own_url(settings.serve), seconds=seconds)


def _as_json(followed: Chain) -> dict[str, Any]:
    return {
        "traceId": str(uuid.UUID(bytes=followed.trace_id)),
        "complete": followed.complete,
        "parties": [
            {
                "readApi": party.url,
                "name": party.name,
                "state": party.state,
                "detail": party.detail,
                "complete": party.complete,
            }
            for party in followed.parties
        ],
        "processingActivities": [
            {
                **processing_activity(item.logregel),
                "party": item.party,
                "circle": item.circle,
                "repeated": item.repeated,
                **({"parent": item.parent, "relation": item.relation} if item.parent is not None else {}),
            }
            for item in followed.logregels
        ],
    }
