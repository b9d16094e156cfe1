"""The Bewerking API: log, query, change and delete Verwerkingsacties, for use inside the organisation.

Source: section 3 of the specification. Checks come in the order of GW-15: authentication, media type, syntax, target,
scope against the target's `vertrouwelijkheid`.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.gemma import model
from ldv_otel._internal.gemma.provider import responses as answers
from ldv_otel._internal.gemma.provider.access_record import log_question
from ldv_otel._internal.gemma.provider.dependencies import Entered, Provider, provider_of
from ldv_otel._internal.gemma.provider.requests import (
    Faults,
    Person,
    caller_of,
    doelbinding_of,
    id_of,
    json_of,
    list_of,
)
from ldv_otel._internal.gemma.provider.scopes import Component, forbidden, right_to
from ldv_otel._internal.gemma.provider.validation import ValidatieFout, invalid

router: Final = APIRouter()

_WHAT: Final = "verwerkingsacties"
#: What of a Verwerking can be changed, with its type.
_OF_VERWERKING: Final[dict[str, tuple[str, Any]]] = {
    "bewaartermijn": ("bewaartermijn", model.Duur),
    "vertrouwelijkheid": ("vertrouwelijkheid", model.Vertrouwelijkheid),
}


@router.post("/verwerkingsacties")
async def create(request: Request, client: Entered) -> Response:
    """Log a Verwerkingsactie (F7446, F6624)."""
    actie = await _actie(request)
    provider = provider_of(request)
    if actie.vertrouwelijkheid == "opgeheven":
        raise forbidden("Een nieuwe verwerkingsactie kan niet opgeheven zijn.")
    if actie.vertrouwelijkheid == "vertrouwelijk":  # what is `normaal` every client may log (GW-22)
        right = await right_to("create", provider.authorisation, client, Component.BEWERKING)
        _check(right.confidential, "create")
    version = await provider.acties.log(actie, caller_of(request))
    base = answers.base_url(request)
    location = answers.actie_url(base, version.actie_id)
    return answers.answer(answers.verwerkingsactie(version, base), HTTPStatus.CREATED, {"Location": location})


@router.get("/verwerkingsacties")
async def list_(request: Request, client: Entered) -> Response:
    """Return the acties about a person (F9787, F2525, F0143)."""
    provider = provider_of(request)
    question, doelbinding = list_of(request, provider.zone, inzage=False)
    right = await right_to("read", provider.authorisation, client, Component.BEWERKING)
    if not right.confidential and question.kinds != frozenset({"normaal"}):
        raise forbidden("Met alleen read:normal moet de vraag vertrouwelijkheid=normaal hebben, en niets anders.")
    await log_question(request, [question.person], doelbinding, _WHAT)
    found = await provider.acties.asked_for(question, confidential=right.confidential)
    base = answers.base_url(request)
    shown = [
        answers.verwerkingsactie(version, base)
        for version in found
        if question.kinds is None or version.actie.vertrouwelijkheid in question.kinds
    ]
    return answers.page(request, question, shown)


@router.get("/verwerkingsacties/{actieId}")
async def read(request: Request, client: Entered) -> Response:
    """Return an actie with all its objects."""
    provider = provider_of(request)
    faults = Faults()
    actie_id = id_of(request, "actieId")
    doelbinding = doelbinding_of(request, faults, required=False)
    faults.refuse()
    version = await provider.acties.one(actie_id)
    right = await right_to("read", provider.authorisation, client, Component.BEWERKING)
    if version is None:
        raise Problem(HTTPStatus.NOT_FOUND, "Deze verwerkingsactie is er niet.")
    if not right.confidential and version.is_or_was_confidential:
        raise forbidden(
            "Deze verwerkingsactie is vertrouwelijk of is dat geweest: daarvoor is read:confidential nodig."
        )
    # Whom it is about is only known now; no data leaves before this is on record (IR-04).
    persons = [Person(each.soort_object_id, each.object_id) for each in version.actie.verwerkte_objecten]
    await log_question(request, persons, doelbinding, _WHAT)
    return answers.answer(answers.verwerkingsactie(version, answers.base_url(request)))


@router.put("/verwerkingsacties/{actieId}")
async def update(request: Request, client: Entered) -> Response:
    """Replace an actie with a new version (F8316, F3835)."""
    provider = provider_of(request)
    actie_id = id_of(request, "actieId")
    actie = await _actie(request, complete=True)
    async with provider.acties.changes:
        before = await _target(provider, actie_id)
        right = await right_to("update", provider.authorisation, client, Component.BEWERKING)
        old, new = before.actie.vertrouwelijkheid, actie.vertrouwelijkheid
        _check(right.confidential or old == new == "normaal", "update")
        if new == "opgeheven" != old:
            raise forbidden("Opheffen kan alleen voor de hele verwerking, met PATCH.")
        after = await provider.acties.replace(before, _with_known_objects(before, actie))
    return answers.answer(answers.verwerkingsactie(after, answers.base_url(request)))


@router.patch("/verwerkingsacties")
async def patch(request: Request, client: Entered) -> Response:
    """Change the bewaartermijn or vertrouwelijkheid of a whole Verwerking (F4415, F2969)."""
    provider = provider_of(request)
    verwerking_id, change = await _change(request)
    async with provider.acties.changes:
        found = await provider.acties.of_verwerking(verwerking_id)
        if not found:
            raise invalid("verwerkingId", "Er zijn geen verwerkingsacties van deze verwerking.", code="unknown")
        right = await right_to("update", provider.authorisation, client, Component.BEWERKING)
        ordinary = all(version.actie.vertrouwelijkheid == "normaal" for version in found)
        _check(right.confidential or (ordinary and change.keys() == {"bewaartermijn"}), "update")
        for version in found:
            _check_own(version)
        await provider.acties.replace_all(
            (version, msgspec.structs.replace(version.actie, **change)) for version in found
        )
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.delete("/verwerkingsacties/{actieId}")
async def delete(request: Request, client: Entered) -> Response:
    """Delete an actie: its last version is `vervallen` (F9906, F2265)."""
    provider = provider_of(request)
    actie_id = id_of(request, "actieId")
    async with provider.acties.changes:
        before = await _target(provider, actie_id)
        right = await right_to("delete", provider.authorisation, client, Component.BEWERKING)
        _check(right.confidential or before.actie.vertrouwelijkheid == "normaal", "delete")
        await provider.acties.replace(before, before.actie, vervallen=True)
    return Response(status_code=HTTPStatus.NO_CONTENT)


async def _actie(request: Request, *, complete: bool = False) -> model.Verwerkingsactie:
    try:
        return model.verwerkingsactie(await json_of(request), complete=complete)
    except model.InvalidInput as error:
        raise ValidatieFout(error.faults) from None


async def _change(request: Request) -> tuple[str, dict[str, str]]:
    """Return which Verwerking is to be changed, and the elements of its acties that get another value."""
    faults = Faults()
    verwerking_id = request.query_params.get("verwerkingId")
    if verwerking_id is None:
        faults.found.append(model.Fault("verwerkingId", "required", "De parameter verwerkingId ontbreekt."))
    else:
        with faults.gathered():
            model.element(model.Uuid, verwerking_id, "verwerkingId")
    content = await json_of(request)
    change: dict[str, str] = {}
    if not isinstance(content, dict) or not content:
        reason = "Dit is geen JSON-object met bewaartermijn, vertrouwelijkheid of beide."
        faults.found.append(model.Fault("body", "invalid", reason))
        content = {}
    for name, value in content.items():
        if name not in _OF_VERWERKING:
            reason = "Van een verwerking kunnen alleen bewaartermijn en vertrouwelijkheid gewijzigd worden."
            faults.found.append(model.Fault("body", "unknown", reason))
            continue
        field, type_ = _OF_VERWERKING[name]
        with faults.gathered():
            change[field] = model.element(type_, value, name)
    faults.refuse()
    return verwerking_id or "", change


async def _target(provider: Provider, actie_id: str) -> model.Version:
    """Return what is to be changed; what is not there is the client's fault (GW-61, GW-81)."""
    found = await provider.acties.one(actie_id)
    if found is None:
        raise invalid("actieId", "Deze verwerkingsactie is er niet, of is vervallen.", code="unknown")
    _check_own(found)
    return found


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


def _with_known_objects(before: model.Version, actie: model.Verwerkingsactie) -> model.Verwerkingsactie:
    """Return the new content with the ids that its objects have already; one without id is new (D-08).

    Raises:
        ValidatieFout: An id is not of this actie, or comes twice.
    """
    free = {each.verwerkt_object_id for each in before.actie.verwerkte_objecten}
    objects = []
    for place, each in enumerate(actie.verwerkte_objecten):
        known = each.verwerkt_object_id.lower()
        if known and known not in free:
            raise invalid(
                f"verwerkteObjecten[{place}].verwerktObjectId",
                "Dit is geen object van deze verwerkingsactie, of het staat er meer dan eens.",
            )
        free.discard(known)
        objects.append(msgspec.structs.replace(each, verwerkt_object_id=known))
    return msgspec.structs.replace(actie, verwerkte_objecten=tuple(objects))
