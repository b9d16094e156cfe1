from __future__ import annotations

from collections.abc import Sequence

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_ON,
    ParentBased,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ldv_otel._internal.privacy.pseudonyms import Key, KeyRing, Pseudonymiser
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.rules.rule_file import Match, Rule
from ldv_otel._internal.rules.rules import Rules
from ldv_otel._internal.sdk import span_state as live
from ldv_otel._internal.sdk.attach import attach
from ldv_otel._internal.sdk.processor import LdvSpanProcessor
from ldv_otel._internal.sdk.sampler import LdvSampler
from ldv_otel._internal.sdk.span_rules import SpanMapper
from ldv_otel.testing import InMemoryLogboek, _AtOnce

ACTIVITY = {"dpl.core.processing_activity_id": "https://register.example/a"}
_KEY = Key(id="k", secret="0123456789abcdef0123456789abcdef")
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}"


class Service:
    """A service with a tracing backend, a sampler of its own, and a Logboek."""

    def __init__(self, sampler: Sampler) -> None:
        self.backend = InMemorySpanExporter()
        self.logboek = InMemoryLogboek()
        self.logboek.open()
        provider = TracerProvider(sampler=sampler)
        provider.add_span_processor(SimpleSpanProcessor(self.backend))
        self.early_tracer = provider.get_tracer("made before install")
        keys = KeyRing([Key(id="k", secret="0123456789abcdef0123456789abcdef")], active="k")
        maker = LogregelMaker(Pseudonymiser(keys).subject)
        attach(provider, LdvSpanProcessor(maker, _AtOnce(self.logboek)))
        self.tracer = provider.get_tracer("made after install")


@pytest.mark.parametrize("which", ["tracer", "early_tracer"])
@pytest.mark.parametrize(
    ("sampler", "exported"),
    [(ALWAYS_ON, 2), (ALWAYS_OFF, 0), (TraceIdRatioBased(0.0), 0), (DEFAULT_ON, 2)],
)
def test_sampling_decides_for_the_backend_only(which: str, sampler: Sampler, exported: int) -> None:
    """Every Actie is logged; the backend gets what it got before (LDV-A3)."""
    service = Service(sampler)
    tracer: trace.Tracer = getattr(service, which)
    with tracer.start_as_current_span("technical"), tracer.start_as_current_span("actie", attributes=ACTIVITY) as span:
        flag = span.get_span_context().trace_flags.sampled
    assert len(service.logboek.logregels) == 1
    assert len(service.backend.get_finished_spans()) == exported
    assert flag is bool(exported)


@pytest.mark.parametrize("flags", ["00", "01"])
def test_an_unsampled_caller_does_not_switch_the_log_off(flags: str) -> None:
    """An inbound `traceparent` that says "not sampled" is about tracing, not about the law."""
    service = Service(DEFAULT_ON)
    caller = TraceContextTextMapPropagator().extract({"traceparent": TRACEPARENT.format(flags=flags)})
    with (
        service.tracer.start_as_current_span("GET /", caller, trace.SpanKind.SERVER),
        service.tracer.start_as_current_span("actie", attributes=ACTIVITY),
    ):
        pass
    (record,) = service.logboek.logregels
    assert record.trace_id.hex() == record.foreign_operation_trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert record.parent_span_id.hex() == record.foreign_operation_span_id.hex() == "b7ad6b7169203331"
    assert len(service.backend.get_finished_spans()) == (2 if flags == "01" else 0)


def test_only_the_outermost_actie_has_the_foreign_operation() -> None:
    """An Actie below another one of this application was called by that one."""
    service = Service(DEFAULT_ON)
    caller = TraceContextTextMapPropagator().extract({"traceparent": TRACEPARENT.format(flags="01")})
    with (
        service.tracer.start_as_current_span("outer", caller, attributes=ACTIVITY),
        service.tracer.start_as_current_span("inner", attributes=ACTIVITY),
    ):
        pass
    inner, outer = service.logboek.logregels
    assert outer.foreign_operation_span_id.hex() == "b7ad6b7169203331"
    assert inner.foreign_operation_span_id == b""
    assert inner.parent_span_id == outer.span_id


