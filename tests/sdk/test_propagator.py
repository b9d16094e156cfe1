"""Across organisations: what goes out with a call, and what becomes of one that comes in."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import Setter, TextMapPropagator
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import ldv_otel as ldv
from ldv_otel import ClickHouseSpanExporter, Logregel, testing
from ldv_otel import attributes as names
from ldv_otel._internal.config.variables import UNKNOWN_CALLER_URL
from ldv_otel._internal.parties.parties import Parties
from ldv_otel._internal.parties.tracestate import KEY, CallingActie, format_member, parse_member
from ldv_otel._internal.privacy.pseudonyms import KeyRing, Pseudonymiser, new_key
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.sdk.propagator import use_propagator
from ldv_otel.testing import InMemoryLogboek
from tests.sdk.conftest import ACTIVITY, OTHER

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
FSC_ID = "01932a5f-7c3e-7b1a-8f00-0123456789ab"
SPAN_ID = "b7ad6b7169203331"
ACTIE_ID = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"
PARTIES = """
callers:
  - name: goed
    processor: https://goed.example/app
    proven_by: [{claim: goed}, {header: X-Consumer, value: goed}]
  - name: apart
    processor: https://apart.example/app
    trace: restart
    proven_by: [{claim: apart}]
gateways: [10.0.0.5]
called:
  - {at: "https://een.example", read_api: "https://ldv.een.example"}
  - {at: "twee.example:8080", read_api: "https://ldv.twee.example"}
claim: wij
"""


@pytest.fixture
def parties(tmp_path: Path) -> Path:
    """A file of parties."""
    path = tmp_path / "parties.yaml"
    path.write_text(PARTIES, encoding="utf-8")
    return path


@pytest.fixture
def among_parties(backend: InMemorySpanExporter, parties: Path) -> Iterator[InMemoryLogboek]:
    """A Logboek in memory of an application that knows its parties."""
    backend.clear()
    with testing.logboek(parties=parties) as found:
        yield found


def serve(tracer: trace.Tracer, headers: dict[str, str], *, peer: str | None = None, certificate: str = "") -> None:
    """Serve a call as instrumentations do, or as a server of somebody's own."""
    if peer is None:
        context = propagate.extract(headers)
    else:
        context = ldv.extract(headers, peer_address=peer, certificate=certificate)
    token = otel_context.attach(context)
    try:
        with (
            tracer.start_as_current_span("GET /", context=context, kind=trace.SpanKind.SERVER),
            ldv.processing(ACTIVITY, name="served"),
        ):
            pass
    finally:
        otel_context.detach(token)


def served(logboek: InMemoryLogboek) -> Logregel:
    """Return the record of the call that was served last."""
    return next(record for record in reversed(logboek.logregels) if record.name == "served")


