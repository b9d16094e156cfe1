"""Verwerkingsacties written, changed and deleted in any order read back as a model says; also when changes collide."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, rule, run_state_machine_as_test

from tests.gemma import strategies
from tests.gemma.provider import Provider, body
from tests.support.chance import examples, new_bsn, new_uuid

SET_BY_THE_LOG = ("url", "actieId", "tijdstipRegistratie")
OVER = "P0D"


class Acties(RuleBasedStateMachine):
    """The model: the last content of each actie that is there, and whether it ever was confidential."""

    acties: Any = Bundle("acties")
    provider: Provider

    def __init__(self) -> None:
        super().__init__()
        self.api, self.ordinary = self.provider.client(), self.provider.client("normaal")
        self.known: dict[str, dict[str, Any]] = {}
        self.ever_confidential: set[str] = set()
        self.persons = [new_bsn(), new_bsn()]
        self.verwerkingen = [new_uuid(), new_uuid(), None]

    contents = st.tuples(
        strategies.acties(complete=True),
        st.sampled_from(["2025-07-01T00:00:00.5+02:00", "2026-01-01T10:00:00Z", "2026-01-01T11:00:00+01:00"]),
        st.lists(st.integers(0, 1), max_size=3),
        st.integers(0, 2),
        st.sampled_from([None, "P10Y", "P9999Y", OVER]),
    )

    def content(self, drawn: Any) -> dict[str, Any]:
        """Return content with this run's persons and Verwerkingen in it."""
        content, tijdstip, persons, verwerking, term = drawn
        objects = body(*(self.persons[person] for person in persons))["verwerkteObjecten"]
        return {
            **content,
            "tijdstip": tijdstip,
            "verwerkteObjecten": [{"betrokkenheid": "", "verwerkteSoortenGegevens": [], **each} for each in objects],
            "verwerkingId": self.verwerkingen[verwerking],
            "bewaartermijn": term,
        }

    def became(self, actie_id: str, content: dict[str, Any]) -> None:
        """Note what an actie is now; what is past its term is there no longer."""
        if content["vertrouwelijkheid"] == "vertrouwelijk":
            self.ever_confidential.add(actie_id)
        self.known[actie_id] = content
        if content["bewaartermijn"] == OVER:
            del self.known[actie_id]

    @rule(target=acties, drawn=contents)
    def log(self, drawn: Any) -> Any:
        """POST."""
        content = self.content(drawn)
        answer = self.api.post(**content)
        objects = answer["verwerkteObjecten"]
        assert {name: value for name, value in answer.items() if name not in SET_BY_THE_LOG} == content | {
            "verwerkteObjecten": [
                {"url": each["url"], "verwerktObjectId": each["verwerktObjectId"], **sent}
                for each, sent in zip(objects, content["verwerkteObjecten"], strict=True)
            ]
        }
        self.became(answer["actieId"], answer)
        return answer["actieId"]

    @rule(actie_id=acties, drawn=contents)
    def replace(self, actie_id: str, drawn: Any) -> None:
        """PUT; objects that were there keep their place and their id."""
        content = self.content(drawn)
        before = self.known.get(actie_id)
        if before:
            content["verwerkteObjecten"] = before["verwerkteObjecten"][1:] + content["verwerkteObjecten"]
        answer = self.api.put({"actieId": actie_id}, **content)
        if before is None:
            assert answer.status_code == 400
            return
        found = answer.json()
        assert found["tijdstipRegistratie"] > before["tijdstipRegistratie"]
        kept = len(before["verwerkteObjecten"][1:])
        assert found["verwerkteObjecten"][:kept] == before["verwerkteObjecten"][1:]
        left_out = (*SET_BY_THE_LOG, "verwerkteObjecten")
        assert all(found[name] == value for name, value in content.items() if name not in left_out)
        self.became(actie_id, found)

    @rule(actie_id=consumes(acties))
    def delete(self, actie_id: str) -> None:
        """DELETE."""
        answer = self.api.delete({"actieId": actie_id})
        assert answer.status_code == (204 if self.known.pop(actie_id, None) else 400)

    @rule(
        verwerking=st.integers(0, 1),
        change=st.fixed_dictionaries(
            {},
            optional={
                "bewaartermijn": st.sampled_from(["P1000Y", "P10Y"]),
                "vertrouwelijkheid": st.sampled_from(["normaal", "vertrouwelijk", "opgeheven"]),
            },
        ).filter(bool),
    )
    def change(self, verwerking: int, change: dict[str, Any]) -> None:
        """PATCH."""
        verwerking_id = self.verwerkingen[verwerking]
        affected = [id_ for id_, content in self.known.items() if content["verwerkingId"] == verwerking_id]
        assert self.api.patch(str(verwerking_id), **change).status_code == (204 if affected else 400)
        for id_ in affected:
            moment = self.api.one({"actieId": id_}).json()["tijdstipRegistratie"]
            assert moment > self.known[id_]["tijdstipRegistratie"]
            self.became(id_, self.known[id_] | change | {"tijdstipRegistratie": moment})

    @rule(actie_id=acties)
    def read(self, actie_id: str) -> None:
        """GET one, in both APIs."""
        known = self.known.get(actie_id)
        answer = self.api.one({"actieId": actie_id})
        assert (answer.json() == known) if known else answer.status_code == 404
        for each in known["verwerkteObjecten"] if known else ():
            hidden = known is None or known["vertrouwelijkheid"] == "vertrouwelijk"
            assert self.api.ask("GET", each["url"]).status_code == (404 if hidden else 200)

    @rule(person=st.integers(0, 1))
    def list(self, person: int) -> None:
        """GET lists, by who may see everything and by who may not."""
        bsn = self.persons[person]
        mine = {
            id_: content | {"verwerkteObjecten": objects}
            for id_, content in self.known.items()
            if (objects := [each for each in content["verwerkteObjecten"] if each["objectId"] == bsn])
        }
        ordinary = {
            id_
            for id_, content in mine.items()
            if content["vertrouwelijkheid"] == "normaal" and id_ not in self.ever_confidential
        }
        assert self.shown(self.api.list(bsn)) == mine
        assert self.shown(self.ordinary.list(bsn, vertrouwelijkheid="normaal")).keys() == ordinary
        for client in (self.api, self.ordinary):
            seen = {each["verwerkingsactie"]["actieId"] for each in client.inzage(bsn).json()["results"]} & mine.keys()
            public = {id_ for id_, content in mine.items() if content["vertrouwelijkheid"] != "vertrouwelijk"}
            assert seen == (public if client is self.api else ordinary)

    @staticmethod
    def shown(answer: Any) -> dict[str, Any]:
        """Return the acties of a list, but of the questions that were logged."""
        return {
            each["actieId"]: each for each in answer.json()["results"] if not each["systeem"].startswith("ldv_otel ")
        }


