"""One Logboek, two standards: what comes in by either is read by both."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.register_table import apply_register
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.privacy.key_file import read_keys
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.record.standard_json import as_standard
from ldv_otel._internal.register.register import ProcessingActivity, Register
from tests.gemma.provider import Provider, body
from tests.support.chance import new_bsn, new_id, new_uuid
from tests.support.faults import FaultFront
from tests.support.logboek import settings_at


@pytest.fixture
def settings(front: FaultFront) -> Settings:
    """Of the Logboek behind the provider."""
    return settings_at(front.port)


@pytest.fixture
def store(settings: Settings) -> Iterator[LogboekClient]:
    """Into it."""
    with LogboekClient(settings) as client:
        yield client


@pytest.fixture
def pseudonymiser(over_http: Provider) -> Pseudonymiser:
    """The provider's."""
    return Pseudonymiser(read_keys(Path(over_http.environ["LDV_KEYS"])))


def logged_by_an_application(
    settings: Settings, pseudonymiser: Pseudonymiser, bsn: str, activity: str, trace_id: bytes
) -> None:
    """Store what an application with `ldv_otel` records."""
    subject = pseudonymiser.subject(bsn, "BSN")
    record = Logregel(
        trace_id=trace_id,
        span_id=new_id(8),
        name="Woning toewijzen",
        start_time_ms=1_772_439_307_123,
        end_time_ms=1_772_439_308_000,
        processing_activity_id=activity,
        data_subject_id=subject.pseudonym,
        data_subject_id_type="BSN",
        key_id=subject.key_id,
        data_subject_sealed=subject.sealed,
        resource='{"service.name":"woonruimte"}',
    )
    sink = ClickHouseSink(settings)
    sink.open()
    sink.send(number_batch(new_writer_id(), 0, [record]))
    sink.close()


def test_what_an_application_logged_is_shown_and_never_changed(
    over_http: Provider, settings: Settings, store: LogboekClient, pseudonymiser: Pseudonymiser
) -> None:
    """With addresses that last; its confidentiality is that of the Register (section 6)."""
    api, ordinary = over_http.client(), over_http.client("normaal")
    bsn, activity, trace_id = new_bsn(), f"https://var.example/{new_uuid()}", new_id(16)
    logged_by_an_application(settings, pseudonymiser, bsn, activity, trace_id)
    (actie,) = api.list(bsn, eindDatum="2026-06-01").json()["results"]
    assert (actie["actieNaam"], actie["tijdstip"]) == ("Woning toewijzen", "2026-03-02T08:15:07.123+00:00")
    assert actie["verwerkingId"] == str(uuid.UUID(bytes=trace_id))
    assert [each["objectId"] for each in actie["verwerkteObjecten"]] == [bsn]
    assert api.one(actie).json() == actie
    shown = ordinary.ask("GET", actie["verwerkteObjecten"][0]["url"]).json()
    assert shown["verwerkingsactie"]["actieId"] == actie["actieId"]
    assert ordinary.inzage(bsn, eindDatum="2026-06-01").json()["results"] == [shown]
    for answer in (api.put(actie), api.delete(actie), api.patch(actie["verwerkingId"], bewaartermijn="P1Y")):
        assert answer.status_code == 409
    assert api.one(actie).json() == actie
    apply_register(store, Register([ProcessingActivity(id=activity, name="a", confidential=True)], source="test"))
    assert api.one(actie).json() == actie | {"vertrouwelijkheid": "vertrouwelijk"}
    assert ordinary.one(actie).status_code == 403
    for client in (api, ordinary):
        assert client.inzage(bsn, eindDatum="2026-06-01").json()["count"] == 0
        assert client.ask("GET", actie["verwerkteObjecten"][0]["url"]).status_code == 404


def test_what_a_client_logged_is_read_as_logregels(
    over_http: Provider, store: LogboekClient, pseudonymiser: Pseudonymiser
) -> None:
    """The last version of each; nothing of users, and what became confidential only for who may see that."""
    api, bsn, other, verwerking = over_http.client(), new_bsn(), new_bsn(), new_uuid()
    actie = api.post(verwerkingId=verwerking, gebruiker="mw-Jansen", actieNaam="een", **body(bsn, other))
    assert api.put(actie, actieNaam="twee").status_code == 200
    found = [stored.logregel for stored in read.by_trace(store, verwerking)]
    assert [record.name for record in found] == ["twee"] * 3
    (top,) = [record for record in found if not record.parent_span_id]
    assert {record.parent_span_id for record in found} == {b"", top.span_id}
    assert {record.data_subject_id for record in found if record is not top} == {
        pseudonymiser.subject(person, "BSN").pseudonym for person in (bsn, other)
    }
    answers = str([as_standard(record) for record in found])
    assert not any(secret in answers for secret in (bsn, other, "Jansen"))
    mine = [pseudonymiser.subject(bsn, "BSN").pseudonym]
    assert [stored.logregel.name for stored in read.by_subject(store, mine, confidential=False).records] == ["twee"]
    assert api.patch(verwerking, vertrouwelijkheid="vertrouwelijk").status_code == 204
    assert read.by_subject(store, mine, confidential=False).records == []
    assert read.activities_of_subject(store, mine, confidential=False) == []
    assert [stored.logregel.name for stored in read.by_subject(store, mine).records] == ["twee"]


def test_the_call_that_brought_an_actie_is_on_record(over_http: Provider, store: LogboekClient) -> None:
    """With a Verwerking of its own the actie is in that trace and refers to the caller's; without, it goes on there."""
    api, trace_id, span_id, verwerking = over_http.client(), new_id(16), new_id(8), new_uuid()
    headers = {"traceparent": f"00-{trace_id.hex()}-{span_id.hex()}-01"}
    for content in (body(verwerkingId=verwerking), body()):
        assert api.ask("POST", "/verwerkingsacties", json=content, headers=headers).status_code == 201
    (apart,) = read.by_trace(store, verwerking)
    assert apart.logregel.foreign_operation_trace_id == trace_id
    assert apart.logregel.foreign_operation_span_id == span_id
    (inside,) = read.by_trace(store, trace_id.hex())
    assert inside.logregel.parent_span_id == span_id
