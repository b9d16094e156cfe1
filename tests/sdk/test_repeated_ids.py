"""Ids of spans that come twice: each Actie keeps its own record, and no record takes over from another Actie.

OpenTelemetry lets an application bring its own id generator, and the one it has by default draws from `random`, which
applications seed. So a span is known by its object, and its ids are what a record shows.
"""

from __future__ import annotations

import gc
import pickle
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, DEFAULT_ON, Sampler
from opentelemetry.trace import NonRecordingSpan, SpanContext

import ldv_otel as ldv
from ldv_otel._internal.privacy.pseudonyms import KeyRing, Pseudonymiser, new_key
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.sdk.attach import attach
from ldv_otel._internal.sdk.processor import LdvSpanProcessor
from ldv_otel.attributes import DATA_SUBJECT_ID, DATA_SUBJECT_ID_TYPE, PROCESSING_ACTIVITY_ID, Flag
from ldv_otel.testing import InMemoryLogboek, _AtOnce
from tests.sdk.conftest import ACTIVITY, OTHER
from tests.support.chance import new_id

ANNA = "123456782"
BRAM = "111222333"


class Ids(IdGenerator):
    """Gives the ids that a test has lined up, the last of them again and again."""

    def __init__(self) -> None:
        # The process remembers ids of other tests.
        self.traces = [int.from_bytes(new_id(12))]
        self.spans = [1]

    def generate_trace_id(self) -> int:
        """Return the next trace id."""
        return self.traces.pop(0) if len(self.traces) > 1 else self.traces[0]

    def generate_span_id(self) -> int:
        """Return the next span id."""
        return self.spans.pop(0) if len(self.spans) > 1 else self.spans[0]


class Counting(IdGenerator):
    """Counts from one, as generators of some test benches and replays do."""

    def __init__(self, first: int) -> None:
        self.trace, self.span = first - 1, 0

    def generate_trace_id(self) -> int:
        """Return the number of the trace."""
        self.trace += 1
        return self.trace

    def generate_span_id(self) -> int:
        """Return the number of the span."""
        self.span += 1
        return self.span


class Service:
    """A service with its own id generator, a tracing backend and a Logboek, as `install()` leaves it."""

    def __init__(self, ids: IdGenerator, sampler: Sampler = DEFAULT_ON, *, acties_only: bool = False) -> None:
        self.logboek = InMemoryLogboek(Pseudonymiser(KeyRing([new_key("k")], active="k")))
        self.logboek.open()
        self.backend = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler, id_generator=ids)
        self.provider.add_span_processor(SimpleSpanProcessor(self.backend))
        processor = LdvSpanProcessor(LogregelMaker(self.logboek._pseudonymiser.subject), _AtOnce(self.logboek))
        attach(self.provider, processor, processor.may_be_actie if acties_only else None)
        self.tracer = self.provider.get_tracer("instrumentation")

    def about(self, identifier: str) -> list[Logregel]:
        """The records about somebody."""
        pseudonym = self.logboek.pseudonym(identifier, type="BSN")
        return [record for record in self.logboek.logregels if record.data_subject_id == pseudonym]

    def named(self, name: str) -> Logregel:
        """The one record with a name."""
        (record,) = [record for record in self.logboek.logregels if record.name == name]
        return record


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Service]]:
    """Make a service, whose provider `processing` uses until the test ends."""
    providers: list[TracerProvider] = []

    def make(ids: IdGenerator, sampler: Sampler = DEFAULT_ON, *, acties_only: bool = False) -> Service:
        service = Service(ids, sampler, acties_only=acties_only)
        providers.append(service.provider)
        monkeypatch.setattr(trace, "get_tracer_provider", lambda: service.provider)
        return service

    yield make
    for provider in providers:
        provider.shutdown()


@pytest.fixture
def ids() -> Ids:
    """Ids lined up by the test."""
    return Ids()


@pytest.fixture
def service(use: Callable[..., Service], ids: Ids) -> Service:
    """A service with those ids."""
    return use(ids)