def outgoing() -> dict[str, str]:
    """Return the headers of a call made here."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers


def member(actie: str, claim: str = "") -> str:
    """Return our member of tracestate."""
    return f"{KEY}={format_member(CallingActie(bytes.fromhex(actie), claim))}"


def test_the_actie_itself_goes_out(logboek: InMemoryLogboek, tracer: trace.Tracer) -> None:
    """`traceparent` names the technical span, as always; `tracestate` names the Actie around it."""
    with (
        ldv.processing(ACTIVITY, name="outer") as actie,
        tracer.start_as_current_span("GET", kind=trace.SpanKind.CLIENT) as call,
    ):
        headers = outgoing()
    assert headers["tracestate"] == member(actie.span_id)
    assert headers["traceparent"].split("-")[2] == trace.format_span_id(call.get_span_context().span_id)
    assert {*headers} == {"traceparent", "tracestate"}
    assert logboek.logregels


def test_nothing_is_added_outside_an_actie(logboek: InMemoryLogboek, tracer: trace.Tracer) -> None:
    """And the Actie of the caller before us passes: technical spans do not break the chain."""
    with tracer.start_as_current_span("GET"):
        assert "tracestate" not in outgoing()
    inbound = propagate.extract({"traceparent": TRACEPARENT, "tracestate": f"{member(ACTIE_ID)},congo=t61"})
    with tracer.start_as_current_span("GET", context=inbound):
        assert outgoing()["tracestate"] == f"{member(ACTIE_ID)},congo=t61"
    assert not logboek.logregels


def test_the_members_of_others_pass_untouched_and_in_order(logboek: InMemoryLogboek, tracer: trace.Tracer) -> None:
    """Ours moves to the front with the new value, as W3C asks of who changes a member."""
    others = [f"k{number}=v{number}" for number in range(31)]
    came = ",".join([*others[:3], member(ACTIE_ID), *others[3:]])
    inbound = propagate.extract({"traceparent": TRACEPARENT, "tracestate": came})
    with tracer.start_as_current_span("GET", context=inbound), ldv.processing(ACTIVITY) as actie:
        assert outgoing()["tracestate"] == ",".join([member(actie.span_id), *others])
    assert logboek.logregels


def test_with_32_members_the_right_most_goes(
    logboek: InMemoryLogboek, tracer: trace.Tracer, caplog: pytest.LogCaptureFixture
) -> None:
    """The SDK's own way of adding a member refuses then."""
    others = [f"k{number}=v{number}" for number in range(32)]
    assert TraceState.from_header([",".join(others)]).add("ldv", "a:1").get("ldv") is None
    caplog.clear()
    inbound = propagate.extract({"traceparent": TRACEPARENT, "tracestate": ",".join(others)})
    with tracer.start_as_current_span("GET", context=inbound), ldv.processing(ACTIVITY) as actie:
        assert outgoing()["tracestate"] == ",".join([member(actie.span_id), *others[:-1]])
    assert logboek.logregels
    assert not caplog.records


def test_each_header_is_written_once(logboek: InMemoryLogboek, tracer: trace.Tracer) -> None:
    """Carriers of message queues append; a header that comes twice is read in as many ways as there are readers."""

    class Appending(Setter[list[tuple[str, str]]]):
        def set(self, carrier: list[tuple[str, str]], key: str, value: str) -> None:
            carrier.append((key, value))

    use_propagator(Parties())
    pairs: list[tuple[str, str]] = []
    inbound = propagate.extract({"traceparent": TRACEPARENT, "tracestate": "congo=t61"})
    with tracer.start_as_current_span("send", context=inbound), ldv.processing(ACTIVITY) as actie:
        propagate.inject(pairs, setter=Appending())
    assert sorted(key for key, _ in pairs) == ["traceparent", "tracestate"]
    assert dict(pairs)["tracestate"] == f"{member(actie.span_id)},congo=t61"
    assert logboek.logregels


@pytest.mark.parametrize("order", ["first", "last", "alone", "none"])
def test_install_puts_one_around_what_is_there(logboek: InMemoryLogboek, tracer: trace.Tracer, order: str) -> None:
    """Also where `OTEL_PROPAGATORS` named `ldv`, before or after the others, or alone."""
    before = propagate.get_global_textmap()
    trace_context: TextMapPropagator = TraceContextTextMapPropagator()
    baggage: TextMapPropagator = W3CBaggagePropagator()
    ours: TextMapPropagator = ldv.LdvPropagator()
    parts: list[TextMapPropagator] = {
        "first": [ours, trace_context, baggage],
        "last": [trace_context, baggage, ours],
        "alone": [ours],
        "none": [trace_context, baggage],
    }[order]
    try:
        propagate.set_global_textmap(CompositePropagator(parts))
        for _ in range(2):
            use_propagator(Parties())
        with ldv.processing(ACTIVITY) as actie:
            context = otel_context.set_value("unrelated", 1)
            headers: dict[str, str] = {}
            propagate.inject(headers, context)
        assert headers["tracestate"] == member(actie.span_id)
        assert propagate.get_global_textmap().fields >= {"traceparent", "tracestate"}
        assert ("baggage" in propagate.get_global_textmap().fields) == (order != "alone")
    finally:
        propagate.set_global_textmap(before)
    assert logboek.logregels
    assert tracer


