from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import ldv_otel as ldv
from ldv_otel import Logregel, Status
from ldv_otel.testing import InMemoryLogboek
from tests.sdk.conftest import ACTIVITY, OTHER


def by_name(logboek: InMemoryLogboek) -> dict[str, Logregel]:
    """What was logged, by name."""
    return {logregel.name: logregel for logregel in logboek.logregels}


def test_an_actie_is_one_logregel(logboek: InMemoryLogboek, backend: InMemorySpanExporter) -> None:
    """The span and the record are one thing: same ids, same name; the subject is in the record only."""
    with ldv.processing(ACTIVITY, name="Wijzig kenteken") as actie:
        ldv.data_subject("123456782", type="BSN")
    (record,) = logboek.logregels
    assert (record.trace_id.hex(), record.span_id.hex()) == (actie.trace_id, actie.span_id)
    assert record.name == "Wijzig kenteken"
    assert record.processing_activity_id == ACTIVITY
    assert record.data_subject_id == logboek.pseudonym("123456782", type="BSN")
    assert record.status is Status.UNSET
    (span,) = backend.get_finished_spans()
    assert dict(span.attributes or {}) == {"dpl.core.processing_activity_id": ACTIVITY}


def test_a_name_is_found_where_none_is_given(logboek: InMemoryLogboek) -> None:
    """For people: from the activity, or from the function."""

    @ldv.processing(ACTIVITY)
    def toon_vergunningen() -> None:
        """Decorated without a name."""

    with ldv.processing(ACTIVITY):
        toon_vergunningen()
    assert [logregel.name for logregel in logboek.logregels] == ["Toon vergunningen", "Parkeren"]


def test_technical_spans_do_not_break_the_chain(logboek: InMemoryLogboek, tracer: trace.Tracer) -> None:
    """Each parent_span_id points at a Logregel, through any number of spans that are not logged (LDV-A2)."""
    with (
        tracer.start_as_current_span("POST /wijzig", kind=trace.SpanKind.SERVER),
        ldv.processing(ACTIVITY, name="outer") as outer,
        tracer.start_as_current_span("SELECT"),
        tracer.start_as_current_span("retry"),
        ldv.processing(OTHER, name="inner"),
    ):
        pass
    records = by_name(logboek)
    assert set(records) == {"outer", "inner"}
    assert records["inner"].parent_span_id.hex() == outer.span_id
    assert records["inner"].parent_processing_activity_id == ACTIVITY
    assert records["outer"].parent_span_id == b""


def test_the_chain_goes_through_threads_with_a_context(logboek: InMemoryLogboek) -> None:
    """A thread that runs in the caller's context works for the caller's Actie."""

    def work() -> None:
        with ldv.processing(OTHER, name="in thread"):
            pass

    with ldv.processing(ACTIVITY, name="outer") as outer:
        thread = threading.Thread(target=contextvars.copy_context().run, args=(work,))
        thread.start()
        thread.join()
    assert by_name(logboek)["in thread"].parent_span_id.hex() == outer.span_id


def test_the_chain_goes_through_tasks(logboek: InMemoryLogboek) -> None:
    """Concurrent tasks each keep their own Actie, below the one that started them."""

    async def task(number: int) -> None:
        async with ldv.processing(OTHER, name=f"task {number}") as actie:
            await asyncio.sleep(0)
            actie.data_subject(str(number), type="KVK")
            await asyncio.sleep(0)

    async def main() -> str:
        with ldv.processing(ACTIVITY, name="outer") as outer:
            await asyncio.gather(*(task(number) for number in range(20)))
            return outer.span_id

    outer_id = asyncio.run(main())
    records = by_name(logboek)
    for number in range(20):
        assert records[f"task {number}"].parent_span_id.hex() == outer_id
        assert records[f"task {number}"].data_subject_id == logboek.pseudonym(str(number), type="KVK")


