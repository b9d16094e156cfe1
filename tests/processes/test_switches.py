"""Never silently off: each way to switch logging off gives an exception, a stored record, or a loss that is told.

Every case is a service of its own with a real `install()`. It says where an exception of ours met it: at the start, at
the call, or nowhere; nowhere means that the record has to be in the Logboek in the end.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import msgspec
import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.sql_text import Sql
from tests.processes.rig import Rig
from tests.support import faults
from tests.support.logboek import SECRET
from tests.support.tls import TlsRelay, make_certificates

pytestmark = pytest.mark.slow

Outcome = Literal["start", "call", "stored", "told"]

_SCRIPT: Final = """
import atexit, os, sys
import ldv_otel as ldv
from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider

ACTIVITY = "https://register.example/switches"

def log():
    try:
        with ldv.processing(ACTIVITY, name="the-id"):
            pass
    except Exception as error:
        print("call", type(error).__name__, flush=True)
    else:
        print("returned", flush=True)

def install():
    try:
        ldv.install()
    except ldv.LdvError as error:
        print("start", type(error).__name__, flush=True)
        sys.exit()

def sql(statement):
    from ldv_otel._internal.clickhouse.client import LogboekClient
    from ldv_otel._internal.clickhouse.sql_text import Sql
    with LogboekClient(ldv.read_settings(os.environ)) as client:
        client.command(Sql.verbatim(statement))

