"""The privacy shield: whatever else listens to the service's spans, before or after ours, learns no identifier."""

from __future__ import annotations

import gc
import io
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ConcurrentMultiSpanProcessor, ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)

import ldv_otel as ldv
from ldv_otel import testing
from ldv_otel._internal.privacy.pseudonyms import KeyRing, Pseudonymiser, new_key
from ldv_otel._internal.privacy.redaction import Redactor
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.rules.rules import read_rules
from ldv_otel._internal.sdk import span_state
from ldv_otel._internal.sdk.attach import attach
from ldv_otel._internal.sdk.processor import LdvSpanProcessor
from ldv_otel._internal.sdk.shield import SubjectShieldingSpanProcessor
from ldv_otel._internal.sdk.span_rules import SpanMapper
from ldv_otel._internal.sdk.span_state import LiveSpan
from ldv_otel._internal.sdk.span_subjects import MAX_IDENTIFIERS
from ldv_otel.attributes import DATA_SUBJECT_ID, DATA_SUBJECT_ID_TYPE, FLAGS
from ldv_otel.testing import _AtOnce

BSN = "123456782"
ENCODED = "".join(f"%{ord(digit):02X}" for digit in BSN)
SPELLINGS = (BSN, "123.456.782", "123 456 782", ENCODED, ENCODED.replace("%", "%25"), "12345%36782")
MAIL = "Jan.Jansen@voorbeeld.nl"
ACTIVITY = "https://register.example/activiteiten/vergunningen"

RULES = """
rules:
  - match: {kind: server, attributes: {http.route: "/inwoners/{bsn}/vergunningen"}}
    activity: https://register.example/activiteiten/vergunningen
    subject: {path: bsn, type: BSN}
  - match: {kind: server, attributes: {http.route: /zoek}}
    activity: https://register.example/activiteiten/zoeken
    subject:
      - {query: bsn, type: BSN}
      - {header: X-BSN, type: BSN}
      - {query: mail, type: "https://register.example/mail"}
  - match: {name: "medewerker *"}
    activity: https://register.example/activiteiten/hr
    subject: {attribute: hr.nummer, type: personeelsnummer}
"""


class Everything(SpanProcessor):
    """A processor that reads what it can get, when it can: at the start, before the end, and later."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._running: list[Span] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Read, write, and keep the span."""
        del parent_context
        span.set_attribute("vendor", "was here")
        self._running.append(span)
        self._read(span)

    def _on_ending(self, span: Span) -> None:
        self._read(span)

    def on_end(self, span: ReadableSpan) -> None:
        """Read it, and those kept."""
        self._read(span)
        for running in self._running:
            self._read(running)

    def forget(self) -> None:
        """Let go of the spans it kept."""
        self._running.clear()

    def _read(self, span: ReadableSpan) -> None:
        parts = (span.name, span.attributes, span.status.description, span.context, span.parent)
        inner = [(event.name, event.attributes) for event in span.events]
        links = [(link.context, link.attributes) for link in span.links]
        self.seen.append(f"{[dict(part) if isinstance(part, Mapping) else part for part in parts]}{span.to_json()}")
        self.seen += [f"{name} {dict(attributes or {})}" for name, attributes in inner]
        self.seen += [f"{context} {dict(attributes or {})}" for context, attributes in links]


class Service(NamedTuple):
    """A service with listeners before and after the Logboek."""

    tracer: Tracer
    provider: TracerProvider
    logboek: testing.InMemoryLogboek
    spans: list[InMemorySpanExporter]
    everything: list[Everything]
    console: io.StringIO
    wire: list[bytes]

    def seen(self) -> str:
        """All that anybody but the Logboek got of it."""
        assert self.provider.force_flush()
        shown = [text for processor in self.everything for text in processor.seen]
        shown += [span.to_json() for exporter in self.spans for span in exporter.get_finished_spans()]
        sent = b"".join(self.wire).decode("latin-1")
        assert shown
        assert self.console.getvalue()
        assert sent
        return "\n".join([*shown, self.console.getvalue(), sent])


