"""schemathesis over the served document: no 5xx, and nothing that the document does not say.

In `make test` some hundred cases; `make fuzz FUZZ=60` is ten thousand.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from ldv_otel._internal.gemma.provider.openapi import overlaid
from tests.gemma import strategies
from tests.gemma.provider import Provider, body
from tests.support.chance import examples

OPERATIONS = [
    ("/verwerkingsacties", "POST"),
    ("/verwerkingsacties", "GET"),
    ("/verwerkingsacties", "PATCH"),
    ("/verwerkingsacties/{actieId}", "GET"),
    ("/verwerkingsacties/{actieId}", "PUT"),
    ("/verwerkingsacties/{actieId}", "DELETE"),
    ("/verwerkte-objecten", "GET"),
    ("/verwerkte-objecten/{verwerktObjectId}", "GET"),
]
KNOWN = {
    name["name"] for document in map(overlaid, ("bewerking", "inzage")) for path in document["paths"].values()
    for operation in path.values() if isinstance(operation, dict)
    for name in operation.get("parameters", ()) if name["in"] == "query"
}  # fmt: skip

schemathesis.openapi.format("uri", strategies.urls)


@pytest.fixture(scope="module")
def document(over_http: Provider) -> Any:
    """The document as the server gives it."""
    return schemathesis.openapi.from_url(f"{over_http.base}/openapi.json")


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=str)
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
@pytest.mark.hypothesis
def test_the_server_does_what_the_contract_says(
    document: Any, over_http: Provider, path: str, method: str, mode: GenerationMode
) -> None:
    """What it allows is done, what it does not is refused, and every answer is one of those it has."""
    client = over_http.client()
    actie = client.post(verwerkteObjecten=body("123456782")["verwerkteObjecten"])
    # Of well formed requests some have a target.
    known = {"actieId": actie["actieId"], "verwerktObjectId": actie["verwerkteObjecten"][0]["verwerktObjectId"]}
    # A target that is not there is a 400 by the standard's words, whatever the contract would say (D-10).
    excluded = [] if method == "POST" or path.startswith("/verwerkte") else [positive_data_acceptance]

    @given(case=document[path][method].as_strategy(generation_mode=mode), hit=st.booleans())
    @settings(max_examples=examples(10))
    def check(case: Any, *, hit: bool) -> None:
        if hit and mode is GenerationMode.POSITIVE and method != "DELETE":
            case.path_parameters = {name: known[name] for name in case.path_parameters or {}}
        # Parameters that nobody knows are ignored (GI-12).
        more = [] if KNOWN.issuperset(case.query or {}) else [negative_data_rejection]
        case.call_and_validate(headers={"Authorization": f"Bearer {client.token}"}, excluded_checks=[*excluded, *more])

    check()
    assert not re.search("Unexpected|CRITICAL", over_http.process.log)
