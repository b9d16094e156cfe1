"""`install()` in processes of their own: each starts from nothing, as a service does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ldv_otel._internal.privacy.key_file import add_key
from tests.support.collector import HttpRecorder

HEADER = """
import json, os, sys
import ldv_otel as ldv
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

def logged():
    assert ldv.force_flush(), ldv.health()
    from ldv_otel._internal.clickhouse.queries import records as read
    from ldv_otel._internal.clickhouse.client import LogboekClient
    with LogboekClient(ldv.read_settings(os.environ)) as client:
        return sorted(found.logregel.name for found in read.in_period(client).records)

def provider_with_backend():
    backend = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(backend))
    return provider, backend

A = "https://register.example/a"
"""


def environ(tmp_path: Path, **more: str) -> dict[str, str]:
    """An environment with an embedded Logboek."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "OTEL_"))}
    return clean | {"LDV_LOGBOEK": f"chdb://{tmp_path}/logboek", "LDV_STATE": str(tmp_path / "state")} | more


def key_file(tmp_path: Path) -> str:
    """A key ring for a Logboek on a server."""
    add_key(tmp_path / "keys.json")
    return str(tmp_path / "keys.json")


def run(tmp_path: Path, script: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a service."""
    return subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", HEADER + textwrap.dedent(script)],
        env=environ(tmp_path, **more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def output(tmp_path: Path, script: str, **more: str) -> object:
    """Run a service that prints one line of JSON."""
    done = run(tmp_path, script, **more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("record", ["all", "acties"])
def test_attributes_that_make_no_record_are_named(tmp_path: Path, record: str) -> None:
    """LDV-N9: nobody loses a Logregel to a misspelling without being told, also below a sampler that drops it."""
    done = run(
        tmp_path,
        """
        ldv.install()
        tracer = trace.get_tracer("x")
        with tracer.start_as_current_span("a", attributes={"dpl.core.processing_activity": "123456782"}):
            with tracer.start_as_current_span("b", attributes={"dpl.objects.dataset": "x", "dpl.gbo": "y"}):
                pass
        with tracer.start_as_current_span("c", attributes={"dpl.core.processing_activity": "123456782"}):
            pass
        (found,) = ldv.health().overlooked
        print(json.dumps([found.name, found.spans, found.nearest, logged()]))
        """,
        LDV_RECORD=record,
        OTEL_TRACES_SAMPLER="always_off",
    )
    assert done.returncode == 0, done.stderr
    expected = ["dpl.core.processing_activity", 2, "dpl.core.processing_activity_id", ["b"]]
    assert json.loads(done.stdout) == expected
    assert "123456782" not in done.stderr
    assert done.stderr.count("Did you mean dpl.core.processing_activity_id?") == 1


def test_with_no_provider_at_all(tmp_path: Path) -> None:
    """One line is enough; a second one changes nothing."""
    assert output(
        tmp_path,
        """
        ldv.install(); ldv.install()
        with ldv.processing(A, name="one"):
            pass
        print(json.dumps(logged()))
        """,
    ) == ["one"]


def test_after_set_tracer_provider(tmp_path: Path) -> None:
    """The service's provider, its exporter and the tracers it has handed out keep working."""
    assert output(
        tmp_path,
        """
        provider, backend = provider_with_backend()
        trace.set_tracer_provider(provider)
        early = trace.get_tracer("early")
        ldv.install()
        with ldv.processing(A, name="ours"):
            pass
        with early.start_as_current_span("early", attributes={"dpl.core.processing_activity_id": A}):
            pass
        print(json.dumps([logged(), sorted(span.name for span in backend.get_finished_spans())]))
        """,
        OTEL_TRACES_SAMPLER="always_off",
    ) == [["early", "ours"], []]


def test_before_set_tracer_provider(tmp_path: Path) -> None:
    """The service sets its provider later: it gets every span, also of tracers handed out before."""
    assert output(
        tmp_path,
        """
        before = trace.get_tracer("proxy, made before anything")
        ldv.install()
        between = trace.get_tracer("made in between")
        provider, backend = provider_with_backend()
        trace.set_tracer_provider(provider)
        assert trace.get_tracer_provider() is provider
        for tracer in (before, between, trace.get_tracer("made after")):
            with tracer.start_as_current_span("hand", attributes={"dpl.core.processing_activity_id": A}):
                pass
        with ldv.processing(A, name="ours"):
            pass
        print(json.dumps([logged(), sorted(span.name for span in backend.get_finished_spans())]))
        """,
    ) == [["hand", "hand", "hand", "ours"], ["hand", "hand", "hand", "ours"]]


def test_a_normal_end_delivers(tmp_path: Path) -> None:
    """Nobody calls force_flush; what was queued is stored all the same."""
    done = run(tmp_path, 'ldv.install()\nwith ldv.processing(A, name="last words"):\n    pass\n')
    assert done.returncode == 0, done.stderr
    assert output(tmp_path, "ldv.install(); print(json.dumps(logged()))") == ["last words"]


def test_sigterm_delivers(tmp_path: Path) -> None:
    """A service that is told to stop takes its records along."""
    script = 'ldv.install()\nwith ldv.processing(A, name="last words"):\n    pass\nprint("ready", flush=True)\n'
    with subprocess.Popen(
        [sys.executable, "-c", HEADER + script + "import time; time.sleep(60)"],
        env=environ(tmp_path),
        stdout=subprocess.PIPE,
    ) as service:
        assert service.stdout is not None
        assert service.stdout.readline() == b"ready\n"
        service.terminate()
        assert service.wait(30) == 128 + signal.SIGTERM
    assert output(tmp_path, "ldv.install(); print(json.dumps(logged()))") == ["last words"]


def test_an_exit_handler_from_before_logs_too(tmp_path: Path) -> None:
    """It runs after ours; with a spool there is no reason to stop."""
    script = """
        import atexit

        def last() -> None:
            with ldv.processing(A, name="to the last moment"):
                ldv.data_subject("123456782", type="BSN")

        atexit.register(last)
        ldv.install()
        with ldv.processing(A, name="before"):
            pass
        """
    done = run(tmp_path, textwrap.dedent(script))
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    wait = """
        ldv.install()
        for _ in range(600):
            if len(names := logged()) == 2:
                break
            time.sleep(0.1)
        print(json.dumps(names))
        """
    assert output(tmp_path, "import time\n" + textwrap.dedent(wait)) == ["before", "to the last moment"]


def test_sigterm_ends_a_loop_that_swallows_everything(tmp_path: Path) -> None:
    """As it would without us, by the action of the signal; what was logged is delivered first."""
    script = """
        import time
        from ldv_otel._internal.sdk import install
        install._EXIT_SECONDS = 0.2
        ldv.install()
        with ldv.processing(A, name="last words"):
            pass
        said = False
        while True:
            try:
                if not said:  # in here: the signal comes as soon as it is said
                    said = True
                    print("ready", flush=True)
                time.sleep(0.05)
            except BaseException:
                pass
        """
    with subprocess.Popen(
        [sys.executable, "-c", HEADER + textwrap.dedent(script)], env=environ(tmp_path), stdout=subprocess.PIPE
    ) as service:
        assert service.stdout is not None
        assert service.stdout.readline() == b"ready\n"
        service.terminate()
        assert service.wait(60) == -signal.SIGTERM
    assert output(tmp_path, "ldv.install(); print(json.dumps(logged()))") == ["last words"]


def test_sigterm_ends_a_forked_child_as_it_would_without_us(tmp_path: Path) -> None:
    """By the action of the signal, and not by an exception in whatever the child is doing."""
    script = """
        import os, signal, time
        ldv.install()
        child = os.fork()
        if child == 0:
            while True:
                try:
                    time.sleep(60)
                except BaseException:
                    os._exit(7)
        time.sleep(0.2)
        os.kill(child, signal.SIGTERM)
        print(json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
        """
    assert output(tmp_path, textwrap.dedent(script)) == -signal.SIGTERM


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"LDV_LOGBOEK": ""}, "LDV_LOGBOEK is not set"),
        ({"LDV_LOGBOEK": "clickhouse+http://db.example/ldv"}, "LDV_ALLOW_INSECURE"),
        ({"LDV_LOGBOEK": "carrier+pigeon://db.example/ldv", "LDV_ALLOW_INSECURE": "1"}, "nothing installed here"),
        ({"LDV_LOGBOEK": "clickhouse+http://127.0.0.1:9/ldv"}, "LDV_KEYS"),
        ({"LDV_KEYS": "/nowhere/keys.json"}, "/nowhere/keys.json"),
        ({"LDV_LOGBOEK": "chdb:///proc/nowhere/logboek", "LDV_KEYS": "{keys}"}, "cannot be made"),
        ({"OTEL_SDK_DISABLED": "true"}, "OTEL_SDK_DISABLED"),
        ({"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "1"}, "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"),
    ],
)
def test_what_cannot_work_stops_the_start(tmp_path: Path, more: dict[str, str], says: str) -> None:
    """A clear error at the start, never silence; no traceback of somebody else's library is needed to read it."""
    if more.get("LDV_KEYS") == "{keys}":
        more = more | {"LDV_KEYS": key_file(tmp_path)}
    done = run(tmp_path, "ldv.install()", **more)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ldv_otel.errors."), done.stderr
    assert says in last


