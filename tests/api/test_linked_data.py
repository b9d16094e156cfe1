"""Answers of the lezen API as linked data: who did what, when, and under which processing activity, in PROV-O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from rdflib import RDF, RDFS, BNode, Graph, Literal, Namespace, URIRef
from starlette.testclient import TestClient

from ldv_otel._internal.linked_data.context import CONTEXT, actie_address, linked_members
from ldv_otel._internal.linked_data.terms import PROPERTIES
from ldv_otel._internal.record.logregel import Logregel
from tests.api.conftest import FOREIGN, PARKING, PARTY, TRACES

#: Of rdflib's own parser of JSON-LD.
pytestmark = pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")

BASE = "/lezenapi/v1"
PATH = f"{BASE}/data-processing-operations"
PROV = Namespace("http://www.w3.org/ns/prov#")
OURS = Namespace(PROPERTIES)
LINKED = "application/ld+json"


def ask(api: TestClient, accept: str | None = LINKED, trace_id: bytes = TRACES[0]) -> Any:
    """The answer for a trace."""
    headers = {"X-Client": "auditor"} | ({} if accept is None else {"Accept": accept})
    answer = api.post(PATH, json={"traceId": trace_id.hex()}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


def expanded(api: TestClient, answer: Any) -> Graph:
    """The triples of an answer, with the context from the address that it names."""
    content = answer.json()
    context = api.get(content.pop("@context").removeprefix("http://testserver"))
    assert context.headers["content-type"] == LINKED
    assert context.headers["access-control-allow-origin"] == "*"
    return Graph().parse(data=msgspec.json.encode(context.json() | content), format="json-ld")


def prov_of(graph: Graph) -> set[tuple[Any, Any, Any]]:
    """The triples of PROV, without the names of blank nodes."""
    return {
        tuple(None if isinstance(each, BNode) else each for each in triple)  # type: ignore[misc]
        for triple in graph
        if str(triple[1]).startswith(str(PROV)) or triple[1] == RDF.type
    }


def test_an_answer_says_in_prov_who_did_what_under_which_activity(api: TestClient) -> None:
    """Exactly these triples for the second of the trace's five records."""
    answer = ask(api)
    assert answer.headers["content-type"] == LINKED
    graph = expanded(api, answer)
    actie, parent = (URIRef(actie_address(TRACES[0], number.to_bytes(8, "big"))) for number in (2, 1))
    about = Graph()
    for triple in graph.triples((actie, None, None)):
        about.add(triple)
    association = graph.value(actie, PROV.qualifiedAssociation)
    assert association is not None
    for triple in graph.triples((association, None, None)):
        about.add(triple)
    agent = graph.value(association, PROV.agent)
    assert agent is not None
    assert str(agent).endswith("voorbeeld")
    assert prov_of(about) == {
        (actie, RDF.type, PROV.Activity),
        (actie, PROV.startedAtTime, graph.value(actie, PROV.startedAtTime)),
        (actie, PROV.endedAtTime, graph.value(actie, PROV.endedAtTime)),
        (actie, PROV.wasInformedBy, parent),
        (actie, PROV.wasAssociatedWith, agent),
        (actie, PROV.qualifiedAssociation, None),
        (None, RDF.type, PROV.Association),
        (None, PROV.agent, agent),
        (None, PROV.hadPlan, URIRef(PARKING)),
    }
    assert (agent, RDFS.label, Literal("Gemeente Voorbeeld")) in graph
    assert (actie, RDFS.label, Literal("Stap 1")) in graph
    assert (actie, OURS.processingActivityId, URIRef(PARKING)) in graph
    started = graph.value(actie, PROV.startedAtTime)
    assert isinstance(started, Literal)
    assert started.toPython().isoformat() == "2026-01-01T00:01:00+00:00"
    assert len(set(graph.subjects(RDF.type, PROV.Activity))) == 5


