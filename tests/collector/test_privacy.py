"""Nothing raw leaves the Collector: not to the Logboek, its refused rows, its disk or the tracing backend."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span, Status

from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.privacy.redaction import Redactor
from ldv_otel._internal.record.builder import texts_of
from tests.collector.conftest import Line, NewLine
from tests.collector.spans import actie, post, post_scopes, span
from tests.collector.test_confirmed import PSEUDONYMISER, SUBJECT, TYPE, trace, unpacked

TOLD: list[Any] = [
    "123456782",
    "123.456.782",
    123456782,
    123456782.0,
    b"123456782",
    [123456782],
    {"nummer": "123456782"},
]
QUOTED = [
    "123456782",
    "123.456.782",
    "123 456 782",
    "0123456782",
    "\uff11\uff12\uff13456782",
    "%31%32%33456782",
    "%2531%2532%2533456782",
    "\\u003123456782",
    "1.23456782e8",
    "123\u200b456782",
]
KNOWN = Redactor([("123456782", "BSN")])


def value(given: Any) -> AnyValue:
    """Any value, also those that the SDK of Python does not send."""
    if isinstance(given, bytes):
        return AnyValue(bytes_value=given)
    if isinstance(given, dict):
        members = [KeyValue(key=name, value=value(item)) for name, item in given.items()]
        return AnyValue(kvlist_value=KeyValueList(values=members))
    if isinstance(given, list):
        return AnyValue(array_value=ArrayValue(values=[value(item) for item in given]))
    if isinstance(given, float):
        return AnyValue(double_value=given)
    return AnyValue(int_value=given) if isinstance(given, int) else AnyValue(string_value=given)


def put(to: Span, name: str, given: Any) -> None:
    """Add an attribute, also one whose name is there."""
    to.attributes.append(KeyValue(key=name, value=value(given)))


def quoting(told: Any, quote: str) -> Span:
    """A span that says whom it is about, and quotes that number everywhere else."""
    made = actie(name=f"Vergunning van {quote}", status=Status(code=Status.STATUS_CODE_ERROR, message=f"geen {quote}"))
    put(made, SUBJECT, told)
    put(made, TYPE, "BSN")
    put(made, "dpl.core.zaak", f"Z-2026-{quote}")
    put(made, f"dpl.naam {quote}", "x")
    put(made, "dpl.core.foreign_operation.processor", f"https://x.example/{quote}")
    put(made, "dpl.nummer", 123456782)
    put(made, "dpl.double", 123456782.0)
    put(made, "dpl.bytes", quote.encode())
    put(made, "dpl.lijst", ["x", [quote], {quote: quote}])
    put(made, "url.full", f"https://x.example/{quote}")
    put(made, "http.target", f"/{quote}")
    put(made, "eigen", f"nummer {quote}")
    made.trace_state = f"x={quote}"
    event = made.events.add(name="exception")
    for name in ("type", "message", "stacktrace"):
        event.attributes.append(KeyValue(key=f"exception.{name}", value=value(f'  File "{quote}.py", line 1, in f')))
    made.events.add(name=f"gezocht {quote}")
    made.links.add(trace_id=b"l" * 16, span_id=b"l" * 8, attributes=[KeyValue(key="x", value=value(quote))])
    return made


def test_a_known_identifier_is_in_no_text(confirmed: Line) -> None:
    """Told in one form and quoted in another, in every field; and it is that person each time."""
    for told in TOLD:
        sent = [quoting(told, quote) for quote in QUOTED]
        for each in sent:
            each.trace_id = sent[0].trace_id
        assert post(confirmed.collector.url, sent, {"service.version": "123456782"}).status_code == 200
        found = trace(confirmed, sent[0].trace_id)
        assert len(found) == len(sent)
        for record in found:
            assert not KNOWN.finds(texts_of(record)), told
            assert "subject_redacted" in record.flags
            if not isinstance(told, dict):
                assert record.data_subject_id == PSEUDONYMISER.subject("123456782", "BSN").pseudonym, told


def test_it_is_in_no_refused_row(confirmed: Line) -> None:
    """A span without ids is kept for people to look at, with its name and its attributes."""
    sent = quoting("123456782", "123.456.782")
    sent.trace_id = b"\0" * 16
    assert post(confirmed.collector.url, [sent]).status_code == 200
    with confirmed.client() as client:
        question = Sql("SELECT name, toString(attributes) FROM collector_refused WHERE span_id = {id:String}")
        ((name, attributes),) = client.rows(question, {"id": sent.span_id.hex()})
    assert name == "Vergunning van REDACTED"
    assert not KNOWN.finds(attributes)


def test_a_key_that_comes_twice_is_two_people(confirmed: Line) -> None:
    """As some SDKs make it: each has a record, found by the person."""
    sent = actie({SUBJECT: "123456782", TYPE: "BSN"}, name="Huwelijk van 123456782 en 999990019")
    put(sent, SUBJECT, "999990019")
    assert post(confirmed.collector.url, [sent]).status_code == 200
    found = trace(confirmed, sent.trace_id)
    people = {PSEUDONYMISER.subject(number, "BSN").pseudonym for number in ("123456782", "999990019")}
    assert {record.data_subject_id for record in found} == people
    assert {record.name for record in found} == {"Huwelijk van REDACTED en REDACTED"}
    assert sorted(record.parent_span_id for record in found) == [b"", sent.span_id]


def test_a_bsn_that_nobody_named(confirmed: Line) -> None:
    """By default it goes, and the record says so (LDV-N14)."""
    sent = actie({"dpl.zaak": "Z 999.990.019", "dpl.nummer": 999990019}, name="Zoek 999990019")
    assert post(confirmed.collector.url, [sent]).status_code == 200
    (record,) = trace(confirmed, sent.trace_id)
    assert (record.name, record.flags) == ("Zoek *********", ("stray_bsn",))
    assert record.attributes["dpl.zaak"] == "Z *********"
    assert record.attributes["dpl.nummer"] == "*********"


@pytest.fixture(scope="module")
def refusing(new_line: NewLine, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The buffered line, on which a stray BSN is refused."""
    directory = tmp_path_factory.mktemp("refusing")
    found = new_line("buffered.yaml", directory, LDV_STRAY_BSN="refuse")
    with found.collector:
        yield found, directory


