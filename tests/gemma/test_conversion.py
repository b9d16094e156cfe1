"""A Verwerkingsactie becomes Logregels and comes back as it was; a Logregel of others becomes a Verwerkingsactie."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ldv_otel import attributes as names
from ldv_otel._internal.gemma import model
from ldv_otel._internal.gemma.conversion import VerwerkingsactieMapper, derived_actie_id, trace_of
from ldv_otel._internal.privacy.pseudonyms import KeyRing, Pseudonymiser, new_key
from ldv_otel._internal.record.logregel import Logregel, decode_logregel, encode_logregel
from ldv_otel.attributes import Flag
from tests.gemma import strategies
from tests.support.chance import new_id, new_uuid

PSEUDONYMISER = Pseudonymiser(KeyRing([new_key("one", sealing=True)], active="one"))
MAPPER = VerwerkingsactieMapper(PSEUDONYMISER, processor="https://oin.example/{oin}")
MINIMAL = {"vertrouwelijkheid": "normaal", "tijdstip": "2026-03-02T09:15:07+01:00", "verwerkteObjecten": []}


def version_of(actie: model.Verwerkingsactie, **more: Any) -> model.Version:
    """Return the first version of an actie, as the provider makes it."""
    trace = trace_of(actie.verwerking_id) if actie.verwerking_id else new_id(16)
    objects = tuple(
        msgspec.structs.replace(each, verwerkt_object_id=model.new_id(trace)) for each in actie.verwerkte_objecten
    )
    given: dict[str, Any] = {
        "actie": msgspec.structs.replace(actie, verwerkte_objecten=objects),
        "actie_id": model.new_id(trace),
        "record_id": new_uuid(),
        "trace_id": trace,
        "registered_us": 1_767_225_600_123_456,
    }
    return model.Version(**given | more)


@given(
    content=strategies.acties(),
    vervallen=st.booleans(),
    ever=st.booleans(),
    caller=st.none()
    | st.builds(model.CallingSpan, st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8)),
    dice=st.randoms(),
)
def test_what_is_written_is_read(
    content: dict[str, Any], *, vervallen: bool, ever: bool, caller: model.CallingSpan | None, dice: random.Random
) -> None:
    """All of it, in any order of the Logregels; and no identifier is in them."""
    version = version_of(model.verwerkingsactie(content), vervallen=vervallen, ever_confidential=ever, caller=caller)
    records = MAPPER.logregels(version)
    count = len(version.actie.verwerkte_objecten)
    assert len(records) == (1 if count <= 1 else count + 1)
    # A text that quotes one of the persons is redacted, and that is flagged.
    assume(all(Flag.SUBJECT_REDACTED not in record.flags for record in records))
    dice.shuffle(records)
    assert MAPPER.version([decode_logregel(encode_logregel(record)) for record in records]) == version


@given(content=strategies.acties())
def test_no_identifier_is_stored(content: dict[str, Any]) -> None:
    """Not of a person, not of a user, not of a recipient who may be a person (PR-01, GW-11)."""
    secrets = {"gebruiker": "mevr-Jansen-1"}
    if content.get("soortAfnemerId") == "BSN":
        secrets["afnemerId"] = "999990019"
    content |= secrets
    for each in content["verwerkteObjecten"]:
        each["objectId"] = "geheim-999990020"
    for record in MAPPER.logregels(version_of(model.verwerkingsactie(content))):
        stored = encode_logregel(record)
        assert b"geheim-999990020" not in stored
        assert all(value.encode() not in stored for value in secrets.values())


def test_one_person_of_several_is_read_alone() -> None:
    """As the lists show an actie: with the person asked for only (GW-41)."""
    persons = [{"objecttype": "persoon", "soortObjectId": "BSN", "objectId": bsn} for bsn in ("123456782", "111222333")]
    version = version_of(model.verwerkingsactie(MINIMAL | {"verwerkteObjecten": persons, "actieNaam": "Zoeken"}))
    top, _, second = MAPPER.logregels(version)
    assert (top.data_subject_id, top.span_id) == (b"", second.parent_span_id)
    assert second.data_subject_id == PSEUDONYMISER.subject("111222333", "BSN").pseudonym
    read = MAPPER.version([second])
    assert (read.actie.actie_naam, [each.object_id for each in read.actie.verwerkte_objecten]) == (
        "Zoeken",
        ["111222333"],
    )


def test_the_fields_of_a_logregel_are_those_of_section_6() -> None:
    """So that a reader of LDV sees a proper Logregel."""
    verwerking, activiteit, afnemer = (new_uuid() for _ in range(3))
    content = MINIMAL | {
        "actieNaam": "Opvragen",
        "verwerkingId": verwerking,
        "verwerkingsactiviteitId": activiteit,
        "vertrouwelijkheid": "vertrouwelijk",
        "systeem": "App 2",
        "soortAfnemerId": "OIN",
        "afnemerId": "00000001821002193000",
        "verwerkingIdAfnemer": afnemer,
        "bewaartermijn": "P1Y",
    }
    (record,) = MAPPER.logregels(version_of(model.verwerkingsactie(content)))
    assert record.trace_id.hex() == verwerking.replace("-", "")
    assert (record.name, record.start_time_ms, record.end_time_ms) == ("Opvragen", 1_772_439_307_000, 1_772_439_307_000)
    assert record.processing_activity_id == f"urn:uuid:{activiteit}"
    assert record.foreign_operation_trace_id.hex() == afnemer.replace("-", "")
    assert record.foreign_operation_processor == "https://oin.example/00000001821002193000"
    assert record.resource == '{"service.name":"App 2"}'
    assert record.attributes[names.CONFIDENTIAL] == "true"
    assert record.attributes[names.KEPT_UNTIL] == str(1_772_439_307_000 + 365 * 86_400_000)
    assert record.attributes["gemma.tijdstip"] == "2026-03-02T09:15:07+01:00"


def test_a_logregel_of_an_application_is_a_verwerkingsactie() -> None:
    """The other way round: what LDV records, in the words of GEMMA."""
    activity = "https://register.example/activiteiten/b8c9e6a4-2f0d-4c55-8f5d-33c1c1a4f0ab"
    subject = PSEUDONYMISER.subject("123456782", "BSN")
    record = Logregel(
        trace_id=b"\x01" * 16,
        span_id=b"\x02" * 8,
        name="Stap",
        start_time_ms=1_772_439_307_123,
        end_time_ms=1_772_439_308_000,
        processing_activity_id=activity,
        data_subject_id=subject.pseudonym,
        data_subject_id_type="BSN",
        key_id=subject.key_id,
        data_subject_sealed=subject.sealed,
        foreign_operation_processor="https://oin.example/00000001821002193000",
        resource='{"service.name":"App","service.version":"2"}',
    )
    version = MAPPER.version([record])
    actie = version.actie
    assert actie.actie_naam == "Stap"
    assert actie.tijdstip == "2026-03-02T08:15:07.123+00:00"
    assert actie.verwerkingsactiviteit_url == activity
    assert actie.verwerkingsactiviteit_id == "b8c9e6a4-2f0d-4c55-8f5d-33c1c1a4f0ab"
    assert actie.verwerking_id == "01010101-0101-0101-0101-010101010101"
    assert actie.systeem == "App 2"
    assert (actie.soort_afnemer_id, actie.afnemer_id) == ("OIN", "00000001821002193000")
    assert [each.object_id for each in actie.verwerkte_objecten] == ["123456782"]
    assert version.native
    assert version.actie_id == derived_actie_id(record) == MAPPER.version([record]).actie_id
    # What leaves here can be sent to any register of the standard.
    sent = msgspec.to_builtins(actie)
    assert model.verwerkingsactie(sent | {"tijdstip": actie.tijdstip}).actie_naam == "Stap"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"tijdstip": "2024-04-05T14:35:42"}, "tijdstip"),
        ({"uitvoerder": "1" * 19}, "uitvoerder"),
        ({"uitvoerder": "1" * 21}, "uitvoerder"),
        ({"uitvoerder": "1" * 20 + "\n"}, "uitvoerder"),
        ({"actieNaam": "x" * 243}, "actieNaam"),
        ({"bewaartermijn": "150"}, "bewaartermijn"),
        ({"bewaartermijn": "P"}, "bewaartermijn"),
        ({"verwerkingId": "x"}, "verwerkingId"),
        ({"vertrouwelijkheid": "Normaal"}, "vertrouwelijkheid"),
        ({"verwerkingsactiviteitUrl": "geen adres"}, "verwerkingsactiviteitUrl"),
        ({"verwerkteObjecten": {}}, "verwerkteObjecten"),
        ({"verwerkteObjecten": [7]}, "verwerkteObjecten[0]"),
        ({"verwerkteObjecten": [{"objecttype": "perceel"}]}, "verwerkteObjecten[0].objecttype"),
        ({"verwerkteObjecten": [{"objecttype": "persoon"}]}, "verwerkteObjecten[0].objectId"),
    ],
)
def test_what_is_no_verwerkingsactie_is_named(change: dict[str, Any], field: str) -> None:
    """By element, without its value, and everything at once (GW-03, GW-29)."""
    with pytest.raises(model.InvalidInput) as error:
        model.verwerkingsactie(MINIMAL | {"systeem": 7} | change)
    assert {field, "systeem"} <= {fault.name for fault in error.value.faults}


def test_an_update_has_every_element() -> None:
    """Nineteen of them (GW-60)."""
    with pytest.raises(model.InvalidInput) as error:
        model.verwerkingsactie(MINIMAL, complete=True)
    assert len(error.value.faults) == 16