@pytest.mark.hypothesis
def test_any_order_of_changes_reads_back(over_http: Provider) -> None:
    """Each run has persons and Verwerkingen of its own."""
    machine = type("Machine", (Acties,), {"provider": over_http})
    run_state_machine_as_test(machine, settings=settings(max_examples=examples(8), stateful_step_count=15))


def test_changes_at_the_same_time_follow_one_another(provider: Provider) -> None:
    """Two PUTs and a PATCH leave one order: the PATCH is in what comes after it, and no version is lost."""
    api = provider.client()
    for _ in range(5):
        verwerking, bsn = new_uuid(), new_bsn()
        actie = api.post(verwerkingId=verwerking, bewaartermijn="P1Y", **body(bsn))
        with ThreadPoolExecutor(3) as threads:
            changes = [
                threads.submit(api.put, actie, actieNaam="een"),
                threads.submit(api.put, actie, actieNaam="twee"),
                threads.submit(api.patch, verwerking, bewaartermijn="P10Y"),
            ]
        assert sorted(change.result().status_code for change in changes) == [200, 200, 204]
        puts = {change.result().json()["tijdstipRegistratie"]: change.result().json() for change in changes[:2]}
        last_put = puts[max(puts)]
        found = api.one(actie).json()
        assert found["actieNaam"] == last_put["actieNaam"]
        patched_last = found["tijdstipRegistratie"] > last_put["tijdstipRegistratie"]
        assert found["bewaartermijn"] == ("P10Y" if patched_last else "P1Y")
        assert len({actie["tijdstipRegistratie"], found["tijdstipRegistratie"], *puts}) == (4 if patched_last else 3)


def test_many_clients_log_at_once_and_nothing_is_lost(provider: Provider) -> None:
    """What was confirmed is there, each once."""
    api, bsn = provider.client(), new_bsn()

    def log(number: int) -> str:
        return str(api.post(actieNaam=str(number), **body(bsn))["actieId"])

    with ThreadPoolExecutor(8) as threads:
        logged = list(threads.map(log, range(40)))
    first = api.list(bsn, pageSize=25).json()
    assert (first["count"], first["previous"], len(first["results"])) == (40, None, 25)
    second = api.ask("GET", first["next"]).json()
    assert (second["count"], second["next"]) == (40, None)
    found = [each["actieId"] for each in first["results"] + second["results"]]
    assert sorted(found) == sorted(logged)
    assert api.ask("GET", second["previous"]).json()["results"] == first["results"]


def test_a_moment_beyond_the_calendar_comes_back_in_links(provider: Provider) -> None:
    """A client may write any moment; one that is in the year 10000 in UTC is later than every record all the same."""
    api, bsn = provider.client(), new_bsn()
    for _ in range(2):
        api.post(**body(bsn))
    answer = api.list(bsn, pageSize=1, peilmoment="9999-12-31T23:59:59.999-23:00")
    assert answer.status_code == 200
    assert len(api.ask("GET", answer.json()["next"]).json()["results"]) == 1
