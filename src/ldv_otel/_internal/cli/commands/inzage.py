"""`ldv inzage`: what was logged about one person."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ldv_otel._internal.cli.identifiers import ask_identifier, ask_pseudonyms, pseudonymiser_of_reader
from ldv_otel._internal.cli.listing import person_title, texts_for
from ldv_otel._internal.cli.output import (
    AsCsv,
    AsExcel,
    AsJson,
    AsTree,
    OutputFormat,
    Wide,
    console,
    output_format,
)
from ldv_otel._internal.cli.periods import Since, Until
from ldv_otel._internal.cli.person_letters import write_letter
from ldv_otel._internal.cli.query_options import After, Confidential, Limit, Reason, page_limits, print_page
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.keys import records_under_other_keys, sentence_about_keys
from ldv_otel._internal.clickhouse.queries.models import PAGE_RECORDS
from ldv_otel._internal.clickhouse.queries.subject_links import person_of
from ldv_otel._internal.clickhouse.schema.migrations import checked
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.questions.asking import Choices


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
    as_excel: AsExcel = False,
    as_json: AsJson = False,
    wide: Wide = False,
    letter: Annotated[
        Path | None,
        typer.Option("--brief", help="Write the letter to the person, HTML to be printed, into a new file instead."),
    ] = None,
    reason: Reason = None,
) -> None:
    """Show what was logged about one person. The identifier becomes a pseudonym here and goes no further."""
    format_ = output_format(OutputFormat.TABLE, tree=as_tree, csv=as_csv, excel=as_excel, json=as_json)
    limits = page_limits(since, until, after, limit)
    settings = read_settings(os.environ)
    pseudonymiser = pseudonymiser_of_reader(settings)
    if letter is not None:
        number = ask_identifier(type_, type_, argument=identifier)
        period = Choices(since_ms=limits.since_ms, until_ms=limits.until_ms)
        write_letter(settings, pseudonymiser, period, letter, who=(number, type_), reason=reason)
        typer.echo(f"written: {letter}", err=True)
        return
    candidates = ask_pseudonyms(pseudonymiser, type_, argument=identifier)
    with checked(LogboekClient(settings)) as client:
        page = read.by_subject(client, candidates, limits, confidential=confidential)
        lacking = person_of(client, candidates).lacking(pseudonymiser.keys.keys)
        missing = records_under_other_keys(client, pseudonymiser.keys.keys)
        texts = texts_for(settings, client, wide=wide, for_people=format_.for_people)
    if lacking:
        console(stderr=True).print(
            f"A link between this person's numbers is older than key {', '.join(lacking)}: records under the other "
            "number that were made with it are missing here. Link the numbers once more with `ldv subject link`.",
            soft_wrap=True,
        )
    if missing:
        console(stderr=True).print(sentence_about_keys(missing), markup=False, soft_wrap=True)
    title = person_title([stored.logregel for stored in page.records], texts.words)
    print_page(page, format_, title=title, texts=texts)
