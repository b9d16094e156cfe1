"""The Bewerking API: log, query, change and delete Verwerkingsacties, for use inside the organisation.

Source: section 3 of the specification. Checks come in the order of GW-15: authentication, media type, syntax, target,
scope against the target's `vertrouwelijkheid`.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ldv_otel._internal.api.constraints import Uuid
from ldv_otel._internal.api.messages import json_response
from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.gemma import model
from ldv_otel._internal.gemma.provider import responses
from ldv_otel._internal.gemma.provider.access_record import log_access, log_access_to_version
from ldv_otel._internal.gemma.provider.dependencies import AuthenticatedClient, Provider, provider_of
from ldv_otel._internal.gemma.provider.requests import (
    calling_span_of,
    doelbinding_of,
    id_of,
    json_of,
    query_of,
    values_of,
)
from ldv_otel._internal.gemma.provider.scopes import Component, forbidden, right_to
from ldv_otel._internal.gemma.provider.validation import Faults, ValidatieFout, invalid

router: Final = APIRouter()

_WHAT: Final = "verwerkingsacties"


@router.post("/verwerkingsacties")
async def create(request: Request, client: AuthenticatedClient) -> Response:
    """Log a Verwerkingsactie (F7446, F6624)."""
    actie = await _actie_of(request)
    provider = provider_of(request)
    if actie.vertrouwelijkheid == "opgeheven":
        raise forbidden("Een nieuwe verwerkingsactie kan niet opgeheven zijn.")
    if actie.vertrouwelijkheid == "vertrouwelijk":  # what is `normaal` every client may log (GW-22)
        right = await right_to("create", provider.authorisation, client, Component.BEWERKING)
        _check(right.confidential, "create")
    version = await provider.repository.log(actie, calling_span_of(request))
    base = responses.base_url(request)
    location = responses.actie_url(base, version.actie_id)
    return json_response(responses.verwerkingsactie(version, base), HTTPStatus.CREATED, {"Location": location})


@router.get("/verwerkingsacties")
async def list_(request: Request, client: AuthenticatedClient) -> Response:
    """Return the acties about a person (F9787, F2525, F0143)."""
    provider = provider_of(request)
    query, doelbinding = query_of(request, provider.zone, inzage=False)
    right = await right_to("read", provider.authorisation, client, Component.BEWERKING)
    if not right.confidential and query.kinds != frozenset({"normaal"}):
        raise forbidden("Met alleen read:normal moet de vraag vertrouwelijkheid=normaal hebben, en niets anders.")
    await log_access(request, [query.person], doelbinding, _WHAT)
    versions = await provider.repository.about(query, confidential=right.confidential)
    base = responses.base_url(request)
    acties = [
        responses.verwerkingsactie(version, base)
        for version in versions
        if query.kinds is None or version.actie.vertrouwelijkheid in query.kinds
    ]
    return await responses.page(request, query, acties)


@router.get("/verwerkingsacties/{actieId}")
async def read(request: Request, client: AuthenticatedClient) -> Response:
    """Return an actie with all its objects."""
    provider = provider_of(request)
    faults = Faults()
    actie_id = id_of(request, "actieId")
    doelbinding = doelbinding_of(request, faults, required=False)
    faults.refuse()
    version = await provider.repository.with_id(actie_id)
    right = await right_to("read", provider.authorisation, client, Component.BEWERKING)
    if version is None:
        raise Problem(HTTPStatus.NOT_FOUND, "Deze verwerkingsactie is er niet.")
    if not right.confidential and version.is_or_was_confidential:
        raise forbidden(
            "Deze verwerkingsactie is vertrouwelijk of is dat geweest: daarvoor is read:confidential nodig."
        )
    await log_access_to_version(request, version, doelbinding, _WHAT)
    return json_response(responses.verwerkingsactie(version, responses.base_url(request)))


@router.put("/verwerkingsacties/{actieId}")
async def update(request: Request, client: AuthenticatedClient) -> Response:
    """Replace an actie with a new version (F8316, F3835)."""
    provider = provider_of(request)
    actie_id = id_of(request, "actieId")
    actie = await _actie_of(request, complete=True)
    # Held over reading, checking and storing: between them another request could change what was checked.
    async with provider.repository.changes:
        before = await _version_to_change(provider, actie_id)
        right = await right_to("update", provider.authorisation, client, Component.BEWERKING)
        old, new = before.actie.vertrouwelijkheid, actie.vertrouwelijkheid
        _check(right.confidential or old == new == "normaal", "update")
        # Confidentiality is lifted of a Verwerking as a whole (F2969).
        if new == "opgeheven" != old:
            raise forbidden("Opheffen kan alleen voor de hele verwerking, met PATCH.")
        after = await provider.repository.replace(before, _with_ids_of_objects(before, actie))
    return json_response(responses.verwerkingsactie(after, responses.base_url(request)))


@router.patch("/verwerkingsacties")
async def patch(request: Request, client: AuthenticatedClient) -> Response:
    """Change the bewaartermijn or vertrouwelijkheid of a whole Verwerking (F4415, F2969)."""
    provider = provider_of(request)
    verwerking_id, change = await _change_of(request)
    async with provider.repository.changes:
        versions = await provider.repository.of_verwerking(verwerking_id)
        if not versions:
            raise invalid("verwerkingId", "Er zijn geen verwerkingsacties van deze verwerking.", code="unknown")
        right = await right_to("update", provider.authorisation, client, Component.BEWERKING)
        # One confidential actie makes the whole change one of confidential data.
        is_normal = all(version.actie.vertrouwelijkheid == "normaal" for version in versions)
        _check(right.confidential or (is_normal and change.keys() == {"bewaartermijn"}), "update")
        for version in versions:
            _check_own(version)
        await provider.repository.replace_all(
            (version, msgspec.structs.replace(version.actie, **change)) for version in versions
        )
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.delete("/verwerkingsacties/{actieId}")
async def delete(request: Request, client: AuthenticatedClient) -> Response:
    """Delete an actie: its last version is `vervallen` (F9906, F2265)."""
    provider = provider_of(request)
    actie_id = id_of(request, "actieId")
    async with provider.repository.changes:
        before = await _version_to_change(provider, actie_id)
        right = await right_to("delete", provider.authorisation, client, Component.BEWERKING)
        _check(right.confidential or before.actie.vertrouwelijkheid == "normaal", "delete")
        await provider.repository.replace(before, before.actie, vervallen=True)
    return Response(status_code=HTTPStatus.NO_CONTENT)


async def _actie_of(request: Request, *, complete: bool = False) -> model.Verwerkingsactie:
    try:
        return model.verwerkingsactie(await json_of(request), complete=complete)
    except model.InvalidInput as error:
        raise ValidatieFout(error.faults) from None


async def _change_of(request: Request) -> tuple[str, dict[str, str]]:
    """Return which Verwerking is to be changed, and the elements of its acties that get another value."""
    faults = Faults()
    verwerking_id = ""
    with faults.gathered():
        (verwerking_id,) = values_of(request, "verwerkingId", Uuid, required=True)
    content = await json_of(request)
    change: dict[str, str] = {}
    if not isinstance(content, dict) or not content:
        faults.add("body", "invalid", "Dit is geen JSON-object met bewaartermijn, vertrouwelijkheid of beide.")
        content = {}
    for name, value in content.items():
        if name not in model.OF_VERWERKING:
            reason = "Van een verwerking kunnen alleen bewaartermijn en vertrouwelijkheid gewijzigd worden."
            faults.add("body", "unknown", reason)
            continue
        field, type_ = model.OF_VERWERKING[name]
        with faults.gathered():
            change[field] = model.element(type_, value, name)
    faults.refuse()
    return verwerking_id, change


async def _version_to_change(provider: Provider, actie_id: str) -> model.Version:
    """Return the version that is to be changed; one that does not exist is the client's fault (GW-61, GW-81)."""
    version = await provider.repository.with_id(actie_id)
    if version is None:
        raise invalid("actieId", "Deze verwerkingsactie is er niet, of is vervallen.", code="unknown")
    _check_own(version)
    return version


