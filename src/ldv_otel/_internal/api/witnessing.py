"""The witness over HTTP: beside the other APIs of `ldv serve`, or alone (`ldv witness`).

Nobody is asked who they are: the signature of the checkpoint says whose it is, and logs that are not listed get
nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ldv_otel._internal.api.app import bare_app
from ldv_otel._internal.api.envelope import Envelope
from ldv_otel._internal.api.health import metrics_readers
from ldv_otel._internal.api.limits import BoundedRequests
from ldv_otel._internal.api.listening import listen
from ldv_otel._internal.config.settings import ServeSettings
from ldv_otel._internal.http.health import HealthEndpoints
from ldv_otel._internal.http.openmetrics import Labels, MetricFamily
from ldv_otel._internal.http.readiness import Readiness
from ldv_otel._internal.tamper.witness import MOST_BODY_BYTES, Witness
from ldv_otel._version import __version__
from ldv_otel.errors import ConfigurationError

BASE_PATH: Final = "/witness"
#: Checkpoints at a time: each is some file writes and signatures.
_AT_A_TIME: Final = 4


def witness_router(witness: Witness) -> APIRouter:
    """Return the routes of a witness."""
    router = APIRouter(prefix=BASE_PATH)
    pool = ThreadPoolExecutor(_AT_A_TIME, "ldv-witness")

    @router.post("/add-checkpoint")
    async def add_checkpoint(request: Request) -> Response:
        body = await request.body()
        answer = await asyncio.get_running_loop().run_in_executor(pool, witness.add_checkpoint, body)
        return Response(answer.content, answer.status, {"Content-Type": answer.content_type})

    return router


def serve_witness(
    witness: Witness,
    settings: ServeSettings,
    host: str,
    port: int,
    ready: Callable[[str], None],
) -> None:
    """Serve a witness, and nothing else, until SIGTERM or SIGINT.

    Args:
        port: 0 for any that is free.
        ready: Called once, with the address below which checkpoints are taken.

    Raises:
        ConfigurationError: The port is taken, or the address is none of this machine.
    """
    app = bare_app()
    app.include_router(witness_router(witness))
    app.add_middleware(BoundedRequests, body_bytes=MOST_BODY_BYTES, seconds=settings.seconds)
    app.add_middleware(Envelope, versions={})

    def check() -> str:
        for origin in witness.logs:
            witness.seen(origin)
        return ""

    readiness = Readiness(check)
    health = HealthEndpoints(
        app, readiness, version=__version__, may_read=metrics_readers(settings), figures=WitnessFigures(witness)
    )
    try:
        listen(health, settings, host, port, lambda address: ready(address + BASE_PATH))
    finally:
        readiness.close()


class WitnessFigures:
    """What `/metrics` says of the logs that are witnessed."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness

    async def __call__(self) -> list[MetricFamily]:
        """Return the figures."""
        sizes: dict[Labels, float] = {}
        forked: dict[Labels, float] = {}
        for origin in self._witness.logs:
            # What cannot be read is said by `/health/ready`, and has no figure.
            with suppress(ConfigurationError):
                seen = self._witness.seen(origin)
                if seen is not None:
                    sizes[("log", origin),] = seen.checkpoint.size
                    forked[("log", origin),] = seen.forked
        return [
            MetricFamily("ldv_witnessed_log_size", "gauge", "Size of the last checkpoint that was cosigned.", sizes),
            MetricFamily(
                "ldv_witnessed_log_forked", "gauge", "1 for a log that signed two checkpoints of one size.", forked
            ),
        ]
