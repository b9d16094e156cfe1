"""The acceptance cases of GEMMA Verwerkingenlogging, AC-01 to AC-50, over HTTP.

Of the embedded Logboek and the one behind HTTP each case is tried on both where what is stored matters; where the case
looks into the store, or breaks it, on the one behind HTTP. Every answer is checked against the contract (AC-47, AC-50).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import yaml

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.register_table import apply_register
from ldv_otel._internal.clickhouse.retention.apply import apply_retention
from ldv_otel._internal.clickhouse.retention.plan import plan_retention
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.gemma.provider.openapi import contract
from ldv_otel._internal.gemma.zgw_token import zgw_token
from ldv_otel._internal.register.register import ProcessingActivity, Register
from ldv_otel._internal.times.durations import Duration
from tests.gemma.autorisaties import AutorisatiesServer
from tests.gemma.conftest import address_of
from tests.gemma.contract import check
from tests.gemma.provider import ACTIVITY, DOELBINDING, OIN, SECRET, Api, Provider, body, provided
from tests.support.chance import new_bsn, new_uuid
from tests.support.faults import FaultFront, is_insert, refuse
from tests.support.logboek import settings_at

FULL = {
    "actieNaam": "Opvragen adresgegevens",
    "handelingNaam": "Intake",
    "verwerkingNaam": "Aanvraag parkeervergunning",
    "verwerkingId": "0d9a3c1e-5b52-4a57-9d0e-6a4f7f5b2c11",
    "verwerkingsactiviteitId": "b8c9e6a4-2f0d-4c55-8f5d-33c1c1a4f0ab",
    "verwerkingsactiviteitUrl": "https://var.example/b8c9e6a4-2f0d-4c55-8f5d-33c1c1a4f0ab",
    "bewaartermijn": "P5Y",
    "uitvoerder": OIN,
    "systeem": "VergunApp 4.2",
    "gebruiker": "medewerker-12",
    "gegevensbron": "BRP",
    "soortAfnemerId": "OIN",
    "afnemerId": OIN,
    "verwerkingsactiviteitIdAfnemer": "c5b9f4e7-8c79-41b9-91e2-6268419cb167",
    "verwerkingsactiviteitUrlAfnemer": "https://var.elders.example/1",
    "verwerkingIdAfnemer": "4b698de3-ffba-45e7-8697-a283ec863db2",
}


@pytest.fixture
def api(provider: Provider) -> Api:
    """A client that may do everything."""
    return provider.client()


@pytest.fixture
def ordinary(provider: Provider) -> Api:
    """A client that may do everything with what is `normaal`."""
    return provider.client("normaal")


@pytest.fixture
def store(front: FaultFront) -> Iterator[LogboekClient]:
    """Into the Logboek behind `over_http`."""
    with LogboekClient(settings_at(front.port)) as client:
        yield client


def names(answer: httpx.Response) -> list[str]:
    """The names of the acties in a list, but of the questions that were logged."""
    assert answer.status_code == 200, answer.text
    acties = [found.get("verwerkingsactie", found) for found in answer.json()["results"]]
    return [actie["actieNaam"] for actie in acties if not actie["actieNaam"].startswith("Opvragen verwerk")]


def faults(answer: httpx.Response) -> set[str]:
    """What a 400 names."""
    assert answer.status_code == 400, answer.text
    return {fault["name"] for fault in answer.json()["invalidParams"]}


def kinds(api: Api, bsn: str) -> dict[str, dict[str, Any]]:
    """Three acties about a person: N, C and O."""
    found = {"N": api.post(actieNaam="N", **about(bsn))}
    for name, verwerking in (("C", new_uuid()), ("O", new_uuid())):
        found[name] = api.post(actieNaam=name, vertrouwelijkheid="vertrouwelijk", verwerkingId=verwerking, **about(bsn))
    assert api.patch(found["O"]["verwerkingId"], vertrouwelijkheid="opgeheven").status_code == 204
    return found


def about(*bsns: str) -> dict[str, Any]:
    """The element with these persons."""
    return {"verwerkteObjecten": body(*bsns)["verwerkteObjecten"]}


def test_ac_01_a_minimal_actie_is_stored(api: Api) -> None:
    """201, a new UUID, `Location` is `url` and can be read."""
    before = datetime.now(UTC)
    answer = api.ask("POST", "/verwerkingsacties", json=body())
    actie = answer.json()
    assert answer.status_code == 201
    assert UUID(actie["actieId"]).version == 4
    assert answer.headers["location"] == actie["url"]
    assert abs(datetime.fromisoformat(actie["tijdstipRegistratie"]) - before) < timedelta(minutes=1)
    assert api.ask("GET", actie["url"]).json() == actie


def test_ac_02_what_was_not_sent_is_there_and_empty(api: Api) -> None:
    """All of it (D-06)."""
    actie = api.post()
    assert actie["handelingNaam"] == actie["afnemerId"] == ""
    assert actie["uitvoerder"] is actie["verwerkingId"] is None
    assert FULL.keys() <= actie.keys()
    full = api.post(**FULL, **about(new_bsn()))
    assert {name: full[name] for name in FULL} == FULL


def test_ac_03_what_the_log_sets_is_not_taken_from_the_client(api: Api) -> None:
    """Whatever it is."""
    own = {"actieId": new_uuid(), "url": "https://elders.example/1", "tijdstipRegistratie": 7}
    actie = api.post(**own)
    assert not {*map(str, own.values())} & {*map(str, actie.values())}


def test_ac_04_and_16_and_15_an_actie_about_two_persons(api: Api) -> None:
    """Each its own id; both in the actie itself, one in the list for that one."""
    person, other = new_bsn(), new_bsn()
    actie = api.post(**about(person, other))
    objects = actie["verwerkteObjecten"]
    assert [found["objectId"] for found in objects] == [person, other]
    assert len({found["url"] for found in objects} | {found["verwerktObjectId"] for found in objects}) == 4
    assert api.one(actie).json()["verwerkteObjecten"] == objects
    (listed,) = api.list(person).json()["results"][1:]
    assert listed == actie | {"verwerkteObjecten": objects[:1]}


def test_ac_05_and_06_confidential_needs_its_scope(api: Api, ordinary: Api) -> None:
    """403 without, and nothing is stored; 201 with."""
    bsn = new_bsn()
    answer = ordinary.ask("POST", "/verwerkingsacties", json=body(bsn, vertrouwelijkheid="vertrouwelijk"))
    assert answer.status_code == 403
    assert names(api.list(bsn)) == []
    assert api.post(vertrouwelijkheid="vertrouwelijk", **about(bsn))["vertrouwelijkheid"] == "vertrouwelijk"


def test_ac_07_nothing_begins_lifted(over_http: Provider) -> None:
    """Under no scope."""
    for name in ("alles", "normaal", "niets"):
        answer = over_http.client(name).ask("POST", "/verwerkingsacties", json=body(vertrouwelijkheid="opgeheven"))
        assert answer.status_code == 403


def test_ac_08_what_is_normal_is_logged_while_the_ac_is_away(front: FaultFront, tmp_path: Path) -> None:
    """Being on the local list is enough; anything else is refused, never allowed (5.2)."""
    with AutorisatiesServer() as away:
        url = away.url
    known = {"clients": [{"id": "portaal", "secret_file": "secret"}]}
    component = {"url": url, "client_id": "log", "secret_file": "secret"}
    (tmp_path / "clients.yaml").write_text(json.dumps(known | {"autorisaties": component}), encoding="utf-8")
    with provided(tmp_path, str(address_of(front))) as provider:
        api = Api(provider.base, zgw_token("portaal", SECRET), provider.http)
        api.post(**about(new_bsn()))
        assert api.list(new_bsn()).status_code == 503
        confidential = body(vertrouwelijkheid="vertrouwelijk")
        assert api.ask("POST", "/verwerkingsacties", json=confidential).status_code == 503


@pytest.mark.parametrize("token", ["", zgw_token("alles", SECRET[::-1]), zgw_token("onbekend", SECRET), "x"])
def test_ac_09_a_stranger_is_told_so(over_http: Provider, token: str) -> None:
    """At every call, whatever else is wrong with it."""
    api = Api(over_http.base, token, over_http.http)
    actie = {"actieId": new_uuid()}
    answers = [
        api.ask("POST", "/verwerkingsacties", content=b"x"),
        api.list("1"),
        api.inzage("1"),
        api.one(actie),
        api.put(actie),
        api.delete(actie),
        api.patch(new_uuid()),
        api.ask("GET", f"/verwerkte-objecten/{new_uuid()}"),
    ]
    assert {answer.status_code for answer in answers} == {401}


def test_ac_10_what_is_not_well_formed_is_named(over_http: Provider) -> None:
    """All of it in one answer."""
    api = over_http.client()
    wrong = body(
        new_bsn(), tijdstip="2024-04-05T14:35:42", uitvoerder="1" * 19, actieNaam="x" * 243, bewaartermijn="150"
    )
    wrong["verwerkteObjecten"][0]["objecttype"] = "perceel"
    found = faults(api.ask("POST", "/verwerkingsacties", json=wrong))
    expected = {"tijdstip", "uitvoerder", "actieNaam", "bewaartermijn", "verwerkteObjecten[0].objecttype"}
    assert found == expected
    assert faults(api.ask("POST", "/verwerkingsacties", json=body(uitvoerder="1" * 21))) == {"uitvoerder"}


def test_ac_11_a_moment_comes_back_as_it_was_sent(api: Api) -> None:
    """With its offset."""
    actie = api.post(tijdstip="2024-04-05T14:35:42+02:00")
    assert actie["tijdstip"] == api.one(actie).json()["tijdstip"] == "2024-04-05T14:35:42+02:00"


def test_ac_12_a_store_that_is_away_confirms_nothing(over_http: Provider, front: FaultFront) -> None:
    """No 2xx; after recovery there is no half entry."""
    api, bsn, other = over_http.client(), new_bsn(), new_bsn()
    front.close_listener()
    try:
        answer = api.ask("POST", "/verwerkingsacties", json=body(bsn, other))
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
    finally:
        front.open_listener()
    assert names(api.list(bsn)) == []
    api.post(actieNaam="later", **about(bsn, other))
    assert names(api.list(bsn)) == names(api.list(other)) == ["later"]


def test_ac_13_no_identifier_is_in_the_store(over_http: Provider, store: LogboekClient) -> None:
    """Of a person, a user, or a recipient who is a person; the API still gives them back."""
    api, bsn, recipient = over_http.client(), new_bsn(), new_bsn()
    sent = {"gebruiker": "gebruiker-" + new_bsn(), "soortAfnemerId": "BSN", "afnemerId": recipient}
    actie = api.post(**sent, **about(bsn))
    query = "SELECT * FROM logregel WHERE attributes['ldv.version_of'] = {id:String}"
    rows = str(store.rows(Sql.verbatim(query), {"id": actie["actieId"]}))
    assert actie["actieId"] in rows
    assert not any(secret in rows for secret in (bsn, recipient, sent["gebruiker"]))
    assert names(api.list(bsn)) == [""]
    assert api.one(actie).json() == actie


def test_ac_14_a_period_ends_before_its_last_day(api: Api) -> None:
    """Midnight in Amsterdam, summer or winter."""
    bsn = new_bsn()
    for number, moment in enumerate(
        ("2026-03-27T23:59:59+01:00", "2026-03-28T00:00:00+01:00", "2026-03-29T23:59:59+02:00", "2026-03-29T22:00:00Z")
    ):
        api.post(actieNaam=str(number), tijdstip=moment, **about(bsn))
    period: dict[str, Any] = {"beginDatum": "2026-03-28", "eindDatum": "2026-03-30"}
    assert names(api.list(bsn, **period)) == ["2", "1"]
    assert names(api.list(bsn, beginDatum="2026-03-30")) == ["3"]
    assert names(api.list(bsn, eindDatum="2026-03-28")) == ["0"]
    assert names(api.inzage(bsn, **period)) == ["2", "1"]


def test_a_period_beyond_the_times_of_records_has_its_acties(api: Api) -> None:
    """Their records stand at 1970 or at the end of 2261; the period is compared with the time of the actie itself."""
    bsn = new_bsn()
    for moment in ("1850-06-01T12:00:00Z", "1969-12-31T12:00:00Z", "2262-06-01T12:00:00Z", "2300-06-01T12:00:00Z"):
        api.post(actieNaam=moment[:4], tijdstip=moment, **about(bsn))
    assert names(api.list(bsn, beginDatum="1849-01-01", eindDatum="1900-01-01")) == ["1850"]
    assert names(api.list(bsn, eindDatum="1970-01-01")) == ["1969", "1850"]
    assert names(api.list(bsn, beginDatum="2299-01-01", eindDatum="2310-01-01")) == ["2300"]
    assert names(api.list(bsn, beginDatum="2262-02-01")) == ["2300", "2262"]


def test_ac_17_a_list_is_about_somebody(over_http: Provider) -> None:
    """All three."""
    answer = over_http.client().ask("GET", "/verwerkingsacties")
    assert faults(answer) == {"objecttype", "soortObjectId", "objectId"}


def test_ac_18_and_19_who_may_see_what_is_normal_has_to_ask_for_that(over_http: Provider) -> None:
    """And for nothing else."""
    ordinary = over_http.client("normaal")
    for asked in ({}, {"vertrouwelijkheid": "vertrouwelijk"}, {"vertrouwelijkheid": ["normaal", "opgeheven"]}):
        assert ordinary.list("1", **asked).status_code == 403
    assert ordinary.list("1", vertrouwelijkheid="Normaal").status_code == 200


def test_ac_20_and_21_who_sees_which(api: Api, ordinary: Api) -> None:
    """N, C and O, in both notations, with all elements."""
    bsn = new_bsn()
    kinds(api, bsn)
    full = api.post(**FULL, **about(bsn))
    assert full in ordinary.list(bsn, vertrouwelijkheid="normaal").json()["results"]
    api.delete(full)
    assert names(ordinary.list(bsn, vertrouwelijkheid="normaal")) == ["N"]
    assert sorted(names(api.list(bsn))) == ["C", "N", "O"]
    assert sorted(names(api.list(bsn, vertrouwelijkheid=["vertrouwelijk", "opgeheven"]))) == ["C", "O"]
    assert sorted(names(api.list(bsn, vertrouwelijkheid__in="vertrouwelijk,opgeheven"))) == ["C", "O"]
    assert names(api.list(bsn, vertrouwelijkheid__in="vertrouwelijk,opgeheven", vertrouwelijkheid="opgeheven")) == ["O"]


def test_ac_22_a_list_of_one_activity(api: Api) -> None:
    """The others are left out, in both APIs."""
    bsn, activity = new_bsn(), new_uuid()
    api.post(actieNaam="een", verwerkingsactiviteitId=activity, **about(bsn))
    api.post(actieNaam="ander", verwerkingsactiviteitId=new_uuid(), **about(bsn))
    assert names(api.list(bsn, verwerkingsactiviteitId=activity.upper())) == ["een"]
    assert names(api.inzage(bsn, verwerkingsactiviteitId=activity)) == ["een"]


def test_ac_23_nothing_is_known_of_somebody(api: Api) -> None:
    """200."""
    assert api.list(new_bsn()).json() == {"count": 0, "next": None, "previous": None, "results": []}


def test_ac_24_a_put_has_every_element(over_http: Provider) -> None:
    """Also those that do not change."""
    api = over_http.client()
    actie = api.post(**about(new_bsn()))
    del actie["systeem"]
    assert faults(api.put(actie)) == {"systeem"}


def test_ac_25_a_put_is_a_new_version(over_http: Provider, store: LogboekClient) -> None:
    """The old one stays in the store, and is not shown."""
    api, bsn, activity = over_http.client(), new_bsn(), new_uuid()
    actie = api.post(**about(bsn))
    changed = api.put(actie, verwerkingsactiviteitId=activity).json()
    assert changed["tijdstipRegistratie"] > actie["tijdstipRegistratie"]
    assert api.one(actie).json() == changed == actie | {
        "verwerkingsactiviteitId": activity, "tijdstipRegistratie": changed["tijdstipRegistratie"]
    }  # fmt: skip
    assert names(api.list(bsn)) == [""]
    query = "SELECT count() FROM logregel WHERE attributes['ldv.version_of'] = {id:String}"
    assert store.rows(Sql.verbatim(query), {"id": actie["actieId"]}) == [(2,)]


def test_ac_25_a_put_may_change_the_verwerking_and_the_persons(api: Api) -> None:
    """It is found by its id, by the new Verwerking and by the new person, and no longer by the old ones."""
    old, new, bsn, other = new_uuid(), new_uuid(), new_bsn(), new_bsn()
    actie = api.post(verwerkingId=old, **about(bsn))
    added = api.put(actie, verwerkteObjecten=[*actie["verwerkteObjecten"], *about(other)["verwerkteObjecten"]]).json()
    assert added["verwerkteObjecten"][0] == actie["verwerkteObjecten"][0]
    for target in (new, old, new):
        changed = api.put(added, verwerkingId=target, verwerkteObjecten=added["verwerkteObjecten"][1:]).json()
        assert api.one(actie).json() == changed
    assert names(api.list(bsn)) == []
    assert names(api.list(other)) == [""]
    assert api.patch(old, bewaartermijn="P1Y").status_code == 400
    assert api.patch(new, bewaartermijn="P1Y").status_code == 204
    assert api.one(actie).json()["bewaartermijn"] == "P1Y"
    shown = api.ask("GET", changed["verwerkteObjecten"][0]["url"])
    assert shown.json()["objectId"] == other
    assert api.ask("GET", actie["verwerkteObjecten"][0]["url"]).status_code == 404
    assert api.delete(actie).status_code == 204
    assert api.one(actie).status_code == 404


def test_ac_25_an_object_of_another_actie_is_refused(over_http: Provider) -> None:
    """And one that comes twice (D-08)."""
    api = over_http.client()
    actie, other = api.post(**about(new_bsn())), api.post(**about(new_bsn()))
    answer = api.put(actie, verwerkteObjecten=other["verwerkteObjecten"])
    assert faults(answer) == {"verwerkteObjecten[0].verwerktObjectId"}
    assert faults(api.put(actie, verwerkteObjecten=actie["verwerkteObjecten"] * 2)) == {
        "verwerkteObjecten[1].verwerktObjectId"
    }


def test_ac_26_and_27_what_may_be_changed_into_what(over_http: Provider) -> None:
    """Without the scope only N into N; into O nothing, but O stays O (D-13)."""
    api, ordinary, bsn = over_http.client(), over_http.client("normaal"), new_bsn()
    found = kinds(api, bsn)
    assert ordinary.put(found["C"]).status_code == 403
    assert ordinary.put(found["N"], vertrouwelijkheid="vertrouwelijk").status_code == 403
    assert ordinary.put(found["O"], vertrouwelijkheid="normaal").status_code == 403
    assert api.put(found["C"], vertrouwelijkheid="opgeheven").status_code == 403
    assert {name: api.one(actie).json()["vertrouwelijkheid"] for name, actie in found.items()} == {
        "N": "normaal", "C": "vertrouwelijk", "O": "opgeheven"
    }  # fmt: skip
    assert api.put(found["O"], vertrouwelijkheid="opgeheven").status_code == 200
    assert ordinary.put(found["N"]).status_code == 200


def test_ac_28_a_put_needs_a_target(over_http: Provider) -> None:
    """One that is there."""
    api = over_http.client()
    actie = api.post()
    assert faults(api.put(actie | {"actieId": new_uuid()})) == {"actieId"}
    api.delete(actie)
    assert faults(api.put(actie)) == {"actieId"}


def test_ac_29_a_term_is_changed_for_a_whole_verwerking(api: Api, ordinary: Api) -> None:
    """The deleted one does not come back; each has a new version, all else stays."""
    verwerking, bsn = new_uuid(), new_bsn()
    acties = [api.post(actieNaam=str(number), verwerkingId=verwerking, **about(bsn)) for number in range(4)]
    api.delete(acties[3])
    answer = ordinary.patch(verwerking, bewaartermijn="P10Y")
    assert (answer.status_code, answer.content) == (204, b"")
    for actie in acties[:3]:
        found = api.one(actie).json()
        assert found["tijdstipRegistratie"] > actie["tijdstipRegistratie"]
        assert found == actie | {"bewaartermijn": "P10Y", "tijdstipRegistratie": found["tijdstipRegistratie"]}
    assert sorted(names(api.list(bsn))) == ["0", "1", "2"]


def test_ac_30_and_31_without_the_scope_only_terms_of_what_is_normal(api: Api, ordinary: Api) -> None:
    """One that is not forbids all."""
    verwerking, bsn = new_uuid(), new_bsn()
    actie = api.post(verwerkingId=verwerking, **about(bsn))
    assert ordinary.patch(verwerking, vertrouwelijkheid="vertrouwelijk").status_code == 403
    assert ordinary.patch(verwerking, vertrouwelijkheid="normaal", bewaartermijn="P1Y").status_code == 403
    other = api.post(verwerkingId=verwerking, vertrouwelijkheid="vertrouwelijk", **about(bsn))
    assert ordinary.patch(verwerking, bewaartermijn="P1Y").status_code == 403
    assert [api.one(each).json() for each in (actie, other)] == [actie, other]


def test_ac_32_what_is_lifted_is_shown_to_who_may_see_it(api: Api, ordinary: Api) -> None:
    """By Inzage too."""
    verwerking, bsn = new_uuid(), new_bsn()
    for name in ("een", "twee"):
        api.post(actieNaam=name, verwerkingId=verwerking, vertrouwelijkheid="vertrouwelijk", **about(bsn))
    assert names(api.inzage(bsn)) == []
    assert api.patch(verwerking, vertrouwelijkheid="opgeheven").status_code == 204
    assert sorted(names(api.inzage(bsn))) == ["een", "twee"]
    assert names(ordinary.inzage(bsn)) == []


def test_ac_33_and_34_a_patch_needs_a_verwerking(over_http: Provider) -> None:
    """With acties that are there, and something to change."""
    api, verwerking = over_http.client(), new_uuid()
    assert faults(api.patch(verwerking, bewaartermijn="P1Y")) == {"verwerkingId"}
    api.delete(api.post(verwerkingId=verwerking))
    assert faults(api.patch(verwerking, bewaartermijn="P1Y")) == {"verwerkingId"}
    assert faults(api.ask("PATCH", "/verwerkingsacties", json={"bewaartermijn": "P1Y"})) == {"verwerkingId"}
    assert faults(api.patch("x", bewaartermijn="P1Y")) == {"verwerkingId"}
    assert faults(api.patch(verwerking)) == {"body"}
    assert faults(api.patch(verwerking, actieNaam="x")) == {"body"}
    assert faults(api.patch(verwerking, bewaartermijn="x", vertrouwelijkheid=None)) == {
        "bewaartermijn", "vertrouwelijkheid"
    }  # fmt: skip


def test_ac_35_and_36_what_is_deleted_is_gone_from_every_answer(api: Api, ordinary: Api) -> None:
    """And cannot be deleted again."""
    bsn = new_bsn()
    actie = api.post(**about(bsn))
    url = actie["verwerkteObjecten"][0]["url"]
    assert api.ask("GET", url).status_code == 200
    answer = ordinary.delete(actie)
    assert (answer.status_code, answer.content) == (204, b"")
    assert faults(ordinary.delete(actie)) == {"actieId"}
    assert api.one(actie).status_code == api.ask("GET", url).status_code == 404
    assert names(api.list(bsn)) == names(api.inzage(bsn)) == []


def test_ac_37_what_is_not_normal_is_not_deleted_without_the_scope(over_http: Provider) -> None:
    """C nor O."""
    api, ordinary = over_http.client(), over_http.client("normaal")
    found = kinds(api, new_bsn())
    assert [ordinary.delete(found[name]).status_code for name in "COC"] == [403] * 3
    assert [api.delete(found[name]).status_code for name in "CO"] == [204] * 2


def test_ac_38_what_was_confidential_stays_hidden(api: Api, ordinary: Api) -> None:
    """From who may only see what never was (D-07)."""
    bsn = new_bsn()
    actie = api.post(actieNaam="was", vertrouwelijkheid="vertrouwelijk", **about(bsn))
    assert api.put(actie, vertrouwelijkheid="normaal").status_code == 200
    assert names(ordinary.list(bsn, vertrouwelijkheid="normaal")) == names(ordinary.inzage(bsn)) == []
    assert ordinary.one(actie).status_code == 403
    assert names(api.list(bsn, vertrouwelijkheid="normaal")) == names(api.inzage(bsn)) == ["was"]


def test_ac_39_inzage_shows_nothing_confidential(api: Api) -> None:
    """Under no scope, and without a word of it."""
    bsn = new_bsn()
    actie = api.post(actieNaam="C", vertrouwelijkheid="vertrouwelijk", **about(bsn))
    assert names(api.inzage(bsn)) == []
    assert api.ask("GET", actie["verwerkteObjecten"][0]["url"]).status_code == 404


def test_ac_40_and_41_inzage_shows_no_employee_no_system_and_nobody_else(api: Api) -> None:
    """At no depth of a list or a single answer."""
    bsn, other = new_bsn(), new_bsn()
    actie = api.post(**FULL, **about(bsn, other))
    listed = api.inzage(bsn)
    single = api.ask("GET", actie["verwerkteObjecten"][0]["url"])
    assert listed.json()["results"][0] == single.json()
    for answer in (listed, single):
        assert not any(f'"{name}"' in answer.text for name in ("systeem", "gebruiker", "gegevensbron", "vervallen"))
        assert other not in answer.text
        assert actie["verwerkteObjecten"][1]["verwerktObjectId"] not in answer.text


def test_ac_42_inzage_is_about_a_period(over_http: Provider) -> None:
    """With both ends."""
    found = faults(over_http.client().inzage(new_bsn(), beginDatum=None, eindDatum=None))
    assert found == {"beginDatum", "eindDatum"}
    assert faults(over_http.client().inzage(new_bsn(), eindDatum="2026-02-30")) == {"eindDatum"}


def test_ac_43_a_question_is_an_actie_itself(api: Api) -> None:
    """With what the headers say of who asked; not in its own answer, but in the next (GI-19)."""
    bsn = new_bsn()
    assert api.inzage(bsn).json()["count"] == 0
    (logged,) = api.list(bsn).json()["results"]
    assert (logged["soortAfnemerId"], logged["afnemerId"]) == ("OIN", OIN)
    assert logged["verwerkingsactiviteitIdAfnemer"] == DOELBINDING["VerwerkingsactiviteitId"]
    assert logged["verwerkingsactiviteitUrlAfnemer"] == DOELBINDING["VerwerkingsactiviteitUrl"]
    assert logged["verwerkingIdAfnemer"] == DOELBINDING["VerwerkingId"]
    assert logged["verwerkingsactiviteitUrl"] == ACTIVITY
    assert logged["verwerkingsactiviteitId"] == ACTIVITY.rpartition("/")[2]
    assert [found["objectId"] for found in logged["verwerkteObjecten"]] == [bsn]
    assert api.inzage(bsn).json()["count"] == 2


def test_ac_43_a_question_for_one_is_about_everybody_in_it(api: Api) -> None:
    """And a confidential question hides itself only."""
    bsn, other = new_bsn(), new_bsn()
    actie = api.post(actieNaam="een", **about(bsn, other))
    api.ask("GET", actie["url"], headers={"Vertrouwelijkheid": "vertrouwelijk", "Bewaartermijn": "P1Y"})
    for person in (bsn, other):
        found = [each for each in api.list(person).json()["results"] if each["actieNaam"] != "een"]
        assert [(each["vertrouwelijkheid"], each["bewaartermijn"]) for each in found] == [("vertrouwelijk", "P1Y")]
        assert api.inzage(person).json()["count"] == 2


def test_ac_44_what_cannot_be_logged_is_not_answered(over_http: Provider, front: FaultFront) -> None:
    """Of neither API, neither list nor single."""
    api, bsn = over_http.client(), new_bsn()
    actie = api.post(actieNaam="geheim", **about(bsn))
    url = actie["verwerkteObjecten"][0]["url"]
    front.add(refuse(), when=is_insert)
    try:
        for answer in (api.inzage(bsn), api.list(bsn), api.one(actie), api.ask("GET", url)):
            assert answer.status_code == 503
            assert "geheim" not in answer.text
    finally:
        front.clear()
    assert names(api.list(bsn)) == ["geheim"]


def test_ac_45_a_missing_header_is_named(over_http: Provider) -> None:
    """Of the three that are required."""
    api = over_http.client()
    required = ("OIN", "VerwerkingsactiviteitId", "VerwerkingsactiviteitUrl")
    for name in required:
        given = {key: value for key, value in DOELBINDING.items() if key != name}
        assert faults(api.inzage("1", headers=given)) == {name}
    assert faults(api.inzage("1", headers=dict.fromkeys(DOELBINDING, "?"))) == DOELBINDING.keys()


def test_ac_46_scopes_of_the_other_api_are_none(over_http: Provider) -> None:
    """`read` of Bewerking does not open Inzage."""
    for name in ("bewerker", "niets"):
        assert over_http.client(name).inzage("1").status_code == 403


def test_ac_47_and_50_an_address_that_is_not_there_is_a_problem_too(over_http: Provider) -> None:
    """The answers to all calls are checked against the contract where they are made."""
    api = over_http.client()
    headers = {"Authorization": f"Bearer {api.token}"}
    for method, path in (("GET", "/iets"), ("DELETE", "/verwerkingsacties"), ("TRACE", "/verwerkingsacties")):
        answer = httpx.request(method, f"{api.base}{path}", headers=headers)
        assert answer.status_code in {404, 405}
        assert answer.headers["api-version"] == "0.9.0"
        assert {"code", "title", "status", "detail", "instance"} <= answer.json().keys()
    request = httpx.Request("GET", f"{api.base}/verwerkingsacties")
    with pytest.raises(AssertionError):
        check(httpx.Response(200, json={}, request=request, headers={"api-version": "0.9.0"}))


def test_ac_48_json_goes_in_and_comes_out(over_http: Provider) -> None:
    """415 and 406."""
    api = over_http.client()
    text = {"Content-Type": "text/plain"}
    assert api.ask("POST", "/verwerkingsacties", content=json.dumps(body()), headers=text).status_code == 415
    assert api.ask("GET", f"/verwerkingsacties/{new_uuid()}", headers={"Accept": "text/html"}).status_code == 406
    assert faults(
        api.ask("POST", "/verwerkingsacties", content=b"{", headers={"Content-Type": "application/json"})
    ) == {"body"}
    assert api.one({"actieId": new_uuid()}).status_code == 404
    assert faults(api.one({"actieId": "x"})) == {"actieId"}


def test_ac_49_terms_of_their_own_of_the_activity_and_the_longest(over_http: Provider, store: LogboekClient) -> None:
    """All versions go when the last one's time is over, and nothing else does; readers saw it go before."""
    api, bsn = over_http.client(), new_bsn()
    activity = f"https://var.example/{new_uuid()}"
    old: dict[str, Any] = {"tijdstip": "2020-01-01T00:00:00Z", "verwerkingsactiviteitUrl": activity}
    ended = api.post(bewaartermijn="P50Y", **old, **about(bsn))
    assert api.put(ended, bewaartermijn="P1Y").status_code == 200
    assert api.one(ended).status_code == 404
    without = api.post(**old, **about(bsn))
    lasting = api.post(bewaartermijn="P50Y", **old, **about(bsn))
    nowhere = api.post(**about(bsn), tijdstip="1975-01-01T00:00:00Z")
    recent = api.post(**about(bsn))
    apply_register(store, Register([ProcessingActivity(id=activity, name="a", retention="P1Y")], source="test"))
    assert sorted(found["actieId"] for found in api.list(bsn, eindDatum="2026-06-01").json()["results"]) == sorted(
        actie["actieId"] for actie in (lasting, nowhere, recent)
    )
    plan = plan_retention(store, longest=Duration.parse("P50Y"))
    assert sum(found.logregels for found in plan.own if found.activity == activity) == 3
    apply_retention(store, plan)
    of_actie = "FROM logregel WHERE attributes['ldv.version_of'] IN {ids:Array(String)}"
    ids = [actie["actieId"] for actie in (ended, without, lasting, nowhere, recent)]
    assert {
        row[0] for row in store.rows(Sql.verbatim(f"SELECT attributes['ldv.version_of'] {of_actie}"), {"ids": ids})
    } == {
        lasting["actieId"],
        recent["actieId"],
    }
    # What was removed is not taken for lost.
    (ours,) = {row[0] for row in store.rows(Sql.verbatim(f"SELECT writer_id {of_actie}"), {"ids": [recent["actieId"]]})}
    assert store.rows(Sql("SELECT missing FROM schrijvers WHERE writer_id = {id:String}"), {"id": ours}) == [(0,)]


@pytest.mark.parametrize("name", ["bewerking", "inzage"])
def test_ac_50_the_contracts_are_those_of_the_standard(name: str) -> None:
    """Word for word; what is put right is put right in the code, where it can be seen."""
    text = (Path(__file__).parents[1] / "data" / "gemma" / f"{name}-openapi.yaml").read_text(encoding="utf-8")
    assert contract(name) == json.loads(json.dumps(yaml.safe_load(text), default=str))
