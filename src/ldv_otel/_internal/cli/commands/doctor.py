"""`ldv doctor`: checks what a service would start with here, and says what to do."""

from __future__ import annotations

import os

import msgspec
import typer
from rich.text import Text

from ldv_otel._internal.cli.doctor_checks import all_checks
from ldv_otel._internal.cli.output import AsJson, console, print_json
from ldv_otel._internal.config.checks import CheckOutcome

_WORDS = {"ok": ("ok", "green"), "look": ("LOOK", "yellow"), "wrong": ("WRONG", "bold red"), "unknown": ("-", "dim")}


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(doctor)


def doctor(*, as_json: AsJson = False) -> None:
    """Check the environment, the installed packages and the Logboek; exit code 1 when something is wrong.

    Nothing is made or logged. What only a running service knows is in its `ldv_otel.health().checks`.
    """
    checks = list(all_checks(os.environ))
    if as_json:
        print_json(msgspec.to_builtins(checks))
    else:
        _print(checks)
    if any(check.state == "wrong" for check in checks):
        raise typer.Exit(1)


def _print(checks: list[CheckOutcome]) -> None:
    out = console()
    width = max(len(check.check) for check in checks)
    for check in checks:
        word, style = _WORDS[check.state]
        out.print(Text.assemble((f"{word:<6}", style), f"{check.check:<{width}}  {check.finding}"), soft_wrap=True)
        if check.advice:
            out.print(Text(f"{'':<6}{'':<{width}}  -> {check.advice}"), soft_wrap=True)
    wrong = sum(check.state == "wrong" for check in checks)
    out.print(f"{len(checks)} checks, {wrong} wrong.")
