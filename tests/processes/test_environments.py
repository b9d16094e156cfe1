"""Where people run it: containers without a home, sub-interpreters, functions that are frozen, servers that reload."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.privacy.key_file import add_key
from ldv_otel._internal.sdk.reloaders import only_restarts
from tests.processes.rig import Service, wait_until
from tests.support.loopback import free_port

pytestmark = pytest.mark.slow

_START_SECONDS: Final = 180
#: So long after a change a server has begun to reload.
_NOTICED_SECONDS: Final = 15
_QUIET: Final = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
#: Nobody listens on this port.
AWAY: Final = "clickhouse+http://127.0.0.1:9/ldv"
BIN: Final = Path(sys.executable).parent


def environment(directory: Path, logboek: str, **more: str) -> dict[str, str]:
    """What a container gives its process: a path, and what its operator names."""
    directory.chmod(0o700)
    if not (directory / "keys.json").exists():
        add_key(directory / "keys.json")
    python_path = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
    return {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
        # logfire, which is here to be tested beside, comes along with pydantic and wants a home.
        "PYDANTIC_DISABLE_PLUGINS": "__all__",
        "LDV_LOGBOEK": logboek,
        "LDV_KEYS": str(directory / "keys.json"),
        "LDV_FLUSH_SECONDS": "0.2",
        **python_path,
        **more,
    }


def nobody(*command: str) -> list[str]:
    """Run a command as a user who is in no list of users."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not here")
    prefix = ["unshare", "--user", "--map-user=54321", "--map-group=54321"]
    tried = subprocess.run([*prefix, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no user namespaces here: {tried.stderr.strip()}")
    return [*prefix, *command]


_ONE_RECORD: Final = """
import pwd, os, sys
import ldv_otel as ldv
try:
    pwd.getpwuid(os.geteuid())
except KeyError:
    print("nobody")
try:
    ldv.install()
    with ldv.processing("https://register.example/omgeving"):
        ldv.data_subject("123456782", type="BSN")
    print("logged", ldv.health().pending)
except ldv.ConfigurationError as error:
    print(error)
"""


@pytest.mark.parametrize("home", [{}, {"HOME": ""}], ids=["none", "empty"])
@pytest.mark.parametrize("delivery", ["durable", "memory"])
def test_without_a_home(tmp_path: Path, home: Mapping[str, str], delivery: str) -> None:
    """As OpenShift and Lambda start a process: the sentence names `LDV_SPOOL`, and with it everything works."""
    environ = environment(tmp_path, AWAY, LDV_DELIVERY=delivery, **home)
    command = nobody(sys.executable, "-c", _ONE_RECORD)
    refused = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=True)
    first, sentence = refused.stdout.splitlines()
    assert first == "nobody"
    assert sentence.startswith("LDV_SPOOL is not set, and HOME is not set and this user has no home directory")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keys.json"]
    environ["LDV_SPOOL"] = str(tmp_path / "spool")
    logged = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert logged.stdout == "nobody\nlogged 1\n", logged.stderr
    assert not (tmp_path / "~").exists()
    # What `memory` lost at its end is written down beside the spools.
    assert len(list((tmp_path / "spool").glob("losses-*/*.json"))) == (delivery == "memory")


@pytest.mark.parametrize("home", ["/proc/nowhere", "/proc"])
def test_with_a_home_that_cannot_be_written(tmp_path: Path, home: str) -> None:
    """The user's home may be there in name only."""
    environ = environment(tmp_path, AWAY, HOME=home)
    done = subprocess.run(
        nobody(sys.executable, "-c", _ONE_RECORD), env=environ, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "LDV_SPOOL" in done.stdout.splitlines()[-1]


def test_commands_without_a_home(tmp_path: Path) -> None:
    """`ldv status` says it as well; a key needs no home at all."""
    environ = environment(tmp_path, AWAY)
    status = subprocess.run(
        nobody("ldv", "status"), env=environ, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert status.returncode == 1
    assert "LDV_SPOOL is not set" in re.sub(r"\s+", " ", status.stdout + status.stderr)
    assert "Traceback" not in status.stderr
    made = subprocess.run(
        nobody("ldv", "key", "new", "--file", str(tmp_path / "other.json")),
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr


_SUBINTERPRETER: Final = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
import sys
{main}
code = '''
try:
    import ldv_otel
except ImportError as error:
    print("refused:", error, flush=True)
'''
for options in ({{}}, {options}):
    interpreter = interpreters.create(**options)
    interpreters.run_string(interpreter, code)
    interpreters.destroy(interpreter)
{main}
print("done", flush=True)
"""
_LOG: Final = """
import ldv_otel as ldv
ldv.install()
with ldv.processing("https://register.example/omgeving"):
    pass
print("pending", ldv.health().pending)
"""


def test_a_subinterpreter_is_refused(tmp_path: Path) -> None:
    """By a sentence, isolated or not; the main interpreter goes on, and the process ends."""
    environ = environment(tmp_path, AWAY, LDV_SPOOL=str(tmp_path / "spool"))
    options = '{"isolated": False}' if sys.version_info < (3, 13) else "{}"
    program = tmp_path / "program.py"
    program.write_text(_SUBINTERPRETER.format(main=_LOG, options=options), "utf-8")
    done = subprocess.run(
        [sys.executable, program], env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert (lines[0], lines[-2:]) == ("pending 1", ["pending 2", "done"])
    assert [line.startswith("refused: ldv_otel does not work in a sub-interpreter") for line in lines[1:3]] == [
        True
    ] * 2


@pytest.mark.parametrize("by", ["ldv", "opentelemetry-instrument"])
def test_a_subinterpreter_of_a_service_without_code(tmp_path: Path, by: str) -> None:
    """Python loads what starts us there too: it says that this one is not logged, and the service goes on."""
    environ = environment(tmp_path, AWAY, LDV_SPOOL=str(tmp_path / "spool"), **_QUIET)
    program = tmp_path / "program.py"
    program.write_text(_SUBINTERPRETER.format(main="", options="{}"), "utf-8")
    command = [str(BIN / by), *(["run"] if by == "ldv" else []), sys.executable, str(program)]
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "done"
    assert "ldv_otel does not work in a sub-interpreter" in done.stderr + done.stdout


_LAMBDA: Final = """
import os, sys, types
import ldv_otel as ldv

ldv.install()
module = types.ModuleType("functie")
def handler(event, context):
    with ldv.processing("https://register.example/omgeving"):
        return event
module.handler = handler
sys.modules["functie"] = module
os.environ |= {"AWS_LAMBDA_FUNCTION_NAME": "functie", "_HANDLER": "functie.handler", "LAMBDA_TASK_ROOT": "."}
from opentelemetry.instrumentation.aws_lambda import AwsLambdaInstrumentor
AwsLambdaInstrumentor().instrument()
arn = "arn:aws:lambda:eu-west-1:123:function:functie"
context = types.SimpleNamespace(invoked_function_arn=arn, aws_request_id="1", function_name="functie")
context.function_version = "1"
for number in range(5):
    assert module.handler({"number": number}, context) == {"number": number}
    print("answered", ldv.health().pending, flush=True)
"""


@pytest.mark.parametrize("delivery", ["durable", "memory", "write-ahead"])
def test_a_function_of_lambda_while_the_logboek_is_away(tmp_path: Path, delivery: str) -> None:
    """Its instrumentation flushes for 30 s after each call, while the caller waits: five calls would take 150 s."""
    environ = environment(tmp_path, AWAY, LDV_SPOOL=str(tmp_path / "spool"), LDV_DELIVERY=delivery)
    environ["LDV_FLUSH_SECONDS"] = "10"
    done = subprocess.run(
        [sys.executable, "-c", _LAMBDA],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=75,
        check=True,
    )
    assert done.stdout.splitlines() == [f"answered {number}" for number in range(1, 6)], done.stderr


_FLASK: Final = """
from flask import Flask
import ldv_otel as ldv
ldv.install()
app = Flask(__name__)

@app.get("/")
def version():
    with ldv.processing("https://register.example/omgeving", name="VERSION"):
        return "VERSION"
"""
_DJANGO: Final = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "app"
ROOT_URLCONF, SECRET_KEY, DEBUG, ALLOWED_HOSTS, USE_TZ = "app", "none", True, ["*"], True
DATABASES = {}
import ldv_otel as ldv
ldv.install()
from django.http import HttpResponse
from django.urls import path

def version(request):
    with ldv.processing("https://register.example/omgeving", name="VERSION"):
        return HttpResponse("VERSION")

urlpatterns = [path("", version)]
"""
_STARLETTE: Final = """
from opentelemetry import trace
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

def version(request):
    actie = {"dpl.core.processing_activity_id": "https://register.example/omgeving"}
    with trace.get_tracer("app").start_as_current_span("VERSION", attributes=actie):
        return PlainTextResponse("VERSION")

app = Starlette(routes=[Route("/", version)])
"""
RELOADERS: Final[dict[str, tuple[str, Callable[[str], list[str]]]]] = {
    "flask --debug": (_FLASK, lambda port: ["flask", "--app", "app", "run", "--debug", "--port", port]),
    "flask --debug, without code": (
        _STARLETTE.replace("from starlette.applications import Starlette\n", "")
        .replace("from starlette.responses import PlainTextResponse\n", "from flask import Flask\n")
        .replace("from starlette.routing import Route\n", "")
        .replace("def version(request):", "app = Flask(__name__)\n\n@app.get('/')\ndef version():")
        .replace("PlainTextResponse(", "str(")
        .replace('app = Starlette(routes=[Route("/", version)])', ""),
        lambda port: ["ldv", "run", "flask", "--app", "app", "--debug", "run", "--port", port],
    ),
    "runserver": (_DJANGO, lambda port: ["django-admin", "runserver", "--pythonpath", ".", f"127.0.0.1:{port}"]),
    "uvicorn --reload": (
        _STARLETTE,
        lambda port: ["ldv", "run", "uvicorn", "app:app", "--reload", "--port", port],
    ),
}


@pytest.mark.timeout(700)
@pytest.mark.parametrize("name", RELOADERS)
def test_a_server_that_reloads(tmp_path: Path, name: str) -> None:
    """With the embedded Logboek: the service has the directory, before and after it is started anew."""
    source, command_on = RELOADERS[name]
    program = tmp_path / "app"
    program.mkdir()
    (program / "app.py").write_text(source.replace("VERSION", "een"), "utf-8")
    logboek = f"chdb://{tmp_path}/logboek"
    environ = environment(
        tmp_path, logboek, HOME=str(tmp_path), DJANGO_SETTINGS_MODULE="app", **_QUIET, OTEL_PYTHON_LOG_LEVEL="info"
    )
    environ["LDV_FLUSH_SECONDS"] = "20"
    # The reloader looks at its files itself. What the builder of the site brings along would tell it of changes, and
    # sees none where the kernel's queue of events overflows.
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "watchdog.py").write_text("raise ImportError('not in this test')\n", "utf-8")
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(tmp_path / "without"), environ.get("PYTHONPATH")]))
    port = free_port()
    executable, *arguments = command_on(str(port))
    with Service([str(BIN / executable), *arguments], environ, tmp_path / "log", cwd=program) as service:
        wait_until(lambda: answer(port) == "een", _START_SECONDS, lambda: service.output)
        (program / "app.py").write_text(source.replace("VERSION", "twee"), "utf-8")
        written = time.monotonic()

        def reloaded() -> bool:
            nonlocal written
            if time.monotonic() - written > _NOTICED_SECONDS:
                # It served before it looked at its files for the first time, and takes this one for the first.
                (program / "app.py").touch()
                written = time.monotonic()
            return answer(port) == "twee"

        wait_until(reloaded, _START_SECONDS, lambda: service.output)
        # The reloader's parent has nothing of its own to deliver; the whole group ends as Ctrl-C in a terminal ends it.
        service.interrupt_all()
        service.end(60)
    with LogboekClient(read_settings(environ)) as client:
        names = [str(row) for (row,) in client.rows(Sql("SELECT name FROM logregel"))]
    assert set(names) == {"een", "twee"}, service.output


