"""The published terms: made of the list, valid SKOS, and what NL-SBB asks of a concept."""

from __future__ import annotations

from importlib.resources import files

import pyshacl
from rdflib import RDF, SKOS, Graph, Literal, URIRef

from ldv_otel._internal import linked_data
from ldv_otel._internal.linked_data.graphs import terms_turtle
from ldv_otel._internal.linked_data.terms import CONCEPTS, TERMS

PUBLISHED = files(linked_data).joinpath("terms.ttl").read_text(encoding="utf-8")

#: What NL-SBB asks of each concept, and the conditions of SKOS on a scheme, in our own words.
SHAPES = """
@prefix sh: <http://www.w3.org/ns/shacl#> .
@prefix skos: <http://www.w3.org/2004/02/skos/core#> .
@prefix rdf: <http://www.w3.org/1999/02/22-rdf-syntax-ns#> .
@prefix dcterms: <http://purl.org/dc/terms/> .
@prefix s: <https://shapes.example/> .

s:Concept a sh:NodeShape ; sh:targetClass skos:Concept ; sh:nodeKind sh:IRI ;
    sh:property [ sh:path skos:prefLabel ; sh:datatype rdf:langString ; sh:languageIn ( "nl" "en" ) ;
                  sh:uniqueLang true ; sh:minCount 2 ; sh:maxCount 2 ] ;
    sh:property [ sh:path skos:definition ; sh:datatype rdf:langString ; sh:languageIn ( "nl" "en" ) ;
                  sh:uniqueLang true ; sh:minCount 2 ; sh:maxCount 2 ] ;
    sh:property [ sh:path skos:inScheme ; sh:class skos:ConceptScheme ; sh:minCount 1 ; sh:maxCount 1 ] ;
    sh:property [ sh:path skos:notation ; sh:maxCount 1 ] ;
    sh:property [ sh:path skos:broader ; sh:class skos:Concept ; sh:maxCount 1 ] ;
    # Each is below another one, or at the top, and never both.
    sh:xone ( [ sh:property [ sh:path skos:broader ; sh:minCount 1 ] ]
              [ sh:property [ sh:path skos:topConceptOf ; sh:class skos:ConceptScheme ; sh:minCount 1 ] ] ) ;
    # No circle.
    sh:sparql [ sh:select "SELECT $this WHERE { $this <http://www.w3.org/2004/02/skos/core#broader>+ $this }" ] .

s:Scheme a sh:NodeShape ; sh:targetClass skos:ConceptScheme ; sh:nodeKind sh:IRI ;
    sh:property [ sh:path dcterms:title ; sh:uniqueLang true ; sh:minCount 2 ] ;
    sh:property [ sh:path dcterms:license ; sh:nodeKind sh:IRI ; sh:minCount 1 ] ;
    sh:property [ sh:path skos:hasTopConcept ; sh:class skos:Concept ; sh:minCount 1 ] .

s:Property a sh:NodeShape ; sh:targetClass rdf:Property ;
    sh:property [ sh:path dcterms:subject ; sh:class skos:Concept ; sh:minCount 1 ; sh:maxCount 1 ] .
"""


def violations(graph: Graph) -> str:
    """What is wrong with it by the shapes; nothing when it is right."""
    shapes = Graph().parse(data=SHAPES, format="turtle")
    conforms, _, text = pyshacl.validate(graph, shacl_graph=shapes, advanced=True)
    return "" if conforms else str(text)


def test_the_published_file_is_that_of_the_list() -> None:
    """`make terms` makes it anew."""
    assert terms_turtle() == PUBLISHED


def test_the_terms_are_valid() -> None:
    """Each term is a concept with its labels and definitions, and the shapes find nothing."""
    graph = Graph().parse(data=PUBLISHED, format="turtle")
    assert violations(graph) == ""
    assert set(graph.subjects(RDF.type, SKOS.Concept)) == {URIRef(term.concept) for term in TERMS}
    concept = URIRef(f"{CONCEPTS}betrokkene")
    labels = set(graph.objects(concept, SKOS.prefLabel))
    assert labels == {Literal("betrokkene", lang="nl"), Literal("data subject", lang="en")}


def test_the_shapes_find_what_is_wrong() -> None:
    """A label too many, none in a language, a circle, and a concept that hangs nowhere."""
    concept = URIRef(f"{CONCEPTS}betrokkene")
    for add, remove in (
        ((concept, SKOS.prefLabel, Literal("persoon", lang="nl")), None),
        (None, (concept, SKOS.prefLabel, Literal("data subject", lang="en"))),
        (None, (concept, SKOS.topConceptOf, None)),
        ((URIRef(f"{CONCEPTS}logregel"), SKOS.broader, URIRef(f"{CONCEPTS}traceId")), (None, SKOS.topConceptOf, None)),
    ):
        graph = Graph().parse(data=PUBLISHED, format="turtle")
        if add is not None:
            graph.add(add)
        if remove is not None:
            graph.remove(remove)
        assert violations(graph)