def test_what_is_beside_prov_is_there_in_our_own_terms(api: TestClient) -> None:
    """The called party, the caller, and the pseudonym; nothing that plain JSON does not have."""
    graph = expanded(api, ask(api))
    called = URIRef(actie_address(TRACES[0], (4).to_bytes(8, "big")))
    assert (called, OURS.nextLogbookId, URIRef(PARTY)) in graph
    restarted = expanded(api, ask(api, trace_id=TRACES[1]))
    here = URIRef(actie_address(TRACES[1], (8).to_bytes(8, "big")))
    caller = URIRef(actie_address(FOREIGN, b"\xfb" * 8))
    assert (here, PROV.wasInformedBy, caller) in restarted
    assert (here, OURS.foreignOperationProcessor, URIRef("https://elders.example/app")) in restarted
    plain = {record["spanId"]: record for record in ask(api, "application/json").json()["dataProcessingOperations"]}
    for record in ask(api).json()["dataProcessingOperations"]:
        added = record.keys() - plain[record["spanId"]].keys()
        assert added <= {"@id", "@type", "qualifiedAssociation", "wasInformedBy"}
        assert {name: record[name] for name in record.keys() - added} == plain[record["spanId"]]


def test_plain_json_can_be_read_with_the_context_too(api: TestClient) -> None:
    """As JSON-LD says: a client that gives the context by itself gets what needs no addresses."""
    content = ask(api, "application/json").content
    graph = Graph().parse(data=content, format="json-ld", context=CONTEXT)
    assert len(set(graph.subjects(PROV.startedAtTime, None))) == 5
    assert set(graph.objects(None, OURS.processingActivityId)) >= {URIRef(PARKING)}


@pytest.mark.parametrize(
    ("accept", "is_linked"),
    [
        (None, False),
        ("*/*", False),
        ("application/*", False),
        ("application/json", False),
        ("application/json, application/ld+json;q=0.5", False),
        ("application/ld+json;q=0", False),
        ("application/ld+json;q=0.000", False),
        ("application/ld+json;q=x", False),
        ("application/ld+json;q=" + "9" * 10_000, False),
        ("text/html", False),
        ("," * 10_000, False),
        ("application/ld+json", True),
        ('APPLICATION/LD+JSON; profile="http://www.w3.org/ns/json-ld#expanded"', True),
        ("application/ld+json, */*;q=0.1", True),
        ("application/json;q=0.5, application/ld+json", True),
    ],
    ids=lambda value: str(value)[:50],
)
def test_linked_data_is_for_who_asks_for_it(api: TestClient, accept: str | None, is_linked: bool) -> None:
    """Everybody else gets plain JSON; caches are told that it depends on the header."""
    answer = ask(api, accept)
    assert ("@context" in answer.json()) is is_linked
    assert answer.headers["content-type"] == (LINKED if is_linked else "application/json")
    assert answer.headers["vary"] == "Accept"


def records() -> Iterator[tuple[str, Logregel]]:
    """Records with values that are no addresses."""
    base = Logregel(trace_id=b"\x01" * 16, span_id=b"\x02" * 8, name="x", start_time_ms=0, end_time_ms=1)
    yield "nothing", base
    yield "no URI", msgspec.structs.replace(base, processing_activity_id="geen adres")
    yield (
        "own trace",
        msgspec.structs.replace(base, foreign_operation_trace_id=base.trace_id, foreign_operation_span_id=b"\x03" * 8),
    )


@pytest.mark.parametrize(("case", "record"), list(records()), ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_no_address_becomes_none(case: str, record: Logregel) -> None:
    """An activity that is no URI is no plan, and a caller in the same trace is the parent by its own field."""
    members = linked_members(record, "https://log.example")
    assert "hadPlan" not in members["qualifiedAssociation"], case
    assert "wasInformedBy" not in members, case


def test_the_terms_are_served(api: TestClient) -> None:
    """For everybody, as Turtle."""
    answer = api.get(f"{BASE}/terms")
    assert answer.headers["content-type"] == "text/turtle; charset=utf-8"
    assert len(Graph().parse(data=answer.text, format="turtle")) > 200