def test_a_child_that_outlives_its_parent_still_finds_it(logboek: InMemoryLogboek, tracer: trace.Tracer) -> None:
    """Follow-up work started in the Actie's context hangs below it, though the Actie has ended."""
    with ldv.processing(ACTIVITY, name="outer") as outer, tracer.start_as_current_span("technical"):
        later = contextvars.copy_context()

    def follow_up() -> None:
        with ldv.processing(OTHER, name="late"):
            pass

    later.run(follow_up)
    late = by_name(logboek)["late"]
    assert late.parent_span_id.hex() == outer.span_id
    assert late.parent_processing_activity_id == ACTIVITY


def test_attributes_set_by_hand_make_the_same_record(logboek: InMemoryLogboek, tracer: trace.Tracer) -> None:
    """Code against the plain OpenTelemetry API needs no import of ours."""
    with tracer.start_as_current_span("Wijzig kenteken") as span:
        span.set_attribute("dpl.core.processing_activity_id", ACTIVITY)
        with tracer.start_as_current_span("Controleer") as inner:
            inner.set_attribute("dpl.core.data_subject_id", "123.456.782")
            inner.set_attribute("dpl.core.data_subject_id_type", "BSN")
    records = by_name(logboek)
    assert records["Controleer"].parent_span_id == records["Wijzig kenteken"].span_id
    assert records["Controleer"].processing_activity_id == ACTIVITY
    assert records["Controleer"].data_subject_id == logboek.pseudonym("123456782", type="BSN")


def test_client_spans_are_remembered(logboek: InMemoryLogboek, tracer: trace.Tracer) -> None:
    """The ids that travel in `traceparent` are kept on the Actie, so the called party's parent is found."""
    with ldv.processing(ACTIVITY, name="outer"), tracer.start_as_current_span("wrapper"):
        with tracer.start_as_current_span("GET", kind=trace.SpanKind.CLIENT) as call:
            called = call.get_span_context().span_id.to_bytes(8, "big")
        with tracer.start_as_current_span("internal"):
            pass
    assert by_name(logboek)["outer"].outbound_span_ids == (called,)


def test_client_spans_find_an_actie_marked_afterwards(logboek: InMemoryLogboek, tracer: trace.Tracer) -> None:
    """The span may become an Actie only after its calls were made."""
    with tracer.start_as_current_span("outer") as outer:
        with (
            tracer.start_as_current_span("wrapper"),
            tracer.start_as_current_span("GET", kind=trace.SpanKind.CLIENT) as call,
        ):
            called = call.get_span_context().span_id.to_bytes(8, "big")
        outer.set_attribute("dpl.core.processing_activity_id", ACTIVITY)
    assert by_name(logboek)["outer"].outbound_span_ids == (called,)


def test_a_second_person_is_a_child_record(logboek: InMemoryLogboek) -> None:
    """0 or 1 Betrokkene a Logregel (LDV-A4); naming the same person twice changes nothing."""
    with ldv.processing(ACTIVITY) as actie:
        actie.data_subject("123456782", type="BSN")
        ldv.data_subject("111222333", type="BSN")
        ldv.data_subject("123.456.782", type="BSN")
    first, second = logboek.logregels
    assert second.parent_span_id == first.span_id
    assert {first.data_subject_id, second.data_subject_id} == {
        logboek.pseudonym(number, type="BSN") for number in ("123456782", "111222333")
    }


def test_a_person_named_too_late_is_not_lost(logboek: InMemoryLogboek) -> None:
    """After the end the record is out; the person gets a child of it."""
    with ldv.processing(ACTIVITY) as actie:
        pass
    actie.data_subject("123456782", type="BSN")
    first, late = logboek.logregels
    assert late.parent_span_id == first.span_id
    assert late.processing_activity_id == ACTIVITY
    assert late.data_subject_id == logboek.pseudonym("123456782", type="BSN")


def test_a_person_named_outside_any_actie_is_logged_and_flagged(logboek: InMemoryLogboek) -> None:
    """Somebody's data was processed, whatever was forgotten (LDV-A3)."""
    ldv.data_subject("123456782", type="BSN")
    (record,) = logboek.logregels
    assert record.flags == ("activity_missing",)
    assert record.data_subject_id == logboek.pseudonym("123456782", type="BSN")


