"""The memory of the privacy shield belongs to the trace: whatever its spans hang below, they quote the same people."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context

import ldv_otel as ldv
from ldv_otel import testing
from ldv_otel._internal.sdk import span_state
from ldv_otel._internal.sdk.shield import SubjectShieldingSpanProcessor
from ldv_otel._internal.sdk.span_subjects import MAX_IDENTIFIERS
from ldv_otel.attributes import DATA_SUBJECT_ID, PROCESSING_ACTIVITY_ID
from tests.sdk.test_shield import Service, collector, make_service, nobody_is_named, rules, service
from tests.support.quoting import TOLD, quotations

__all__ = ["collector", "make_service", "rules", "service"]

BSN = "123456782"
OWN = {PROCESSING_ACTIVITY_ID: "https://register.example/a"}


def rebuilt(span: trace.Span, *, is_remote: bool) -> SpanContext:
    """The context of a span as a queue gives it back: ids alone."""
    context = span.get_span_context()
    return SpanContext(context.trace_id, context.span_id, is_remote=is_remote, trace_flags=TraceFlags(1))


def call_below(service: Service, above: SpanContext) -> None:
    """Make a span below a context, which quotes somebody in its name, its address and an event."""
    below = set_span_in_context(NonRecordingSpan(above))
    attributes = {"url.full": f"https://brp.example/{BSN}"}
    span = service.tracer.start_span(f"GET {BSN}", below, kind=SpanKind.CLIENT, attributes=attributes)
    span.add_event(f"answer about {BSN}")
    span.end()


@pytest.mark.parametrize("is_remote", [False, True])
@pytest.mark.parametrize("ended", [False, True])
def test_a_context_that_was_rebuilt_in_a_queue(service: Service, is_remote: bool, ended: bool) -> None:
    """Below the span where somebody was named, and below one that is known by its ids only, in another thread."""
    with service.tracer.start_as_current_span("around", attributes=OWN):
        parent = service.tracer.start_span("parent", attributes=OWN)
        with trace.use_span(parent):
            ldv.data_subject(BSN, type="BSN")
        gone = SpanContext(parent.get_span_context().trace_id, 7, is_remote=is_remote, trace_flags=TraceFlags(1))
        above = rebuilt(parent, is_remote=is_remote)
        if ended:
            parent.end()
            del parent
            for processor in service.everything:
                processor.forget()
            gc.collect()
        # As another thread does, which has no context of its own.
        token = otel_context.attach(otel_context.Context())
        for context in (above, gone):
            thread = threading.Thread(target=call_below, args=(service, context))
            thread.start()
            thread.join()
        otel_context.detach(token)
    assert nobody_is_named(service.seen(), BSN)


def test_a_parent_that_has_ended(service: Service) -> None:
    """What runs on after the answer, below a span that is long done."""
    with service.tracer.start_as_current_span("around") as around:
        with service.tracer.start_as_current_span("parent", attributes=OWN) as parent:
            ldv.data_subject(BSN, type="BSN")
        later = service.tracer.start_span(f"later {BSN}", set_span_in_context(parent))
    del parent
    gc.collect()
    with trace.use_span(later, end_on_exit=True), service.tracer.start_as_current_span(f"last {BSN}"):
        pass
    call_below(service, rebuilt(around, is_remote=True))
    assert nobody_is_named(service.seen(), BSN)


def test_a_span_that_is_shielded_without_a_live_span() -> None:
    """It started before logging did; the others of its trace are known."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SubjectShieldingSpanProcessor(SimpleSpanProcessor(exporter)))
    span = provider.get_tracer("x").start_span(f"GET {BSN}")
    subjects = span_state.subjects_of_trace(span.get_span_context().trace_id)
    subjects.add((BSN, "BSN"))
    span.end()
    closed = provider.get_tracer("x").start_span("GET x")
    memory = span_state.subjects_of_trace(closed.get_span_context().trace_id)
    memory.closed = True
    closed.end()
    assert [one.name for one in exporter.get_finished_spans()] == ["GET REDACTED", "REDACTED"]
    provider.shutdown()


