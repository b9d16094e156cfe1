"""`ldv register export`: the Register as plans in the words of PROV, the same triples in both formats."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdflib import DCTERMS, RDF, RDFS, Graph, Literal, Namespace, URIRef
from rdflib.compare import isomorphic
from typer.testing import CliRunner

from ldv_otel._internal.cli.app import app
from ldv_otel._internal.linked_data.graphs import RdfFormat, register_text
from ldv_otel._internal.linked_data.terms import PROPERTIES
from ldv_otel._internal.register.register import ProcessingActivity
from tests.support.chance import examples

#: Of rdflib's own parser of JSON-LD.
pytestmark = pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")

EXAMPLE = Path(__file__).parents[2] / "examples" / "parkeervergunning" / "gemeente.register.yaml"
PROV = Namespace("http://www.w3.org/ns/prov#")
OURS = Namespace(PROPERTIES)
ACTIVITY = ProcessingActivity(
    id="https://register.example/a/2",
    name="Parkeren",
    purpose='Vergunningen "verlenen"\nen tonen',
    legal_ground="Artikel 3",
    retention="P5Y",
    confidential=True,
    parent="https://register.example/b",
    controller="https://identifier.example/gm0363",
    replaces="https://register.example/a/1",
)


def test_every_field_is_a_triple() -> None:
    """Addresses are addresses, the rest is text; confidentiality is a boolean."""
    graph = Graph().parse(data=register_text([ACTIVITY], RdfFormat.TURTLE), format="turtle")
    entry = URIRef(ACTIVITY.id)
    assert set(graph) == {
        (entry, RDF.type, OURS.Verwerkingsactiviteit),
        (entry, RDF.type, PROV.Plan),
        (entry, RDFS.label, Literal("Parkeren")),
        (entry, OURS.purpose, Literal(ACTIVITY.purpose)),
        (entry, OURS.legalGround, Literal("Artikel 3")),
        (entry, OURS.retention, Literal("P5Y")),
        (entry, OURS.confidential, Literal(True)),
        (entry, DCTERMS.isPartOf, URIRef(ACTIVITY.parent)),
        (entry, OURS.controller, URIRef(ACTIVITY.controller)),
        (entry, PROV.wasRevisionOf, URIRef(ACTIVITY.replaces)),
    }


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)


@settings(max_examples=examples(30), deadline=None)
@given(name=TEXTS.filter(str.strip), purpose=TEXTS, controller=TEXTS)
@pytest.mark.hypothesis
def test_both_formats_say_the_same(name: str, purpose: str, controller: str) -> None:
    """Whatever stands in the texts."""
    activity = ProcessingActivity(id="urn:example:a", name=name, purpose=purpose, controller=controller)
    turtle = Graph().parse(data=register_text([activity], RdfFormat.TURTLE), format="turtle")
    json_ld = Graph().parse(data=register_text([activity], RdfFormat.JSONLD), format="json-ld")
    assert isomorphic(turtle, json_ld)
    assert (URIRef("urn:example:a"), RDFS.label, Literal(name)) in turtle


@pytest.mark.parametrize("format_", ["turtle", "jsonld"])
def test_the_command_prints_the_register_of_the_settings(format_: str) -> None:
    """The Logboek is not asked: it need not be there."""
    environ = {"LDV_LOGBOEK": "chdb:///nergens/logboek", "LDV_REGISTER": str(EXAMPLE)}
    done = CliRunner().invoke(app, ["register", "export", "--format", format_], env=environ)
    assert done.exit_code == 0, done.output
    graph = Graph().parse(data=done.stdout, format={"turtle": "turtle", "jsonld": "json-ld"}[format_])
    assert Literal("Parkeervergunningadministratie voeren") in set(graph.objects(None, RDFS.label))
    again = CliRunner().invoke(app, ["register", "export", "--format", format_], env=environ)
    assert again.stdout == done.stdout


def test_without_the_extra_it_says_what_to_install() -> None:
    """And nothing is printed."""
    program = (
        "import sys; sys.modules['rdflib'] = None\n"
        "from ldv_otel._internal.cli import main\n"
        "sys.argv = ['ldv', 'register', 'export']; main()"
    )
    environ = {"LDV_LOGBOEK": "chdb:///nergens/logboek", "LDV_REGISTER": str(EXAMPLE), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "ldv-otel[rdf]" in done.stderr


def test_versions_of_one_activity_do_not_mix() -> None:
    """One that holds from a moment on has an address of its own, and says of which activity it is a version."""
    later = msgspec.structs.replace(ACTIVITY, purpose="Anders", replaces="", valid_from="2026-07-01")
    graph = Graph().parse(data=register_text([ACTIVITY, later], RdfFormat.TURTLE), format="turtle")
    (version,) = graph.subjects(URIRef("http://www.w3.org/ns/prov#specializationOf"), URIRef(ACTIVITY.id))
    assert version == URIRef(f"{ACTIVITY.id}#2026-07-01")
    purposes = {str(value) for value in graph.objects(version) if str(value) in {"Anders", ACTIVITY.purpose}}
    assert purposes == {"Anders"}