def test_what_is_refused_says_why(refusing: tuple[Line, Path]) -> None:
    """It is no record, and kept without the number; its neighbour is stored."""
    through, _ = refusing
    sent, good = actie({SUBJECT: "123456782"}, name="Zoek 999990019"), actie()
    assert post(through.collector.url, [sent, good]).status_code == 200
    deadline = time.monotonic() + 30
    with through.client() as client:
        while not read.by_trace(client, good.trace_id.hex()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        rows = client.rows(Sql("SELECT reason, name FROM collector_refused"))
        assert read.by_trace(client, sent.trace_id.hex()) == []
    ((reason, name),) = rows
    assert "LDV_STRAY_BSN=refuse" in reason
    assert name == "Zoek *********"


def test_nothing_raw_is_on_the_disk(refusing: tuple[Line, Path]) -> None:
    """While the Logboek is away everything that was sent waits there: of technical spans too."""
    through, directory = refusing
    sent = [quoting(told, quote) for told in TOLD for quote in QUOTED]
    twice = actie({SUBJECT: "123456782"})
    put(twice, SUBJECT, "123456782.0")
    technical = span({"url.full": "https://x.example/123456782"}, name="GET /123456782")
    technical.events.add(name="gezocht 123456782")
    through.front.close_listener()
    try:
        scope = ScopeSpans(
            spans=[*sent, twice, technical],
            scope=InstrumentationScope(name="123456782", attributes=[KeyValue(key="x", value=value("123456782"))]),
            schema_url="https://x.example/123456782",
        )
        assert post_scopes(through.collector.url, [scope], {"process.owner": "123456782"}).status_code == 200
        time.sleep(1.5)
        on_disk = b"".join(path.read_bytes() for path in (directory / "queue").iterdir())
    finally:
        through.front.open_listener()
    assert twice.trace_id in on_disk
    assert technical.span_id in on_disk
    for quote in QUOTED:
        assert quote.encode() not in on_disk


def test_the_tracing_backend_learns_nobody(confirmed: Line) -> None:
    """In no form and in no place; what describes the work is there."""
    confirmed.tracing.bodies.clear()
    sent = [quoting(told, quote) for told in TOLD for quote in QUOTED]
    sent[0].name = "herkenbaar"
    below = span({"http.request.method": "GET", "http.route": "/burger/{bsn}"}, name="GET /burger/123456782", kind=2)
    below.trace_id = sent[0].trace_id
    scope = ScopeSpans(
        spans=[*sent, below],
        scope=InstrumentationScope(name="scope", attributes=[KeyValue(key="x", value=value("123456782"))]),
    )
    assert post_scopes(confirmed.collector.url, [scope], {"process.command_line": "123456782"}).status_code == 200
    deadline = time.monotonic() + 30
    while b"herkenbaar" not in (seen := b"".join(unpacked(confirmed))):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for quote in QUOTED:
        assert quote.encode() not in seen
    assert b"GET /burger/{bsn}" in seen
    assert PSEUDONYMISER.subject("123456782", "BSN").pseudonym.hex().encode() not in seen
