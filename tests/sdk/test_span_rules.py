"""Spans of existing instrumentation become Logregels through mapping rules, without a line of LDV code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

import ldv_otel as ldv
from ldv_otel import testing
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.privacy.pseudonyms import KeyRing, Pseudonymiser, new_key
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.rules.rules import read_rules
from ldv_otel._internal.sdk.exporter import ClickHouseSpanExporter
from ldv_otel._internal.sdk.processor import LdvSpanProcessor
from ldv_otel._internal.sdk.span_rules import SpanMapper
from ldv_otel.attributes import FLAGS
from ldv_otel.errors import ConfigurationError

BSN = "123456782"
PERMITS = "https://register.example/activiteiten/vergunningen"
SEARCH = "https://register.example/activiteiten/zoeken"
OTHER = "https://register.example/activiteiten/overig"
READ_API = "https://rdw.example/logboek"

RULES = f"""
rules:
  - rule: vergunningen
    match:
      kind: server
      attributes:
        http.route: /inwoners/{{bsn}}/vergunningen
    activity: {PERMITS}
    name: Vergunningen inzien
    subject: {{path: bsn, type: BSN}}
  - rule: zoeken
    match: {{kind: server, attributes: {{http.route: /zoek}}}}
    activity: {SEARCH}
    subject:
      - {{query: bsn, type: BSN}}
      - {{header: X-Dossier, type: dossiernummer}}
  - rule: RDW
    match: {{kind: client, attributes: {{server.address: rdw.example}}}}
    activity: {OTHER}
    read_api: {READ_API}
  - rule: de rest
    match: {{kind: server}}
    activity: {OTHER}
  - rule: dossier
    match: {{name: dossier *}}
    subject: {{attribute: dossier.bsn, type: BSN}}
"""


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the service's owner."""
    path = tmp_path_factory.mktemp("rules") / "rules.yaml"
    path.write_text(RULES, encoding="utf-8")
    return path


@pytest.fixture
def logboek(backend: InMemorySpanExporter, rules: Path) -> Iterator[testing.InMemoryLogboek]:
    """A Logboek in memory, with rules."""
    backend.clear()
    with testing.logboek(rules=rules) as found:
        yield found


def test_a_request_is_logged_for_the_person_in_its_path(logboek: testing.InMemoryLogboek, tracer: trace.Tracer) -> None:
    """As an instrumented framework makes it: the route and the path are set after the start."""
    with tracer.start_as_current_span("GET", kind=SpanKind.SERVER) as span:
        span.set_attributes({"http.route": "/inwoners/{bsn}/vergunningen", "url.path": f"/inwoners/{BSN}/vergunningen"})
    (logregel,) = logboek.logregels
    assert logregel.processing_activity_id == PERMITS
    assert logregel.name == "Vergunningen inzien"
    assert logregel.data_subject_id == logboek.pseudonym(BSN, type="BSN")
    assert FLAGS not in logregel.attributes


def test_several_people_in_query_and_headers_get_a_record_each(
    logboek: testing.InMemoryLogboek, tracer: trace.Tracer
) -> None:
    """LDV-A4."""
    attributes = {
        "http.route": "/zoek",
        "http.target": "/zoek?bsn=123.456.782&bsn=%31%31%31%32%32%32%33%33%33&naam=x",
        "http.request.header.x_dossier": ["D-7"],
    }
    with tracer.start_as_current_span("GET /zoek", kind=SpanKind.SERVER, attributes=attributes):
        pass
    assert {logregel.data_subject_id for logregel in logboek.logregels} == {
        logboek.pseudonym(BSN, type="BSN"),
        logboek.pseudonym("111222333", type="BSN"),
        logboek.pseudonym("D-7", type="dossiernummer"),
    }
    assert {logregel.processing_activity_id for logregel in logboek.logregels} == {SEARCH}


def test_what_is_inside_a_mapped_span_hangs_below_it(logboek: testing.InMemoryLogboek, tracer: trace.Tracer) -> None:
    """The mapped span is an Actie for its children while it runs, and remembers the calls that went out."""
    with tracer.start_as_current_span("GET", kind=SpanKind.SERVER) as server:
        server.set_attribute("http.route", "/zoek")
        with (
            tracer.start_as_current_span("middleware"),
            tracer.start_as_current_span("call", kind=SpanKind.CLIENT) as call,
        ):
            call.set_attribute("server.address", "elsewhere.example")
        with ldv.processing(OTHER):
            pass
        ldv.data_subject(BSN, type="BSN")
    inner, outer = logboek.logregels
    assert inner.parent_span_id == outer.span_id
    assert inner.parent_processing_activity_id == SEARCH
    assert outer.outbound_span_ids == (call.get_span_context().span_id.to_bytes(8, "big"),)
    assert outer.data_subject_id == logboek.pseudonym(BSN, type="BSN")


