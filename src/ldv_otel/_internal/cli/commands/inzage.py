"""`ldv inzage`: what was logged about one person."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from ldv_otel._internal.cli.output import (
    AsCsv,
    AsJson,
    AsTree,
    OutputFormat,
    console,
    output_format,
)
from ldv_otel._internal.cli.periods import Since, Until
from ldv_otel._internal.cli.query_options import After, Confidential, Limit, page_limits, print_page
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.models import PAGE_RECORDS
from ldv_otel._internal.clickhouse.schema.migrations import checked
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.privacy.key_file import keys_for
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser
from ldv_otel.errors import QueryError


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(inzage)


def inzage(  # options of a command
    *,
    identifier: Annotated[
        str | None, typer.Argument(help="The person's identifier; better left out: you are asked for it.")
    ] = None,
    type_: Annotated[str, typer.Option("--type", help="Type of the identifier, such as BSN.")] = "BSN",
    since: Since = None,
    until: Until = None,
    after: After = None,
    limit: Limit = PAGE_RECORDS,
    confidential: Confidential = True,
    as_tree: AsTree = False,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Show what was logged about one person. The identifier becomes a pseudonym here and goes no further."""
    format_ = output_format(OutputFormat.TABLE, tree=as_tree, csv=as_csv, json=as_json)
    limits = page_limits(since, until, after, limit)
    settings = read_settings(os.environ)
    pseudonymiser = Pseudonymiser(keys_for(settings), settings.pseudonymous_types)
    candidates = pseudonymiser.candidates(_identifier(identifier, type_), type_)
    if not candidates:
        raise QueryError("No identifier was given. Type it at the prompt, or pass it on standard input.")
    with checked(LogboekClient(settings)) as client:
        page = read.by_subject(client, candidates, limits, confidential=confidential)
    print_page(page, format_, title="Verwerkingen van deze betrokkene")


def _identifier(argument: str | None, type_: str) -> str:
    warn = console(stderr=True)
    if argument is not None:
        warn.print("An identifier on the command line stays in the shell's history; leave it out to be asked for it.")
        identifier = argument
    elif sys.stdin.isatty():
        identifier = typer.prompt(type_, hide_input=True, err=True)
    else:
        identifier = sys.stdin.readline()
    if type_.upper() == "BSN" and not _valid_bsn(identifier):
        warn.print("This is no valid BSN (elfproef); it is looked for as it is.")
    return identifier


def _valid_bsn(identifier: str) -> bool:
    from stdnum.nl import bsn  # only this command needs it

    return bool(bsn.is_valid(identifier))
