"""schemathesis over the served document: no 5xx, and nothing that the document does not say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import given, settings
from schemathesis import GenerationMode

from ldv_otel._internal.config.settings import Settings
from tests.support.chance import examples
from tests.support.serving import Issuer, ServeProcess, environ_of


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    """For a client that may do everything."""
    return Issuer(tmp_path_factory.mktemp("issuer"))


@pytest.fixture(scope="module")
def server(
    served_settings: Settings, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServeProcess]:
    """A server as users run it."""
    environ = environ_of(served_settings) | issuer.environ | {"LDV_SERVE_REQUESTS_PER_MINUTE": "1000000"}
    log: Path = tmp_path_factory.mktemp("fuzzing") / "log"
    with ServeProcess(environ, log=log) as process:
        yield process


@pytest.fixture(scope="module")
def document(server: ServeProcess) -> Any:
    """The document as the server gives it."""
    return schemathesis.openapi.from_url(f"{server.base}/openapi.json")


@pytest.mark.parametrize(
    ("path", "method", "mode"),
    [
        ("/data-processing-operations", "POST", GenerationMode.POSITIVE),
        ("/data-processing-operations", "POST", GenerationMode.NEGATIVE),
        ("/data-processing-operations/_batch", "POST", GenerationMode.POSITIVE),
        ("/data-processing-operations/_batch", "POST", GenerationMode.NEGATIVE),
        ("/processing-activities", "POST", GenerationMode.POSITIVE),
        ("/processing-activities", "POST", GenerationMode.NEGATIVE),
        ("/foreign-operations", "GET", GenerationMode.POSITIVE),
        ("/foreign-operations", "GET", GenerationMode.NEGATIVE),
        ("/chains/{traceId}", "GET", GenerationMode.POSITIVE),
        ("/chains/{traceId}", "GET", GenerationMode.NEGATIVE),
        ("/openapi.json", "GET", GenerationMode.POSITIVE),
        ("/context", "GET", GenerationMode.POSITIVE),
        ("/terms", "GET", GenerationMode.POSITIVE),
    ],
    ids=str,
)
@pytest.mark.hypothesis
def test_the_server_does_what_its_document_says(  # noqa: PLR0917  (fixtures and a table)
    document: Any, server: ServeProcess, issuer: Issuer, path: str, method: str, mode: GenerationMode
) -> None:
    """Questions that the document allows are answered, others refused, both as it describes."""
    token = issuer.token("ldv:read ldv:identify ldv:confidential ldv:chain")

    @given(case=document[path][method].as_strategy(generation_mode=mode))
    @settings(max_examples=examples(25))
    def check(case: Any) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {token}"})

    check()
    assert "Unexpected" not in server.log
