"""The typer application, with all commands or with the one that is asked for: each imports what only it needs.

Reading all of them takes a second, and most people want one.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from typing import Annotated, Final

import typer

from ldv_otel._internal.config.settings import unknown_variables
from ldv_otel._version import __version__
from ldv_otel.errors import LdvError

_logger = logging.getLogger(__name__)

#: Each command or group, and the module below `commands` that has it; in the order of the help.
COMMANDS: Final = {
    "inzage": "inzage",
    "trace": "trace",
    "activity": "activity",
    "foreign": "foreign",
    "question": "question",
    "sql": "sql",
    "status": "status",
    "doctor": "doctor",
    "init": "init",
    "verify": "verify",
    "seal": "seal",
    "witness": "witness",
    "proof": "proof",
    "export": "export",
    "chain": "chain",
    "register": "register",
    "retention": "retention",
    "subject": "subject",
    "schema": "schema",
    "key": "key",
    "import": "import_",
    "backup": "backup",
    "restore": "backup",
    "logboek": "logboek",
    "uninstall": "uninstall",
    "spool": "spool",
    "outbox": "outbox",
    "serve": "serve",
    "rules": "rules",
    "run": "run",
}


def application(*names: str) -> typer.Typer:
    """Return the application with these commands, or with every one.

    Args:
        names: Commands or groups, as they are typed.
    """
    app = typer.Typer(
        name="ldv",
        help="Logboek Dataverwerkingen: read it, look after it, run one. Which it is, LDV_LOGBOEK says.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,  # its tracebacks show local variables, and those may hold an identifier
    )
    app.callback()(options)
    for module in dict.fromkeys(COMMANDS[name] for name in names or COMMANDS):
        import_module(f"ldv_otel._internal.cli.commands.{module}").add_to(app)
    return app


def _version(wanted: bool) -> None:  # typer's callback
    if wanted:
        typer.echo(f"ldv {__version__}")
        raise typer.Exit


def options(
    context: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
    tenant: Annotated[
        str, typer.Option("--tenant", help="Whose Logboek of LDV_LOGBOEKEN; as LDV_TENANT. It may follow the command.")
    ] = "",
) -> None:
    """Options of all commands."""
    del version
    if tenant:
        os.environ["LDV_TENANT"] = tenant
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    if context.invoked_subcommand not in {"run", "doctor"}:  # they say so themselves
        for sentence in unknown_variables(os.environ):
            _logger.warning("%s", sentence)


def main() -> None:
    """Run the command; our own errors become one line on standard error and exit code 1."""
    before, arguments = tenant_apart(sys.argv[1:])
    asked = arguments[:1]
    try:
        if asked and asked[0] in COMMANDS:
            application(*asked)([*before, *arguments])
        else:
            _all_or_version([*before, *arguments])
    except LdvError as error:
        from ldv_otel._internal.cli.output import console

        console(stderr=True).print(f"ldv: {error}", markup=False, soft_wrap=True)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of a pipe went away, as `head` does.
        sys.stderr.close()
        sys.exit(141)


def tenant_apart(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return the option that names a tenant, wherever it stands, and the other arguments.

    What follows `run` are the arguments of another program.
    """
    for position, argument in enumerate(arguments):
        if argument in {"run", "--"}:
            break
        if argument == "--tenant":
            after = position + 2
            return arguments[position:after], [*arguments[:position], *arguments[after:]]
        if argument.startswith("--tenant="):
            return [argument], [*arguments[:position], *arguments[position + 1 :]]
    return [], arguments


def _all_or_version(arguments: list[str]) -> None:
    if arguments == ["--version"]:
        typer.echo(f"ldv {__version__}")
    else:
        application()(arguments)