def test_wrapping_twice_is_wrapping_once() -> None:
    """And the description names what was wrapped."""
    sampler = LdvSampler(LdvSampler(ALWAYS_OFF))
    assert sampler.wrapped is ALWAYS_OFF
    assert sampler.get_description() == "LdvSampler{AlwaysOffSampler}"


def test_a_span_makes_one_record_however_many_processors_see_it() -> None:
    """The first processor logs it; a second one added by accident does not."""
    service = Service(ALWAYS_ON)
    second = InMemoryLogboek()
    second.open()
    keys = KeyRing([Key(id="k", secret="0123456789abcdef0123456789abcdef")], active="k")
    provider = TracerProvider()
    maker = LogregelMaker(Pseudonymiser(keys).subject)
    provider.add_span_processor(LdvSpanProcessor(maker, _AtOnce(service.logboek)))
    provider.add_span_processor(LdvSpanProcessor(maker, _AtOnce(second)))
    with provider.get_tracer("x").start_as_current_span("actie", attributes=ACTIVITY):
        pass
    assert (len(service.logboek.logregels), len(second.logregels)) == (1, 0)


def test_values_that_a_limit_may_have_cut_are_flagged() -> None:
    """A part of a number is somebody else's; what `processing` is given is whole."""
    logboek = InMemoryLogboek()
    logboek.open()
    provider = TracerProvider(span_limits=SpanLimits(max_span_attribute_length=6))
    keys = KeyRing([Key(id="k", secret="0123456789abcdef0123456789abcdef")], active="k")
    provider.add_span_processor(LdvSpanProcessor(LogregelMaker(Pseudonymiser(keys).subject), _AtOnce(logboek)))
    tracer = provider.get_tracer("x")
    for subject in ("123456782", "1234"):
        attributes = {"dpl.core.processing_activity_id": "urn:a", "dpl.core.data_subject_id": subject}
        tracer.start_span("x", attributes={**attributes, "db.statement": "SELECT 1"}).end()
    cut, whole = logboek.logregels
    assert "value_cut" in cut.attributes["ldv.flags"].split(",")
    assert cut.data_subject_id == b""
    assert whole.data_subject_id
    assert "value_cut" not in whole.attributes["ldv.flags"].split(",")