def test_a_person_named_in_a_technical_span_belongs_to_the_actie(
    logboek: InMemoryLogboek, tracer: trace.Tracer
) -> None:
    """The current Actie is the nearest enclosing one, not the database span inside it."""
    with ldv.processing(ACTIVITY), tracer.start_as_current_span("SELECT"):
        ldv.data_subject("123456782", type="BSN")
    (record,) = logboek.logregels
    assert record.data_subject_id


def test_a_read_api_is_kept(logboek: InMemoryLogboek) -> None:
    """Extension lezen."""
    with ldv.processing(ACTIVITY):
        ldv.next_logbook("https://rdw.example/ldv/v1")
    (record,) = logboek.logregels
    assert record.external_read_api_id == "https://rdw.example/ldv/v1"
    with pytest.raises(ldv.ConfigurationError, match="outside"):
        ldv.next_logbook("https://rdw.example/ldv/v1")


class TestStatus:
    """LDV-A5: Unset, Ok and Error, and who says so."""

    def test_done_is_unset(self, logboek: InMemoryLogboek) -> None:
        """Done without internal error."""
        with ldv.processing(ACTIVITY):
            pass
        assert logboek.logregels[0].status is Status.UNSET

    def test_ok_is_said(self, logboek: InMemoryLogboek) -> None:
        """Only when the application says so, and then it stands."""
        with pytest.raises(KeyError), ldv.processing(ACTIVITY) as actie:
            actie.ok()
            raise KeyError
        assert logboek.logregels[0].status is Status.OK

    def test_an_exception_is_an_error_and_goes_on(
        self, logboek: InMemoryLogboek, backend: InMemorySpanExporter
    ) -> None:
        """The application's own exception arrives unchanged; its text reaches neither Logboek nor backend."""
        mistake = ValueError("123456782 onbekend")
        with pytest.raises(ValueError, match="onbekend") as caught, ldv.processing(ACTIVITY):
            raise mistake
        assert caught.value is mistake
        (record,) = logboek.logregels
        assert record.status is Status.ERROR
        assert record.attributes["exception.type"] == "ValueError"
        assert "test_processing.py" in record.attributes["exception.stacktrace"]
        (span,) = backend.get_finished_spans()
        assert "123456782" not in repr(record) + span.to_json()
        assert span.events[0].name == "exception"

    def test_rejected_input_is_unset(self, logboek: InMemoryLogboek) -> None:
        """The user's mistake is no failure of the system."""
        with pytest.raises(ValueError, match="no"), ldv.processing(ACTIVITY) as actie:
            actie.reject()
            raise ValueError("no")
        assert logboek.logregels[0].status is Status.UNSET

    def test_cancellation_is_unset(self, logboek: InMemoryLogboek) -> None:
        """A cancelled task did not fail."""

        async def main() -> None:
            async with ldv.processing(ACTIVITY):
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            asyncio.run(main())
        assert logboek.logregels[0].status is Status.UNSET

    def test_an_exception_recorded_by_the_sdk_is_cleaned(self, logboek: InMemoryLogboek, tracer: trace.Tracer) -> None:
        """A span made by hand quotes the exception; the record does not."""
        with pytest.raises(ValueError, match="onbekend"), tracer.start_as_current_span("x") as span:
            span.set_attribute("dpl.core.processing_activity_id", ACTIVITY)
            raise ValueError("123456782 onbekend")
        (record,) = logboek.logregels
        assert record.status is Status.ERROR
        assert record.attributes["exception.type"] == "ValueError"
        assert "123456782" not in repr(record)


