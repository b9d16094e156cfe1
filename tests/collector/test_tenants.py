"""tenants.yaml: each span goes to the Logboek of its tenant, through the real Collector, and to no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.delivery.otlp_sink import OtlpSink
from ldv_otel._internal.privacy.pseudonyms import Key, KeyRing
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.errors import LogboekUnavailable
from tests.collector.spans import ACTIVITY, actie, post
from tests.support import faults
from tests.support.chance import dice, examples, new_id
from tests.support.collector import KEY_ID, KEY_SECRET, CollectorProcess
from tests.support.faults import FaultFront
from tests.support.logboek import SECRET, LogboekProcess

TENANTS = ("0363", "0344")
PLACES = (*TENANTS, "quarantine")
SUBJECT = {"dpl.core.data_subject_id": "123456782", "dpl.core.data_subject_id_type": "BSN"}


def secret(place: str) -> str:
    """The key of a tenant; that of the quarantine is the one of the base configuration."""
    return KEY_SECRET if place == "quarantine" else f"{KEY_SECRET}, that of {place}"


class Routed:
    """A Collector before three databases; the way to that of 0344 can be broken."""

    def __init__(self, process: CollectorProcess, settings: dict[str, Settings], front: FaultFront) -> None:
        self.collector = process
        self.settings = settings
        self.front = front

    def places_of(self, trace_id: bytes) -> dict[str, list[Logregel]]:
        """Records of a trace, by the place that has some."""
        stored = {}
        for place, settings in self.settings.items():
            with LogboekClient(settings) as client:
                stored[place] = [record.logregel for record in read.by_trace(client, trace_id.hex())]
        return {place: records for place, records in stored.items() if records}


@pytest.fixture(scope="module")
def routed(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Routed]:
    """Two tenants and the quarantine."""
    directory = tmp_path_factory.mktemp("routed")
    with LogboekProcess(directory / "logboek") as process, FaultFront(process.port, kill=process.kill) as front:
        settings = {}
        environ = {"LDV_CLICKHOUSE_PASSWORD": SECRET, "LDV_CLICKHOUSE_TIMEOUT": "5s"}
        for place in PLACES:
            database = f"routed_{place}"
            address = LogboekAddress(scheme="clickhouse+http", host="127.0.0.1", port=process.port, database=database)
            settings[place] = Settings(logboek=address)
            apply_schema(settings[place], collector=True)
            suffix = "" if place == "quarantine" else f"_{place}"
            port = front.port if place == "0344" else process.port
            environ |= {
                f"LDV_CLICKHOUSE_ENDPOINT{suffix}": f"http://127.0.0.1:{port}",
                f"LDV_CLICKHOUSE_DATABASE{suffix}": database,
                f"LDV_CLICKHOUSE_PASSWORD{suffix}": SECRET,
                f"LDV_KEY_ID{suffix}": KEY_ID if place == "quarantine" else place,
                f"LDV_KEY_SECRET{suffix}": secret(place),
            }
        with CollectorProcess(program, ["confirmed.yaml", "tenants.yaml"], directory, environ) as collector:
            yield Routed(collector, settings, front)


def test_each_span_goes_to_its_tenant_with_its_key(routed: Routed) -> None:
    """By its attribute, its resource or its trace; what is nobody's is in the quarantine, whatever it was called."""
    chance = dice("routed spans")
    for _ in range(examples(12)):
        sent = {}
        ofresource = chance.choice([*TENANTS, "0399", None])
        for _ in range(chance.randint(1, 8)):
            said = chance.choice([*TENANTS, "0399", "", 363, None])
            span = actie({**SUBJECT, **({} if said is None else {"ldv.tenant": said})}, trace_id=new_id(16))
            whose = ofresource if said is None else said
            sent[span.trace_id] = (span, whose if whose in TENANTS else "quarantine")
        resource = {} if ofresource is None else {"ldv.tenant": ofresource}
        assert post(routed.collector.url, [span for span, _ in sent.values()], resource).status_code == 200
        for trace_id, (_, whose) in sent.items():
            places = routed.places_of(trace_id)
            assert list(places) == [whose]
            (record,) = places[whose]
            key = Key(id="k", secret=secret(whose))
            assert record.data_subject_id == KeyRing([key], active="k").pseudonym("BSN", "123456782", key_id="k")
            assert not any("tenant" in name for name in record.attributes)
            assert "tenant" not in record.resource


