"""The terms and the Register as RDF; needs the extra `rdf`, which is imported here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote

import msgspec

from ldv_otel._internal.linked_data.terms import CONCEPTS, PROPERTIES, PROV, RDFS, TERMS, XSD, Term
from ldv_otel._internal.record.logregel import is_uri
from ldv_otel._internal.register.register import ProcessingActivity
from ldv_otel.errors import ConfigurationError


class RdfFormat(StrEnum):
    """The ways to write RDF."""

    TURTLE = "turtle"
    JSONLD = "jsonld"


#: As rdflib calls them.
_WRITERS: Final = {RdfFormat.TURTLE: "turtle", RdfFormat.JSONLD: "json-ld"}

#: The class of entries of a Register.
_ACTIVITY: Final = f"{PROPERTIES}Verwerkingsactiviteit"
_SCHEME: Final = CONCEPTS.removesuffix("#")
_TITLE: Final = {"nl": "Begrippen van het Logboek Dataverwerkingen", "en": "Terms of the Logboek Dataverwerkingen"}
_LICENCE: Final = "http://publications.europa.eu/resource/authority/licence/EUPL_1_2"
#: Fields of a Register that have a term, by name.
_OF_REGISTER: Final = {
    term.written.removeprefix("register."): term for term in TERMS if term.written.startswith("register.")
}


def terms_turtle() -> str:
    """Return all terms as SKOS concepts in Dutch and English, by NL-SBB, and the properties that go with them."""
    graph = _graph()
    from rdflib import DCTERMS, RDF, SKOS, Literal, URIRef

    scheme = URIRef(_SCHEME)
    graph.add((scheme, RDF.type, SKOS.ConceptScheme))
    graph.add((scheme, DCTERMS.license, URIRef(_LICENCE)))
    for language, title in _TITLE.items():
        graph.add((scheme, DCTERMS.title, Literal(title, lang=language)))
    for term in TERMS:
        concept = URIRef(term.concept)
        graph.add((concept, RDF.type, SKOS.Concept))
        graph.add((concept, SKOS.inScheme, scheme))
        for language, label, definition in (("nl", term.nl, term.definition_nl), ("en", term.en, term.definition_en)):
            graph.add((concept, SKOS.prefLabel, Literal(label, lang=language)))
            graph.add((concept, SKOS.definition, Literal(definition, lang=language)))
        if term.written:
            graph.add((concept, SKOS.notation, Literal(term.written)))
        if term.broader:
            graph.add((concept, SKOS.broader, URIRef(CONCEPTS + term.broader)))
        else:
            graph.add((concept, SKOS.topConceptOf, scheme))
            graph.add((scheme, SKOS.hasTopConcept, concept))
        _add_property(graph, term)
    return _serialized(graph, RdfFormat.TURTLE)


def register_text(activities: Iterable[ProcessingActivity], format_: RdfFormat) -> str:
    """Return the entries of a Register in RDF: plans, as PROV calls what an activity is done by.

    Raises:
        ConfigurationError: The extra `rdf` is not installed.
    """
    graph = _graph()
    from rdflib import RDF, Literal, URIRef

    for activity in activities:
        entry = URIRef(_address_of(activity))
        if activity.valid_from:
            graph.add((entry, URIRef(f"{PROV}specializationOf"), URIRef(activity.id)))
        for class_ in (_ACTIVITY, f"{PROV}Plan"):
            graph.add((entry, RDF.type, URIRef(class_)))
        for field, value in msgspec.structs.asdict(activity).items():
            term = _OF_REGISTER[field]
            if field == "id" or value in ("", None):
                continue
            is_address = isinstance(value, str) and (
                term.datatype == "@id" or (field == "controller" and is_uri(value))
            )
            graph.add((entry, URIRef(term.predicate), URIRef(value) if is_address else Literal(value)))
    return _serialized(graph, format_)


def _address_of(activity: ProcessingActivity) -> str:
    """Return the address of a version: that of its activity, and for one from a moment on another, so that none mix."""
    if not activity.valid_from:
        return activity.id
    return f"{activity.id}{'-' if '#' in activity.id else '#'}{quote(activity.valid_from)}"


def _add_property(graph: Any, term: Term) -> None:
    """Describe the property of a term; those of other vocabularies are only pointed at."""
    from rdflib import DCTERMS, RDF, Literal, URIRef
    from rdflib import RDFS as SCHEMA

    if not term.written:
        return
    if term.standard:
        graph.add((URIRef(term.concept), SCHEMA.seeAlso, URIRef(term.standard)))
        return
    is_class = term.written == "register.id"
    address = URIRef(_ACTIVITY if is_class else term.predicate)
    graph.add((address, RDF.type, SCHEMA.Class if is_class else RDF.Property))
    graph.add((address, DCTERMS.subject, URIRef(term.concept)))
    for language, label in (("nl", term.nl), ("en", term.en)):
        graph.add((address, SCHEMA.label, Literal(label, lang=language)))


def _graph() -> Any:
    try:
        from rdflib import Graph
    except ImportError as error:
        raise ConfigurationError(
            "Linked data needs the extra `rdf`, which is not installed. Nothing was written. "
            "Run pip install 'ldv-otel[rdf]'."
        ) from error
    # Without the prefixes of all vocabularies that rdflib knows.
    graph = Graph(bind_namespaces="none")
    for prefix, beginning in _PREFIXES.items():
        graph.bind(prefix, beginning)
    return graph


def _serialized(graph: Any, format_: RdfFormat) -> str:
    options: dict[str, Any] = {"context": _PREFIXES, "sort_keys": True} if format_ is RdfFormat.JSONLD else {}
    text: str = graph.serialize(format=_WRITERS[format_], **options)
    return text.strip() + "\n"


_PREFIXES: Final = {
    "begrip": CONCEPTS,
    "def": PROPERTIES,
    "dcterms": "http://purl.org/dc/terms/",
    "prov": PROV,
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "rdfs": RDFS,
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "xsd": XSD,
}
