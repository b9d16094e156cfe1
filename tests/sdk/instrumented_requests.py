"""Makes the same requests through real clients and frameworks, and prints the spans of their instrumentations as JSON.

A script: instrumentations read once in a process which vocabulary they write (`OTEL_SEMCONV_STABILITY_OPT_IN`).
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import django
import httpx
import requests
from django.conf import settings
from django.http import HttpResponse
from django.urls import path
from fastapi import FastAPI
from fastapi.testclient import TestClient
from flask import Flask
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind


class _Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Print nothing beside the spans."""


def _view(bsn: str) -> str:
    return bsn


def main(port: int) -> None:
    """Make the requests; the server of the clients listens on this port."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    server = HTTPServer(("127.0.0.1", port), _Server)
    Thread(target=server.serve_forever, daemon=True).start()
    settings.configure(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["*"],
        MIDDLEWARE=[],
        SECRET_KEY="no secret",
    )
    for instrumentor in (RequestsInstrumentor(), HTTPXClientInstrumentor(), DjangoInstrumentor()):
        instrumentor.instrument(tracer_provider=provider)
    django.setup()
    url = f"http://localhost:{port}/voertuigen/AB-123-C?sinds=2026"
    requests.get(url, timeout=10)
    httpx.get(url)
    flask = Flask(__name__)
    flask.get("/inwoners/<bsn>")(_view)
    instrument_flask: Any = FlaskInstrumentor().instrument_app  # it has no types
    instrument_flask(flask, tracer_provider=provider)
    flask.test_client().get("/inwoners/123456782?sinds=2026")
    fastapi = FastAPI()
    fastapi.get("/inwoners/{bsn}")(_view)
    FastAPIInstrumentor.instrument_app(fastapi, tracer_provider=provider)
    TestClient(fastapi).get("/inwoners/123456782?sinds=2026")
    from django.test import Client

    Client().get("/inwoners/123456782?sinds=2026")
    spans = [
        {
            "name": span.name,
            "scope": span.instrumentation_scope.name if span.instrumentation_scope else "",
            "kind": span.kind.name.lower(),
            "attributes": dict(span.attributes or {}),
        }
        for span in exporter.get_finished_spans()
        if span.kind is not SpanKind.INTERNAL
    ]
    print(json.dumps(spans))


urlpatterns = [path("inwoners/<str:bsn>", lambda _request, bsn: HttpResponse(bsn))]

if __name__ == "__main__":
    main(int(sys.argv[1]))
