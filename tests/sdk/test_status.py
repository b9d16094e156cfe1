"""The status of an Actie says what happened, in the words of the frameworks that people use (LDV-A5)."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import celery
import celery.exceptions
import django.core.exceptions
import django.http
import fastapi.exceptions
import flask
import grpc
import grpc.aio
import pytest
import starlette.exceptions
import starlette.websockets
import werkzeug.exceptions
from celery.app.task import Task
from opentelemetry import trace
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.instrumentation.grpc import aio_server_interceptor, server_interceptor

import ldv_otel as ldv
from ldv_otel import Status, testing
from ldv_otel._internal.record.error_status import STATUS_OF, ErrorStatuses
from ldv_otel.testing import InMemoryLogboek
from tests.sdk.conftest import ACTIVITY

DOCS = Path(__file__).parents[2] / "docs" / "processing.md"


def of_flask(status: int) -> Callable[[], BaseException]:
    """What `flask.abort` raises where it is given a whole answer."""

    def raised() -> BaseException:
        with pytest.raises(werkzeug.exceptions.HTTPException) as caught:
            flask.abort(flask.Response(status=status))
        return caught.value

    return raised


class OwnHTTPError(starlette.exceptions.HTTPException):
    """A class of the application's, below one of a framework."""


REFUSALS: dict[str, Callable[[], BaseException]] = {
    "Starlette 404": lambda: starlette.exceptions.HTTPException(404),
    "Starlette 303": lambda: starlette.exceptions.HTTPException(303),
    "FastAPI 403": lambda: fastapi.exceptions.HTTPException(403),
    "below FastAPI 409": lambda: OwnHTTPError(409),
    "FastAPI validation": lambda: fastapi.exceptions.RequestValidationError([]),
    "Starlette WebSocket gone": starlette.websockets.WebSocketDisconnect,
    "werkzeug 404": werkzeug.exceptions.NotFound,
    "Flask abort with an answer of 400": of_flask(400),
    "Django 404": django.http.Http404,
    "Django permission": django.core.exceptions.PermissionDenied,
    "Django suspicious": django.core.exceptions.SuspiciousOperation,
    "Django host": django.core.exceptions.DisallowedHost,
    "Django too big": django.core.exceptions.RequestDataTooBig,
    "Django bad request": django.core.exceptions.BadRequest,
    "Celery retry": celery.exceptions.Retry,
    "Celery ignore": celery.exceptions.Ignore,
    "Celery reject": celery.exceptions.Reject,
    "cancelled": asyncio.CancelledError,
    "interrupted": KeyboardInterrupt,
    "exit": SystemExit,
    "exit 0": lambda: SystemExit(0),
    "exit by SIGTERM": lambda: SystemExit(143),
    "group of refusals": lambda: ExceptionGroup("x", [fastapi.exceptions.HTTPException(404), django.http.Http404()]),
    "group of cancellations": lambda: BaseExceptionGroup("x", [asyncio.CancelledError()]),
}
FAILURES: dict[str, Callable[[], BaseException]] = {
    "any": KeyError,
    "bare": lambda: Exception("x"),
    "Starlette 500": lambda: starlette.exceptions.HTTPException(500),
    "FastAPI 503": lambda: fastapi.exceptions.HTTPException(503),
    "FastAPI answer": lambda: fastapi.exceptions.ResponseValidationError([]),
    "werkzeug 500": werkzeug.exceptions.InternalServerError,
    "werkzeug without a status": werkzeug.exceptions.HTTPException,
    "Flask abort with an answer of 502": of_flask(502),
    "Django configuration": django.core.exceptions.ImproperlyConfigured,
    "Celery time limit": celery.exceptions.SoftTimeLimitExceeded,
    "exit 1": lambda: SystemExit(1),
    "exit with a text": lambda: SystemExit("no database"),
    "group with a failure": lambda: ExceptionGroup("x", [django.http.Http404(), ExceptionGroup("y", [KeyError()])]),
    "group with a cancellation": lambda: BaseExceptionGroup("x", [asyncio.CancelledError(), KeyError()]),
}


def left_by(error: BaseException) -> None:
    """Have an Actie be left by an exception, which passes."""
    with pytest.raises(type(error)) as caught, ldv.processing(ACTIVITY):
        raise error
    assert caught.value is error