def test_the_memory_goes_with_the_last_span() -> None:
    """Not sooner, and not later; and another trace has another one."""
    with testing.logboek():
        tracer = trace.get_tracer("x")
        first = tracer.start_span("a", attributes={DATA_SUBJECT_ID: BSN})
        second = tracer.start_span("b", set_span_in_context(NonRecordingSpan(rebuilt(first, is_remote=True))))
        other = tracer.start_span("c")
        live_spans = [span_state.find(span) for span in (first, second, other)]
        memories = [weakref.ref(live.known_subjects.trace) for live in live_spans if live is not None]
        trace_id = first.get_span_context().trace_id
        assert memories[0]() is memories[1]() is not memories[2]()
        first.end()
        del first, live_spans
        gc.collect()
        assert memories[0]() is not None
        second.end()
        del second
        gc.collect()
        assert memories[0]() is None
        assert span_state.known_of_trace(trace_id) is None
        assert trace_id not in span_state._memories
        other.end()


def test_two_threads_share_one_memory() -> None:
    """They start spans of one trace at the same moment."""
    barrier, memories = threading.Barrier(8), []

    def ask() -> None:
        barrier.wait()
        memories.append(span_state.subjects_of_trace(4_711))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, memories))) == 1


def name_in_bulk(numbers: list[str]) -> None:
    """All at once."""
    ldv.data_subjects(numbers, type="BSN")


def name_from_a_generator(numbers: list[str]) -> None:
    """All at once, as they come."""
    ldv.data_subjects((number for number in numbers), type="BSN")


def name_one_by_one(numbers: list[str]) -> None:
    """Each by itself."""
    for number in numbers:
        ldv.data_subject(number, type="BSN")