"""


_SWITCHED_OFF: Final = """
from opentelemetry.sdk.trace import _disable_tracer_configurator
trace.set_tracer_provider(TracerProvider(_tracer_configurator=_disable_tracer_configurator))
install()
"""


@dataclass(frozen=True)
class Switch:
    """One way to switch logging off.

    Attributes:
        body: What the service does.
        outcome: What has to come of it.
        environ: Variables, in which `{directory}`, `{port}` and `{logboek}` stand for those of the rig.
        says: Has to be in the log.
        repair: SQL that an administrator runs afterwards.
        answers: What a server between the service and its Logboek says, until an administrator has put things right.
        tls: The service speaks TLS with a server whose authority it does not know until then.
    """

    outcome: Outcome
    body: str = "install(); log()"
    environ: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    says: str = ""
    repair: str = ""
    answers: tuple[faults.Action, faults.Predicate] | None = None
    tls: bool = False


SWITCHES: Final = {
    "unsampled caller": Switch(
        "stored",
        """
        install()
        caller = trace.SpanContext(1 << 100, 1 << 40, True, trace.TraceFlags(0))
        context.attach(trace.set_span_in_context(trace.NonRecordingSpan(caller)))
        log()
        """,
    ),
    "OTEL_SDK_DISABLED": Switch("start", environ={"OTEL_SDK_DISABLED": "true"}),
    "no provider": Switch("stored"),
    "provider set later": Switch("stored", "install(); trace.set_tracer_provider(TracerProvider()); log()"),
    "provider set twice": Switch(
        "stored",
        "trace.set_tracer_provider(TracerProvider()); install(); trace.set_tracer_provider(TracerProvider()); log()",
    ),
    "provider put in by force": Switch("call", "install(); trace._TRACER_PROVIDER = TracerProvider(); log()"),
    "no-op provider put in by force": Switch(
        "call", "install(); trace._TRACER_PROVIDER = trace.NoOpTracerProvider(); log()"
    ),
    "no-op provider first": Switch("start", "trace.set_tracer_provider(trace.NoOpTracerProvider()); install(); log()"),
    "no-op provider set later": Switch(
        "call", "install(); trace.set_tracer_provider(trace.NoOpTracerProvider()); log()"
    ),
    "provider replaced by another vendor's": Switch(
        "stored",
        """
        import logfire
        logfire.configure(send_to_logfire=False, console=False, metrics=False)
        install()
        logfire.configure(send_to_logfire=False, console=False, metrics=False)
        log()
        """,
    ),
    "tracer switched off": Switch("start", _SWITCHED_OFF),
    "tracer switched off later": Switch(
        "call",
        """
        from opentelemetry.sdk.trace import _disable_tracer_configurator
        install()
        trace.get_tracer_provider()._set_tracer_configurator(tracer_configurator=_disable_tracer_configurator)
        log()
        """,
    ),
    "sampler always_off": Switch("stored", environ={"OTEL_TRACES_SAMPLER": "always_off"}),
    "attribute limit 0": Switch("start", environ={"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "0"}),
    "attribute limit 1": Switch("start", environ={"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "1"}),
    "attribute limit for all 1": Switch("start", environ={"OTEL_ATTRIBUTE_COUNT_LIMIT": "1"}),
    "attribute limit of a later provider": Switch(
        "start",
        """
        from opentelemetry.sdk.trace import SpanLimits
        install()
        def replace():
            trace.set_tracer_provider(TracerProvider(span_limits=SpanLimits(max_span_attributes=1)))
        ldv.install = replace
        install()
        log()
        """,
    ),
    "attribute length 3": Switch("stored", environ={"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "3"}),
    "never installed": Switch("call", "log()"),
    "never installed, with a provider": Switch("call", "trace.set_tracer_provider(TracerProvider()); log()"),
    "suppressed instrumentation": Switch(
        "stored",
        """
        install()
        for key in ("suppress_instrumentation", context._SUPPRESS_INSTRUMENTATION_KEY):
            context.attach(context.set_value(key, True))
        log()
        """,
    ),
    "table gone": Switch(
        "stored",
        "install(); sql('ALTER TABLE logregel RENAME COLUMN name TO elsewhere'); log()",
        environ={"LDV_FLUSH_SECONDS": "0.5"},
        says="stay in the spool",
        repair="ALTER TABLE logregel RENAME COLUMN elsewhere TO name",
    ),
    "no such database": Switch(
        "stored",
        environ={"LDV_FLUSH_SECONDS": "0.5"},
        answers=(faults.server_error(81, 404, "UNKNOWN_DATABASE"), faults.anything),
        says="UNKNOWN_DATABASE (81)",
    ),
    "user who may not insert": Switch(
        "stored",
        environ={"LDV_FLUSH_SECONDS": "0.5"},
        answers=(faults.server_error(497, 403, "ACCESS_DENIED"), faults.is_insert),
        says="ACCESS_DENIED (497). Check user, password and rights",
    ),
    "user who may only read": Switch(
        "stored",
        environ={"LDV_FLUSH_SECONDS": "0.5"},
        answers=(faults.server_error(164, 500, "READONLY"), faults.is_insert),
        says="READONLY (164). Check user, password and rights",
    ),
    "password that expires": Switch(
        "stored",
        environ={"LDV_FLUSH_SECONDS": "0.5"},
        answers=(faults.server_error(516, 403, "AUTHENTICATION_FAILED"), faults.is_insert),
        says="AUTHENTICATION_FAILED (516). Check user, password and rights",
    ),
    "password that has expired": Switch(
        "stored",
        environ={"LDV_FLUSH_SECONDS": "0.5"},
        answers=(faults.server_error(516, 403, "AUTHENTICATION_FAILED"), faults.anything),
        says="AUTHENTICATION_FAILED (516). Check user, password and rights",
    ),
    "certificate of an unknown authority": Switch(
        "stored", environ={"LDV_FLUSH_SECONDS": "0.5"}, tls=True, says="LDV_LOGBOEK_CA_FILE"
    ),
    "deduplication window 0": Switch(
        "stored",
        "sql('ALTER TABLE logregel MODIFY SETTING non_replicated_deduplication_window = 0'); install(); log()",
        environ={"LDV_FLUSH_SECONDS": "0.5"},
        says="remembers 0 batches",
        repair="ALTER TABLE logregel MODIFY SETTING non_replicated_deduplication_window = 10000",
    ),
    "spool below a file": Switch("start", environ={"LDV_SPOOL": "{directory}/keys.json/spool"}),
    "spool on a read-only file system": Switch("start", environ={"LDV_SPOOL": "/proc/spool"}),
    "spool without parents": Switch("stored", environ={"LDV_SPOOL": "{directory}/some/where/else"}),
    "drainer fails": Switch(
        "stored",
        """
        from ldv_otel._internal.clickhouse.sink import ClickHouseSink
        def send(*_): raise ZeroDivisionError("broken sink")
        ClickHouseSink.send = send
        install(); log()
        """,
        environ={"LDV_FLUSH_SECONDS": "0.5"},
        says="ZeroDivisionError in send",
    ),
    "drainer dead": Switch(
        "stored",
        """
        from ldv_otel._internal.clickhouse.sink import ClickHouseSink
        def send(*_): raise SystemExit
        ClickHouseSink.send = send
        install(); log()
        """,
        environ={"LDV_FLUSH_SECONDS": "0.5"},
        says="stay in the spool",
    ),
    "forked child": Switch("stored", "install()\nif os.fork() == 0:\n    log()\n    os._exit(0)\nos.wait()"),
    "forked child after shutdown": Switch(
        "stored",
        "install(); trace.get_tracer_provider().shutdown()\nif os.fork() == 0:\n    log()\n    os._exit(0)\nos.wait()",
    ),
    "full queue in memory": Switch(
        "told",
        "install(); log(); log(); log()",
        environ={
            "LDV_DELIVERY": "memory",
            "LDV_QUEUE_RECORDS": "1",
            "LDV_LOGBOEK": "clickhouse+http://127.0.0.1:9/ldv",
            "LDV_FLUSH_SECONDS": "0.2",
        },
        says="lost",
    ),
    "clock before 1970": Switch(
        "stored",
        """
        import time
        install()
        time.time_ns = lambda: -10**18
        log()
        """,
    ),
    "clock at 0": Switch("stored", "import time\ninstall(); time.time_ns = lambda: 0\nlog()"),
    "clock after 2262": Switch("stored", "import time\ninstall(); time.time_ns = lambda: 10**20\nlog()"),
    "python -O": Switch("stored", options=("-OO",)),
    "after shutdown": Switch("stored", "install(); trace.get_tracer_provider().shutdown(); log()"),
    "an exit handler that runs before ours": Switch("stored", "install(); atexit.register(log)"),
    "an exit handler that runs after ours": Switch("stored", "atexit.register(log); install()"),
    "a thread that outlives the main one": Switch(
        "stored", "import threading, time\ninstall(); threading.Thread(target=lambda: (time.sleep(0.3), log())).start()"
    ),
    "a finaliser at the end of the interpreter": Switch(
        "call",
        """
        install()
        class Last:
            def __del__(self, log=log): log()
        last = Last()
        """,
    ),
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SWITCHES)
def test_it_is_never_silent(rig: Rig, name: str) -> None:
    """An exception at the start or at the call, a stored record, or a loss that is logged and written down."""
    switch = SWITCHES[name]
    with put_between(rig, switch) as put_right:
        environ = {
            key: value.format(directory=rig.directory, port=rig.logboek.port) for key, value in switch.environ.items()
        }
        script = _SCRIPT + textwrap.dedent(switch.body)
        with rig.start(*switch.options, "-c", script, **environ) as service:
            service.end(60)
            said = service.output
        put_right()
        if "LDV_SPOOL" in environ:
            rig.spool, rig.environ["LDV_SPOOL"] = Path(environ["LDV_SPOOL"]), environ["LDV_SPOOL"]
        rig.adopt()
    stored = rig.stored()
    words = {line.split()[0] for line in said.splitlines() if line.startswith(("start ", "call ", "returned"))}
    assert switch.says in said
    if switch.outcome == "told":
        assert words == {"returned"}
        assert list((rig.directory / "state" / "losses").glob("*.json")), said
    else:
        assert words == ({"returned"} if switch.outcome == "stored" else {switch.outcome}), said
        assert dict(stored) == ({"the-id": 1} if switch.outcome == "stored" else {}), said


@contextmanager
def put_between(rig: Rig, switch: Switch) -> Iterator[Callable[[], None]]:
    """Put what the switch asks for between the service and its Logboek; give what puts all of it right."""
    with ExitStack() as between:
        front = between.enter_context(faults.FaultFront(rig.logboek.port)) if switch.answers else None
        relay: TlsRelay | None = None
        authority = Path()
        if switch.tls:
            authority, certificate = make_certificates(rig.directory)
            relay = between.enter_context(TlsRelay(certificate, rig.logboek.port))
        if front is not None and switch.answers is not None:
            action, when = switch.answers
            front.add(action, when=when)
        if (other := front or relay) is not None:
            scheme = "clickhouse+https" if relay else "clickhouse+http"
            address = msgspec.structs.replace(rig.settings.logboek, scheme=scheme, port=other.port)
            rig.environ |= {"LDV_LOGBOEK": str(address), "LDV_LOGBOEK_PASSWORD": SECRET}

        def put_right() -> None:
            if front is not None:
                front.clear()
            if relay is not None:
                rig.environ["LDV_LOGBOEK_CA_FILE"] = str(authority)
            if switch.repair:
                with LogboekClient(rig.settings) as client:
                    client.command(Sql.verbatim(switch.repair))

        yield put_right