def end_by_hand(error: BaseException, tracer: trace.Tracer) -> None:
    """Have a span that was made an Actie by hand be left by an exception."""
    with suppress(BaseException), tracer.start_as_current_span("x") as span:
        span.set_attribute("dpl.core.processing_activity_id", ACTIVITY)
        raise error


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_no_failure(logboek: InMemoryLogboek, tracer: trace.Tracer, name: str) -> None:
    """`Unset`, without an exception in the record; so it is for a span that was made by hand."""
    left_by(REFUSALS[name]())
    end_by_hand(REFUSALS[name](), tracer)
    assert [record.status for record in logboek.logregels] == [Status.UNSET, Status.UNSET]
    assert not any("exception.type" in record.attributes for record in logboek.logregels)


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_an_error(logboek: InMemoryLogboek, tracer: trace.Tracer, name: str) -> None:
    """`Error`, with the exception's type; so it is for a span that was made by hand."""
    left_by(FAILURES[name]())
    end_by_hand(FAILURES[name](), tracer)
    first, second = logboek.logregels
    assert first.status is second.status is Status.ERROR
    assert first.attributes["exception.type"] == second.attributes["exception.type"] != ""


#: A status by hand, in front of what the table says; and classes that it does not know.
OWN = (
    f"{__name__}.Declined=Unset",
    f"{__name__}.Cancelled=Ok",
    f"{__name__}.ApiError=http:answer.code|code",
    "KeyError=Error",
)


class Declined(Exception):
    """The application's own refusal."""


class Late(Declined):
    """A class below it."""


class Cancelled(BaseException):
    """A deliberate cancel by the user, which no framework can tell."""


class ApiError(Exception):
    """Its status is in one of two places."""

    def __init__(self, code: object = None, answer: object = None) -> None:
        super().__init__("x")
        self.code, self.answer = code, answer


class Broken(werkzeug.exceptions.HTTPException):
    """An exception that cannot be read."""

    @property
    def code(self) -> int:  # type: ignore[override]  # that is the point
        """Fail."""
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Declined(), Status.UNSET),
        (Late(), Status.UNSET),
        (Cancelled(), Status.OK),
        (ApiError(code=404), Status.UNSET),
        (ApiError(code=404, answer=ApiError(code=500)), Status.ERROR),
        (ApiError(code="404"), Status.ERROR),
        (ApiError(), Status.ERROR),
        (Broken(), Status.ERROR),
        (ExceptionGroup("x", [Declined(), Declined()]), Status.UNSET),
        (BaseExceptionGroup("x", [Declined(), Cancelled()]), Status.UNSET),
    ],
    ids=lambda value: value.label if isinstance(value, Status) else type(value).__name__,
)
def test_the_application_adds_to_the_table(backend: object, error: BaseException, status: Status) -> None:
    """By class, those below it too, or by the attribute that holds an HTTP status."""
    del backend
    with testing.logboek(status_of=OWN) as logboek:
        left_by(error)
    assert [record.status for record in logboek.logregels] == [status]


def test_without_the_application_they_are_errors() -> None:
    """Nothing is a refusal that nobody said is one."""
    assert ErrorStatuses().of(Declined()) is Status.ERROR
    assert ErrorStatuses(["builtins.KeyError=Ok"]).of(KeyError()) is Status.ERROR
    assert ErrorStatuses(["KeyError=Ok"]).of(KeyError()) is Status.OK


@pytest.mark.parametrize("entry", ["x", "x=", "x=Fout", "x=unset", "=Ok", "x=http:", "x=http:a|", "x y=Ok"])
def test_a_table_that_cannot_be_read_stops_the_start(entry: str) -> None:
    """With the variable's name, and how to write it."""
    with pytest.raises(ldv.ConfigurationError, match=r"LDV_STATUS_OF.*it is no list like"):
        ldv.read_settings({"LDV_LOGBOEK": "chdb:///x", "LDV_STATUS_OF": f"a.B=Ok,{entry}"})
    with pytest.raises(ldv.ConfigurationError, match="LDV_STATUS_OF"):
        ErrorStatuses([entry])