def answer(port: int) -> str:
    """What the service says; nothing while it starts."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as response:  # an address of our own
            return str(response.read().decode())
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return ""


@pytest.mark.parametrize(
    ("command", "environ", "restarts"),
    [
        ("flask run --debug", {}, True),
        ("flask --app x --debug run", {}, True),
        ("python -m flask run", {"FLASK_DEBUG": "1"}, True),
        ("flask run --debug", {"WERKZEUG_RUN_MAIN": "true"}, False),
        ("flask run --debug --no-reload", {}, False),
        ("flask run", {"FLASK_DEBUG": "0"}, False),
        ("flask routes --debug", {}, False),
        ("manage.py runserver", {}, True),
        ("python -m django runserver 8000", {}, True),
        ("manage.py runserver", {"RUN_MAIN": "true"}, False),
        ("manage.py runserver --noreload", {}, False),
        ("manage.py migrate", {}, False),
        ("/venv/bin/uvicorn app:app --reload", {}, True),
        ("python -m uvicorn app:app", {"UVICORN_RELOAD": "true"}, True),
        ("uvicorn app:app", {}, False),
        ("fastapi dev app.py", {}, True),
        ("fastapi dev --no-reload", {}, False),
        ("fastapi run", {}, False),
        ("gunicorn app:app --reload", {}, False),
        ("app.py", {}, False),
    ],
)
def test_which_process_only_restarts(command: str, environ: dict[str, str], *, restarts: bool) -> None:
    """By its command line, and by what reloaders tell their children."""
    assert only_restarts(["/usr/bin/python3", *command.split()], environ) is restarts
