"""The served OpenAPI document says what the contract says, and the server does what the document says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

CONTRACT = Path(__file__).parents[1] / "data" / "lezen"
#: The contract names these by an address; the served document holds them, so that it needs no network to be read.
ELSEWHERE = {
    "https://static.developer.overheid.nl/adr/components.yaml#/headers/API-Version": {
        "description": "Volledig versienummer van de API"
    },
    "https://schemas.don.projects.digilab.network/api-design-rules/problemjson.json": json.loads(
        (CONTRACT / "ProblemJson.schema.json").read_bytes()
    ),
}
#: A question may name a trace as W3C Trace Context does, and an activity of a record that is no URI beyond its scheme.
DEPARTURES = {
    "traceId/format",
    "dpl.core.processing_activity_id/format",
    "dpl.core.foreign_operation.processor/format",
}


def resolved(node: Any, root: Any, directory: Path | None = None) -> Any:
    """Return a document without references and with `allOf` merged, so that two spellings of one thing are equal."""
    if isinstance(node, list):
        return [resolved(item, root, directory) for item in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if reference in ELSEWHERE:
        return ELSEWHERE[reference]
    if isinstance(reference, str) and reference.startswith("#/"):
        target = root
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
        return resolved(target, root, directory)
    if reference is not None:
        assert directory
        return json.loads((directory / reference).read_bytes())
    found = {name: resolved(value, root, directory) for name, value in node.items()}
    merged: dict[str, Any] = {}
    if all("properties" in part for part in found.get("allOf", [])):
        for part in found.pop("allOf", []):
            merged["properties"] = merged.get("properties", {}) | part["properties"]
    return merged | found


def missing(contract: Any, served: Any, path: str = "") -> list[str]:
    """Return where the served document does not say what the contract says; it may say more."""
    if isinstance(contract, dict) and isinstance(served, dict):
        gone = [f"{path}/{name}" for name in contract if name not in served]
        return gone + [
            line
            for name in contract
            if name in served
            for line in missing(contract[name], served[name], f"{path}/{name}")
        ]
    if isinstance(contract, list) and path == "/tags":
        return [f"{path}: {item}" for item in contract if item not in served]
    return [] if contract == served else [f"{path}: {contract!r} is {served!r}"]


def test_the_served_document_is_the_contract_where_that_speaks(api: TestClient) -> None:
    """All of it but the address of the server, which the contract asks to fill in."""
    contract = json.loads((CONTRACT / "ldv-lezen-openapi.json").read_bytes())
    served = api.get("/lezenapi/v1/openapi.json").json()
    # The address is to be filled in, and with the form of 2026 beside it this is a next version.
    del contract["servers"], contract["info"]["version"]
    gone = missing(resolved(contract, contract, CONTRACT), resolved(served, served))
    assert all("ProcessingActivityRequest/" in line or "/requestBody/" in line for line in gone)
    assert {line.rpartition("properties/")[2] for line in gone} == DEPARTURES
    assert served["servers"] == [{"url": "/lezenapi/v1"}]


def test_the_served_document_states_the_rule_that_the_contract_leaves_out(api: TestClient) -> None:
    """At least one of three (LDV-R2), and nothing that does not exist."""
    schema = api.get("/lezenapi/v1/openapi.json").json()["components"]["schemas"]["ProcessingActivityRequest"]
    assert [option["required"] for option in schema["anyOf"]] == [
        ["traceId"],
        ["dpl.core.processing_activity_id"],
        ["dpl.core.data_subject_id"],
    ]
    assert schema["additionalProperties"] is False
