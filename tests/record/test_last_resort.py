"""A record is never lost because making it failed: the bare one takes its place (LDV-A8)."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import StatusCode

import ldv_otel as ldv
from ldv_otel import testing
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.record.builder import LogregelBuilder
from ldv_otel._internal.record.logregel import NAME_MISSING_TEXT, Status, encode_logregel
from ldv_otel._internal.rules.rules import read_rules
from ldv_otel._internal.sdk.span_rules import SpanMapper
from ldv_otel.attributes import DATA_SUBJECT_ID, PROCESSING_ACTIVITY_ID, RECORD_ERROR, Flag
from tests.importer.spelling import PSEUDONYMISER
from tests.record.test_actie import make
from tests.strategies import anything

ACTIVITY = "https://register.example/activiteiten/parkeren"
BSN = "123456782"
RULES = """
rules:
  - match: {name: "dossier *"}
    activity: https://register.example/activiteiten/hr
    subject: {attribute: hr.nummer, type: personeelsnummer}
"""


class OddError(Exception):
    """What nobody foresaw."""


def failing(*_: object, **__: object) -> NoReturn:
    """Fail with a message that quotes somebody."""
    raise OddError(BSN)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """A rule that reads the subject from an attribute."""
    path = tmp_path / "rules.yaml"
    path.write_text(RULES, encoding="utf-8")
    return path


@pytest.mark.parametrize("step", ["name", "span_attributes", "resource", "text", "label", "subject", "period"])
def test_whatever_fails_the_record_is_stored(
    step: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Ids, times, outcome, activity and everybody who was named; the type of the error, and nothing of its message."""
    original = getattr(LogregelBuilder, step)
    calls = []

    def fails_once(self: LogregelBuilder, *args: Any, **kwargs: Any) -> Any:
        calls.append(step)
        return original(self, *args, **kwargs) if len(calls) > 1 else failing()

    with testing.logboek() as memory:
        span = trace.get_tracer("test").start_span("Zoek", attributes={PROCESSING_ACTIVITY_ID: ACTIVITY})
        with trace.use_span(span):
            ldv.data_subject(BSN, type="BSN")
            ldv.data_subject("111222333", type="BSN")
            span.set_attribute("dpl.core.zaak", f"Z-{BSN}")
            span.set_status(StatusCode.ERROR)
        monkeypatch.setattr(LogregelBuilder, step, fails_once)
        span.end()
        monkeypatch.undo()
    assert calls
    record, child = memory.logregels
    context = span.get_span_context()
    assert (record.trace_id, record.span_id) == (
        context.trace_id.to_bytes(16, "big"),
        context.span_id.to_bytes(8, "big"),
    )
    assert record.processing_activity_id == ACTIVITY
    assert record.status is Status.ERROR
    assert record.start_time_ms > 1_700_000_000_000
    assert Flag.RECORD_FAILED in record.flags
    assert record.attributes[RECORD_ERROR] == "OddError"
    assert (record.name, set(record.attributes)) == (NAME_MISSING_TEXT, {RECORD_ERROR, "ldv.flags"})
    assert [one.data_subject_id for one in (record, child)] == [
        memory.pseudonym(number, type="BSN") for number in (BSN, "111222333")
    ]
    assert "OddError in" in caplog.text
    assert BSN not in caplog.text


def test_a_step_that_always_fails_keeps_what_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the search for identifiers nothing of the activity is kept: it may quote somebody."""
    with testing.logboek() as memory, ldv.processing(f"{ACTIVITY}/{BSN}"):
        ldv.data_subject(BSN, type="BSN")
        monkeypatch.setattr(LogregelBuilder, "label", failing)
    monkeypatch.undo()
    (record,) = memory.logregels
    assert (record.processing_activity_id, record.resource) == ("", "{}")
    assert {Flag.RECORD_FAILED, Flag.ACTIVITY_MISSING} <= set(record.flags)
    assert BSN not in str(record)


def test_before_there_are_facts(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a mapping rule fails it is not even known that the span is an Actie: it is stored as if it were one."""
    exported = testing.InMemoryLogboek(PSEUDONYMISER)
    mapper = SpanMapper(read_rules(rules), PSEUDONYMISER.subject)
    provider = TracerProvider()
    provider.add_span_processor(
        SimpleSpanProcessor(ldv.ClickHouseSpanExporter(exported, LogregelMaker(PSEUDONYMISER.subject), mapper=mapper))
    )
    monkeypatch.setattr("ldv_otel._internal.rules.rule_file.Rule.identifiers", failing)
    with testing.logboek(rules=rules) as memory:
        for tracer in (trace.get_tracer("test"), provider.get_tracer("test")):
            tracer.start_span("dossier 1", attributes={"hr.nummer": 71}).end()
            tracer.start_span("something else", attributes={"hr.nummer": 71}).end()
    for logboek in (memory, exported):
        (record,) = logboek.logregels
        assert Flag.RECORD_FAILED in record.flags
        assert record.attributes[RECORD_ERROR] == "OddError"


huge = st.sampled_from([10**400, -(10**5_000), 10**309, 1e308, float("inf"), 2**64, {"a": 10**400}, [10**400]])


@example(10**400)
@example({"nummer": BSN})
@given(st.one_of(anything, huge))
def test_no_value_costs_a_record(value: Any) -> None:
    """In the attributes of a span, and where a rule or the subject expects a text; and it is made whole."""
    fields = [
        {"dpl.core.zaak": value, "dpl.core.lijst": [value, {"x": value}]},
        {PROCESSING_ACTIVITY_ID: value},
        {DATA_SUBJECT_ID: value},
        {DATA_SUBJECT_ID: [value, value], "dpl.core.data_subject_id_type": value},
        {"dpl.core.foreign_operation.trace_id": value, "dpl.core.foreign_operation.processor": value},
        {"dpl.read.externalReadAPI_id": value},
    ]
    for attributes in fields:
        for record in make(attributes, name=value):
            assert Flag.RECORD_FAILED not in record.flags, attributes
            encode_logregel(record)


@given(st.one_of(anything, huge))
def test_no_value_costs_a_record_by_rule(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    """A mapping, bytes or a number beyond all limits where a rule expects a text."""
    rules = tmp_path_factory.getbasetemp() / "any-value.yaml"
    rules.write_text(RULES + "  - match: {attributes: {x.y: z}}\n    activity: urn:x\n", encoding="utf-8")
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    with testing.logboek(rules=rules) as memory:
        trace.get_tracer("test").start_span("dossier 1", attributes={"hr.nummer": value, "x.y": value}).end()
    assert memory.logregels
    for record in memory.logregels:
        assert Flag.RECORD_FAILED not in record.flags