class TestDecorator:
    """All four kinds of functions: one Actie a call."""

    def test_function(self, logboek: InMemoryLogboek) -> None:
        """Arguments and result pass."""

        @ldv.processing(ACTIVITY, name="f")
        def add(left: int, *, right: int) -> int:
            ldv.data_subject(left, type="KVK")
            return left + right

        assert add(1, right=2) == 3
        assert add(3, right=4) == 7
        assert len(logboek.logregels) == 2

    def test_coroutine(self, logboek: InMemoryLogboek) -> None:
        """The Actie lasts until the coroutine is done."""

        @ldv.processing(ACTIVITY)
        async def wait() -> str:
            await asyncio.sleep(0.01)
            return "done"

        assert asyncio.run(wait()) == "done"
        (record,) = logboek.logregels
        assert record.end_time_ms > record.start_time_ms

    def test_generator(self, logboek: InMemoryLogboek) -> None:
        """Current inside the generator, not in its consumer; send, throw and the result pass."""

        @ldv.processing(ACTIVITY, name="g")
        def numbers() -> Generator[Any, Any, str]:
            assert trace.get_current_span().get_span_context().is_valid
            got = yield 1
            try:
                yield got
            except KeyError:
                yield "thrown"
            return "result"

        def consume() -> Iterator[Any]:
            result = yield from numbers()
            yield result

        consumer: Any = consume()
        assert next(consumer) == 1
        assert not trace.get_current_span().get_span_context().is_valid
        assert consumer.send("sent") == "sent"
        assert consumer.throw(KeyError()) == "thrown"
        assert logboek.logregels == []
        assert next(consumer) == "result"
        (record,) = logboek.logregels
        assert record.status is Status.UNSET

    def test_a_generator_left_early(self, logboek: InMemoryLogboek) -> None:
        """Closing is no failure, and the record is made."""

        @ldv.processing(ACTIVITY)
        def numbers() -> Iterator[int]:
            yield 1
            yield 2

        for _ in numbers():
            break
        (record,) = logboek.logregels
        assert record.status is Status.UNSET

    def test_a_generator_that_fails(self, logboek: InMemoryLogboek) -> None:
        """Its exception is an error of the Actie."""

        @ldv.processing(ACTIVITY)
        def numbers() -> Iterator[int]:
            yield 1
            raise ValueError

        with pytest.raises(ValueError):  # noqa: PT011  (its own)
            list(numbers())
        assert logboek.logregels[0].status is Status.ERROR

    def test_async_generator(self, logboek: InMemoryLogboek) -> None:
        """As a generator, and left early too."""

        @ldv.processing(ACTIVITY, name="ag")
        async def numbers() -> AsyncIterator[int]:
            for number in range(3):
                await asyncio.sleep(0)
                assert trace.get_current_span().get_span_context().is_valid
                yield number

        async def main() -> list[int]:
            found = [number async for number in numbers()]
            early: Any = numbers()
            async for _ in early:
                assert not trace.get_current_span().get_span_context().is_valid
                break
            await early.aclose()
            return found

        assert asyncio.run(main()) == [0, 1, 2]
        assert [logregel.name for logregel in logboek.logregels] == ["ag", "ag"]


@pytest.mark.parametrize("odd", [None, 5, "", "geen uri", "\ud800", ["a"]])
def test_odd_activities_and_names_do_not_stop_the_application(logboek: InMemoryLogboek, odd: Any) -> None:
    """Bad input at run time is stored, flagged and counted, never raised (LDV-A8)."""
    with ldv.processing(odd, name=odd):
        ldv.data_subject(odd, type=odd)
    (record,) = logboek.logregels
    assert record.flags
    assert record.name


def test_one_processing_is_not_entered_twice(logboek: InMemoryLogboek) -> None:
    """Sharing one object would mix two Acties up."""
    shared = ldv.processing(ACTIVITY)
    with shared, pytest.raises(RuntimeError, match="anew"), shared:
        pass
    assert len(logboek.logregels) == 1


def test_without_anybody_listening_it_says_so(backend: InMemorySpanExporter) -> None:
    """A processing that would not be logged is never silent."""
    del backend
    with pytest.raises(ldv.ConfigurationError, match=r"install\(\)"), ldv.processing(ACTIVITY):
        pass
    with pytest.raises(ldv.ConfigurationError, match=r"install\(\)"):
        ldv.data_subject("123456782", type="BSN")