@pytest.mark.parametrize(
    "order",
    [
        "ldv_otel",
        "opentelemetry.propagate",
        "ldv_otel.testing",
        "ldv_otel._internal.sdk.propagator",
        "ldv_otel._internal.sdk.entry_points",
    ],
)
def test_a_named_propagator_can_be_imported_in_any_order(order: str) -> None:
    """OpenTelemetry loads it while `opentelemetry.propagate` is imported, which ours needs in turn."""
    script = (
        f"import {order}, ldv_otel; from opentelemetry import propagate; print(propagate.get_global_textmap().fields)"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "OTEL_"))}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environ | {"OTEL_PROPAGATORS": "tracecontext,baggage,ldv"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "tracestate" in done.stdout


def test_a_service_without_trace_context_is_warned(caplog: pytest.LogCaptureFixture) -> None:
    """The standard requires W3C Trace Context; `OTEL_PROPAGATORS=baggage` would send none."""
    before = propagate.get_global_textmap()
    try:
        propagate.set_global_textmap(CompositePropagator([W3CBaggagePropagator()]))
        use_propagator(Parties())
        assert "OTEL_PROPAGATORS" in caplog.text
    finally:
        propagate.set_global_textmap(before)


@pytest.mark.parametrize(
    ("tracestate", "span_id"), [(f"congo=t61,{member(ACTIE_ID)}", ACTIE_ID), ("congo=t61", SPAN_ID), (None, SPAN_ID)]
)
def test_the_calling_actie_is_the_parent(
    logboek: InMemoryLogboek, tracer: trace.Tracer, tracestate: str | None, span_id: str
) -> None:
    """LDV-A2, A6: with our member the Actie itself, otherwise the span of `traceparent`, which resolves as well."""
    serve(tracer, {"traceparent": TRACEPARENT} | ({"tracestate": tracestate} if tracestate else {}))
    record = served(logboek)
    assert record.trace_id.hex() == record.foreign_operation_trace_id.hex() == TRACE_ID
    assert record.parent_span_id.hex() == record.foreign_operation_span_id.hex() == span_id
    assert record.foreign_operation_processor == UNKNOWN_CALLER_URL


_tracestates = (
    st.text(max_size=80)
    | st.lists(st.from_regex(r"(ldv|[a-z]{1,3})=[\x20-\x7e]{0,40}", fullmatch=True), max_size=40).map(",".join)
    | st.from_regex(r"ldv=a:[0-9a-fA-F]{14,18}(;c:.{0,80})?", fullmatch=True)
)


@given(_tracestates)
@example("x" * 10_000)
@example("ldv=" + "9" * 100_000)
@example(f"{member(ACTIE_ID)},{member(SPAN_ID)}")
@example(",".join([member(ACTIE_ID)] * 40))
@example("ldv=a:0000000000000000")
def test_whatever_comes_in_leaves_the_context_alone(tracestate: str) -> None:
    """Nothing raises, `traceparent` holds, and an Actie is believed only when it is well formed."""
    logging.disable(logging.WARNING)
    try:
        with testing.logboek() as logboek:
            serve(trace.get_tracer("hostile"), {"traceparent": TRACEPARENT, "tracestate": tracestate})
        record = served(logboek)
    finally:
        logging.disable(logging.NOTSET)
    assert record.trace_id.hex() == TRACE_ID
    said = TraceContextTextMapPropagator().extract({"traceparent": TRACEPARENT, "tracestate": tracestate})
    value = trace.get_current_span(said).get_span_context().trace_state.get(KEY)
    actie = parse_member(value) if value is not None else None
    assert record.foreign_operation_span_id.hex() == (actie.span_id.hex() if actie else SPAN_ID)
    # Hypothesis seeds `random` for each example, so that the spans of all of them have the same ids.
    assert set(record.flags) - {"span_id_repeated"} == set()


@pytest.mark.parametrize("header", ["Fsc-Transaction-Id", "fsc-transaction-id"])
@pytest.mark.parametrize("traced", [True, False])
def test_the_transaction_of_fsc_is_on_the_record(
    logboek: InMemoryLogboek, tracer: trace.Tracer, header: str, *, traced: bool
) -> None:
    """LDV-N16, without a file of parties too; what is called from elsewhere has a caller."""
    serve(tracer, {header: FSC_ID.upper()} | ({"traceparent": TRACEPARENT} if traced else {}))
    record = served(logboek)
    assert record.attributes == {names.FSC_TRANSACTION_ID: FSC_ID}
    assert record.foreign_operation_processor == UNKNOWN_CALLER_URL
    assert (record.trace_id.hex() == TRACE_ID) == traced


def test_the_transaction_stays_beside_what_else_is_known_of_the_caller(
    among_parties: InMemoryLogboek, tracer: trace.Tracer
) -> None:
    """Its name from the file, or from `called_by`."""
    headers = {"traceparent": TRACEPARENT, "tracestate": member(ACTIE_ID, "goed"), "Fsc-Transaction-Id": FSC_ID}
    serve(tracer, headers)
    record = served(among_parties)
    assert record.attributes[names.FSC_TRANSACTION_ID] == FSC_ID
    assert record.foreign_operation_processor == "https://goed.example/app"
    context = propagate.extract(headers)
    with tracer.start_as_current_span("GET /", context=context), ldv.processing(ACTIVITY, name="served"):
        ldv.called_by("https://ander.example")
    record = served(among_parties)
    assert record.attributes[names.FSC_TRANSACTION_ID] == FSC_ID
    assert record.foreign_operation_processor == "https://ander.example"


@given(st.text(max_size=100) | st.from_regex(r"[0-9a-f-]{32,36}", fullmatch=True))
@example("123456782")
@example("x" * 100_000)
def test_a_transaction_that_is_no_uuid_is_flagged(header: str) -> None:
    """It is kept beside the record as far as it may be somebody's header, and never an attribute."""
    with testing.logboek() as logboek:
        serve(trace.get_tracer("hostile"), {"traceparent": TRACEPARENT, "Fsc-Transaction-Id": header})
    record = served(logboek)
    try:
        wanted = str(uuid.UUID(header.strip()[:64])) if re.fullmatch("[0-9a-fA-F-]+", header.strip()) else ""
    except ValueError:
        wanted = ""
    found = record.attributes.get(names.FSC_TRANSACTION_ID, "")
    assert found in {wanted, ""}
    assert bool(found) != ("foreign_id_malformed" in record.flags) or not header
    assert "123456782" not in str(record.attributes)


def test_a_trusted_callers_trace_goes_on(among_parties: InMemoryLogboek, tracer: trace.Tracer) -> None:
    """LDV-X2, X4: `continue`, with the URL of the calling application from the file."""
    serve(tracer, {"traceparent": TRACEPARENT, "tracestate": member(ACTIE_ID, "goed")})
    record = served(among_parties)
    assert record.trace_id.hex() == TRACE_ID
    assert record.parent_span_id.hex() == ACTIE_ID
    assert record.foreign_operation_processor == "https://goed.example/app"


@pytest.mark.parametrize(
    ("claim", "processor"),
    [("apart", "https://apart.example/app"), ("https", UNKNOWN_CALLER_URL), ("", UNKNOWN_CALLER_URL)],
    ids=str,
)
def test_another_trace_restarts(
    among_parties: InMemoryLogboek, backend: InMemorySpanExporter, tracer: trace.Tracer, claim: str, processor: str
) -> None:
    """`restart` by configuration, and for who is not known: a trace of our own that keeps the caller's ids."""
    serve(tracer, {"traceparent": TRACEPARENT, "tracestate": f"{member(ACTIE_ID, claim)},congo=t61"})
    record = served(among_parties)
    assert record.trace_id.hex() != TRACE_ID
    assert record.parent_span_id == b""
    assert record.foreign_operation_trace_id.hex() == TRACE_ID
    assert record.foreign_operation_span_id.hex() == ACTIE_ID
    assert record.foreign_operation_processor == processor
    (technical,) = (span for span in backend.get_finished_spans() if span.name == "GET /")
    assert technical.parent is None
    assert [link.context.trace_id for link in technical.links] == [int(TRACE_ID, 16)]


def test_nothing_of_the_caller_goes_on_after_a_restart(among_parties: InMemoryLogboek, tracer: trace.Tracer) -> None:
    """W3C section 3.4: who restarts a trace cleans up its `tracestate`."""
    context = propagate.extract({"traceparent": TRACEPARENT, "tracestate": f"{member(ACTIE_ID)},congo=t61"})
    with tracer.start_as_current_span("GET /", context=context), ldv.processing(ACTIVITY) as actie:
        headers = outgoing()
    assert headers["tracestate"] == member(actie.span_id, "wij")
    assert TRACE_ID not in headers["traceparent"]
    assert among_parties.logregels


def test_spans_inside_a_restarted_call_are_not_from_outside(among_parties: InMemoryLogboek) -> None:
    """The caller's ids are on the Actie that it called, and its children hang below that one."""
    tracer = trace.get_tracer("restart")
    context = propagate.extract({"traceparent": TRACEPARENT})
    token = otel_context.attach(context)
    with (
        tracer.start_as_current_span("GET /", context=context),
        ldv.processing(ACTIVITY, name="outer"),
        ldv.processing(OTHER, name="inner"),
    ):
        pass
    otel_context.detach(token)
    outer, inner = (next(r for r in among_parties.logregels if r.name == name) for name in ("outer", "inner"))
    assert inner.parent_span_id == outer.span_id
    assert inner.trace_id == outer.trace_id
    assert inner.foreign_operation_trace_id == b""
    assert outer.foreign_operation_trace_id.hex() == TRACE_ID


@pytest.mark.parametrize(
    ("peer", "processor"),
    [("10.0.0.5", "https://goed.example/app"), ("10.0.0.6", UNKNOWN_CALLER_URL), ("", UNKNOWN_CALLER_URL)],
)
def test_a_gateways_header_proves_who_calls(
    among_parties: InMemoryLogboek, tracer: trace.Tracer, peer: str, processor: str
) -> None:
    """From the gateway's address only; `ldv_otel.extract` is for servers that no instrumentation shows."""
    serve(tracer, {"traceparent": TRACEPARENT, "x-consumer": "goed"}, peer=peer)
    record = served(among_parties)
    assert record.foreign_operation_processor == processor
    assert (record.trace_id.hex() == TRACE_ID) == (processor != UNKNOWN_CALLER_URL)


def test_who_calls_without_a_trace_context_is_recorded_too(
    among_parties: InMemoryLogboek, tracer: trace.Tracer
) -> None:
    """The proof does not depend on what the caller traces."""
    serve(tracer, {"X-Consumer": "goed"}, peer="10.0.0.5")
    record = served(among_parties)
    assert record.foreign_operation_processor == "https://goed.example/app"
    assert record.foreign_operation_trace_id == b""


def test_headers_that_look_like_a_request_prove_nothing(among_parties: InMemoryLogboek, tracer: trace.Tracer) -> None:
    """Names with dots are legal in HTTP, so a mapping of headers can be made to look like a WSGI environ."""
    forged = {"wsgi.url_scheme": "http", "REMOTE_ADDR": "10.0.0.5", "HTTP_X_CONSUMER": "goed", "X-Consumer": "goed"}
    serve(tracer, {"traceparent": TRACEPARENT, **forged})
    assert served(among_parties).foreign_operation_processor == UNKNOWN_CALLER_URL


def test_a_broken_certificate_proves_nothing(among_parties: InMemoryLogboek, tracer: trace.Tracer) -> None:
    """And the call is served and logged all the same."""
    serve(tracer, {"traceparent": TRACEPARENT}, peer="10.0.0.9", certificate="-----BEGIN nonsense")
    assert served(among_parties).foreign_operation_trace_id.hex() == TRACE_ID


def test_the_application_can_say_who_called(among_parties: InMemoryLogboek, tracer: trace.Tracer) -> None:
    """By the name in the file or by URL, for proofs that a web server does not show."""
    for party, processor in (("goed", "https://goed.example/app"), ("https://ander.example", "https://ander.example")):
        context = propagate.extract({"traceparent": TRACEPARENT})
        with tracer.start_as_current_span("GET /", context=context), ldv.processing(ACTIVITY, name="served"):
            ldv.called_by(party)
        record = served(among_parties)
        assert record.foreign_operation_processor == processor
        assert record.foreign_operation_span_id.hex() == SPAN_ID
    with pytest.raises(ldv.ConfigurationError):
        ldv.called_by("goed")


def test_a_stranger_cannot_hang_below_our_span(logboek: InMemoryLogboek, tracer: trace.Tracer) -> None:
    """Called parties learn our span ids; one of them under a trace of its own is not our trace."""
    with ldv.processing(ACTIVITY, name="outer") as actie:
        stolen = f"00-{TRACE_ID}-{actie.span_id}-01"
        context = TraceContextTextMapPropagator().extract({"traceparent": stolen})
        with tracer.start_as_current_span("GET /", context=context), ldv.processing(OTHER, name="served"):
            pass
    record = served(logboek)
    assert record.parent_processing_activity_id == ""
    assert record.foreign_operation_span_id.hex() == actie.span_id


def call(tracer: trace.Tracer, attributes: dict[str, str | int], *, late: bool = False) -> None:
    """Make a call as an instrumentation does."""
    with tracer.start_as_current_span(
        "GET", kind=trace.SpanKind.CLIENT, attributes=None if late else attributes
    ) as span:
        if late:
            span.set_attributes(attributes)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    "attributes",
    [
        {"server.address": "een.example", "server.port": 443},
        {"http.url": "https://een.example/pad?bsn=1"},
        {"url.full": "https://EEN.example:443/"},
        {"net.peer.name": "een.example", "net.peer.port": 443},
    ],
)
def test_the_read_api_of_a_called_party_is_found(
    among_parties: InMemoryLogboek, tracer: trace.Tracer, attributes: dict[str, str | int], *, late: bool
) -> None:
    """From the file, by host and port of the call, in the words of each generation of instrumentations."""
    with ldv.processing(ACTIVITY), tracer.start_as_current_span("wrapper"):
        call(tracer, attributes, late=late)
        call(tracer, {"server.address": "stranger.example", "http.url": "http://[broken"})
    (record,) = among_parties.logregels
    assert record.external_read_api_id == "https://ldv.een.example"