@contextmanager
def current(span: trace.Span) -> Iterator[None]:
    """A span is current, as it is in a task of its own."""
    token = otel_context.attach(trace.set_span_in_context(span, otel_context.Context()))
    yield
    otel_context.detach(token)


def marked(service: Service, name: str, activity: str = ACTIVITY, **attributes: str) -> trace.Span:
    """Start an Actie of an instrumentation, in a context of its own."""
    return service.tracer.start_span(
        name, otel_context.Context(), attributes={PROCESSING_ACTIVITY_ID: activity, **attributes}
    )


def about(identifier: str) -> dict[str, str]:
    """Attributes that name a data subject."""
    return {DATA_SUBJECT_ID: identifier, DATA_SUBJECT_ID_TYPE: "BSN"}


def rebuilt(span: trace.Span, *, remote: bool = False) -> trace.Span:
    """A span as it is rebuilt from its ids: by a propagator, or by a task queue."""
    known = span.get_span_context()
    return NonRecordingSpan(SpanContext(known.trace_id, known.span_id, remote, known.trace_flags))


@pytest.mark.parametrize("first_ends_first", [True, False])
def test_two_acties_at_once_with_the_same_ids(service: Service, first_ends_first: bool) -> None:
    """Both records come out, each about its own person, and both say that their ids were not unique."""
    anna, bram = marked(service, "Anna"), marked(service, "Bram", OTHER)
    for span, identifier in ((anna, ANNA), (bram, BRAM)):
        with current(span):
            ldv.data_subject(identifier, type="BSN")
    for span in (anna, bram) if first_ends_first else (bram, anna):
        span.end()
    assert len(service.logboek.logregels) == 2
    for name, identifier, activity in (("Anna", ANNA, ACTIVITY), ("Bram", BRAM, OTHER)):
        record = service.named(name)
        assert service.about(identifier) == [record]
        assert record.processing_activity_id == activity
        assert record.flags == (Flag.SPAN_ID_REPEATED,)


def test_the_same_with_processing(service: Service) -> None:
    """Tasks of an event loop are in the middle of a `processing` at the same time."""

    def work(identifier: str, name: str, both: Barrier) -> None:
        with ldv.processing(ACTIVITY, name=name) as actie:
            both.wait(30)
            ldv.data_subject(identifier, type="BSN")
            actie.set_attribute("dpl.objects.algorithm_id", f"urn:{name}")
            both.wait(30)

    both = Barrier(2)
    with ThreadPoolExecutor(2) as threads:
        for task in [threads.submit(work, ANNA, "Anna", both), threads.submit(work, BRAM, "Bram", both)]:
            task.result(60)
    for name, identifier in (("Anna", ANNA), ("Bram", BRAM)):
        record = service.named(name)
        assert service.about(identifier) == [record]
        assert record.attributes["dpl.objects.algorithm_id"] == f"urn:{name}"


@pytest.mark.parametrize("first_ends_first", [True, False])
def test_children_hang_below_their_own_parent(service: Service, ids: Ids, first_ends_first: bool) -> None:
    """The parent is the span in the context, whatever ids another span has."""
    ids.spans = [7, 7, 21, 22, 23, 24]
    anna, bram = marked(service, "Anna"), marked(service, "Bram", OTHER)
    children = []
    for span, name in ((anna, "child of Anna"), (bram, "child of Bram")):
        with current(span), service.tracer.start_as_current_span("GET", kind=trace.SpanKind.CLIENT):
            children.append(service.tracer.start_span(name, attributes={"dpl.objects.algorithm_id": "urn:x"}))
    for child in children if first_ends_first else reversed(children):
        child.end()
    for span in (anna, bram) if first_ends_first else (bram, anna):
        span.end()
    for name, activity, outbound in (("Anna", ACTIVITY, 21), ("Bram", OTHER, 23)):
        record = service.named(f"child of {name}")
        assert record.processing_activity_id == activity, "inherited from its own parent"
        assert record.parent_span_id == (7).to_bytes(8, "big")
        assert record.flags == ()
        assert service.named(name).outbound_span_ids == (outbound.to_bytes(8, "big"),)


