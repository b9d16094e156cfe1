"""Starting a service as its operator does, and waiting for its end."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Final, NamedTuple

from tests.processes.rig import Rig

APPLICATION: Final = "tests/ways_in/application.py"
#: No tracing backend, which is as quiet as OpenTelemetry gets.
QUIET: Final = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
#: logfire, where it is installed, comes along with pydantic and wants a number in OTEL_TRACES_SAMPLER_ARG.
_NO_PLUGINS: Final = {"PYDANTIC_DISABLE_PLUGINS": "__all__"}
INSTRUMENT: Final = str(Path(sys.executable).with_name("opentelemetry-instrument"))


class Ended(NamedTuple):
    """How a service ended, and what it said on both outputs."""

    status: int
    said: str


def run(rig: Rig, *command: str, **environ: str) -> Ended:
    """Run Python with these arguments to its end."""
    with rig.start(*command, **environ) as service:
        return Ended(service.end(30), service.output)


def run_code(rig: Rig, code: str, **environ: str) -> Ended:
    """Run a program that is given as text."""
    return run(rig, "-c", textwrap.dedent(code), **environ)


def instrumented(rig: Rig, *command: str, **environ: str) -> Ended:
    """Run Python with these arguments under `opentelemetry-instrument`."""
    return run(rig, INSTRUMENT, sys.executable, *command, **{**QUIET, **_NO_PLUGINS, **environ})


def ldv_run(rig: Rig, *command: str, **environ: str) -> Ended:
    """Run Python with these arguments as `ldv run`, which is strict with OpenTelemetry too."""
    return run(
        rig, "-m", "ldv_otel._internal.cli", "run", sys.executable, *command, **{**QUIET, **_NO_PLUGINS, **environ}
    )
