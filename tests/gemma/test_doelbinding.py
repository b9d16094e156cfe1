"""The doelbinding headers (IR-07): sent where that is configured and nowhere else, on record at the called party."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.trace import SpanKind

import ldv_otel as ldv
from ldv_otel import testing
from ldv_otel._internal.gemma.consumer.doelbinding import DoelbindingOptions, activity_uuid, open_extension
from ldv_otel._internal.parties.evidence import Certificate
from ldv_otel._internal.parties.parties import read_parties
from ldv_otel._internal.sdk.extensions import load_extensions
from ldv_otel._internal.times.durations import Duration
from tests.support.loopback import LoopbackServer

OIN = "00000001821002198000"
ACTIVITY_ID = "5f0bef4c-f66f-4311-84a5-19e8bf359eaf"
ACTIVITY = f"https://var.example/api/v1/verwerkingsactiviteiten/{ACTIVITY_ID}"
CALLED_ACTIVITY = "https://register.example/activiteiten/bevragen"
VERWERKING_ID = "0d9a3c1e-5b52-4a57-9d0e-6a4f7f5b2c11"
SIX = {
    "OIN",
    "VerwerkingsactiviteitId",
    "VerwerkingsactiviteitUrl",
    "VerwerkingId",
    "Vertrouwelijkheid",
    "Bewaartermijn",
}
CONFIDENTIAL = {
    "gemma.verwerking_id": VERWERKING_ID,
    "gemma.vertrouwelijkheid": "vertrouwelijk",
    "gemma.bewaartermijn": "P5Y",
}


class Party(LoopbackServer):
    """A party that is called: it logs an Actie for each request, and writes the headers down.

    Attributes:
        redirect: Where it sends callers on to, if anywhere.
    """

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.heard: list[dict[str, str]] = []
        self.redirect = ""

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def doelbinding(self) -> dict[str, str]:
        """The six headers of the last request."""
        return {name: value for name, value in self.heard[-1].items() if name in SIX}


class _Handler(BaseHTTPRequestHandler):
    server: Party

    def do_GET(self) -> None:
        self.server.heard.append(dict(self.headers.items()))
        token = otel_context.attach(ldv.extract(self.headers.items()))
        with ldv.processing(CALLED_ACTIVITY, name="Bevragen"), ldv.processing(CALLED_ACTIVITY, name="Zoeken"):
            self.send_response(302 if self.server.redirect else 200)
            self.send_header("Content-Length", "0")
            if self.server.redirect:
                self.send_header("Location", self.server.redirect)
        otel_context.detach(token)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # the base class's signature
        pass


def _serve() -> Iterator[Party]:
    with Party() as server:
        yield server


@pytest.fixture
def party() -> Iterator[Party]:
    """One that is sent the headers."""
    yield from _serve()


@pytest.fixture
def stranger() -> Iterator[Party]:
    """One that is not."""
    yield from _serve()


@pytest.fixture
def logboek(tmp_path: Path, party: Party) -> Iterator[testing.InMemoryLogboek]:
    """A Logboek for both sides, with the extension on and the headers for one party."""
    path = tmp_path / "parties.yaml"
    path.write_text(
        f'extensions: {{gemma: {{oin: "{OIN}"}}}}\ncalled: [{{at: "{party.url}", headers: [gemma]}}]\n',
        encoding="utf-8",
    )
    # Both sides are one process here: in one trace they would be parent and child without any header.
    with testing.logboek(parties=path, unknown_callers="restart") as found:
        yield found


@pytest.fixture(params=["requests", "httpx"])
def get(request: pytest.FixtureRequest) -> Iterator[Callable[[str], object]]:
    """A client with OpenTelemetry's instrumentation."""
    instrumentors: list[Any] = [RequestsInstrumentor(), HTTPXClientInstrumentor()]
    for instrumentor in instrumentors:
        instrumentor.instrument()
    ways: dict[str, Callable[[str], object]] = {
        "requests": lambda url: requests.get(url, timeout=10),
        "httpx": httpx.get,
    }
    yield ways[request.param]
    for instrumentor in instrumentors:
        instrumentor.uninstrument()


