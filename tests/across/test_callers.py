"""LDV-X4: who calls, proven to a real server with OpenTelemetry's own instrumentation; nothing else is believed."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn
from fastapi import FastAPI
from flask import Flask
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.serving import make_server

import ldv_otel as ldv
from ldv_otel import Logregel, testing
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.config.variables import UNKNOWN_CALLER_URL
from tests.processes.rig import Rig
from tests.support.tls import Authority

ACTIVITY = "https://register.example/activiteiten/verstrekken"
OIN = "00000001821002198000"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SPAN_ID = "b7ad6b7169203331"
CALL = {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01"}
PARTIES = f"""
gateways: [%s]
callers:
  - name: met certificaat
    processor: https://certificaat.example
    proven_by: [{{certificate: {{subject: "serialNumber={OIN}"}}}}]
  - name: via gateway
    processor: https://gateway.example
    proven_by: [{{header: X-Consumer, value: gemeente}}]
"""

Serve = Callable[..., AbstractContextManager[int]]


@contextmanager
def flask(*, certificate: Path | None = None, authority: Authority | None = None, behind: int = 0) -> Iterator[int]:
    """Serve with Flask on Werkzeug, optionally with TLS, and behind so many proxies by Werkzeug's ProxyFix."""
    app = Flask("verstrekker")

    @app.get("/")
    @ldv.processing(ACTIVITY, name="served")
    def index() -> str:
        return "ok"

    FlaskInstrumentor().instrument_app(app)  # type: ignore[no-untyped-call]  # the instrumentation has no types
    if behind:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=behind)  # type: ignore[method-assign]  # as Flask's manual says
    context = None
    if certificate is not None and authority is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        context.load_verify_locations(authority.file)
        context.verify_mode = ssl.CERT_OPTIONAL
    server = make_server("127.0.0.1", 0, app, threaded=True, ssl_context=context)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        FlaskInstrumentor().uninstrument_app(app)  # type: ignore[no-untyped-call]  # as above


