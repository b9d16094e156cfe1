"""`ldv run`: start a service with a Logboek."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from shutil import which
from typing import Annotated

import typer

from ldv_otel._internal.cli.output import console
from ldv_otel._internal.cli.program_python import check_python, python_of
from ldv_otel._internal.sdk import autostart
from ldv_otel.errors import ConfigurationError


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    # What comes after the program's name is the program's.
    app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})(run)


def run(
    program: Annotated[str, typer.Argument(help="What to start, such as gunicorn or python.")],
    arguments: Annotated[list[str] | None, typer.Argument(help="Its arguments.")] = None,
) -> None:
    """Start a Python service under OpenTelemetry's auto-instrumentation: with a Logboek, or not at all.

    `opentelemetry-instrument` does the same but lets the service go on, unlogged, when OpenTelemetry fails to start.
    """
    if not importlib.util.find_spec("opentelemetry.instrumentation.auto_instrumentation"):
        raise ConfigurationError(
            "`ldv run` needs OpenTelemetry's auto-instrumentation. Run `pip install opentelemetry-distro`."
        )
    executable = which(program)
    if executable is None:
        raise ConfigurationError(f"There is no program {program!r} on the PATH.")
    autostart_directory = str(Path(autostart.__file__).parent)
    # The directory of work is searched too, for programs that are no Python file themselves, such as gunicorn.
    paths = [autostart_directory, str(Path.cwd()), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(filter(None, paths)))
    python = python_of(Path(executable), arguments or [])
    if python is not None:
        check_python(python, program)
    else:
        # Such as uWSGI, which brings Python along, or a shell script that starts it.
        console(stderr=True).print(
            f"ldv run: {program} is no Python program that can be looked into. A Python that it starts keeps a Logboek "
            "or does not start, unless it is given -E, -I or -S or another PYTHONPATH; anything else keeps none.",
            markup=False,
            soft_wrap=True,
        )
    os.execv(executable, [executable, *(arguments or [])])  # noqa: S606  (the program that was asked for, without a shell)
