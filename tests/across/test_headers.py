"""LDV-X3: what leaves with a call says nothing of the data subject or of what is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler

import httpx
import pytest
import requests
from opentelemetry import trace
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor

import ldv_otel as ldv
from ldv_otel import testing
from ldv_otel._internal.parties.tracestate import KEY, CallingActie, format_member
from tests.support.loopback import LoopbackServer

ACTIVITY = "https://register.example/activiteiten/geheime-activiteit"
NAME = "Zoek de betrokkene"


class Recorder(LoopbackServer):
    """A party that is called and writes down every header as it came in."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.heard: list[list[tuple[str, str]]] = []

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/"


class _Handler(BaseHTTPRequestHandler):
    server: Recorder

    def do_GET(self) -> None:
        self.server.heard.append(self.headers.items())
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # the base class's signature
        pass


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A called party."""
    with Recorder() as server:
        yield server


@pytest.fixture(params=["requests", "httpx", "httpx async"])
def get(request: pytest.FixtureRequest) -> Iterator[Callable[[str], object]]:
    """A client with OpenTelemetry's instrumentation."""
    RequestsInstrumentor().instrument()
    HTTPXClientInstrumentor().instrument()

    def get_async(url: str) -> object:
        import asyncio  # one of three

        async def inner() -> object:
            async with httpx.AsyncClient() as client:
                return await client.get(url)

        return asyncio.run(inner())

    ways: dict[str, Callable[[str], object]] = {
        "requests": lambda url: requests.get(url, timeout=10),
        "httpx": httpx.get,
        "httpx async": get_async,
    }
    yield ways[request.param]
    RequestsInstrumentor().uninstrument()
    HTTPXClientInstrumentor().uninstrument()


def test_no_header_holds_a_subject_or_content(recorder: Recorder, get: Callable[[str], object]) -> None:
    """Every header of every call, against the same call that no Actie surrounds: `tracestate` is all that is added."""
    with testing.logboek() as logboek:
        get(recorder.url)
        with ldv.processing(ACTIVITY, name=NAME, attributes={"dpl.objects.algorithm_id": "geheim-algoritme"}) as actie:
            for number in ("123456782", "111222333"):
                ldv.data_subject(number, type="BSN")
            ldv.data_subject("geheim@voorbeeld.nl", type="e-mailadres")
            trace.get_current_span().set_attribute("dpl.core.data_subject_id", "999990160")
            get(recorder.url)
    without, within = ({name.lower(): value for name, value in headers} for headers in recorder.heard)
    assert within.keys() - without.keys() == {"tracestate"}
    changed = {name for name in without if without[name] != within[name]}
    assert changed == {"traceparent"}
    assert within["tracestate"] == f"{KEY}={format_member(CallingActie(bytes.fromhex(actie.span_id)))}"
    assert within["traceparent"].split("-")[1] == actie.trace_id
    assert [name.lower() for name, _ in recorder.heard[1]].count("tracestate") == 1
    records = logboek.logregels
    assert len(records) >= 4
    main = records[0]
    secrets = {
        *("123456782", "111222333", "999990160", "geheim", "voorbeeld.nl", "BSN", "activiteit", "betrokkene"),
        *(record.data_subject_id.hex() for record in records if record.data_subject_id),
        *(main.key_id, main.processing_activity_id, main.name),
    } - {""}
    said = " ".join(f"{name}: {value}" for headers in recorder.heard for name, value in headers).lower()
    assert not [secret for secret in secrets if secret.lower() in said]
    assert main.outbound_span_ids == (bytes.fromhex(within["traceparent"].split("-")[2]),)