def test_two_called_parties_are_both_found(among_parties: InMemoryLogboek, tracer: trace.Tracer) -> None:
    """A child Logregel for the second, about each of the same people, so that who asks about one finds both."""
    with ldv.processing(ACTIVITY):
        ldv.data_subject("123456782", type="BSN")
        ldv.data_subject("111222333", type="BSN")
        call(tracer, {"http.url": "https://een.example/"})
        call(tracer, {"http.url": "http://twee.example:8080/"})
        call(tracer, {"http.url": "https://een.example/again"})
    records = among_parties.logregels
    people = {among_parties.pseudonym(number, type="BSN") for number in ("123456782", "111222333")}
    apis = {"https://ldv.een.example", "https://ldv.twee.example"}
    assert len(records) == 4
    assert {(record.data_subject_id, record.external_read_api_id) for record in records} == {
        (person, api) for person in people for api in apis
    }
    assert all(record.parent_span_id == records[0].span_id for record in records[1:])
    assert len({record.span_id for record in records}) == 4


def test_what_the_application_says_of_called_parties_adds_up(among_parties: InMemoryLogboek) -> None:
    """Two calls of `foreign_read_api` are two parties; saying one twice changes nothing."""
    with ldv.processing(ACTIVITY) as actie:
        for url in ("https://a.example", "https://b.example", "https://a.example"):
            ldv.next_logbook(url)
        actie.foreign_read_api("https://c.example")
    assert [record.external_read_api_id for record in among_parties.logregels] == [
        "https://a.example",
        "https://b.example",
        "https://c.example",
    ]


