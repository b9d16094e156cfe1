"""The JSON-LD context of answers of the lezen API in the form of 2026, and what such an answer has beyond plain JSON.

With it an answer says in the words of PROV-O who did what, when, and under which processing activity: each Actie is a
`prov:Activity`, informed by its parent, associated with the party whose Logboek has it, and planned by its processing
activity. Plain JSON has no addresses for Acties, so an answer of `application/ld+json` adds them.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

from ldv_otel._internal.linked_data.terms import PROPERTIES, PROV, RDFS, TERMS, XSD
from ldv_otel._internal.record.callers import restarted
from ldv_otel._internal.record.logregel import Logregel, is_uri

MEDIA_TYPE: Final = "application/ld+json"


def actie_address(trace_id: bytes, span_id: bytes) -> str:
    """Return what names an Actie, the same at every party: its trace as a UUID, with its span id as fragment."""
    return f"urn:uuid:{uuid.UUID(bytes=trace_id)}#{span_id.hex()}"


def linked_members(logregel: Logregel, logbook: str) -> dict[str, Any]:
    """Return the members that an answer of linked data adds to a record.

    Args:
        logbook: URI of this read API, as in `metadata`.
    """
    association: dict[str, Any] = {"@type": "prov:Association", "agent": logbook}
    if is_uri(logregel.processing_activity_id):
        association["hadPlan"] = logregel.processing_activity_id
    members: dict[str, Any] = {
        "@id": actie_address(logregel.trace_id, logregel.span_id),
        "@type": "prov:Activity",
        "qualifiedAssociation": association,
    }
    informed_by = []
    if logregel.parent_span_id:
        informed_by.append(actie_address(logregel.trace_id, logregel.parent_span_id))
    if restarted(logregel) and logregel.foreign_operation_span_id:
        # The caller's Actie, in a trace that was not continued here.
        informed_by.append(actie_address(logregel.foreign_operation_trace_id, logregel.foreign_operation_span_id))
    if informed_by:
        members["wasInformedBy"] = informed_by
    return members


def _context() -> dict[str, Any]:
    return {
        "@version": 1.1,
        "def": PROPERTIES,
        "prov": PROV,
        "rdfs": RDFS,
        "xsd": XSD,
        # The root is the party whose Logboek answers, under the URI by which records of others name it.
        "metadata": "@nest",
        "logbookId": "@id",
        "organizationName": "rdfs:label",
        "dataProcessingOperations": {"@reverse": "prov:wasAssociatedWith"},
        **dict.fromkeys(("attributes", "dpl", "core", "read", "foreignOperation"), "@nest"),
        "wasInformedBy": {"@id": "prov:wasInformedBy", "@type": "@id"},
        "qualifiedAssociation": {"@id": "prov:qualifiedAssociation"},
        "agent": {"@id": "prov:agent", "@type": "@id"},
        "hadPlan": {"@id": "prov:hadPlan", "@type": "@id"},
        **{term.member: _definition(term.predicate, term.datatype) for term in TERMS if term.member},
    }


def _definition(address: str, datatype: str) -> dict[str, str]:
    for prefix, beginning in (("def", PROPERTIES), ("prov", PROV), ("rdfs", RDFS)):
        address = address.replace(beginning, f"{prefix}:", 1) if address.startswith(beginning) else address
    if not datatype:
        return {"@id": address}
    return {"@id": address, "@type": datatype if datatype.startswith("@") else f"xsd:{datatype}"}


CONTEXT: Final = _context()