@pytest.fixture(scope="module")
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """A place that OTLP is sent to, and the bytes that came there."""
    came: list[bytes] = []

    class Sink(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # the base class's name
            del format, args

    server = HTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/traces", came
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rules of the service."""
    path = tmp_path_factory.mktemp("rules") / "rules.yaml"
    path.write_text(RULES, encoding="utf-8")
    return path


MakeService = Callable[..., Service]


@pytest.fixture
def make_service(collector: tuple[str, list[bytes]], rules: Path) -> Iterator[MakeService]:
    """Makes a service: all kinds of listeners, before the Logboek and after it."""
    url, came = collector
    made: list[TracerProvider] = []

    def make(*, expose_subject: bool = False, provider: TracerProvider | None = None) -> Service:
        came.clear()
        memory = testing.InMemoryLogboek(Pseudonymiser(KeyRing([new_key("k")], active="k")))
        memory.open()
        maker = LogregelMaker(memory._pseudonymiser.subject)
        mapper = SpanMapper(read_rules(rules), maker.pseudonymise)
        ours = LdvSpanProcessor(maker, _AtOnce(memory), mapper=mapper, expose_subject=expose_subject)
        provider = provider or TracerProvider()
        made.append(provider)
        early = provider.get_tracer("instrumentation")
        service = Service(early, provider, memory, [], [], io.StringIO(), came)

        def add_listeners() -> None:
            service.spans.append(InMemorySpanExporter())
            service.everything.append(Everything())
            provider.add_span_processor(service.everything[-1])
            provider.add_span_processor(SimpleSpanProcessor(service.spans[-1]))
            provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=service.console)))
            provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(url)))

        add_listeners()
        attach(provider, ours)
        add_listeners()
        return service

    yield make
    for provider in made:
        provider.shutdown()


@pytest.fixture
def service(make_service: MakeService) -> Service:
    """As `install()` leaves a service."""
    return make_service()


def nobody_is_named(seen: str, *spellings: str) -> bool:
    """Say whether none of the spellings was seen; those who fail to match are counted, not shown."""
    return not [one for one in spellings if one.lower() in seen.lower()]


@pytest.mark.parametrize("given", [BSN, "123.456.782", int(BSN), [BSN, "111222333"]])
@pytest.mark.parametrize("at_start", [True, False])
def test_a_subject_set_by_hand(service: Service, given: object, at_start: bool) -> None:
    """The plain OpenTelemetry way: `dpl.core.data_subject_id` on the span."""
    subject: dict[str, Any] = {DATA_SUBJECT_ID: given, DATA_SUBJECT_ID_TYPE: "BSN"}
    attributes = {"dpl.core.processing_activity_id": ACTIVITY, "own": "kept"}
    with service.tracer.start_as_current_span("x", attributes=attributes | (subject if at_start else {})) as span:
        span.set_attributes({} if at_start else subject)
    seen = service.seen()
    assert nobody_is_named(seen, *SPELLINGS, "111222333")
    assert DATA_SUBJECT_ID not in {
        name for one in service.spans for name in one.get_finished_spans()[0].attributes or ()
    }
    assert '"own": "kept"' in seen
    assert '"vendor": "was here"' in seen, "what other processors write still counts"
    assert service.logboek.pseudonym(BSN, type="BSN") in {one.data_subject_id for one in service.logboek.logregels}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_number_in_a_url(service: Service, spelling: str) -> None:
    """Wherever an instrumentation writes it: whole URL, path, query, the span's name, headers, events and links."""
    path = f"/inwoners/{spelling}/vergunningen"
    attributes: dict[str, Any] = {
        "http.route": "/inwoners/{bsn}/vergunningen",
        "url.full": f"https://gemeente.example{path}?terug=/inwoners/{BSN}",
        "url.path": path,
        "url.query": f"terug=%2Finwoners%2F{ENCODED}",
        "http.url": f"https://gemeente.example{path}",
        "http.target": path,
        "http.request.header.referer": [f"https://gemeente.example{path}"],
        f"seen.{BSN}": True,
        "number": int(BSN),
    }
    context = SpanContext(
        1, 2, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("v", BSN), ("w", "1")])
    )
    with service.tracer.start_as_current_span(
        f"GET {path}",
        set_span_in_context(NonRecordingSpan(context)),  # a caller's trace state becomes the span's own
        kind=SpanKind.SERVER,
        attributes=attributes,
        links=[Link(context, {"seen": f"bsn:{BSN}"})],
    ) as span:
        span.add_event(f"found {BSN}", {"nested": [f"<{BSN}>", "ok"]})
    seen = service.seen()
    assert nobody_is_named(seen, *SPELLINGS)
    assert "https://gemeente.example/inwoners/REDACTED/vergunningen" in seen, "and nothing more than the number is gone"
    assert "{key=w, value=1}" in seen
    (logregel,) = service.logboek.logregels
    assert nobody_is_named(str(logregel), *SPELLINGS)
    assert logregel.name == "GET /inwoners/REDACTED/vergunningen"
    assert "subject_redacted" in logregel.attributes[FLAGS].split(",")
    if "%25" not in spelling:
        assert logregel.data_subject_id == service.logboek.pseudonym(BSN, type="BSN")


