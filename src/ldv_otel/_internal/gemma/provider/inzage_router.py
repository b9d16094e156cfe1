"""The Inzage API: what a data subject may see of the acties about them; always the limited set of elements.

Source: section 4 of the specification. What is `vertrouwelijk` is never shown, under any scope (GI-03).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ldv_otel._internal.api.messages import json_response
from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.gemma.model import Version
from ldv_otel._internal.gemma.provider import responses
from ldv_otel._internal.gemma.provider.access_record import log_access, log_access_to_version
from ldv_otel._internal.gemma.provider.dependencies import AuthenticatedClient, provider_of
from ldv_otel._internal.gemma.provider.requests import doelbinding_of, id_of, query_of
from ldv_otel._internal.gemma.provider.scopes import Component, Right, right_to
from ldv_otel._internal.gemma.provider.validation import Faults

router: Final = APIRouter()

_WHAT: Final = "verwerkte objecten"


@router.get("/verwerkte-objecten")
async def list_(request: Request, client: AuthenticatedClient) -> Response:
    """Return what was done with the data of a person in a period."""
    provider = provider_of(request)
    query, doelbinding = query_of(request, provider.zone, inzage=True)
    right = await right_to("read", provider.authorisation, client, Component.INZAGE)
    await log_access(request, [query.person], doelbinding, _WHAT)
    versions = await provider.repository.about(query, confidential=right.confidential)
    base = responses.base_url(request)
    objects = [
        verwerkt_object
        for version in versions
        if _is_visible(version, right)
        for verwerkt_object in responses.verwerkte_objecten(version, base)
    ]
    return await responses.page(request, query, objects)


@router.get("/verwerkte-objecten/{verwerktObjectId}")
async def read(request: Request, client: AuthenticatedClient) -> Response:
    """Return one verwerkt object; one that may not be seen is answered as one that does not exist (GI-17)."""
    provider = provider_of(request)
    faults = Faults()
    verwerkt_object_id = id_of(request, "verwerktObjectId")
    doelbinding = doelbinding_of(request, faults, required=False)
    faults.refuse()
    right = await right_to("read", provider.authorisation, client, Component.INZAGE)
    version = await provider.repository.with_object(verwerkt_object_id)
    if version is None or not _is_visible(version, right):
        raise Problem(HTTPStatus.NOT_FOUND, "Dit verwerkte object is er niet.")
    await log_access_to_version(request, version, doelbinding, _WHAT)
    return json_response(responses.verwerkte_objecten(version, responses.base_url(request))[0])


def _is_visible(version: Version, right: Right) -> bool:
    if right.confidential:
        return version.actie.vertrouwelijkheid != "vertrouwelijk"
    return not version.is_or_was_confidential