def test_a_span_that_says_nothing_is_that_of_its_trace(routed: Routed) -> None:
    """Where all that is said in its trace, in this request, is one thing; otherwise it is nobody's."""
    one, two = new_id(16), new_id(16)
    spans = [
        actie({"ldv.tenant": "0363"}, trace_id=one),
        actie(trace_id=one),
        actie({"ldv.tenant": "0363"}, trace_id=two),
        actie({"ldv.tenant": "0344"}, trace_id=two),
        actie(trace_id=two),
    ]
    assert post(routed.collector.url, spans).status_code == 200
    assert {place: len(records) for place, records in routed.places_of(one).items()} == {"0363": 2}
    assert {place: len(records) for place, records in routed.places_of(two).items()} == dict.fromkeys(PLACES, 1)


def records(name: str) -> list[Logregel]:
    """A record as the SDK makes it."""
    return [
        Logregel(
            trace_id=new_id(16),
            span_id=new_id(8),
            name=name,
            start_time_ms=1_767_225_600_000,
            end_time_ms=1_767_225_600_005,
            processing_activity_id=ACTIVITY,
            attributes={"dpl.zaak": "7", "ldv.tenant": "0363"},
        )
    ]


def test_the_sdk_says_whose_its_records_are(routed: Routed) -> None:
    """Through one Collector, each tenant of a file with `routed`; an attribute of a record has no say."""
    address = LogboekAddress(scheme="otlp+http", host="127.0.0.1", port=routed.collector.port)
    for place in PLACES:
        sink = OtlpSink(Settings(logboek=address, tenant=place, routed=True))
        sink.open()
        batch = number_batch(new_writer_id(), 0, records(f"van {place}"))
        sink.send(batch)
        sink.close()
        places = routed.places_of(batch.logregels[0].trace_id)
        assert list(places) == [place]
        assert places[place][0].name == f"van {place}"


def test_a_logboek_that_is_away_holds_up_no_other(routed: Routed) -> None:
    """Requests of its tenant get 503 and are kept by the sender; those of another are stored meanwhile."""
    address = LogboekAddress(scheme="otlp+http", host="127.0.0.1", port=routed.collector.port)
    sinks = {place: OtlpSink(Settings(logboek=address, tenant=place, routed=True)) for place in TENANTS}
    for sink in sinks.values():
        sink.open()
    routed.front.add(faults.refuse(), when=faults.is_insert)
    away, there = (number_batch(new_writer_id(), 0, records(place)) for place in ("0344", "0363"))
    with pytest.raises(LogboekUnavailable):
        sinks["0344"].send(away)
    sinks["0363"].send(there)
    assert list(routed.places_of(there.logregels[0].trace_id)) == ["0363"]
    both = [actie({"ldv.tenant": place}, trace_id=new_id(16)) for place in TENANTS]
    assert post(routed.collector.url, both).status_code == 503
    assert list(routed.places_of(both[0].trace_id)) == ["0363"]
    routed.front.clear()
    sinks["0344"].send(away)
    assert post(routed.collector.url, both).status_code == 200
    assert list(routed.places_of(away.logregels[0].trace_id)) == ["0344"]
    for span, place in zip(both, TENANTS, strict=True):
        places = routed.places_of(span.trace_id)
        # Sent twice and shown once.
        assert {name: len(stored) for name, stored in places.items()} == {place: 1}
    for sink in sinks.values():
        sink.close()