class ActiesOnly:
    """`LDV_RECORD=acties`, with a backend that samples nothing."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self.logboek = InMemoryLogboek()
        self.logboek.open()
        self.provider = TracerProvider(sampler=ALWAYS_OFF)
        pseudonymise = Pseudonymiser(KeyRing([_KEY], active=_KEY.id)).subject
        mapper = SpanMapper(Rules(rules), pseudonymise)
        processor = LdvSpanProcessor(LogregelMaker(pseudonymise), _AtOnce(self.logboek), mapper=mapper)
        attach(self.provider, processor, processor.may_be_actie)
        self.tracer = self.provider.get_tracer("instrumentation")


def test_only_acties_are_recorded_and_what_is_inside_them() -> None:
    """What the backend drops costs as little as before, unless the Logboek needs it."""
    tracer = ActiesOnly().tracer
    with tracer.start_as_current_span("dropped") as dropped, tracer.start_as_current_span("also") as also:
        pass
    with (
        tracer.start_as_current_span("actie", attributes=ACTIVITY) as actie,
        tracer.start_as_current_span("inside") as inside,
    ):
        pass
    assert [span.is_recording() for span in (dropped, also)] == [False, False]
    assert isinstance(actie, ReadableSpan)
    assert isinstance(inside, ReadableSpan)


def test_relations_are_found_over_spans_that_are_not_recorded() -> None:
    """The caller, the enclosing Actie and the call to another party are what they are with `all`."""
    service = ActiesOnly()
    tracer = service.tracer
    caller = TraceContextTextMapPropagator().extract(
        {"traceparent": TRACEPARENT.format(flags="00"), "tracestate": "vendor=1,other=2"}
    )
    with (
        tracer.start_as_current_span("GET /", caller, trace.SpanKind.SERVER) as entry,
        tracer.start_as_current_span("technical"),
        tracer.start_as_current_span("technical too") as last,
        tracer.start_as_current_span("outer", attributes=ACTIVITY),
        tracer.start_as_current_span("inside"),
    ):
        with tracer.start_as_current_span("POST /", kind=trace.SpanKind.CLIENT) as outbound:
            pass
        with tracer.start_as_current_span("inner", attributes=ACTIVITY):
            pass
    inner, outer = service.logboek.logregels
    assert not entry.is_recording()
    assert dict(last.get_span_context().trace_state) == {"vendor": "1", "other": "2"}
    assert outer.parent_span_id.hex() == outer.foreign_operation_span_id.hex() == "b7ad6b7169203331"
    assert outer.foreign_operation_trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert inner.parent_span_id == outer.span_id
    assert inner.foreign_operation_span_id == b""
    assert outer.outbound_span_ids == (outbound.get_span_context().span_id.to_bytes(8, "big"),)


def test_a_span_that_a_rule_may_take_is_recorded() -> None:
    """Its attributes come later; and a span inside it that was dropped before anybody knew does not break the chain."""
    rule = Rule(match=Match(kind="server", attributes={"http.route": "/x"}), activity="https://register.example/a")
    service = ActiesOnly([rule])
    tracer = service.tracer
    with (
        tracer.start_as_current_span("GET", kind=trace.SpanKind.SERVER) as span,
        tracer.start_as_current_span("dropped") as dropped,
    ):
        with tracer.start_as_current_span("POST", kind=trace.SpanKind.CLIENT) as outbound:
            pass
        span.set_attribute("http.route", "/x")
        with tracer.start_as_current_span("inner", attributes=ACTIVITY):
            pass
    inner, outer = service.logboek.logregels
    assert not isinstance(dropped, ReadableSpan)
    assert outer.name == "GET"
    assert outer.outbound_span_ids == (outbound.get_span_context().span_id.to_bytes(8, "big"),)
    assert inner.parent_span_id == outer.span_id


def test_a_person_named_outside_an_actie_is_logged() -> None:
    """By a span of its own, which nothing announces."""
    with_person = ActiesOnly()
    with with_person.tracer.start_as_current_span("dropped"):
        span = with_person.tracer.start_span(live.SUBJECT_SPAN_NAME)
    assert isinstance(span, ReadableSpan)


STATE = TraceState([("vendor", "x")])


PARENTS = [
    SpanContext(trace_id, 9, is_remote, TraceFlags(flags), state)
    for trace_id in (0, 7)
    for is_remote in (True, False)
    for flags in (TraceFlags.DEFAULT, TraceFlags.SAMPLED)
    for state in (None, STATE, live.LiveParentState(STATE, (None, None)))
]


@pytest.mark.parametrize("attributes", [None, {}, ACTIVITY])
@pytest.mark.parametrize("parent", [None, *PARENTS])
def test_the_default_sampler_is_answered_for(parent: SpanContext | None, attributes: dict[str, str] | None) -> None:
    """What is said without asking the SDK's default sampler equals what one like it says."""
    context = trace.set_span_in_context(NonRecordingSpan(parent)) if parent is not None else None
    said, asked = (
        LdvSampler(sampler).should_sample(context, 7, "x", None, attributes)
        for sampler in (DEFAULT_ON, ParentBased(ALWAYS_ON))
    )
    assert (said.decision, said.attributes, said.trace_state) == (asked.decision, asked.attributes, asked.trace_state)
    assert type(said.trace_state) is type(asked.trace_state)