def test_people_who_become_known_by_the_answer_of_a_call(logboek: InMemoryLogboek, tracer: trace.Tracer) -> None:
    """LDV-A4: inside the block they are children of its record; after it too, and the read API is there for each."""
    with ldv.processing(ACTIVITY, name="Zoek") as actie:
        ldv.data_subject("123456782", type="BSN")
        ldv.next_logbook("https://ldv.een.example")
        call(tracer, {"http.url": "https://een.example/"})
        for found in ("111222333", "123.456.782", "999991772"):
            ldv.data_subject(found, type="BSN")
    actie.data_subject("999990160", type="BSN")
    records = logboek.logregels
    main = records[0]
    assert [record.data_subject_id for record in records] == [
        logboek.pseudonym(number, type="BSN") for number in ("123456782", "111222333", "999991772", "999990160")
    ]
    assert all(record.parent_span_id == main.span_id and record.trace_id == main.trace_id for record in records[1:])
    assert all(record.processing_activity_id == ACTIVITY for record in records)
    assert {record.external_read_api_id for record in records[:3]} == {"https://ldv.een.example"}


def test_a_second_person_set_as_an_attribute(logboek: InMemoryLogboek) -> None:
    """OpenTelemetry keeps only what was set last; nobody may get lost for that (LDV-A4)."""
    numbers = ("123456782", "111222333", "999991772")
    with ldv.processing(ACTIVITY) as actie:
        actie.set_attribute("dpl.core.data_subject_id_type", "BSN")
        for number in (*numbers, numbers[-1]):
            actie.set_attribute("dpl.core.data_subject_id", number)
    assert [record.data_subject_id for record in logboek.logregels] == [
        logboek.pseudonym(number, type="BSN") for number in numbers
    ]


