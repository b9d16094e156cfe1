"""`opentelemetry-instrument` and OpenTelemetry's own variables, on an application without any code of ours."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from ldv_otel._internal.sdk.entry_points import sampler
from tests.processes.rig import Rig
from tests.ways_in.starting import APPLICATION, QUIET, Ended, instrumented, ldv_run, run

_NO_LDV = {
    "LDV_LOGBOEK": "",
    "LDV_KEYS": "",
    "LDV_DELIVERY": "",
    "LDV_SPOOL": "",
    "LDV_STATE": "",
    "LDV_SEAL_KEY": "",
}


@pytest.mark.parametrize("by", [instrumented, ldv_run])
def test_the_variables_are_enough(rig: Rig, by: Callable[..., Ended]) -> None:
    """LDV-A3: whatever the sampler says."""
    ended = by(rig, APPLICATION, OTEL_TRACES_SAMPLER="always_off")
    assert ended == (0, "ran unsampled\n")
    assert dict(rig.stored()) == {"the-id": 1}


def test_without_our_variables_nothing_happens(rig: Rig) -> None:
    """The package may lie in an image whose services keep no Logboek."""
    assert instrumented(rig, APPLICATION, **_NO_LDV) == (0, "ran sampled\n")
    assert not rig.stored()


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"LDV_LOGBOEK": ""}, "LDV_LOGBOEK is not set"),
        ({"LDV_KEYS": "/nowhere/keys.json"}, "/nowhere/keys.json"),
        ({"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "3"}, "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"),
        ({"OTEL_SDK_DISABLED": "true"}, "OTEL_SDK_DISABLED"),
        ({**_NO_LDV, "LDV_LOGBOEKS": "chdb:///x"}, "LDV_LOGBOEK is not set"),
        ({**_NO_LDV, "OTEL_TRACES_EXPORTER": "ldv"}, "LDV_LOGBOEK is not set"),
        ({**_NO_LDV, "OTEL_TRACES_SAMPLER": "ldv"}, "LDV_LOGBOEK is not set"),
        (
            {"OTEL_TRACES_SAMPLER": "ldv", "OTEL_TRACES_SAMPLER_ARG": "traceidratio:2"},
            "what comes after `traceidratio:`",
        ),
    ],
)
def test_what_cannot_work_stops_the_application(rig: Rig, environ: dict[str, str], says: str) -> None:
    """OpenTelemetry swallows what fails while it starts; a Logboek that is not kept must not be."""
    ended = instrumented(rig, APPLICATION, **environ)
    assert ended.status == 1
    assert "ran" not in ended.said.split()
    last = ended.said.splitlines()[-1]
    assert last.startswith("ldv_otel: ")
    assert says in last
    assert "Traceback" not in ended.said


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        (_NO_LDV, "LDV_LOGBOEK is not set"),
        ({"LDV_KEYS": "/nowhere/keys.json"}, "/nowhere/keys.json"),
        ({"OTEL_TRACES_EXPORTER": "not-installed"}, "not-installed"),
    ],
)
def test_ldv_run_starts_nothing_that_is_not_logged(rig: Rig, environ: dict[str, str], says: str) -> None:
    """Whatever fails, ours or OpenTelemetry's: the last line says it, and the application did not start."""
    ended = ldv_run(rig, APPLICATION, **environ)
    assert ended.status == 1
    assert "ran" not in ended.said.split()
    last = ended.said.splitlines()[-1]
    assert last.startswith("ldv_otel: ")
    assert says in last


def test_ldv_run_is_the_program(rig: Rig) -> None:
    """Its arguments, its exit code, and what it starts itself: that is logged as well."""
    code = "import subprocess, sys; sys.exit(7 + subprocess.call([sys.executable, *sys.argv[1:]]))"
    ended = ldv_run(rig, "-c", code, APPLICATION)
    assert ended == (7, "ran sampled\n")
    assert dict(rig.stored()) == {"the-id": 1}


def test_ldv_run_without_a_program(rig: Rig) -> None:
    """A slip in the name is told."""
    ended = run(rig, "-m", "ldv_otel._internal.cli", "run", "gunicornn", "app:app")
    assert ended == (1, "ldv: There is no program 'gunicornn' on the PATH.\n")


def test_the_command_that_puts_it_right_still_runs(rig: Rig) -> None:
    """Where every Python of a container is instrumented, `ldv key new` is too."""
    keys = rig.directory / "new.json"
    ended = instrumented(rig, "-m", "ldv_otel._internal.cli", "key", "new", LDV_KEYS=str(keys))
    assert ended.status == 0, ended.said
    assert keys.exists()


