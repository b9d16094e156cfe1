"""The command line: one typer application, with errors as one line and exit codes that scripts can use."""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer

from ldv_otel._internal.cli.commands import (
    activity,
    backup,
    chain,
    export,
    foreign,
    import_,
    inzage,
    key,
    logboek,
    outbox,
    proof,
    register,
    retention,
    rules,
    run,
    schema,
    seal,
    serve,
    spool,
    status,
    subject,
    trace,
    verify,
)
from ldv_otel._internal.cli.output import console
from ldv_otel._internal.config.settings import unknown_variables
from ldv_otel._version import __version__
from ldv_otel.errors import LdvError

_logger = logging.getLogger(__name__)

app = typer.Typer(
    name="ldv",
    help="Logboek Dataverwerkingen: read it, look after it, run one. The Logboek is the one that LDV_LOGBOEK names.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks show local variables, and those may hold an identifier
)
for command in (
    inzage,
    trace,
    activity,
    foreign,
    status,
    verify,
    seal,
    proof,
    export,
    chain,
    register,
    retention,
    subject,
    schema,
    key,
    import_,
    backup,
    logboek,
    spool,
    outbox,
    serve,
    rules,
    run,
):
    command.add_to(app)


def _version(wanted: bool) -> None:  # typer's callback
    if wanted:
        typer.echo(f"ldv {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Options of all commands."""
    del version
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    if context.invoked_subcommand != "run":  # the program that it starts says so itself
        for sentence in unknown_variables(os.environ):
            _logger.warning("%s", sentence)


def main() -> None:
    """Run the command; our own errors become one line on standard error and exit code 1."""
    try:
        app()
    except LdvError as error:
        console(stderr=True).print(f"ldv: {error}", markup=False, soft_wrap=True)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of a pipe went away, as `head` does.
        sys.stderr.close()
        sys.exit(141)