def test_numbers_in_queries_and_headers(service: Service) -> None:
    """Several people, one of them known by an address."""
    attributes = {
        "http.route": "/zoek",
        "http.target": f"/zoek?bsn=111222333&bsn={ENCODED}&mail=Jan.Jansen%40voorbeeld.nl",
        "http.request.header.x_bsn": ["999 990 019"],
        "note": f"asked by {MAIL.upper()}",
    }
    with service.tracer.start_as_current_span("GET /zoek", kind=SpanKind.SERVER, attributes=attributes):
        pass
    assert nobody_is_named(service.seen(), *SPELLINGS, MAIL, "Jansen%40", "111222333", "999 990 019", "999990019")
    assert len(service.logboek.logregels) == 4


def test_an_exception_that_quotes_the_number(service: Service) -> None:
    """In the event's message and stack trace and in the status, of the span and of those around it."""
    with (
        pytest.raises(LookupError),
        service.tracer.start_as_current_span("around"),
        service.tracer.start_as_current_span("GET", kind=SpanKind.SERVER) as span,
    ):
        span.set_attributes({"http.route": "/zoek", "url.query": f"bsn={BSN}"})
        raise LookupError(f"no such person: {BSN}") from ValueError("123.456.782")
    seen = service.seen()
    assert nobody_is_named(seen, *SPELLINGS)
    assert "no such person: REDACTED" in seen
    assert all(
        span.status.status_code is StatusCode.ERROR for one in service.spans for span in one.get_finished_spans()
    )


def test_the_spans_below_carry_it_too(service: Service) -> None:
    """A call that a handler makes, inside an Actie of its own; and the ASGI spans that repeat the name."""
    with service.tracer.start_as_current_span("GET", kind=SpanKind.SERVER) as server:
        server.set_attributes({"http.route": "/zoek", "url.query": f"bsn={BSN}"})
        own = {"dpl.core.processing_activity_id": ACTIVITY}
        with (
            service.tracer.start_as_current_span("inner", attributes=own),
            service.tracer.start_as_current_span(
                f"GET /personen/{BSN}", kind=SpanKind.CLIENT, attributes={"url.full": f"https://brp.example/{BSN}"}
            ),
        ):
            pass
        with service.tracer.start_as_current_span(f"GET /zoek?bsn={ENCODED} http send"):
            pass
    seen = service.seen()
    assert nobody_is_named(seen, *SPELLINGS)
    assert "https://brp.example/REDACTED" in seen


def test_a_subject_named_with_data_subject(service: Service) -> None:
    """It never touches the span; what the application writes beside it is shielded all the same."""
    own = {"dpl.core.processing_activity_id": ACTIVITY}
    with service.tracer.start_as_current_span("Dossier", attributes=own) as span:
        ldv.data_subject(BSN, type="BSN")
        span.update_name(f"Dossier {BSN}")
        span.set_attribute("sql", f"bsn = '{BSN}'")
    assert nobody_is_named(service.seen(), *SPELLINGS)
    assert nobody_is_named(str(service.logboek.logregels), *SPELLINGS)


def test_a_short_number_goes_where_it_stands_alone(service: Service) -> None:
    """Employee 71: gone from the path and its own attribute, and status 200 of port 7100 stays."""
    attributes: dict[str, Any] = {
        "hr.nummer": 71,
        "url.path": "/medewerkers/71",
        "http.status_code": 200,
        "server.port": 7100,
    }
    with service.tracer.start_as_current_span("medewerker openen", attributes=attributes):
        pass
    found = service.spans[0].get_finished_spans()[0].attributes or {}
    assert found["hr.nummer"] == "REDACTED"
    assert found["url.path"] == "/medewerkers/REDACTED"
    assert (found["http.status_code"], found["server.port"]) == (200, 7100)


def test_a_span_about_nobody_goes_through_as_it_is(service: Service) -> None:
    """No copy, no change: what is not about a person is the tracing backend's."""
    attributes: dict[str, Any] = {"url.path": f"/inwoners/{BSN}", "n": int(BSN)}
    with service.tracer.start_as_current_span("GET", attributes=attributes):
        pass
    found = service.spans[0].get_finished_spans()[0]
    assert dict(found.attributes or {}) == {**attributes, "vendor": "was here"}


def test_another_trace_is_not_touched(service: Service) -> None:
    """Who was asked for in one request does not matter in the next."""
    with service.tracer.start_as_current_span("a", attributes={DATA_SUBJECT_ID: BSN}):
        pass
    with service.tracer.start_as_current_span("b", attributes={"order": BSN}):
        pass
    found = {span.name: dict(span.attributes or {}) for span in service.spans[0].get_finished_spans()}
    assert found["b"]["order"] == BSN