class TracingBackend(HTTPServer):
    """Counts what an OTLP exporter sends."""

    received = 0

    class _Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces" and b"the-id" in body and isinstance(self.server, TracingBackend):
                self.server.received += 1
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # the library's signature
            del format, args

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self._Handler)


@pytest.mark.parametrize("exporters", ["ldv", "otlp,ldv"])
def test_as_an_exporter(rig: Rig, exporters: str) -> None:
    """Beside OTLP, which gets what it got before: one record, not one for each way."""
    with TracingBackend() as backend:
        Thread(target=backend.serve_forever, daemon=True).start()
        ended = instrumented(
            rig,
            APPLICATION,
            OTEL_TRACES_EXPORTER=exporters,
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{backend.server_port}",
            OTEL_EXPORTER_OTLP_COMPRESSION="none",
        )
        backend.shutdown()
    assert ended == (0, "ran sampled\n")
    assert dict(rig.stored()) == {"the-id": 1}
    assert backend.received == exporters.count("otlp")


def test_as_a_sampler(rig: Rig) -> None:
    """The sampler inside decides what the tracing backend gets, and nothing else."""
    ended = instrumented(rig, APPLICATION, OTEL_TRACES_SAMPLER="ldv", OTEL_TRACES_SAMPLER_ARG="always_off")
    assert ended == (0, "ran unsampled\n")
    assert dict(rig.stored()) == {"the-id": 1}


@pytest.mark.parametrize(
    ("argument", "description"),
    [
        (None, "ParentBased{root:AlwaysOnSampler"),
        (" always_on ", "AlwaysOnSampler"),
        ("parentbased_always_off", "ParentBased{root:AlwaysOffSampler"),
        ("traceidratio:0.25", "TraceIdRatioBased{0.25}"),
        ("parentbased_traceidratio:1e-1", "ParentBased{root:TraceIdRatioBased{0.1}"),
        ("0.1", "ParentBased{root:TraceIdRatioBased{0.1}"),
    ],
)
def test_samplers_inside(argument: str | None, description: str) -> None:
    """Those of OpenTelemetry by name; a number alone is what other vendors expect in that variable."""
    assert sampler(argument).get_description().startswith(f"LdvSampler{{{description}")


@pytest.mark.parametrize("argument", ["ldv", "sometimes", "traceidratio:x", "-1", "2"])
def test_samplers_that_do_not_exist(argument: str) -> None:
    """They stop the start."""
    with pytest.raises(SystemExit, match="OTEL_TRACES_SAMPLER_ARG cannot be used"):
        sampler(argument)


def configuration(directory: Path, exporter: object, **provider: object) -> dict[str, str]:
    """Write a configuration file for OpenTelemetry, and return the variable that names it."""
    tracer_provider = {"processors": [{"batch": {"exporter": {"ldv": exporter}}}], **provider}
    path = directory / "otel.yaml"
    path.write_text(json.dumps({"file_format": "1.0", "tracer_provider": tracer_provider}))  # JSON is YAML
    return {"OTEL_CONFIG_FILE": str(path)}


def test_in_the_configuration_file(rig: Rig) -> None:
    """The exporter `ldv` takes the settings that the environment would have had."""
    options = {
        "logboek": rig.environ["LDV_LOGBOEK"],
        "keys": rig.environ["LDV_KEYS"],
        "spool": str(rig.spool),
        "flush_seconds": 10,
        "exception_messages": False,
        "pseudonymous_types": ["BSN", "KVK"],
    }
    ended = instrumented(
        rig, APPLICATION, **_NO_LDV, **configuration(rig.directory, options, sampler={"always_off": {}})
    )
    assert ended.status == 0
    assert ended.said.splitlines()[-1] == "ran unsampled"
    assert dict(rig.stored()) == {"the-id": 1}


def test_the_environment_and_the_configuration_file(rig: Rig) -> None:
    """Without options of its own the exporter goes by the environment; the sampler stands in the file too."""
    ended = instrumented(rig, APPLICATION, **configuration(rig.directory, None, sampler={"ldv": None}))
    assert ended.said.splitlines()[-1] == "ran sampled"
    assert dict(rig.stored()) == {"the-id": 1}


