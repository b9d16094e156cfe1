"""Asking for an identifier, so that it stays out of the shell's history, the screen and the list of processes."""

from __future__ import annotations

import sys

import typer

from ldv_otel._internal.cli.output import console
from ldv_otel._internal.clickhouse.client import check_there
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.privacy.key_file import pseudonymiser_for
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser, nearest_type
from ldv_otel.errors import QueryError


def pseudonymiser_of_reader(settings: Settings) -> Pseudonymiser:
    """Return what makes the pseudonyms of a Logboek that is to be read; for one that is not there, no key is made.

    Raises:
        ConfigurationError: There is no such Logboek, or its keys cannot be used.
    """
    check_there(settings.logboek)
    return pseudonymiser_for(settings)


def ask_identifier(question: str, type_: str, *, argument: str | None = None) -> str:
    """Return an identifier: asked for at a terminal without an echo, otherwise the next line of standard input.

    Args:
        question: What is asked at a terminal.
        argument: As it stood on the command line, if it did; that is warned about.
    """
    warn = console(stderr=True)
    if argument is not None:
        warn.print("An identifier on the command line stays in the shell's history; leave it out to be asked for it.")
        identifier = argument
    elif sys.stdin.isatty():
        identifier = typer.prompt(question, hide_input=True, err=True)
    else:
        identifier = sys.stdin.readline()
    if near := nearest_type(type_):
        warn.print(f"{type_} is no type of the standard; was {near} meant? It is looked for as it is.")
    if type_.upper() == "BSN" and not _valid_bsn(identifier):
        warn.print("This is no valid BSN (elfproef); it is looked for as it is.")
    return identifier


def ask_pseudonyms(pseudonymiser: Pseudonymiser, type_: str, *, argument: str | None = None) -> list[bytes]:
    """Return the pseudonyms of the person whose identifier is asked for, as `ask_identifier` asks.

    Raises:
        QueryError: There was none.
    """
    candidates = pseudonymiser.candidates(ask_identifier(type_, type_, argument=argument), type_)
    if not candidates:
        raise QueryError("No identifier was given. Type it at the prompt, or pass it on standard input.")
    return candidates


def _valid_bsn(identifier: str) -> bool:
    from stdnum.nl import bsn  # only commands about a person need it

    return bool(bsn.is_valid(identifier))