@pytest.mark.parametrize("name", [name_in_bulk, name_from_a_generator, name_one_by_one])
@pytest.mark.parametrize("many", [3, MAX_IDENTIFIERS, MAX_IDENTIFIERS + 1, 5_000])
def test_everybody_who_was_named_is_kept_from_others(
    service: Service, name: Callable[[list[str]], None], many: int
) -> None:
    """In the spans below and beside; when more are known than are looked for, others get ids and times only."""
    if many > 1_000 and name is name_one_by_one:
        pytest.skip("takes its time, and shows nothing more")
    numbers = [f"{100_000_000 + 7_919 * number}" for number in range(many)]
    with service.tracer.start_as_current_span("job", attributes=OWN):
        name(numbers)
        for number in (numbers[0], numbers[many // 2], numbers[-1]):
            with service.tracer.start_as_current_span(f"GET {number}", attributes={"url.path": f"/{number}"}) as span:
                span.add_event(f"of {number}")
    assert nobody_is_named(service.seen(), numbers[0], numbers[many // 2], numbers[-1])
    spans = [span for one in service.spans for span in one.get_finished_spans()]
    if many > MAX_IDENTIFIERS:
        assert {span.name for span in spans} == {"REDACTED"}
        assert not any(span.attributes for span in spans)
        assert all(span.start_time and span.end_time and span.context for span in spans)
    else:
        assert {span.name for span in spans} == {"job", "GET REDACTED"}
    assert nobody_is_named(str(service.logboek.logregels), numbers[0])


def test_one_person_named_often_closes_nothing(service: Service) -> None:
    """A loop over the parts of one dossier."""
    with service.tracer.start_as_current_span("job", attributes=OWN):
        for _ in range(500):
            ldv.data_subject(BSN, type="BSN")
    assert {span.name for one in service.spans for span in one.get_finished_spans()} == {"job"}


def test_a_record_knows_more_people_than_the_shield() -> None:
    """Those who were named for it first and last are in no text of it."""
    numbers = [f"{100_000_000 + 7_919 * number}" for number in range(500)]
    with testing.logboek() as memory, ldv.processing("https://register.example/a") as actie:
        for number in numbers:
            ldv.data_subject(number, type="BSN")
        actie.set_attribute("dpl.core.lijst", [numbers[0], numbers[250], numbers[-1]])
    assert memory.logregels[0].attributes["dpl.core.lijst"] == '["REDACTED","REDACTED","REDACTED"]'


@pytest.mark.parametrize("limit", range(30, 60))
def test_a_value_that_was_cut(limit: int) -> None:
    """Of a number at its end, six digits or more are enough to count as it; fewer say little."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(span_limits=SpanLimits(max_attribute_length=limit))
    provider.add_span_processor(SubjectShieldingSpanProcessor(SimpleSpanProcessor(exporter)))
    encoded = "".join(f"%3{digit}" for digit in BSN)
    addresses = [f"https://brp.example/ingeschrevenpersonen/{BSN}", f"https://brp.example/?x={encoded}"]
    attributes = {DATA_SUBJECT_ID: BSN, "url.full": addresses[0], "http.url": addresses[1], "all": addresses}
    provider.get_tracer("x").start_span("GET", attributes=attributes).end()
    (span,) = exporter.get_finished_spans()
    assert nobody_is_named(str(dict(span.attributes or {})), BSN[:6], encoded[:18])
    provider.shutdown()


@pytest.mark.parametrize("first", ["url.full", "url.path"])
def test_a_value_that_was_cut_in_a_span_below(first: str) -> None:
    """Where nobody stands on the span itself: each of its texts may have been cut."""
    exporter = InMemorySpanExporter()
    with testing.logboek():
        provider = trace.get_tracer_provider()
        assert isinstance(provider, TracerProvider)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        with ldv.processing("https://register.example/a"):
            ldv.data_subject(BSN, type="BSN")
            cut = {first: "https://brp.example/123456", "other": "x"}
            with trace.get_tracer("x").start_as_current_span("GET", attributes=cut):
                pass
    shown = exporter.get_finished_spans()[0]
    assert dict(shown.attributes or {})[first] == "https://brp.example/REDACTED"


numbers = st.integers(10_000_000, 999_999_999).map(lambda number: f"{number:09}")


@settings(max_examples=150)
@given(numbers.flatmap(lambda digits: st.tuples(st.just(digits), quotations(digits))), st.sampled_from(list(TOLD)))
def test_told_in_one_form_and_quoted_in_another(number: tuple[str, str], form: str) -> None:
    """In every text of a span that others get."""
    digits, quotation = number
    exporter = InMemorySpanExporter()
    with testing.logboek():
        provider = trace.get_tracer_provider()
        assert isinstance(provider, TracerProvider)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        with ldv.processing("https://register.example/a", name="x") as actie:
            ldv.data_subjects([TOLD[form](digits)], type="BSN")
            actie.span.update_name(f"Zoek {quotation}")
            actie.set_attribute("a", f"x{quotation}")
            actie.set_attribute(f"b {quotation}", [quotation, {quotation: [quotation]}])
            actie.span.add_event(f"e {quotation}", {"c": quotation, quotation: 1})
            actie.span.add_link(actie.span.get_span_context(), {"d": quotation})
            actie.span.set_status(trace.StatusCode.ERROR, f"no {quotation}")
    spans: tuple[ReadableSpan, ...] = exporter.get_finished_spans()
    assert len(spans) == 1
    (span,) = spans
    shown: list[object] = [span.name, dict(span.attributes or {}), span.status.description]
    shown += [(event.name, dict(event.attributes or {})) for event in span.events]
    shown += [dict(link.attributes or {}) for link in span.links]
    assert quotation not in str(shown)
    for text in map(str, shown):
        assert digits.lstrip("0") not in "".join(char for char in text if char.isdecimal() and char.isascii())