def hidden(record: ldv.Logregel) -> dict[str, str]:
    """What a record has that is confidential and kept for five years, also in words that other readers know."""
    start = datetime.fromtimestamp(record.start_time_ms / 1_000, UTC)
    end = Duration.parse("P5Y").after(start)
    return {
        "gemma.vertrouwelijkheid": "vertrouwelijk",
        "gemma.bewaartermijn": "P5Y",
        "ldv.confidential": "true",
        "ldv.kept_until": str(record.start_time_ms + (end - start) // timedelta(milliseconds=1)),
    }


def test_the_six_headers_are_sent_and_on_record_at_the_called_party(
    logboek: testing.InMemoryLogboek, party: Party, get: Callable[[str], object]
) -> None:
    """B9177: each of the six arrives, and the called party's Logregel has the caller's activity and Verwerking."""
    with ldv.processing(ACTIVITY, attributes=CONFIDENTIAL):
        get(party.url)
    assert party.doelbinding == {
        "OIN": OIN,
        "VerwerkingsactiviteitId": ACTIVITY_ID,
        "VerwerkingsactiviteitUrl": ACTIVITY,
        "VerwerkingId": VERWERKING_ID,
        "Vertrouwelijkheid": "vertrouwelijk",
        "Bewaartermijn": "P5Y",
    }
    inner, outer, calling = logboek.logregels
    assert outer.processing_activity_id == CALLED_ACTIVITY
    assert outer.attributes == {
        "gemma.afnemer_id": OIN,
        "gemma.soort_afnemer_id": "OIN",
        "gemma.verwerkingsactiviteit_id_afnemer": ACTIVITY_ID,
        "gemma.verwerkingsactiviteit_url_afnemer": ACTIVITY,
        "gemma.verwerking_id_afnemer": VERWERKING_ID,
        **hidden(outer),
    }
    # What is confidential is so in each Actie of the Verwerking (IR-10).
    assert inner.attributes == hidden(inner)
    assert calling.attributes == CONFIDENTIAL | hidden(calling)


def test_without_a_word_of_the_application_the_trace_is_the_verwerking(
    logboek: testing.InMemoryLogboek, party: Party, get: Callable[[str], object]
) -> None:
    """IR-09: acties of one trace have one VerwerkingId; an activity that is no UUID has only its URL."""
    with ldv.processing("https://var.example/parkeren") as actie:
        get(party.url)
    assert party.doelbinding.keys() == {"OIN", "VerwerkingsactiviteitUrl", "VerwerkingId", "Vertrouwelijkheid"}
    assert party.doelbinding["VerwerkingId"].replace("-", "") == actie.trace_id
    assert party.doelbinding["Vertrouwelijkheid"] == "normaal"
    assert len(logboek.logregels) == 3


@pytest.mark.usefixtures("logboek")
def test_no_other_host_is_told(party: Party, stranger: Party, get: Callable[[str], object]) -> None:
    """LDV-X3: the headers go to configured hosts only, from Acties only."""
    with ldv.processing(ACTIVITY):
        get(stranger.url)
    get(party.url)
    assert stranger.doelbinding == party.doelbinding == {}


@pytest.mark.usefixtures("logboek")
@pytest.mark.parametrize(("name", "told"), [("http.request.method", {"OIN"}), ("rpc.system", set())])
def test_only_calls_over_http_have_headers(party: Party, name: str, told: set[str]) -> None:
    """In the metadata of gRPC a name with a capital makes the call fail (LDV-A8)."""
    carrier: dict[str, str] = {}
    port = party.port
    attributes: dict[str, str | int] = {"server.address": "127.0.0.1", "server.port": port, name: "GET"}
    tracer = trace.get_tracer("client")
    with (
        ldv.processing(ACTIVITY),
        tracer.start_as_current_span("call", kind=SpanKind.CLIENT, attributes=attributes),
    ):
        propagate.inject(carrier)
    assert carrier.keys() & {"OIN"} == told
    assert "traceparent" in carrier


@pytest.mark.usefixtures("logboek")
def test_a_redirect_to_another_host_takes_nothing_along(party: Party, stranger: Party) -> None:
    """Where the client's instrumentation sees each hop, as that of httpx does."""
    HTTPXClientInstrumentor().instrument()
    party.redirect = stranger.url
    with ldv.processing(ACTIVITY):
        httpx.get(party.url, follow_redirects=True)
    HTTPXClientInstrumentor().uninstrument()
    assert party.doelbinding
    assert stranger.doelbinding == {}


def test_confidentiality_goes_on_to_who_is_called_next_and_to_every_person(
    logboek: testing.InMemoryLogboek, party: Party, get: Callable[[str], object]
) -> None:
    """A Verwerking that a caller says is confidential is so in child Logregels, and further down the chain."""
    token = otel_context.attach(ldv.extract({"Vertrouwelijkheid": "Vertrouwelijk"}))
    with ldv.processing(ACTIVITY), ldv.processing(ACTIVITY, name="Zoeken"):
        ldv.data_subject("123456782", type="BSN")
        ldv.data_subject("999990019", type="BSN")
        ldv.data_subjects(["111222333"], type="BSN")
        get(party.url)
    otel_context.detach(token)
    assert party.doelbinding["Vertrouwelijkheid"] == "vertrouwelijk"
    assert {record.attributes["gemma.vertrouwelijkheid"] for record in logboek.logregels} == {"vertrouwelijk"}
    assert {record.attributes["ldv.confidential"] for record in logboek.logregels} == {"true"}
    assert len([record for record in logboek.logregels if record.data_subject_id]) == 3


def test_a_record_takes_only_what_an_application_may_say(logboek: testing.InMemoryLogboek) -> None:
    """Users of systems stay out of a Logregel (LDV-A9), and nobody can pose as the register."""
    forged = {"gemma.gebruiker": "p.jansen", "gemma.actie_id": VERWERKING_ID, "gemma.vervallen": "true"}
    with ldv.processing(ACTIVITY, attributes={**forged, "gemma.soorten_gegevens": ["Adres", "Nationaliteit"]}):
        pass
    assert logboek.logregels[0].attributes == {"gemma.soorten_gegevens": '["Adres","Nationaliteit"]'}


def test_what_is_not_well_formed_is_kept_beside_and_hidden_when_in_doubt(logboek: testing.InMemoryLogboek) -> None:
    """LDV-A8; and a word for confidentiality that nobody knows must not lay anything open."""
    said = {"gemma.vertrouwelijkheid": "Geheim", "gemma.verwerking_id": "zaak 7", "gemma.bewaartermijn": "ooit"}
    with ldv.processing(ACTIVITY, attributes={**said, "gemma.handeling_naam": "Intake"}):
        pass
    assert logboek.logregels[0].attributes == {
        "gemma.handeling_naam": "Intake",
        "gemma.vertrouwelijkheid": "vertrouwelijk",
        "ldv.confidential": "true",
        **{f"ldv.original.{name}": value for name, value in said.items()},
    }


def test_an_identifier_in_an_attribute_is_taken_out(logboek: testing.InMemoryLogboek) -> None:
    """What is known of a trace is not quoted, in words of an extension neither."""
    with ldv.processing(ACTIVITY, attributes={"gemma.verwerking_naam": "Zaak 123456782"}):
        ldv.data_subject("123456782", type="BSN")
    (record,) = logboek.logregels
    assert "123456782" not in str(record)
    assert "subject_redacted" in record.flags


def test_off_means_off() -> None:
    """Without the extension nothing is read and nothing kept."""
    with testing.logboek() as found:
        token = otel_context.attach(ldv.extract({"OIN": OIN, "VerwerkingId": VERWERKING_ID}))
        with ldv.processing(ACTIVITY, attributes=CONFIDENTIAL):
            pass
        otel_context.detach(token)
    assert found.logregels[0].attributes == {}
    assert found.logregels[0].foreign_operation_trace_id == b""


def hear(headers: dict[str, list[str]], certificate: Certificate | None = None) -> dict[str, str]:
    """What the extension makes of the headers of a caller."""
    return dict(open_extension({}).read_headers(lambda name: headers.get(name, []), certificate).attributes)


@given(st.dictionaries(st.sampled_from(sorted(SIX)), st.lists(st.text() | st.just(OIN), max_size=3)))
def test_whatever_a_stranger_sends_the_record_has_what_is_well_formed(headers: dict[str, list[str]]) -> None:
    """LDV-A8: never an exception; and a value of another form, or one of two, is not copied."""
    heard = hear(headers)
    assert heard.get("gemma.afnemer_id", OIN) == OIN
    assert set(heard) <= {"gemma.afnemer_id", "gemma.soort_afnemer_id", "gemma.vertrouwelijkheid"}


@pytest.mark.parametrize(
    ("verwerking", "trace_id"),
    [(VERWERKING_ID, VERWERKING_ID.replace("-", "")), (f"{uuid.UUID(int=0)}", ""), ("zaak 7", "")],
)
def test_without_a_trace_context_the_verwerking_is_the_foreign_trace(verwerking: str, trace_id: str) -> None:
    """Section 6.2; of the nil UUID, which no trace may have, only the attribute is kept."""
    foreign = open_extension({}).read_headers(lambda name: [verwerking] if name == "VerwerkingId" else [], None)
    assert foreign.trace_id.hex() == trace_id


def test_an_oin_that_the_certificate_contradicts_is_not_believed() -> None:
    """B9177: certificate and OIN have to belong together; without an OIN in the certificate the header is a claim."""
    headers = {"OIN": [OIN], "VerwerkingId": [VERWERKING_ID]}
    assert hear(headers, Certificate(frozenset({("2.5.4.5", OIN)}), ""))["gemma.afnemer_id"] == OIN
    assert hear(headers, Certificate(frozenset({("2.5.4.3", "balie")}), ""))["gemma.afnemer_id"] == OIN
    assert hear(headers, Certificate(frozenset({("2.5.4.5", "0" * 20)}), "")) == {}


@pytest.mark.parametrize(
    ("activity", "found"),
    [
        (ACTIVITY, ACTIVITY_ID),
        (f"urn:uuid:{ACTIVITY_ID}", ACTIVITY_ID),
        (f"{ACTIVITY.upper()}/", ACTIVITY_ID),
        (f"https://var.example/#{ACTIVITY_ID}", ACTIVITY_ID),
        ("https://var.example/parkeren", ""),
        ("", ""),
    ],
)
def test_the_uuid_of_an_activity(activity: str, found: str) -> None:
    """It is what the URI ends in, if that is a UUID."""
    assert activity_uuid(activity) == found


@pytest.mark.parametrize(
    ("file", "word"),
    [
        ("extensions: {stranger: {}}", "no extension 'stranger'"),
        ("extensions: {gemma: {oin: '123'}}", "20 digits"),
        ("extensions: {gemma: {OIN: '123'}}", "unknown field"),
        ("called: [{at: brp.example, headers: [gemma]}]", "not under extensions"),
        ("called: [{at: brp.example}]", "read_api"),
    ],
)
def test_a_mistake_in_the_file_stops_the_start(tmp_path: Path, file: str, word: str) -> None:
    """With the place and what to do."""
    path = tmp_path / "parties.yaml"
    path.write_text(file, encoding="utf-8")
    with pytest.raises(ldv.ConfigurationError, match=word):
        load_extensions(read_parties(path, None))
    assert DoelbindingOptions(oin=OIN).oin == OIN
