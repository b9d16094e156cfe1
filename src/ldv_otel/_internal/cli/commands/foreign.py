"""`ldv foreign`: what ties this Logboek to another party's."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from ldv_otel._internal.cli.listing import texts_for
from ldv_otel._internal.cli.output import (
    AsCsv,
    AsExcel,
    AsJson,
    AsTree,
    OutputFormat,
    Wide,
    output_format,
    print_groups,
)
from ldv_otel._internal.cli.query_options import Confidential
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.schema.migrations import checked
from ldv_otel._internal.config.settings import read_settings


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(foreign)


def foreign(  # options of a command
    trace_id: Annotated[str, typer.Argument(help="Trace of the other party: 32 hex digits or a UUID.")],
    span_id: Annotated[str, typer.Argument(help="One span of it, 16 hex digits.")] = "",
    *,
    confidential: Confidential = True,
    as_tree: AsTree = False,
    as_csv: AsCsv = False,
    as_excel: AsExcel = False,
    as_json: AsJson = False,
    wide: Wide = False,
) -> None:
    """Show what ties this Logboek to another party's: what was done here for it, and the Actie it was called from."""
    format_ = output_format(OutputFormat.TABLE, tree=as_tree, csv=as_csv, excel=as_excel, json=as_json)
    settings = read_settings(os.environ)
    with checked(LogboekClient(settings)) as client:
        called = read.by_foreign(client, trace_id, span_id, confidential=confidential)
        caller = read.by_outbound(client, trace_id, span_id, confidential=confidential) if span_id else []
        texts = texts_for(settings, client, wide=wide, for_people=format_.for_people)
    print_groups(
        {"called": ("Gedaan voor deze aanroep", called), "caller": ("Van hieruit aangeroepen", caller)}, format_, texts
    )
