"""The processes of a development server that reloads: the first one only watches files and starts the service anew.

It imports the application all the same (`flask run --debug`, `runserver`), or is what `ldv run` starts
(`uvicorn --reload`). An embedded Logboek serves one process, and that is to be the service.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

_OFF = frozenset({"", "0", "false", "no", "off"})


def only_restarts(command: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Return whether a process is one that restarts the service, and does nothing else.

    Args:
        command: The process's command line, as `sys.orig_argv` has it.
        environ: Its environment, where the reloaders of Flask and Django tell their children what they are.
    """
    words = set(command[1:])
    programs = {PurePath(word).name for word in words}
    if "flask" in programs and "run" in words:
        wanted = _on(environ, "FLASK_DEBUG") or not words.isdisjoint({"--debug", "--reload"})
        return wanted and "--no-reload" not in words and environ.get("WERKZEUG_RUN_MAIN") != "true"
    if "runserver" in words:
        return "--noreload" not in words and environ.get("RUN_MAIN") != "true"
    if "uvicorn" in programs:
        # Its children are started by multiprocessing, with a command line of that.
        return "--reload" in words or _on(environ, "UVICORN_RELOAD")
    return "fastapi" in programs and "dev" in words and "--no-reload" not in words


def only_helps_python(command: Sequence[str]) -> bool:
    """Return whether a process is one that multiprocessing starts for itself, to tidy up after others."""
    return any(word.startswith("from multiprocessing.resource_tracker import") for word in command)


def _on(environ: Mapping[str, str], name: str) -> bool:
    return environ.get(name, "").strip().lower() not in _OFF
