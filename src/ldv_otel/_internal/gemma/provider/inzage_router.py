"""The Inzage API: what a data subject may see of the acties about them; always the limited set of elements.

Source: section 4 of the specification. What is `vertrouwelijk` is never shown, under any scope (GI-03).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.gemma.model import Version
from ldv_otel._internal.gemma.provider import responses as answers
from ldv_otel._internal.gemma.provider.access_record import log_question
from ldv_otel._internal.gemma.provider.dependencies import Entered, provider_of
from ldv_otel._internal.gemma.provider.requests import Faults, Person, doelbinding_of, id_of, list_of
from ldv_otel._internal.gemma.provider.scopes import Component, Right, right_to

router: Final = APIRouter()

_WHAT: Final = "verwerkte objecten"


@router.get("/verwerkte-objecten")
async def list_(request: Request, client: Entered) -> Response:
    """Return what was done with the data of a person in a period."""
    provider = provider_of(request)
    question, doelbinding = list_of(request, provider.zone, inzage=True)
    right = await right_to("read", provider.authorisation, client, Component.INZAGE)
    await log_question(request, [question.person], doelbinding, _WHAT)
    found = await provider.acties.asked_for(question, confidential=right.confidential)
    base = answers.base_url(request)
    shown = [
        each for version in found if _is_visible(version, right) for each in answers.verwerkte_objecten(version, base)
    ]
    return answers.page(request, question, shown)


@router.get("/verwerkte-objecten/{verwerktObjectId}")
async def read(request: Request, client: Entered) -> Response:
    """Return one of them; what may not be seen is not there (GI-17)."""
    provider = provider_of(request)
    faults = Faults()
    verwerkt_object_id = id_of(request, "verwerktObjectId")
    doelbinding = doelbinding_of(request, faults, required=False)
    faults.refuse()
    right = await right_to("read", provider.authorisation, client, Component.INZAGE)
    version = await provider.acties.with_object(verwerkt_object_id)
    if version is None or not _is_visible(version, right):
        raise Problem(HTTPStatus.NOT_FOUND, "Dit verwerkte object is er niet.")
    persons = [Person(each.soort_object_id, each.object_id) for each in version.actie.verwerkte_objecten]
    await log_question(request, persons, doelbinding, _WHAT)
    return answers.answer(answers.verwerkte_objecten(version, answers.base_url(request))[0])


def _is_visible(version: Version, right: Right) -> bool:
    if right.confidential:
        return version.actie.vertrouwelijkheid != "vertrouwelijk"
    return not version.is_or_was_confidential