def test_the_same_span_id_in_two_traces(service: Service, ids: Ids) -> None:
    """Span ids are unique within a trace only: nothing is mixed, and there is nothing to flag."""
    ids.traces, ids.spans = [ids.traces[0], ids.traces[0] + 1], [7, 7, 8, 8]
    anna, bram = marked(service, "Anna"), marked(service, "Bram", OTHER)
    for span, identifier, name in ((anna, ANNA, "child of Anna"), (bram, BRAM, "child of Bram")):
        with current(span):
            ldv.data_subject(identifier, type="BSN")
            service.tracer.start_span(name, attributes={"dpl.objects.algorithm_id": "urn:x"}).end()
    bram.end()
    anna.end()
    for name, identifier, activity in (("Anna", ANNA, ACTIVITY), ("Bram", BRAM, OTHER)):
        record, child = service.named(name), service.named(f"child of {name}")
        assert service.about(identifier) == [record]
        assert (child.trace_id, child.parent_span_id) == (record.trace_id, record.span_id)
        assert child.processing_activity_id == activity
        assert record.flags == child.flags == ()


@pytest.mark.parametrize("remote", [True, False])
def test_a_parent_that_is_known_by_its_ids_only(service: Service, ids: Ids, remote: bool) -> None:
    """A task queue and a call to oneself rebuild the parent from its ids: those find it as long as they are its own."""
    ids.spans = [7, 8]
    anna = marked(service, "Anna")
    with current(rebuilt(anna, remote=remote)):
        service.tracer.start_span("child", attributes={"dpl.objects.algorithm_id": "urn:x"}).end()
    anna.end()
    child = service.named("child")
    assert (child.processing_activity_id, child.parent_span_id) == (ACTIVITY, (7).to_bytes(8, "big"))
    assert child.flags == ()


@pytest.mark.parametrize("remote", [True, False])
@pytest.mark.parametrize("first_goes_first", [True, False])
def test_a_parent_that_is_one_of_two(
    service: Service,
    ids: Ids,
    remote: bool,
    first_goes_first: bool,
) -> None:
    """Nothing tells which: the child takes over from neither, says so, and other exporters see none of its texts."""
    ids.spans = [7, 7, 8]
    pair = [marked(service, "Anna"), marked(service, "Bram", OTHER)]
    with current(rebuilt(pair[0], remote=remote)):
        child = service.tracer.start_span(f"about {BRAM}", attributes={"dpl.objects.algorithm_id": "urn:x"})
        with current(child):
            service.tracer.start_span(f"below it {BRAM}").end()
    gone = pair.pop(0 if first_goes_first else 1)
    gone.end()
    del gone
    with current(pair[0]):
        ldv.data_subject(BRAM, type="BSN")
    child.end()
    record = next(record for record in service.logboek.logregels if record.span_id == (8).to_bytes(8, "big"))
    assert record.processing_activity_id == record.parent_processing_activity_id == ""
    assert record.flags == (Flag.ACTIVITY_MISSING, Flag.SPAN_ID_REPEATED, Flag.SUBJECT_REDACTED)
    assert record.data_subject_id == b""
    shown = "".join(span.to_json() for span in service.backend.get_finished_spans() if span.name != "Anna")
    assert BRAM not in shown


def test_a_remote_parent_with_a_span_id_of_ours(service: Service, ids: Ids) -> None:
    """An untrusted caller can send one of our span ids along with a trace of its own: it is a caller, no parent."""
    ids.spans = [7, 8]
    anna = marked(service, "Anna")
    with current(NonRecordingSpan(SpanContext(99, 7, is_remote=True))):
        service.tracer.start_span("child", attributes={"dpl.objects.algorithm_id": "urn:x"}).end()
    anna.end()
    child = service.named("child")
    assert child.processing_activity_id == ""
    assert child.foreign_operation_trace_id == (99).to_bytes(16, "big")


