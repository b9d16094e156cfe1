"""`ldv activity`: what was logged under one processing activity."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from ldv_otel._internal.cli.listing import activity_title, texts_for
from ldv_otel._internal.cli.output import (
    AsCsv,
    AsExcel,
    AsJson,
    AsTree,
    OutputFormat,
    Wide,
    output_format,
)
from ldv_otel._internal.cli.periods import Since, Until
from ldv_otel._internal.cli.query_options import After, Limit, page_limits, print_page
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.models import PAGE_RECORDS
from ldv_otel._internal.clickhouse.schema.migrations import checked
from ldv_otel._internal.config.settings import read_settings


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(activity)


def activity(  # options of a command
    uri: Annotated[str, typer.Argument(help="The processing activity, as it is in the Register.")],
    *,
    since: Since = None,
    until: Until = None,
    after: After = None,
    limit: Limit = PAGE_RECORDS,
    as_tree: AsTree = False,
    as_csv: AsCsv = False,
    as_excel: AsExcel = False,
    as_json: AsJson = False,
    wide: Wide = False,
) -> None:
    """Show what was logged under one processing activity."""
    format_ = output_format(OutputFormat.TABLE, tree=as_tree, csv=as_csv, excel=as_excel, json=as_json)
    limits = page_limits(since, until, after, limit)
    settings = read_settings(os.environ)
    with checked(LogboekClient(settings)) as client:
        page = read.by_activity(client, uri, limits)
        texts = texts_for(settings, client, wide=wide, for_people=format_.for_people)
    print_page(page, format_, title=activity_title(uri, texts), texts=texts)