def test_the_pseudonym_can_be_let_through(make_service: MakeService) -> None:
    """`LDV_EXPOSE_SUBJECT=pseudonym`: what a Logregel says is what the backend sees; the number stays away."""
    service = make_service(expose_subject=True)
    own = {"dpl.core.processing_activity_id": ACTIVITY}
    with service.tracer.start_as_current_span(
        "by hand", attributes={**own, DATA_SUBJECT_ID: BSN, DATA_SUBJECT_ID_TYPE: "bsn"}
    ):
        pass
    with service.tracer.start_as_current_span("named", attributes=own):
        ldv.data_subject(BSN, type="BSN")
        ldv.data_subject("111222333", type="BSN")
    seen = service.seen()
    assert nobody_is_named(seen, *SPELLINGS, "111222333")
    by_hand, named = (dict(span.attributes or {}) for span in service.spans[1].get_finished_spans())
    pseudonyms = [service.logboek.pseudonym(number, type="BSN").hex() for number in (BSN, "111222333")]
    assert (by_hand[DATA_SUBJECT_ID], by_hand[DATA_SUBJECT_ID_TYPE]) == (pseudonyms[0], "BSN")
    assert named[DATA_SUBJECT_ID] == tuple(pseudonyms)


def test_more_people_than_can_be_looked_for(service: Service) -> None:
    """A caller may name thousands in one URL: then others get ids and times alone, and each person a record."""
    numbers = [str(100_000_000 + number) for number in range(200)]
    attributes = {"http.route": "/zoek", "url.query": "&".join(f"bsn={number}" for number in numbers)}
    with service.tracer.start_as_current_span(f"GET {numbers[150]}", kind=SpanKind.SERVER, attributes=attributes):
        pass
    assert nobody_is_named(service.seen(), *numbers)
    assert len(service.logboek.logregels) == len(numbers)
    assert {one.processing_activity_id for one in service.logboek.logregels} == {
        "https://register.example/activiteiten/zoeken"
    }
    assert nobody_is_named(str(service.logboek.logregels), *numbers)


def test_many_people_set_by_hand_keep_their_activity(service: Service) -> None:
    """What cannot be looked for is kept from others, not from the record."""
    attributes = {"dpl.core.processing_activity_id": ACTIVITY, DATA_SUBJECT_ID: [str(10**8 + n) for n in range(100)]}
    with service.tracer.start_as_current_span("x", attributes=attributes):
        pass
    assert len(service.logboek.logregels) == 100
    assert {one.processing_activity_id for one in service.logboek.logregels} == {ACTIVITY}
    (span,) = service.spans[0].get_finished_spans()
    assert not span.attributes