def test_a_person_named_below_a_span_that_is_one_of_two(service: Service, ids: Ids) -> None:
    """They get a record of their own rather than a place in a stranger's."""
    ids.spans = [7, 7, 8]
    anna, bram = marked(service, "Anna"), marked(service, "Bram", OTHER)
    with current(rebuilt(anna)):
        ldv.data_subject(ANNA, type="BSN")
    anna.end()
    bram.end()
    (record,) = service.about(ANNA)
    assert record.span_id == (8).to_bytes(8, "big")
    assert record.flags == (Flag.ACTIVITY_MISSING, Flag.SPAN_ID_REPEATED)


def test_a_span_in_another_wrapping_is_the_same_span(service: Service) -> None:
    """The context object of a span is its own, also in a span that records nothing."""
    anna, bram = marked(service, "Anna"), marked(service, "Bram", OTHER)
    for span, identifier in ((anna, ANNA), (bram, BRAM)):
        with current(NonRecordingSpan(span.get_span_context())):
            ldv.data_subject(identifier, type="BSN")
    anna.end()
    bram.end()
    assert service.about(ANNA) == [service.named("Anna")]
    assert service.about(BRAM) == [service.named("Bram")]


def test_a_propagator_names_the_actie_of_its_own_span(service: Service, ids: Ids) -> None:
    """`tracestate` has the Actie around the client span in the context, not that of one with the same ids."""
    ids.spans = [7, 8, 21, 21]
    anna, bram = marked(service, "Anna"), marked(service, "Bram", OTHER)
    calls = []
    for span in (anna, bram):
        with current(span):
            calls.append(service.tracer.start_span("GET", kind=trace.SpanKind.CLIENT))
    members = []
    for call in calls:
        headers: dict[str, str] = {}
        ldv.LdvPropagator().inject(headers, trace.set_span_in_context(call))
        members.append(headers["tracestate"])
    assert members == ["ldv=a:0000000000000007", "ldv=a:0000000000000008"]
    for span in (*calls, anna, bram):
        span.end()
    for name in ("Anna", "Bram"):
        assert service.named(name).outbound_span_ids == ((21).to_bytes(8, "big"),)


@pytest.mark.parametrize("held", [True, False])
def test_ids_that_are_used_again_after_an_end(service: Service, held: bool) -> None:
    """The second of them says so, also when the first span is no longer in memory; the first record is out already."""
    anna = marked(service, "Anna", **about(ANNA))
    anna.end()
    kept = [anna] if held else []
    del anna
    gc.collect()
    bram = marked(service, "Bram", OTHER, **about(BRAM))
    bram.end()
    assert service.about(ANNA) == [service.named("Anna")]
    assert service.about(BRAM) == [service.named("Bram")]
    assert service.named("Anna").flags == ()
    assert service.named("Bram").flags == (Flag.SPAN_ID_REPEATED,)
    del kept


@pytest.mark.parametrize("held", [True, False])
def test_a_late_child_after_ids_were_used_again(service: Service, ids: Ids, held: bool) -> None:
    """A follow-up task hangs below the Actie that started it, or below none; never below a later one with its ids."""
    ids.spans = [7, 7, 8]
    anna = marked(service, "Anna")
    task = NonRecordingSpan(anna.get_span_context())
    anna.end()
    kept = [anna] if held else []
    del anna
    gc.collect()
    bram = marked(service, "Bram", OTHER)
    with current(task):
        service.tracer.start_span("follow-up", attributes={"dpl.objects.algorithm_id": "urn:x"}).end()
    bram.end()
    assert service.named("follow-up").processing_activity_id == (ACTIVITY if held else "")
    del kept


