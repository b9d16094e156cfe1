"""A Flask service with OpenTelemetry's own instrumentation, for servers in processes of their own."""

from __future__ import annotations

from flask import Flask
from opentelemetry.instrumentation.flask import FlaskInstrumentor

import ldv_otel as ldv

ldv.install()
app = Flask("served")


@app.get("/")
@ldv.processing("https://register.example/activiteiten/verstrekken", name="served")
def index() -> str:
    """Answer."""
    return "ok"


FlaskInstrumentor().instrument_app(app)  # type: ignore[no-untyped-call]  # the instrumentation has no types