def test_a_foreign_provider_is_refused(tmp_path: Path) -> None:
    """Spans of somebody else's SDK cannot be logged, and that is said."""
    done = run(
        tmp_path,
        """
        class Strange(trace.TracerProvider):
            def get_tracer(self, *a, **k): return trace.NoOpTracer()
        trace.set_tracer_provider(Strange())
        ldv.install()
        """,
    )
    assert "is a Strange" in done.stderr


def test_a_directory_in_use_says_who_has_it(tmp_path: Path) -> None:
    """One process for an embedded directory; the second hears of `ldv logboek`."""
    script = 'ldv.install()\nprint("ready", flush=True)\nimport time; time.sleep(60)'
    with subprocess.Popen(
        [sys.executable, "-c", HEADER + script], env=environ(tmp_path), stdout=subprocess.PIPE
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"ready\n"
        second = run(tmp_path, "ldv.install()")
        assert str(first.pid) in second.stderr
        assert "ldv logboek" in second.stderr
        first.kill()


def test_a_server_that_is_away_does_not_stop_the_service(tmp_path: Path) -> None:
    """It starts and works; with level `memory` it says loudly what could not be delivered, and where."""
    started = time.monotonic()
    done = run(
        tmp_path,
        """
        ldv.install()
        with ldv.processing(A):
            ldv.data_subject("123456782", type="BSN")
        print(json.dumps([ldv.force_flush(0.2), ldv.health().pending]))
        """,
        LDV_LOGBOEK="clickhouse+http://127.0.0.1:9/ldv",
        LDV_KEYS=key_file(tmp_path),
        LDV_FLUSH_SECONDS="0.5",
        LDV_DELIVERY="memory",
    )
    assert json.loads(done.stdout) == [False, 1]
    assert "lost" in done.stderr
    assert "cannot be reached" in done.stderr
    assert "123456782" not in done.stderr
    (report,) = (tmp_path / "state" / "losses").glob("*.json")
    assert json.loads(report.read_bytes())["lost"] == 1
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("how", ["fork", "os.fork"])
def test_a_forked_child_does_not_hang_or_double(tmp_path: Path, how: str) -> None:
    """The embedded engine does not survive a fork: the child says so, the parent's records stay single."""
    done = run(
        tmp_path,
        f"""
        import warnings; warnings.simplefilter("ignore", DeprecationWarning)
        import multiprocessing
        ldv.install()
        with ldv.processing(A, name="before"):
            pass
        def child():
            with ldv.processing(A, name="child"):
                pass
            print(json.dumps(ldv.force_flush(5)), flush=True)
        if {how!r} == "fork":
            process = multiprocessing.get_context("fork").Process(target=child)
            process.start(); process.join()
        else:
            if os.fork() == 0:
                child()
                os._exit(0)
            os.wait()
        print(json.dumps(logged()))
        """,
    )
    child, parent = done.stdout.splitlines()
    assert child == "false", done.stderr
    assert "does not survive a fork" in done.stderr
    # The child's record waits in its spool, until the parent takes it over.
    assert parent in ('["before"]', '["before", "child"]')
    assert output(tmp_path, "ldv.install(); import time; time.sleep(2); print(json.dumps(logged()))") == [
        "before",
        "child",
    ]


@pytest.mark.parametrize("delivery", ["durable", "memory"])
def test_logging_is_not_logged(tmp_path: Path, delivery: str) -> None:
    """LDV-A11: where every call is an Actie by a rule, the calls that deliver Logregels are none, nor traced."""
    (tmp_path / "rules.yaml").write_text("rules: [{match: {kind: client}, activity: 'https://register.example/a'}]")
    with HttpRecorder() as logboek:
        done = run(
            tmp_path,
            """
            import requests
            from opentelemetry.instrumentation.requests import RequestsInstrumentor
            RequestsInstrumentor().instrument()
            provider, backend = provider_with_backend()
            trace.set_tracer_provider(provider)
            ldv.install()
            assert ldv.force_flush()
            requests.get(os.environ["CALLED"])
            assert ldv.force_flush(), ldv.health()
            print(len(backend.get_finished_spans()))
            """,
            LDV_LOGBOEK=f"otlp+http://127.0.0.1:{logboek.port}",
            LDV_KEYS=key_file(tmp_path),
            LDV_RULES=str(tmp_path / "rules.yaml"),
            LDV_DELIVERY=delivery,
            LDV_SPOOL=str(tmp_path / "spool"),
            CALLED=f"http://127.0.0.1:{logboek.port}/",
        )
        sent = list(logboek.bodies)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "1"
    spans = [
        span
        for body in sent
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert [span.name for span in spans] == ["GET"]


def test_what_a_resource_loses_is_told(tmp_path: Path) -> None:
    """Records keep what names the system or is asked for; the rest shows in health and in the record."""
    resource = "service.name=parkeren,host.name=srv-1,os.type=linux,process.owner=jan,k8s.pod.name=p,cmdb_ci=CI-1"
    found = run(
        tmp_path,
        """
        ldv.install()
        with ldv.processing(A, name="een"):
            ldv.data_subject("123456782", type="BSN")
            ldv.data_subjects(["999990019"], type="BSN")
        assert ldv.force_flush()
        from ldv_otel._internal.clickhouse.queries import records as read
        from ldv_otel._internal.clickhouse.client import LogboekClient
        with LogboekClient(ldv.read_settings(os.environ)) as client:
            records = [found.logregel for found in read.in_period(client).records]
            counts = read.resource_left_out(client)
        resources = [json.loads(record.resource) for record in records]
        print(json.dumps([resources, counts, ldv.health().resource_left_out]))
        """,
        OTEL_RESOURCE_ATTRIBUTES=resource,
        LDV_RESOURCE_ATTRIBUTES="k8s.*,cmdb_ci",
    )
    assert found.returncode == 0, found.stderr
    resources, counts, told = json.loads(found.stdout)
    assert len(resources) == 2
    for one in resources:
        instance = one.pop("service.instance.id", None)
        assert instance is None or len(instance) == 36
        kept = {"service.name": "parkeren", "host.name": "srv-1", "k8s.pod.name": "p", "cmdb_ci": "CI-1"}
        assert one == kept | {"ldv.left_out": "os.type,process.owner"}
    assert counts == {"os.type": 2, "process.owner": 2}
    assert told == ["os.type", "process.owner"]


def test_a_start_says_in_one_line_what_logs_where(tmp_path: Path) -> None:
    """Logboek, rules, keys, level and spool: what an operator looks for first."""
    (tmp_path / "rules.yaml").write_text(
        "rules:\n- match: {kind: server}\n  activity: https://x.example\n", encoding="utf-8"
    )
    done = run(
        tmp_path,
        """
        import logging
        logging.basicConfig(level=logging.INFO)
        ldv.install()
        trace.get_tracer("x").start_span("s").end()
        print([check.finding for check in ldv.health().checks if check.check == "rules matched"])
        """,
        LDV_RULES=str(tmp_path / "rules.yaml"),
    )
    assert f"Logboek chdb://{tmp_path}/logboek, 1 rule, 1 key, durable, spool {tmp_path}/state/spool" in done.stderr
    assert "is of kind `internal`; the rule wants `server`." in done.stdout


def test_health_without_install_says_what_to_do(tmp_path: Path) -> None:
    """`OTEL_TRACES_EXPORTER=ldv` with a plain `python app.py`: nobody reads it."""
    done = run(tmp_path, "print(*ldv.health().checks)", OTEL_TRACES_EXPORTER="ldv")
    assert "nothing called `ldv_otel.install()`" in done.stdout
