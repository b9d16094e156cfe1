"""Wired by hand, beside other vendors, and in forking servers: the record is stored, or it shows that it is not."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.processes.rig import Rig, issue, request_all
from tests.ways_in.starting import INSTRUMENT, QUIET, run_code

_HEADER: Final = """
import os
import ldv_otel as ldv
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

ACTIE = {"dpl.core.processing_activity_id": "https://register.example/ways-in"}
"""
WAYS_IN: Final = (Path(__file__).parents[2] / "docs" / "ways-in.md").read_text(encoding="utf-8")


def test_the_processor_as_the_docs_wire_it(rig: Rig) -> None:
    """On a provider that is nobody's global one, below a sampler that drops everything."""
    (lines,) = re.findall(r"^## By hand\n+```python\n(.*?)^```", WAYS_IN, re.MULTILINE | re.DOTALL)
    wiring = lines.replace('{"LDV_LOGBOEK": "chdb:///var/lib/ldv/logboek"}', "os.environ")
    assert wiring != lines
    wiring = wiring.replace("ldv.LdvSampler()", "ldv.LdvSampler(ALWAYS_OFF)")
    ended = run_code(
        rig,
        f"""{_HEADER}{wiring}
provider.get_tracer("mine").start_span("the-id", attributes=ACTIE).end()
provider.shutdown()
""",
    )
    assert ended == (0, "")
    assert dict(rig.stored()) == {"the-id": 1}


@pytest.mark.parametrize("processor", ["SimpleSpanProcessor", "BatchSpanProcessor"])
def test_the_exporter(rig: Rig, processor: str) -> None:
    """What it is told to export is stored; what is not sampled it never sees."""
    ended = run_code(
        rig,
        f"""{_HEADER}
exporter = ldv.ClickHouseSpanExporter.from_settings(ldv.read_settings(os.environ))
for provider in (TracerProvider(), TracerProvider(sampler=ALWAYS_OFF)):
    provider.add_span_processor({processor}(exporter))
    with provider.get_tracer("mine").start_as_current_span("technical"):
        provider.get_tracer("mine").start_span("the-id", attributes=ACTIE).end()
    provider.force_flush()
provider.shutdown()
""",
    )
    assert ended == (0, "")
    assert dict(rig.stored()) == {"the-id": 1}


@pytest.mark.parametrize(
    "first", ["logfire.configure(**QUIET); ldv.install()", "ldv.install(); logfire.configure(**QUIET)"]
)
def test_beside_logfire(rig: Rig, first: str) -> None:
    """In any order, and when it is configured anew: spans by its API, by OpenTelemetry's and by ours; its sampling."""
    ended = run_code(
        rig,
        f"""{_HEADER}
import logfire
seen = InMemorySpanExporter()
QUIET = dict(send_to_logfire=False, console=False, metrics=False, inspect_arguments=False)
QUIET["additional_span_processors"] = [SimpleSpanProcessor(seen)]
QUIET["sampling"] = logfire.SamplingOptions(head=0.0)
early = trace.get_tracer("early")
{first}
def log(name):
    with logfire.span("one " + name, **ACTIE):
        pass
    with early.start_as_current_span("two " + name, attributes=ACTIE):
        with ldv.processing("https://register.example/ways-in", name="three " + name):
            ldv.data_subject("123456782", type="BSN")
log("a")
logfire.configure(**QUIET)
log("b")
print(ldv.health().provider_replaced, len([span for span in seen.get_finished_spans()]))
""",
    )
    assert ended == (0, "False 0\n")
    assert dict(rig.stored()) == {f"{number} {name}": 1 for number in ("one", "two", "three") for name in "ab"}


def test_what_cannot_be_logged_shows(rig: Rig) -> None:
    """`health()` says which tracers make no spans, and that another provider was put in place by force."""
    ended = run_code(
        rig,
        f"""{_HEADER}
from opentelemetry.sdk.trace import _RuleBasedTracerConfigurator, _TracerConfig
off = lambda scope: scope.name.startswith("noisy")
on = _TracerConfig(is_enabled=True)
rules = _RuleBasedTracerConfigurator(rules=[(off, _TracerConfig(is_enabled=False))], default_config=on)
trace.set_tracer_provider(TracerProvider(_tracer_configurator=rules))
ldv.install()
trace.get_tracer("noisy.redis"); trace.get_tracer("flask")
print(ldv.health().silenced_tracers, ldv.health().ok)
trace._TRACER_PROVIDER = TracerProvider()
print(ldv.health().provider_replaced, ldv.health().ok)
""",
    )
    assert ended == (0, "('noisy.redis',) True\nTrue False\n")


_FLASK: Final = """
from flask import Flask
app = Flask(__name__)

@app.get("/<oracle_id>")
def answer(oracle_id):
    from opentelemetry import trace
    trace.get_current_span().update_name(oracle_id)
    return oracle_id
"""
_RULES: Final = """
rules:
  - match: {kind: server, attributes: {http.route: "/<oracle_id>"}}
    activity: https://register.example/ways-in
"""


@pytest.mark.timeout(90)
def test_a_forking_server_without_code(rig: Rig) -> None:
    """Gunicorn under `opentelemetry-instrument`: set up in the master, with a record for each request."""
    (rig.directory / "forking.py").write_text(_FLASK)
    (rig.directory / "rules.yaml").write_text(_RULES)
    gunicorn = ("--bind=127.0.0.1:0", "--workers=2", "--threads=2", f"--chdir={rig.directory}")
    ids = issue(20)
    with rig.start(
        INSTRUMENT,
        str(Path(sys.executable).with_name("gunicorn")),
        *gunicorn,
        "forking:app",
        LDV_RULES=str(rig.directory / "rules.yaml"),
        **QUIET,
    ) as service:
        service.wait_for(r"(?s)Booting worker.*Booting worker")
        port = int(service.wait_for(r"Listening at: http://127\.0\.0\.1:(\d+)")[1])
        answered = request_all(port, ids)
        assert service.stop() == 0
        assert "Traceback" not in service.output
    assert answered == ids, service.output
    rig.verdict(acknowledged=answered, issued=ids)
