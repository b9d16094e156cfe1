"""Optional texts may be `null`: clients that write every element write that for one they have nothing for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ldv_otel._internal.gemma.model import InvalidInput, Verwerkingsactie, verwerkingsactie

OBJECT = {"objecttype": "persoon", "soortObjectId": "BSN", "objectId": "123456782"}
ACTIE: dict[str, Any] = {
    "vertrouwelijkheid": "normaal",
    "tijdstip": "2026-01-01T00:00:00Z",
    "verwerkteObjecten": [OBJECT],
}
OF_ACTIE = [field.encode_name for field in msgspec.structs.fields(Verwerkingsactie) if not field.required]
#: Beside `verwerktObjectId`, which is an id, and the list of kinds of data.
OF_OBJECT = ["betrokkenheid"]


@pytest.mark.parametrize("name", OF_ACTIE)
def test_an_optional_element_may_be_null(name: str) -> None:
    """It means what leaving it out means."""
    assert verwerkingsactie(ACTIE | {name: None}) == verwerkingsactie(ACTIE)


@pytest.mark.parametrize("name", OF_OBJECT)
def test_of_an_object_too(name: str) -> None:
    """Such as `betrokkenheid`."""
    assert verwerkingsactie(ACTIE | {"verwerkteObjecten": [OBJECT | {name: None}]}) == verwerkingsactie(ACTIE)


def test_a_replacement_may_have_nulls_and_has_to_have_everything() -> None:
    """GW-60: every element is there; `null` is one that is there."""
    whole = ACTIE | dict.fromkeys(OF_ACTIE)
    assert verwerkingsactie(whole, complete=True) == verwerkingsactie(ACTIE)
    with pytest.raises(InvalidInput, match="actieNaam"):
        verwerkingsactie({name: value for name, value in whole.items() if name != "actieNaam"}, complete=True)


@pytest.mark.parametrize("name", ["vertrouwelijkheid", "tijdstip", "verwerkteObjecten"])
def test_what_is_required_may_not(name: str) -> None:
    """The error names it."""
    with pytest.raises(InvalidInput, match=name):
        verwerkingsactie(ACTIE | {name: None})
    for member in OBJECT:
        with pytest.raises(InvalidInput, match=member):
            verwerkingsactie(ACTIE | {"verwerkteObjecten": [OBJECT | {member: None}]})
