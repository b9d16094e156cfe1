"""What both services have in common: OpenTelemetry as any service sets it up, one line of ldv_otel, and a server."""

from __future__ import annotations

import logging
import os

from flask import Flask
from opentelemetry import trace
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from werkzeug.serving import make_server

import ldv_otel as ldv


def serve(app: Flask, *, name: str) -> None:
    """Serve the application on PORT until the process is told to stop."""
    trace.set_tracer_provider(
        TracerProvider(resource=Resource.create({"service.name": name, "service.version": "1.0"}))
    )
    FlaskInstrumentor().instrument_app(app)  # type: ignore[no-untyped-call]  # the instrumentation has no types
    RequestsInstrumentor().instrument()

    ldv.install()

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = make_server("127.0.0.1", int(os.environ["PORT"]), app, threaded=True)
    print(f"{name} listens on http://127.0.0.1:{server.port}", flush=True)
    server.serve_forever()