@pytest.mark.parametrize(
    ("exporter", "provider", "says"),
    [
        ({"logbook": "x"}, {}, "no option `logbook`. Logging did not start. Was `logboek` meant?"),
        ({}, {"limits": {"attribute_count_limit": 5}}, "Spans of this service keep 5 attributes"),
        (
            {},
            {"tracer_configurator/development": {"default_config": {"enabled": False}}},
            "switches the tracer `ldv_otel` off",
        ),
    ],
)
def test_a_configuration_file_that_cannot_work(
    rig: Rig, exporter: dict[str, object], provider: dict[str, object], says: str
) -> None:
    """It stops the application, also when the provider comes after the exporter."""
    ended = instrumented(rig, APPLICATION, **configuration(rig.directory, exporter, **provider))
    assert ended.status == 1
    assert says in ended.said.splitlines()[-1]


def test_children_of_the_application_are_instrumented_too(rig: Rig) -> None:
    """A Python that it starts keeps the Logboek by itself."""
    code = f"import subprocess, sys; subprocess.run([sys.executable, {APPLICATION!r}], check=True)"
    assert instrumented(rig, "-c", code) == (0, "ran sampled\n")
    assert dict(rig.stored()) == {"the-id": 1}


def test_called_from_a_program(rig: Rig) -> None:
    """Who calls OpenTelemetry's `initialize()` gets an exit like any other, and can clean up."""
    code = """
        import atexit
        from opentelemetry.instrumentation.auto_instrumentation import initialize
        atexit.register(print, "cleaned up")
        initialize()
        print("ran")
    """
    program = rig.directory / "program.py"
    program.write_text("\n".join(line.strip() for line in code.splitlines()))
    assert run(rig, str(program), **QUIET) == (0, "ran\ncleaned up\n")
    ended = run(rig, str(program), **{**QUIET, "LDV_LOGBOEK": ""})
    assert ended.status == 1
    assert "cleaned up" in ended.said
    assert "ldv_otel: LDV_LOGBOEK is not set" in ended.said


_CALLER = """
from opentelemetry import propagate, trace
actie = {"dpl.core.processing_activity_id": "https://register.example/ways-in"}
with trace.get_tracer("caller").start_as_current_span("the-id", attributes=actie) as span:
    carrier = {}
    propagate.inject(carrier)
    assert carrier["traceparent"].split("-")[2] == trace.format_span_id(span.get_span_context().span_id)
    print(trace.format_span_id(span.get_span_context().span_id), carrier["tracestate"])
"""


@pytest.mark.parametrize("propagators", ["", "tracecontext,baggage,ldv"])
def test_as_a_propagator(rig: Rig, propagators: str) -> None:
    """By name in any company, and without being named: `tracestate` holds the id of the Actie that calls, once."""
    ended = instrumented(rig, "-c", _CALLER, OTEL_PROPAGATORS=propagators)
    assert ended.status == 0, ended.said
    span_id, tracestate = ended.said.split()
    assert re.fullmatch(rf"ldv=[^,]*{span_id}[^,]*", tracestate)
    assert dict(rig.stored()) == {"the-id": 1}


def test_a_propagator_that_cannot_work(rig: Rig) -> None:
    """Nothing of OpenTelemetry can be imported then, which Python itself would put up with while it starts."""
    code = "import opentelemetry.propagate; print('ran')"
    ended = run(rig, "-c", code, OTEL_PROPAGATORS="ldv", LDV_PARTIES="/nowhere/parties.yaml")
    assert ended.status == 1
    assert ended.said.startswith("ldv_otel: LDV_PARTIES")


_OWN_PROVIDER = """
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
import ldv_otel
provider = TracerProvider(resource=Resource.create({"service.name": "vergunningen"}))
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(provider)
trace.get_tracer("x").start_span("s").end()
health = ldv_otel.health()
print("ok", health.ok, [check.state for check in health.checks if check.check == "provider"])
"""


@pytest.mark.parametrize("by", [instrumented, ldv_run])
def test_a_provider_beside_the_one_of_the_instrumentation_is_named(
    rig: Rig, by: Callable[..., Ended], tmp_path: Path
) -> None:
    """OpenTelemetry refuses it: its exporters get nothing, and the service loses its name. Records are kept."""
    path = tmp_path / "own.py"
    path.write_text(_OWN_PROVIDER, encoding="utf-8")
    ended = by(rig, str(path))
    assert ended.status == 0, ended.said
    assert "So no span reaches ConsoleSpanExporter, and the service is called" in ended.said
    assert "not 'vergunningen'" in ended.said
    assert "ldv_otel.install() where the provider is set" in ended.said
    assert "ok True ['wrong']" in ended.said
