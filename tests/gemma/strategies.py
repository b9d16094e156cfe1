"""Verwerkingsacties as clients may send them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hypothesis import strategies as st

#: Without NUL, which a record cannot hold: it is repaired and flagged.
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)
names = st.one_of(st.just(""), text, st.text("ab", min_size=242, max_size=242))
uuids = st.one_of(st.uuids().map(str), st.uuids().map(lambda found: str(found).upper()))
urls = st.one_of(
    uuids.map(lambda found: f"https://var.example/api/v1/verwerkingsactiviteiten/{found}"), st.just("urn:example:x")
)
oins = st.text("0123456789", min_size=20, max_size=20)
durations = st.sampled_from(["P10Y", "P3Y6M4DT12H30M5S", "P4W", "PT1S", "P0D", "P9999Y", "P99999999999999D"])
moments = st.builds(
    lambda moment, zone, fraction: f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}{zone}".rjust(19, "0"),
    st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 30)),  # the zone is beside it
    st.sampled_from(["Z", "+01:00", "-09:30", "+00:00"]),
    st.sampled_from(["", ".1", ".123456789"]),
)
identifiers = st.one_of(
    st.tuples(st.just("BSN"), st.sampled_from(["123456782", "7654321", "12.34.56.782"])),
    st.tuples(st.sampled_from(["personeelsnummer", "bsn", "Klantnummer"]), st.text("abc123", min_size=1, max_size=40)),
    st.tuples(names, st.one_of(text, st.just("\x00"))),
)


@st.composite
def objects(draw: st.DrawFn) -> dict[str, Any]:
    """A verwerkt object."""
    soort, identifier = draw(identifiers)
    optional: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "betrokkenheid": names,
                "verwerkteSoortenGegevens": st.lists(st.fixed_dictionaries({"soortGegeven": names}), max_size=3),
            },
        )
    )
    return {"objecttype": "persoon", "soortObjectId": soort, "objectId": identifier[:40], **optional}


def acties(*, complete: bool = False) -> st.SearchStrategy[dict[str, Any]]:
    """The body of a POST, or of a PUT with every element."""
    nothing = st.none()
    optional: dict[str, st.SearchStrategy[Any]] = {
        "actieNaam": names,
        "handelingNaam": names,
        "verwerkingNaam": names,
        "verwerkingId": nothing | uuids,
        "verwerkingsactiviteitId": nothing | uuids,
        "verwerkingsactiviteitUrl": nothing | urls,
        "bewaartermijn": nothing | durations,
        "uitvoerder": nothing | oins,
        "systeem": names,
        "gebruiker": text,
        "gegevensbron": names,
        "soortAfnemerId": st.sampled_from(["", "OIN", "BSN", "oin"]),
        "afnemerId": st.one_of(text, oins, st.just("123456782")),
        "verwerkingsactiviteitIdAfnemer": nothing | uuids,
        "verwerkingsactiviteitUrlAfnemer": nothing | urls,
        "verwerkingIdAfnemer": nothing | uuids,
    }
    required = {
        "vertrouwelijkheid": st.sampled_from(["normaal", "vertrouwelijk"]),
        "tijdstip": moments,
        "verwerkteObjecten": st.lists(objects(), max_size=3),
    }
    if complete:
        return st.fixed_dictionaries(required | optional)
    return st.fixed_dictionaries(required, optional=optional)