def test_the_exporter_knows_callers_and_calls_of_its_batch() -> None:
    """`ClickHouseSpanExporter` wired by hand: the links of spans that are exported together resolve too."""
    memory = testing.InMemoryLogboek()
    provider = TracerProvider()
    exporter = ClickHouseSpanExporter(memory, LogregelMaker(Pseudonymiser(KeyRing([new_key("k")], active="k")).subject))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("hand")
    inbound = TraceContextTextMapPropagator().extract({"traceparent": TRACEPARENT, "tracestate": member(ACTIE_ID)})
    marked = {"dpl.core.processing_activity_id": ACTIVITY}
    with (
        tracer.start_as_current_span("GET /", context=inbound, kind=trace.SpanKind.SERVER),
        tracer.start_as_current_span("outer", attributes=marked),
        tracer.start_as_current_span("technical"),
        tracer.start_as_current_span("inner", attributes=marked | {"dpl.core.processing_activity_id": OTHER}),
        tracer.start_as_current_span("GET", kind=trace.SpanKind.CLIENT) as called,
    ):
        pass
    provider.shutdown()
    records = {record.name: record for record in memory.logregels}
    assert records["outer"].foreign_operation_span_id.hex() == records["outer"].parent_span_id.hex() == ACTIE_ID
    assert records["inner"].parent_span_id == records["outer"].span_id
    assert records["inner"].parent_processing_activity_id == ACTIVITY
    assert records["inner"].outbound_span_ids == (called.get_span_context().span_id.to_bytes(8, "big"),)
    assert records["outer"].outbound_span_ids == ()