def test_when_looking_fails_nothing_gets_through(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The application goes on, and the shield stays closed."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise ValueError(BSN)

    with monkeypatch.context() as patched:
        patched.setattr(Redactor, "attributes", fail)
        with service.tracer.start_as_current_span("x", attributes={DATA_SUBJECT_ID: BSN, "note": BSN}):
            pass
    with service.tracer.start_as_current_span("around"):
        span = service.tracer.start_span("later", attributes={"note": BSN})
        with monkeypatch.context() as patched, trace.use_span(span, end_on_exit=True):
            span.update_name(BSN)
            patched.setattr(LiveSpan, "look_upwards", fail)
            span.end()
    ended = [span for one in service.spans for span in one.get_finished_spans()]
    assert len(ended) == 6
    assert nobody_is_named("".join(span.to_json() for span in ended), *SPELLINGS)
    assert "could not be shielded (ValueError)" in caplog.text
    assert "could not be found out (ValueError)" in caplog.text
    assert BSN not in caplog.text


def test_a_subject_that_takes_the_place_of_another_is_kept_too(service: Service) -> None:
    """An attribute that is set again: what was learnt when an earlier child ended no longer holds."""
    with service.tracer.start_as_current_span("x", attributes={DATA_SUBJECT_ID: "made up"}) as span:
        with service.tracer.start_as_current_span("first"):
            pass
        span.set_attribute(DATA_SUBJECT_ID, BSN)
        with service.tracer.start_as_current_span("second", attributes={"url.full": f"https://x.example/{BSN}"}):
            pass
    assert nobody_is_named(service.seen(), *SPELLINGS)


def test_what_was_told_goes_with_its_trace(service: Service) -> None:
    """The identifiers that are looked for live no longer than the spans they were told of."""
    with service.tracer.start_as_current_span("x", attributes={DATA_SUBJECT_ID: BSN}) as span:
        live_span = span_state.find(span)
        assert live_span is not None
        for _ in range(1_000):
            live_span.known_subjects.trace.add(("made up", None))
        assert len(live_span.known_subjects.trace) <= MAX_IDENTIFIERS
        memory = weakref.ref(live_span.known_subjects.trace)
    for one in service.everything:
        one.forget()
    del span, live_span
    gc.collect()
    assert memory() is None


def test_processors_that_run_at_the_same_time(make_service: MakeService) -> None:
    """The SDK's concurrent processor in place of the usual one."""
    service = make_service(provider=TracerProvider(active_span_processor=ConcurrentMultiSpanProcessor()))
    with service.tracer.start_as_current_span("x", attributes={DATA_SUBJECT_ID: BSN}):
        pass
    assert nobody_is_named(service.seen(), *SPELLINGS)
    assert len(service.logboek.logregels) == 1


def test_what_a_copy_keeps(service: Service) -> None:
    """Ids, times, kind, status, scope, resource and the counts of what was dropped."""
    with service.tracer.start_as_current_span("x", kind=SpanKind.CONSUMER, attributes={DATA_SUBJECT_ID: BSN}) as span:
        span.set_status(StatusCode.OK)
        for number in range(200):
            span.set_attribute(f"a{number}", number)
            span.add_event(f"e{number}")
        span.set_attribute(DATA_SUBJECT_ID, BSN)
    copied = service.spans[0].get_finished_spans()[0]
    raw = span._readable_span()  # type: ignore[attr-defined]
    for name in ("context", "parent", "kind", "start_time", "end_time", "resource", "instrumentation_scope"):
        assert getattr(copied, name) == getattr(raw, name), name
    for name in ("dropped_attributes", "dropped_events", "dropped_links"):
        assert getattr(copied, name) == getattr(raw, name), name
    assert raw.dropped_attributes
    assert copied.status.status_code is StatusCode.OK


@pytest.mark.parametrize("first", [True, False])
def test_wired_by_hand_in_any_order(rules: Path, first: bool) -> None:
    """`SubjectShieldingSpanProcessor` around another's processor, before or after ours."""
    memory = testing.InMemoryLogboek()
    memory.open()
    maker = LogregelMaker(memory._pseudonymiser.subject)
    ours = LdvSpanProcessor(maker, _AtOnce(memory), mapper=SpanMapper(read_rules(rules), maker.pseudonymise))
    everything, exporter = Everything(), InMemorySpanExporter()
    provider = TracerProvider()
    theirs = [SubjectShieldingSpanProcessor(one) for one in (everything, SimpleSpanProcessor(exporter))]
    for processor in [*theirs, ours] if first else [ours, *theirs]:
        provider.add_span_processor(processor)
    tracer = provider.get_tracer("x")
    with tracer.start_as_current_span("GET", kind=SpanKind.SERVER) as span:
        span.set_attributes({"http.route": "/zoek", "url.query": f"bsn={BSN}"})
        with tracer.start_as_current_span(f"call {BSN}"):
            pass
    with tracer.start_as_current_span("by hand", attributes={DATA_SUBJECT_ID: BSN}):
        pass
    assert provider.force_flush()
    assert nobody_is_named(
        "".join([*everything.seen, *(one.to_json() for one in exporter.get_finished_spans())]), *SPELLINGS
    )
    assert len(exporter.get_finished_spans()) == 3
    assert {one.data_subject_id for one in memory.logregels} == {
        memory.pseudonym(BSN, type="BSN"),
        memory.pseudonym(BSN, type=""),
    }
    provider.shutdown()


def test_without_a_logboek_a_subject_by_hand_is_shielded_too() -> None:
    """A service whose records are made elsewhere."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SubjectShieldingSpanProcessor(SimpleSpanProcessor(exporter)))
    with provider.get_tracer("x").start_as_current_span(f"x {BSN}", attributes={DATA_SUBJECT_ID: BSN}):
        pass
    (span,) = exporter.get_finished_spans()
    assert nobody_is_named(span.to_json(), *SPELLINGS)
    provider.shutdown()


def test_others_find_their_processors_where_they_were(service: Service) -> None:
    """Vendors look into the provider, and some put away what they find; the Logboek stays."""
    active = service.provider._active_span_processor
    assert len(active._span_processors) == 8
    kept = active._span_processors
    active._span_processors = ()
    with service.tracer.start_as_current_span("x", attributes={DATA_SUBJECT_ID: BSN}):
        pass
    assert len(service.logboek.logregels) == 1
    active._span_processors = kept
