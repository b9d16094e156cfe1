"""`ldv rules test`: rules tried on recorded spans, without logging and without showing anybody."""

from __future__ import annotations

import importlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from typer.testing import CliRunner

from ldv_otel._internal.cli.app import app
from ldv_otel.errors import UnreadableInput

BSN = "123456782"
RULES = """
rules:
  - rule: inwoner
    match: {kind: server, scope: app.http, attributes: {http.route: "/inwoners/{bsn}"}}
    activity: https://register.example/a
    subject: {path: bsn, type: BSN}
  - rule: nooit
    match: {name: bestaat niet}
    activity: https://register.example/b
  - match: {kind: client}
    activity: https://register.example/c
    subject: {query: bsn, type: BSN}
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Rules, and the same spans as OTLP/JSON and as the console exporter prints them."""
    base = tmp_path_factory.mktemp("rules")
    console, exporter, provider = io.StringIO(), InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=console)))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("app.http")
    for number in (BSN, "111222333"):
        attributes = {"http.route": "/inwoners/{bsn}", "url.path": f"/inwoners/{number}"}
        with tracer.start_as_current_span(f"GET /inwoners/{number}", kind=SpanKind.SERVER, attributes=attributes):
            tracer.start_span("SELECT", kind=SpanKind.CLIENT, attributes={"db.system": "x"}).end()
            tracer.start_span("hand", attributes={"dpl.core.processing_activity_id": "https://x.example"}).end()
    json_format: Any = importlib.import_module("google.protobuf.json_format")  # it has no types
    (base / "rules.yaml").write_text(RULES, encoding="utf-8")
    (base / "otlp.json").write_text(
        json_format.MessageToJson(encode_spans(exporter.get_finished_spans())), encoding="utf-8"
    )
    (base / "console.json").write_text(console.getvalue(), encoding="utf-8")
    return base / "rules.yaml", base / "otlp.json", base / "console.json"


@pytest.mark.parametrize("form", [1, 2])
def test_which_rule_takes_which_span(files: tuple[Path, Path, Path], form: int) -> None:
    """From both kinds of file; a name that holds a number is shown without it."""
    done = CliRunner().invoke(app, ["rules", "test", str(files[0]), str(files[form]), "--json"])
    assert done.exit_code == 0, done.output
    outcome = json.loads(done.output)
    assert outcome["spans"] == 6
    assert outcome["never"] == ["2 nooit"]
    shown = [
        (match["rule"], match["label"], match["name"], match["spans"], match["subjects"])
        for match in outcome["matches"]
    ]
    assert shown == [
        (1, "1 inwoner", "GET /inwoners/REDACTED", 2, 2),
        (3, "3", "SELECT", 2, 0),
        (0, "", "hand", 2, 0),
    ]
    assert [match["without_subject"] for match in outcome["matches"]] == [0, 2, 0]
    assert BSN not in done.output


def test_the_table_for_people(files: tuple[Path, Path, Path]) -> None:
    """What takes nothing is told, and with `--strict` it is an error."""
    done = CliRunner().invoke(app, ["rules", "test", *map(str, files[:2]), "--strict"], env={"COLUMNS": "200"})
    assert done.exit_code == 1
    assert "4 of 6 spans are taken by a rule." in done.output
    assert "Rule 2 nooit takes none of them." in done.output
    assert "(none; an Actie by itself)" in done.output
    assert "not found in 2" in done.output
    assert BSN not in done.output


def test_a_real_trace() -> None:
    """Geonovum's, as a Collector wrote it."""
    trace = Path(__file__).parents[1] / "data" / "otlp-geonovum-kapvergunning.json"
    rules = Path(__file__).parents[2] / "examples" / "zero-code" / "rules.yaml"
    done = CliRunner().invoke(app, ["rules", "test", str(rules), str(trace), "--json"])
    assert done.exit_code == 0, done.output
    (match,) = json.loads(done.output)["matches"]
    assert (match["name"], match["acties"], match["scope"]) == ("Aanvraag_span", 1, "aanvraag.tracer")


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '{"resourceMetrics": []}', "[" * 100_000])
def test_a_file_without_spans_is_told(files: tuple[Path, Path, Path], tmp_path: Path, content: str) -> None:
    """With its name."""
    (tmp_path / "spans.json").write_text(content, encoding="utf-8")
    done = CliRunner().invoke(app, ["rules", "test", str(files[0]), str(tmp_path / "spans.json")])
    assert isinstance(done.exception, UnreadableInput)
    assert "spans.json: no spans in it" in str(done.exception)


def test_text_of_strangers_is_shown_as_it_is(tmp_path: Path) -> None:
    """Names come from callers: no emoji, no markup, and nothing that steers the terminal."""
    span = {"name": ":smile: [bold]x[/bold] \x1b[31m", "kind": 2, "traceId": "1" * 32, "spanId": "2" * 16}
    (tmp_path / "rules.yaml").write_text(RULES, encoding="utf-8")
    spans = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    (tmp_path / "spans.json").write_text(json.dumps(spans), encoding="utf-8")
    shown = CliRunner().invoke(app, ["rules", "test", str(tmp_path / "rules.yaml"), str(tmp_path / "spans.json")])
    assert ":smile:" in shown.output
    assert "[bold]x[/bold]" in shown.output
    assert "\x1b" not in shown.output
