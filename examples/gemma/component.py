"""What both services have in common: OpenTelemetry, one line of ldv_otel, and perhaps the register inside them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

import ldv_otel as ldv
from ldv_otel._internal.gemma.provider.app import configured_clients, create_gemma_app

#: Where a component has the register that is built into it.
REGISTER: Final = "/verwerkingenlog"


def component(name: str) -> FastAPI:
    """Return an application that logs, with the register mounted into it where `LDV_GEMMA_CLIENTS` names clients."""
    trace.set_tracer_provider(TracerProvider(resource=Resource.create({"service.name": name})))
    HTTPXClientInstrumentor().instrument()
    ldv.install()

    settings = ldv.read_settings(os.environ)
    if settings.gemma.clients is None:
        app = FastAPI(title=name)
    else:
        register = create_gemma_app(settings, configured_clients(settings))

        @asynccontextmanager
        async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
            # The register's Logboek is opened and closed with the application around it.
            async with register.router.lifespan_context(register):
                yield

        app = FastAPI(title=name, lifespan=lifespan)
        app.mount(REGISTER, register)
    # The register logs its own questions; as spans, their addresses would tell a tracing backend who was asked about.
    FastAPIInstrumentor.instrument_app(app, excluded_urls=REGISTER)
    app.add_exception_handler(ldv.LogboekUnavailable, _nothing_was_done)
    return app


def serve(app: FastAPI) -> None:
    """Serve on PORT until the process is told to stop."""
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning", proxy_headers=False)


async def _nothing_was_done(_request: Request, _error: Exception) -> JSONResponse:
    """IR-03: what could not be logged is not done, or its result not shared."""
    return JSONResponse({"detail": "De verwerking kon niet worden vastgelegd."}, status_code=503)