def test_the_page_has_the_table() -> None:
    """Whoever reads it sees what is in the code."""
    rows = re.findall(r"^\| `([\w.]+)` \| `([\w:.|\\]+)` \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name: value.replace("\\|", "|") for name, value in rows} == STATUS_OF


class TestSaid:
    """`ldv.ok()` and `ldv.reject()` for the current Actie."""

    def test_in_a_decorated_function(self, logboek: InMemoryLogboek, tracer: trace.Tracer) -> None:
        """Where there is no `with` that gives the Actie; and inside a technical span."""

        @ldv.processing(ACTIVITY)
        def refuse() -> NoReturn:
            with tracer.start_as_current_span("SELECT"):
                ldv.reject()
            raise KeyError

        @ldv.processing(ACTIVITY)
        async def cancel() -> NoReturn:
            ldv.ok()
            raise KeyError

        with pytest.raises(KeyError):
            refuse()
        with pytest.raises(KeyError):
            asyncio.run(cancel())
        assert [record.status for record in logboek.logregels] == [Status.UNSET, Status.OK]

    def test_the_last_word_counts(self, logboek: InMemoryLogboek) -> None:
        """Either takes the other back."""
        with ldv.processing(ACTIVITY) as actie:
            ldv.ok()
            actie.reject()
        with ldv.processing(ACTIVITY) as actie:
            actie.reject()
            ldv.ok()
        assert [record.status for record in logboek.logregels] == [Status.UNSET, Status.OK]

    def test_of_the_nearest_actie_only(self, logboek: InMemoryLogboek) -> None:
        """The one around it says for itself."""
        with pytest.raises(KeyError), ldv.processing(ACTIVITY, name="outer"), ldv.processing(ACTIVITY, name="inner"):
            ldv.reject()
            raise KeyError
        assert {record.name: record.status for record in logboek.logregels} == {
            "inner": Status.UNSET,
            "outer": Status.ERROR,
        }

    def test_after_its_end_nothing_changes(self, logboek: InMemoryLogboek) -> None:
        """The record is out; the Actie around it is another one."""
        with ldv.processing(ACTIVITY, name="outer"):
            with ldv.processing(ACTIVITY, name="inner") as inner:
                pass
            inner.ok()
        assert [record.status for record in logboek.logregels] == [Status.UNSET, Status.UNSET]

    def test_in_a_span_that_becomes_an_actie_afterwards(self, logboek: InMemoryLogboek, tracer: trace.Tracer) -> None:
        """A mapping rule may know only at its end, by the route, that a request is an Actie."""
        with tracer.start_as_current_span("request") as span:
            with tracer.start_as_current_span("view"):
                ldv.ok()
            span.set_attribute("dpl.core.processing_activity_id", ACTIVITY)
        assert [record.status for record in logboek.logregels] == [Status.OK]

    @pytest.mark.parametrize("say", [ldv.ok, ldv.reject])
    def test_outside_of_everything(self, logboek: InMemoryLogboek, say: Callable[[], None]) -> None:
        """There is nothing that it could be about."""
        with pytest.raises(ldv.ConfigurationError, match=r"outside a processing"):
            say()
        assert logboek.logregels == []


GRPC_RULES = f"""
rules:
  - rule: alles
    match: {{kind: server, name: /register.V/Regel}}
    activity: {ACTIVITY}
"""
#: How a call goes, with the status of its Acties.
GRPC_CALLS = {
    "NOT_FOUND": Status.UNSET,
    "INVALID_ARGUMENT": Status.UNSET,
    "PERMISSION_DENIED": Status.UNSET,
    "INTERNAL": Status.ERROR,
    "UNAVAILABLE": Status.ERROR,
    "raise": Status.ERROR,
    "raise bare": Status.ERROR,
    "": Status.UNSET,
}


def fail(how: str) -> None:
    """Raise as a servicer does that fails."""
    if how.startswith("raise"):
        raise Exception("bare") if how == "raise bare" else KeyError(how)


def serve(request: bytes, context: Any) -> bytes:
    """A servicer."""
    how = request.decode()
    fail(how)
    if how:
        context.abort(grpc.StatusCode[how], "x")
    return b""


async def serve_async(request: bytes, context: Any) -> bytes:
    """A servicer of asyncio."""
    how = request.decode()
    await asyncio.sleep(0)
    fail(how)
    if how:
        await context.abort(grpc.StatusCode[how], "x")
    return b""


def stream(request: bytes, context: Any) -> Iterator[bytes]:
    """A servicer that answers with a stream."""
    yield b"1"
    yield serve(request, context)


def handler(toon: Any, regel: Any, stroom: Any = None) -> Any:
    """A service: with `processing`, by rule, and by rule with a stream."""
    methods = {
        "Toon": grpc.unary_unary_rpc_method_handler(toon),
        "Regel": grpc.unary_stream_rpc_method_handler(stroom) if stroom else grpc.unary_unary_rpc_method_handler(regel),
    }
    return grpc.method_handlers_generic_handler("register.V", methods)


def interceptors(instrumented: bool, make: Callable[..., Any]) -> list[Any]:
    """What the instrumentation adds to a server."""
    return [make()] if instrumented else []


@contextmanager
def grpc_logboek(tmp_path: Path) -> Iterator[InMemoryLogboek]:
    """A Logboek with the rule."""
    (tmp_path / "rules.yaml").write_text(GRPC_RULES, encoding="utf-8")
    with testing.logboek(rules=tmp_path / "rules.yaml") as logboek:
        yield logboek


@pytest.mark.parametrize("instrumented", [True, False], ids=["instrumented", "plain"])
@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
def test_a_grpc_server(backend: object, tmp_path: Path, *, instrumented: bool, streams: bool) -> None:
    """A code of the caller's doing is no failure; an exception is one, also by rule."""
    del backend
    with grpc_logboek(tmp_path) as logboek:
        server = grpc.server(ThreadPoolExecutor(1), interceptors=interceptors(instrumented, server_interceptor))
        toon = ldv.processing(ACTIVITY, name="Toon")(serve)
        server.add_generic_rpc_handlers([handler(toon, serve, stream if streams else None)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            for how in GRPC_CALLS:
                with suppress(grpc.RpcError):
                    channel.unary_unary("/register.V/Toon")(how.encode())
                with suppress(grpc.RpcError):
                    if streams:
                        list(channel.unary_stream("/register.V/Regel")(how.encode()))
                    else:
                        channel.unary_unary("/register.V/Regel")(how.encode())
        server.stop(None).wait()
    check_grpc(logboek, instrumented=instrumented)


@pytest.mark.parametrize("instrumented", [True, False], ids=["instrumented", "plain"])
def test_a_grpc_server_of_asyncio(backend: object, tmp_path: Path, *, instrumented: bool) -> None:
    """As the synchronous one."""
    del backend

    async def main() -> None:
        server = grpc.aio.server(interceptors=interceptors(instrumented, aio_server_interceptor))
        toon = ldv.processing(ACTIVITY, name="Toon")(serve_async)
        server.add_generic_rpc_handlers([handler(toon, serve_async)])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            for how in GRPC_CALLS:
                for method in ("Toon", "Regel"):
                    with suppress(grpc.RpcError):
                        await channel.unary_unary(f"/register.V/{method}")(how.encode())
        await server.stop(None)

    with grpc_logboek(tmp_path) as logboek:
        asyncio.run(main())
    check_grpc(logboek, instrumented=instrumented)


def check_grpc(logboek: InMemoryLogboek, *, instrumented: bool) -> None:
    """Compare what was logged with what was called."""
    for name in ("Toon", "/register.V/Regel") if instrumented else ("Toon",):
        statuses = [record.status for record in logboek.logregels if record.name == name]
        assert dict(zip(GRPC_CALLS, statuses, strict=True)) == GRPC_CALLS, name
    types = [record.attributes.get("exception.type", "") for record in logboek.logregels]
    assert types.count("KeyError") == (2 if instrumented else 1)


def test_a_celery_task_that_is_tried_again(backend: object, tmp_path: Path) -> None:
    """The first try is no failure, the last one is; with `processing`, and by rule."""
    del backend
    (tmp_path / "rules.yaml").write_text(
        f"rules:\n  - rule: taak\n    match: {{kind: consumer}}\n    activity: {ACTIVITY}\n", encoding="utf-8"
    )
    app = celery.Celery("statuses", broker="memory://", backend="cache+memory://")
    instrumentor: Any = CeleryInstrumentor()  # type: ignore[no-untyped-call]  # it has no types

    @ldv.processing(ACTIVITY, name="werk")
    def call(task: Task) -> None:
        raise task.retry(exc=ConnectionError(), countdown=0)

    @ldv.processing(ACTIVITY, name="laat")
    def leave(_: Task) -> None:
        raise celery.exceptions.Ignore

    calling = app.task(bind=True, max_retries=1, name="bel")(call)
    leaving = app.task(bind=True, name="laat")(leave)
    instrumentor.instrument()
    try:
        with testing.logboek(rules=tmp_path / "rules.yaml") as logboek:
            assert calling.apply().state == "FAILURE"
            leaving.apply()
    finally:
        instrumentor.uninstrument()
    statuses = {(record.name, record.status.label) for record in logboek.logregels}
    assert statuses == {
        ("werk", "Unset"),
        ("werk", "Error"),
        ("laat", "Unset"),
        ("run/bel", "Unset"),
        ("run/bel", "Error"),
        ("run/laat", "Unset"),
    }


_DJANGO = f"""
import json, sys
import django
from django.conf import settings

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="none", LOGGING_CONFIG=None,
    INSTALLED_APPS=["rest_framework"], DEFAULT_CHARSET="utf-8",
    REST_FRAMEWORK={{"DEFAULT_AUTHENTICATION_CLASSES": [], "UNAUTHENTICATED_USER": None}})
from opentelemetry.instrumentation.django import DjangoInstrumentor
from ldv_otel import testing
import ldv_otel as ldv
from django.core import exceptions
from django.http import Http404, HttpResponse
from django.urls import path
from django.test import Client
from rest_framework import exceptions as rest
from rest_framework.views import APIView
import ninja
import ninja.errors

RAISED = {{
    "weg": Http404, "mag-niet": exceptions.PermissionDenied, "verdacht": exceptions.SuspiciousOperation,
    "fout-verzoek": exceptions.BadRequest, "stuk": KeyError,
    "rest-404": rest.NotFound, "rest-400": lambda: rest.ValidationError("x"), "rest-500": rest.APIException,
    "ninja-403": lambda: ninja.errors.HttpError(403, "x"), "ninja-500": lambda: ninja.errors.HttpError(500, "x"),
}}

@ldv.processing({ACTIVITY!r}, name="Weergave")
def view(request, how):
    raise RAISED[how]()

class View(APIView):
    @ldv.processing({ACTIVITY!r}, name="Weergave")
    def get(self, request, how):
        raise RAISED[how]()

api = ninja.NinjaAPI()

@api.get("/{{how}}")
@ldv.processing({ACTIVITY!r}, name="Weergave")
def operation(request, how: str):
    raise RAISED[how]()

urlpatterns = [path("rest/<how>", View.as_view()), path("ninja/", api.urls), path("<how>", view)]
DjangoInstrumentor().instrument()
django.setup()
client = Client(raise_request_exception=False)
shown = {{}}
from pathlib import Path
for how in RAISED:
    with testing.logboek(rules=Path(sys.argv[1])) as logboek:
        answer = client.get("/" + {{"rest": "rest/", "ninj": "ninja/"}}.get(how[:4], "") + how)
        shown[how] = [answer.status_code] + [record.status.label for record in logboek.logregels]
print(json.dumps(shown))
"""


def test_views_of_django(tmp_path: Path) -> None:
    """Of Django itself and of the REST framework, with `processing` in the view and by rule around the request."""
    (tmp_path / "rules.yaml").write_text(
        f"rules:\n  - rule: verzoek\n    match: {{kind: server}}\n    activity: {ACTIVITY}\n", encoding="utf-8"
    )
    script = tmp_path / "service.py"
    script.write_text(_DJANGO, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script, tmp_path / "rules.yaml"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "weg": [404, "Unset", "Unset"],
        "mag-niet": [403, "Unset", "Unset"],
        "verdacht": [400, "Unset", "Unset"],
        "fout-verzoek": [400, "Unset", "Unset"],
        "stuk": [500, "Error", "Error"],
        "rest-404": [404, "Unset", "Unset"],
        "rest-400": [400, "Unset", "Unset"],
        "rest-500": [500, "Error", "Error"],
        "ninja-403": [403, "Unset", "Unset"],
        "ninja-500": [500, "Error", "Error"],
    }