def test_a_rule_may_name_the_read_api_of_a_call(logboek: testing.InMemoryLogboek, tracer: trace.Tracer) -> None:
    """`dpl.read.nextLogbookId`."""
    with tracer.start_as_current_span("GET", kind=SpanKind.CLIENT, attributes={"server.address": "rdw.example"}):
        pass
    (logregel,) = logboek.logregels
    assert logregel.external_read_api_id == READ_API


def test_what_the_application_says_goes_before_a_rule(logboek: testing.InMemoryLogboek, tracer: trace.Tracer) -> None:
    """By hand on the span, and with `processing`, which rules leave alone."""
    by_hand = {"dpl.core.processing_activity_id": PERMITS, "dpl.read.externalReadAPI_id": "https://own.example"}
    with tracer.start_as_current_span(
        "x", kind=SpanKind.CLIENT, attributes={**by_hand, "server.address": "rdw.example"}
    ):
        pass
    with ldv.processing(PERMITS, name="dossier sluiten", attributes={"dossier.bsn": BSN}):
        pass
    first, second = logboek.logregels
    assert (first.processing_activity_id, first.external_read_api_id) == (PERMITS, "https://own.example")
    assert (second.processing_activity_id, second.name, second.data_subject_id) == (PERMITS, "dossier sluiten", b"")


def test_a_subject_that_is_not_where_the_rule_says_is_flagged(
    logboek: testing.InMemoryLogboek, tracer: trace.Tracer
) -> None:
    """Logged all the same (LDV-A8); and a rule without an activity leaves it to the enclosing Actie."""
    with ldv.processing(PERMITS), tracer.start_as_current_span("dossier openen"):
        pass
    inner, _ = logboek.logregels
    assert inner.processing_activity_id == PERMITS
    assert inner.data_subject_id == b""
    assert inner.attributes[FLAGS] == "subject_empty"


def test_a_span_that_no_rule_wants_is_not_logged(logboek: testing.InMemoryLogboek, tracer: trace.Tracer) -> None:
    """Rules add; they never take what is not theirs."""
    with tracer.start_as_current_span("SELECT", kind=SpanKind.CLIENT, attributes={"db.system": "postgresql"}):
        pass
    assert logboek.logregels == []


def test_how_it_went_is_seen_when_a_child_was_looked_at_before(
    logboek: testing.InMemoryLogboek, tracer: trace.Tracer
) -> None:
    """An instrumentation says it last, when the shield has seen the span already; the record has it, and its person."""
    attributes = {"http.route": "/zoek", "url.query": f"bsn={BSN}"}
    with tracer.start_as_current_span("GET", kind=SpanKind.SERVER, attributes=attributes) as span:
        with tracer.start_as_current_span("een stap"):
            pass
        span.set_attributes({"http.response.status_code": 404, "dpl.objects.algorithm_id": "42"})
        with tracer.start_as_current_span("nog een stap"):
            pass
        span.set_attribute("http.response.status_code", 503)
    (record,) = logboek.logregels
    assert record.processing_activity_id == SEARCH
    assert record.data_subject_id == logboek.pseudonym(BSN, type="BSN")
    assert record.attributes["dpl.objects.algorithm_id"] == "42"


def test_the_exporter_applies_rules_too(rules: Path) -> None:
    """`ClickHouseSpanExporter` wired by hand."""
    memory = testing.InMemoryLogboek()
    maker = LogregelMaker(Pseudonymiser(KeyRing([new_key("k1")], active="k1")).subject)
    mapper = SpanMapper(read_rules(rules), maker.pseudonymise)
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ClickHouseSpanExporter(memory, maker, mapper=mapper)))
    attributes = {"http.route": "/zoek", "url.query": f"bsn={BSN}"}
    with provider.get_tracer("x").start_as_current_span("GET", kind=SpanKind.SERVER, attributes=attributes):
        pass
    (record,) = memory.logregels
    assert record.processing_activity_id == SEARCH
    assert record.data_subject_id == maker.pseudonymise(BSN, "BSN").pseudonym


def test_a_bad_file_stops_the_start(tmp_path: Path) -> None:
    """With variable, file, line and path."""
    path = tmp_path / "rules.yaml"
    path.write_text("rules:\n  - match:\n      kind: srever\n    activity: https://x.example\n", encoding="utf-8")
    settings = read_settings({"LDV_LOGBOEK": f"chdb://{tmp_path}/logboek", "LDV_RULES": str(path)})
    with pytest.raises(ConfigurationError, match=r"LDV_RULES: .*rules\.yaml:3: .*rules\[0\]\.match\.kind.*not start"):
        LdvSpanProcessor.from_settings(settings)
    missing = read_settings({"LDV_LOGBOEK": f"chdb://{tmp_path}/logboek", "LDV_RULES": str(tmp_path / "nowhere.yaml")})
    with pytest.raises(ConfigurationError, match=r"LDV_RULES: .*nowhere\.yaml cannot be read"):
        LdvSpanProcessor.from_settings(missing)