@contextmanager
def fastapi() -> Iterator[int]:
    """Serve with FastAPI on uvicorn, which leaves the address of the connection (docs/organisations-proof.md)."""
    app = FastAPI()

    @app.get("/")
    async def index() -> str:
        async with ldv.processing(ACTIVITY, name="served"):
            return "ok"

    FastAPIInstrumentor.instrument_app(app)
    config = uvicorn.Config(app, port=0, log_level="critical", proxy_headers=False, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        FastAPIInstrumentor.uninstrument_app(app)


@contextmanager
def among(tmp_path: Path, gateways: str = "127.0.0.1") -> Iterator[testing.InMemoryLogboek]:
    """Keep a Logboek among the parties above."""
    path = tmp_path / "parties.yaml"
    path.write_text(PARTIES % gateways, encoding="utf-8")
    with testing.logboek(parties=path) as logboek:
        yield logboek


def check(record: Logregel, processor: str) -> None:
    """Check who is recorded as the caller, and what became of its trace."""
    assert record.foreign_operation_processor == (processor or UNKNOWN_CALLER_URL)
    assert record.foreign_operation_trace_id.hex() == TRACE_ID
    assert record.foreign_operation_span_id.hex() == SPAN_ID
    assert (record.trace_id.hex() == TRACE_ID) == bool(processor)


@pytest.mark.parametrize("serve", [flask, fastapi])
@pytest.mark.parametrize(
    ("gateways", "consumer", "processor"),
    [
        ("127.0.0.1", "gemeente", "https://gateway.example"),
        ("127.0.0.1", "iemand", ""),
        ("127.0.0.1", "", ""),
        ("10.0.0.5", "gemeente", ""),
    ],
)
def test_a_header_proves_something_from_the_gateway_only(
    tmp_path: Path, serve: Serve, gateways: str, consumer: str, processor: str
) -> None:
    """The address is that of the connection; whoever else sends the header is a stranger, and restarts."""
    with among(tmp_path, gateways) as logboek, serve() as port:
        headers = CALL | ({"X-Consumer": consumer} if consumer else {})
        requests.get(f"http://127.0.0.1:{port}/", headers=headers, timeout=10).raise_for_status()
    (record,) = logboek.logregels
    check(record, processor)


@pytest.mark.parametrize("serve", [flask, fastapi])
def test_an_address_in_a_header_is_not_the_gateways(tmp_path: Path, serve: Serve) -> None:
    """A stranger that says it was forwarded for the gateway, in all the ways that headers can."""
    with among(tmp_path, "10.0.0.5") as logboek, serve() as port:
        forged = CALL | {"X-Consumer": "gemeente", "X-Forwarded-For": "10.0.0.5", "REMOTE_ADDR": "10.0.0.5"}
        requests.get(f"http://127.0.0.1:{port}/", headers=forged, timeout=10).raise_for_status()
    (record,) = logboek.logregels
    check(record, "")


def test_proxyfix_does_not_hide_the_connection(tmp_path: Path) -> None:
    """The gateway is known by the connection, also where ProxyFix shows the application its client's address."""
    for gateways, processor in (("127.0.0.1", "https://gateway.example"), ("10.0.0.5", "")):
        with among(tmp_path, gateways) as logboek, flask(behind=1) as port:
            headers = CALL | {"X-Consumer": "gemeente", "X-Forwarded-For": "10.0.0.5"}
            requests.get(f"http://127.0.0.1:{port}/", headers=headers, timeout=10).raise_for_status()
        (record,) = logboek.logregels
        check(record, processor)


@pytest.mark.parametrize(
    ("client", "processor"), [(OIN, "https://certificaat.example"), ("99999999999999999999", ""), (None, "")]
)
def test_a_client_certificate_proves_who_calls(tmp_path: Path, client: str | None, processor: str) -> None:
    """By the OIN in its subject, as PKIoverheid has it; without a certificate, or with another, a stranger calls."""
    authority = Authority(tmp_path)
    pem = str(authority.client("parkeren.gemeente.example", oin=client)) if client else None
    with (
        among(tmp_path, "10.0.0.5") as logboek,
        flask(certificate=authority.server(), authority=authority) as port,
    ):
        requests.get(
            f"https://127.0.0.1:{port}/", headers=CALL, cert=pem, verify=str(authority.file), timeout=10
        ).raise_for_status()
    (record,) = logboek.logregels
    check(record, processor)


@pytest.mark.parametrize(
    ("error", "processor"), [(None, "https://certificaat.example"), ("expired", "")], ids=["verified", "expired"]
)
def test_a_certificate_by_the_tls_extension_of_asgi(tmp_path: Path, error: str | None, processor: str) -> None:
    """For servers that have it; uvicorn has not."""
    import asyncio  # only here

    app = FastAPI()

    @app.get("/")
    async def index() -> str:
        async with ldv.processing(ACTIVITY, name="served"):
            return "ok"

    FastAPIInstrumentor.instrument_app(app)
    chain = [Authority(tmp_path).client("parkeren.gemeente.example", oin=OIN).read_text(encoding="ascii")]
    chain = [chain[0][chain[0].index("-----BEGIN CERTIFICATE") :]]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "scheme": "https",
        "headers": [(b"traceparent", CALL["traceparent"].encode())],
        "client": ("10.0.0.9", 1),
        "server": ("127.0.0.1", 443),
        "extensions": {"tls": {"client_cert_chain": chain, "client_cert_error": error}},
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        del message

    with among(tmp_path, "10.0.0.5") as logboek:
        asyncio.run(app(scope, receive, send))
    FastAPIInstrumentor.uninstrument_app(app)
    (record,) = logboek.logregels
    check(record, processor)


@pytest.mark.parametrize(
    ("verified", "processor"), [("SUCCESS", "https://certificaat.example"), ("FAILED:expired", "")]
)
def test_a_certificate_as_apache_tells_it(tmp_path: Path, verified: str, processor: str) -> None:
    """mod_ssl's variables; the same names in headers are nothing but headers."""
    pem = Authority(tmp_path).client("parkeren.gemeente.example", oin=OIN).read_text(encoding="ascii")
    variables = {"SSL_CLIENT_VERIFY": verified, "SSL_CLIENT_CERT": pem[pem.index("-----BEGIN CERTIFICATE") :]}
    app = Flask("verstrekker")
    app.add_url_rule("/", view_func=ldv.processing(ACTIVITY, name="served")(lambda: "ok"))
    FlaskInstrumentor().instrument_app(app)  # type: ignore[no-untyped-call]  # as above
    with among(tmp_path, "10.0.0.5") as logboek:
        app.test_client().get("/", headers=CALL, environ_overrides=variables)
        headers = {name.replace("_", "-"): value.replace("\n", " ") for name, value in variables.items()}
        app.test_client().get("/", headers=CALL | headers)
    FlaskInstrumentor().uninstrument_app(app)  # type: ignore[no-untyped-call]  # as above
    told, sent = logboek.logregels
    check(told, processor)
    check(sent, "")


@pytest.mark.slow
def test_a_client_certificate_at_gunicorn(rig: Rig) -> None:
    """In a worker process, where the certificate is known to the socket only."""
    authority = Authority(rig.directory)
    server = str(authority.server())
    parties = rig.directory / "parties.yaml"
    parties.write_text(PARTIES % "10.0.0.5", encoding="utf-8")
    options = ("--certfile", server, "--keyfile", server, "--ca-certs", str(authority.file), "--cert-reqs", "1")
    command = ("-m", "gunicorn", "--bind", "127.0.0.1:0", "--threads", "2", *options, "tests.across.served:app")
    with rig.start(*command, LDV_PARTIES=str(parties)) as service:
        port = service.wait_for(r"Listening at: https://127\.0\.0\.1:(\d+)")[1]
        for pem in (str(authority.client("parkeren.gemeente.example", oin=OIN)), None):
            requests.get(
                f"https://127.0.0.1:{port}/", headers=CALL, cert=pem, verify=str(authority.file), timeout=20
            ).raise_for_status()
        assert service.stop() == 0, service.output
    with LogboekClient(rig.settings) as client:
        with_certificate, without = (found.logregel for found in read.in_period(client).records)
    check(with_certificate, "https://certificaat.example")
    check(without, "")