def _check_own(version: model.Version) -> None:
    """Refuse to change what another application recorded in the Logboek: a Logregel never changes (LDV-L3)."""
    if version.native:
        raise Problem(
            HTTPStatus.CONFLICT,
            "Een toepassing heeft dit zelf in het Logboek vastgelegd. Zo'n logregel kan niet gewijzigd worden; "
            "vertrouwelijkheid en bewaartermijn staan in het register van verwerkingsactiviteiten.",
        )


def _check(allowed: bool, action: str) -> None:  # noqa: FBT001  (what it checks)
    if not allowed:
        raise forbidden(f"Daarvoor is het recht {action}:confidential nodig.")


def _with_ids_of_objects(before: model.Version, actie: model.Verwerkingsactie) -> model.Verwerkingsactie:
    """Return the new content with the ids that its objects have already; one without id is new (D-08).

    Raises:
        ValidatieFout: An id is not of this actie, or comes twice.
    """
    free_ids = {each.verwerkt_object_id for each in before.actie.verwerkte_objecten}
    objects = []
    for index, each in enumerate(actie.verwerkte_objecten):
        object_id = each.verwerkt_object_id.lower()
        if object_id and object_id not in free_ids:
            raise invalid(
                f"verwerkteObjecten[{index}].verwerktObjectId",
                "Dit is geen object van deze verwerkingsactie, of het staat er meer dan eens.",
            )
        free_ids.discard(object_id)
        objects.append(msgspec.structs.replace(each, verwerkt_object_id=object_id))
    return msgspec.structs.replace(actie, verwerkte_objecten=tuple(objects))