def test_a_seeded_random(use: Callable[..., Service]) -> None:
    """An application seeds `random` for each request, and OpenTelemetry draws its ids from it."""
    service = use(RandomIdGenerator())
    spans = []
    for name, identifier in (("Anna", ANNA), ("Bram", BRAM)):
        random.seed(20_260_101)
        span = marked(service, name)
        with current(span), service.tracer.start_as_current_span("technical"):
            ldv.data_subject(identifier, type="BSN")
        spans.append(span)
    for span in spans:
        span.end()
    assert service.named("Anna").span_id == service.named("Bram").span_id
    for name, identifier in (("Anna", ANNA), ("Bram", BRAM)):
        assert service.about(identifier) == [service.named(name)]
        assert service.named(name).flags == (Flag.SPAN_ID_REPEATED,)


def test_a_generator_that_counts_anew_in_each_request(use: Callable[..., Service]) -> None:
    """Requests that overlap: server span, Actie and call have the same ids in all of them."""
    first = int.from_bytes(new_id(12))
    service = use(Counting(first))
    requests = []
    people = [f"{100_000_000 + 7_919 * number}" for number in range(20)]
    for number, identifier in enumerate(people):
        service.provider.id_generator = Counting(first)  # type: ignore[assignment]
        tracer = service.provider.get_tracer(f"request of {identifier}")
        server = tracer.start_span("POST /", otel_context.Context(), kind=trace.SpanKind.SERVER)
        with current(server):
            actie = tracer.start_span("actie", attributes={PROCESSING_ACTIVITY_ID: f"urn:x:{number}"})
            with current(actie), tracer.start_as_current_span("GET", kind=trace.SpanKind.CLIENT):
                ldv.data_subject(identifier, type="BSN")
        requests.append((server, actie))
    for server, actie in [*requests[1::3], *requests[2::3], *requests[::3]]:
        actie.end()
        server.end()
    assert len(service.logboek.logregels) == len(people)
    for number, identifier in enumerate(people):
        (record,) = service.about(identifier)
        assert record.processing_activity_id == f"urn:x:{number}"
        assert record.outbound_span_ids == ((3).to_bytes(8, "big"),)
        assert record.flags == (Flag.SPAN_ID_REPEATED,)


def test_other_exporters_see_no_person_of_either(service: Service, ids: Ids) -> None:
    """The shield knows each span's own data subjects, whatever ids they share."""
    ids.spans = [7, 7, 8, 8]
    anna, bram = marked(service, f"Anna {ANNA}"), marked(service, f"Bram {BRAM}", OTHER)
    for span, identifier in ((anna, ANNA), (bram, BRAM)):
        with current(span):
            ldv.data_subject(identifier, type="BSN")
            service.tracer.start_span(f"child {identifier}").end()
    bram.end()
    anna.end()
    shown = [span.to_json() for span in service.backend.get_finished_spans()]
    assert len(shown) == 4
    assert not [text for text in shown if ANNA in text or BRAM in text]


def test_below_spans_that_are_not_recorded(use: Callable[..., Service], ids: Ids) -> None:
    """With LDV_RECORD=acties a dropped span leads to what is above it, whatever recorded span has its ids."""
    service = use(ids, ALWAYS_OFF, acties_only=True)
    ids.spans = [7, 8, 9, 8, 10]
    anna, bram = marked(service, "Anna"), marked(service, "Bram", OTHER)
    with current(anna):
        other = service.tracer.start_span("becomes a call", kind=trace.SpanKind.CLIENT)
    with current(trace.INVALID_SPAN):
        dropped = service.tracer.start_span("dropped")
    assert not dropped.is_recording()
    with current(dropped):
        service.tracer.start_span("child", attributes={"dpl.objects.algorithm_id": "urn:x"}).end()
    for span in (other, anna, bram):
        span.end()
    assert service.named("child").processing_activity_id == ""


def test_a_span_context_can_be_copied_and_sent(service: Service) -> None:
    """What hangs on the context of a span neither fails to be pickled nor goes along."""
    anna = marked(service, "Anna", **about(ANNA))
    sent = pickle.dumps(anna.get_span_context())
    assert ANNA.encode() not in sent
    received = pickle.loads(sent)  # our own bytes
    assert received == anna.get_span_context()
    with current(NonRecordingSpan(received)):
        ldv.data_subject(BRAM, type="BSN")
    anna.end()
    assert service.about(BRAM)
