"""The Python that will run a program, and whether it loads what `ldv run` puts before the program.

A Python that is started with `-E`, `-I` or `-S` does not look at PYTHONPATH, and that of another environment has none
of this package: the service would run, and keep no Logboek. So the very Python is started once, to see it.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from shutil import which
from typing import Final

from ldv_otel.errors import ConfigurationError

#: What the `sitecustomize` of `ldv run` prints where only that is asked, and the variable that asks.
PROBE: Final = "_LDV_OTEL_PROBE"
_PYTHON: Final = re.compile(r"(python|pypy)[0-9.]*t?")
#: As scripts begin whose interpreter has too long a path for a first line.
_THROUGH_SHELL: Final = re.compile(r"""^'''exec' (.+) "\$0" "\$@"$""", re.MULTILINE)
_FIRST_LINES: Final = 4_096
_WITH_VALUE: Final = frozenset({"W", "X", "-check-hash-based-pycs"})
_TIMEOUT_SECONDS: Final = 60


def python_of(program: Path, arguments: Sequence[str]) -> list[str] | None:
    """Return the Python that runs a program, with its options; None where the program says nothing of one.

    Args:
        program: An executable file: Python itself, or a script whose first line names it.
        arguments: What the program is given.
    """
    if _PYTHON.fullmatch(program.name):
        return [str(program), *_options(arguments)]
    try:
        with program.open("rb") as file:
            text = file.read(_FIRST_LINES).decode("utf-8", "replace")
    except OSError:
        return None
    if not text.startswith("#!"):
        return None
    words = _words(text.splitlines()[0].removeprefix("#!"))
    if through_shell := _THROUGH_SHELL.search(text):
        words = _words(through_shell[1])
    if words and Path(words[0]).name == "env":
        words = [word for word in words[1:] if word not in {"-S", "--split-string"}]
        words[:1] = [which(words[0]) or words[0]] if words else []
    if not words or not _PYTHON.fullmatch(Path(words[0]).name):
        return None
    return [words[0], *_options(words[1:])]


def check_python(python: Sequence[str], program: str) -> None:
    """Start this Python once, with its options, and see that it loads what sets the Logboek up.

    Raises:
        ConfigurationError: It does not, or it cannot be started.
    """
    try:
        answer = subprocess.run(  # the program that was asked for, without a shell
            [*python, "-c", "pass"],
            env={**os.environ, PROBE: "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(
            f"{shlex.join(python)}, which runs {program}, cannot be started ({type(error).__name__}). The service did "
            "not start."
        ) from error
    if PROBE in answer.stdout.splitlines():
        return
    said = [line.removeprefix("ldv_otel: ") for line in answer.stderr.splitlines() if line.startswith("ldv_otel: ")]
    raise ConfigurationError(
        said[-1]
        if said
        else (
            f"{shlex.join(python)}, which runs {program}, does not load what sets the Logboek up, so the service did "
            "not start. Leave out -E, -I and -S, which have Python disregard PYTHONPATH, and use Python 3.11 or newer."
        )
    )


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _options(arguments: Sequence[str]) -> list[str]:
    """Return those arguments of Python that are its own options, before what it is to run."""
    options: list[str] = []
    waiting = list(arguments)
    while waiting and waiting[0].startswith("-") and waiting[0] not in {"-", "--"}:
        word = waiting.pop(0)
        # Letters are joined to one word (`-sE`), of which the last may have a value (`-Wignore`, `-W ignore`).
        letters = re.match(r"-[^-cmWX]*", word)
        flags, rest = (letters[0], word[letters.end() :]) if letters is not None else ("-", word)
        if rest[:1] in {"c", "m"}:
            # What comes after these is the program.
            return [*options, flags] if flags != "-" else options
        options.append(word)
        if rest in _WITH_VALUE and waiting:
            options.append(waiting.pop(0))
    return options
