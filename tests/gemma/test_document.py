"""What the served document forbids is refused, and what it allows is not: at every location of every request."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldv_otel._internal.gemma.provider.openapi import openapi_document
from tests.gemma.provider import DOELBINDING, OIN, Provider
from tests.support.chance import examples
from tests.support.document import (
    ABSENT,
    Document,
    SentRequest,
    at,
    at_the_edges,
    changed,
    is_sendable,
    near,
)

UUID = "48086bf2-11b7-4603-9526-67d7c3bb6587"
#: Of nothing that is logged here.
TARGET = "7a22eb38-bca6-463f-9955-54ab040287cb"
URL = f"https://var.example:8443/api/v1/verwerkingsactiviteiten/{UUID}?a=b#c"
CONTENT: dict[str, Any] = {
    "actieNaam": "Zoeken",
    "handelingNaam": "Intake",
    "verwerkingNaam": "Huwelijk",
    "verwerkingId": UUID,
    "verwerkingsactiviteitId": UUID,
    "verwerkingsactiviteitUrl": URL,
    "vertrouwelijkheid": "normaal",
    "bewaartermijn": "P10Y",
    "uitvoerder": OIN,
    "systeem": "Zaken",
    "gebruiker": "a12",
    "gegevensbron": "BRP",
    "soortAfnemerId": "OIN",
    "afnemerId": OIN,
    "verwerkingsactiviteitIdAfnemer": UUID,
    "verwerkingsactiviteitUrlAfnemer": URL,
    "verwerkingIdAfnemer": UUID,
    "tijdstip": "2026-03-02T23:59:07.5+01:00",
    "verwerkteObjecten": [
        {
            "objecttype": "persoon",
            "soortObjectId": "BSN",
            "objectId": "123456782",
            "betrokkenheid": "Getuige",
            "verwerkteSoortenGegevens": [{"soortGegeven": "Adres"}],
        }
    ],
}
HEADERS = {**DOELBINDING, "Vertrouwelijkheid": "normaal", "Bewaartermijn": "P10Y"}
LIST = {
    "objecttype": "persoon",
    "soortObjectId": "BSN",
    "objectId": "479580261",
    "beginDatum": "2026-01-01",
    "eindDatum": "2026-02-28",
    "verwerkingsactiviteitId": UUID,
    "vertrouwelijkheid": "normaal",
    "vertrouwelijkheid__in": "normaal,opgeheven",
    "page": "1",
    "pageSize": "10",
    "peilmoment": "2026-03-02T23:59:60Z",
}
#: Elements that the log sets, whatever a client says they are (GW-07).
IGNORED: dict[str, Any] = {"url": 5, "actieId": None, "tijdstipRegistratie": [], "vervallen": "x"}
DOCUMENT = Document(openapi_document("https://log.example/api/v1"))
OPERATIONS = ["POST", "PUT", "PATCH", "DELETE", "GET one", "GET list", "GET object", "GET objects"]


def request_of(operation: str) -> SentRequest:
    """Return a request that the document allows, with everything in it that may be there, for what is not there."""
    own = CONTENT["verwerkteObjecten"][0] | {"verwerktObjectId": TARGET, "url": False}
    foreign = CONTENT["verwerkteObjecten"][0] | {"verwerktObjectId": 5}
    actie, acties = "/verwerkingsacties/{actieId}", "/verwerkingsacties"
    thing, things = "/verwerkte-objecten/{verwerktObjectId}", "/verwerkte-objecten"
    inzage = {name: value for name, value in LIST.items() if not name.startswith("vertrouwelijkheid")}
    change = {"bewaartermijn": "P9Y", "vertrouwelijkheid": "normaal"}
    by_id = sent(path={"actieId": TARGET})
    return {
        "POST": SentRequest("POST", acties, sent(), {**CONTENT, **IGNORED, "verwerkteObjecten": [foreign]}),
        "PUT": SentRequest("PUT", actie, by_id, {**CONTENT, **IGNORED, "verwerkteObjecten": [own]}),
        "PATCH": SentRequest("PATCH", acties, sent(query={"verwerkingId": TARGET}), change),
        "DELETE": SentRequest("DELETE", actie, by_id),
        "GET one": SentRequest("GET", actie, {**by_id, "header": HEADERS}),
        "GET list": SentRequest("GET", acties, sent(query=LIST, header=HEADERS)),
        "GET object": SentRequest("GET", thing, sent(path={"verwerktObjectId": TARGET}, header=HEADERS)),
        "GET objects": SentRequest("GET", things, sent(query=inzage, header=HEADERS)),
    }[operation]


def sent(**parameters: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return parameters by where they are; unknown ones are ignored (GI-12)."""
    return {"path": {}, "header": {}, "query": {}, **parameters}


def send(provider: Provider, request: SentRequest) -> httpx.Response:
    """Send a request; the answer is one that the contract has."""
    query, headers, content = request.parameters["query"], request.parameters["header"], None
    if request.body is not ABSENT:
        headers, content = {**headers, "Content-Type": "application/json"}, json.dumps(request.body)
    return provider.client().ask(request.method, request.address, params=query, headers=headers, content=content)


def agree(provider: Provider, request: SentRequest) -> bool:
    """Send a request, and say whether what comes of it is what the document says of it."""
    answer = send(provider, request)
    refused = answer.status_code == 400
    # Whether there is such a thing the document cannot know (D-10).
    unknown = {"actieId", "verwerkingId"}
    if refused and all(
        fault["code"] == "unknown" and fault["name"] in unknown for fault in answer.json()["invalidParams"]
    ):
        refused = False
    return refused is not DOCUMENT.allows(request)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_server_refuses_what_the_document_forbids_and_nothing_else(over_http: Provider, operation: str) -> None:
    """At each location: every limit, on both sides of it; every other type; nothing; and what is not known there."""
    request = request_of(operation)
    assert DOCUMENT.allows(request)
    assert [
        f"{location}: {value!r}"
        for location in DOCUMENT.locations(request)
        for value in at_the_edges(location, at(request, location))
        if is_sendable(location, value) and not agree(over_http, changed(request, location, value))
    ] == []


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.hypothesis
def test_document_and_server_agree_on_any_value(over_http: Provider, operation: str) -> None:
    """Values that look like those which are allowed are so for both, or for neither."""
    request = request_of(operation)
    locations = [each for each in DOCUMENT.locations(request) if each.schema.get("type") != "object"]

    @given(st.data())
    @settings(max_examples=examples(40))
    def check_one(data: st.DataObject) -> None:
        location = data.draw(st.sampled_from(locations))
        value = data.draw(near(at(request, location)).filter(lambda text: is_sendable(location, text)))
        assert agree(over_http, changed(request, location, value))

    check_one()
