"""`ldv trace`: one trace as a tree."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from ldv_otel._internal.cli import rendering
from ldv_otel._internal.cli.listing import texts_for
from ldv_otel._internal.cli.output import (
    AsCsv,
    AsExcel,
    AsJson,
    AsTable,
    OutputFormat,
    Wide,
    label_of,
    output_format,
    page_out,
    print_records,
)
from ldv_otel._internal.cli.query_options import Confidential
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.traces import across_traces
from ldv_otel._internal.clickhouse.schema.migrations import checked
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.record.outcomes import with_outcomes


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(trace)


def trace(
    trace_id: Annotated[str, typer.Argument(help="32 hex digits or a UUID; or an FSC transaction id.")],
    *,
    confidential: Confidential = True,
    as_table: AsTable = False,
    as_csv: AsCsv = False,
    as_excel: AsExcel = False,
    as_json: AsJson = False,
    wide: Wide = False,
) -> None:
    """Show one trace as a tree: what was done, in order, and what called what, also into traces of called parties."""
    format_ = output_format(OutputFormat.TREE, table=as_table, csv=as_csv, excel=as_excel, json=as_json)
    settings = read_settings(os.environ)
    with checked(LogboekClient(settings)) as client:
        records = across_traces(client, trace_id, confidential=confidential)
        texts = texts_for(settings, client, wide=wide, for_people=format_.for_people)
    if format_ is OutputFormat.TREE and records:
        page_out(
            rendering.trace_tree(
                with_outcomes(stored.logregel for stored in records), title=f"trace {trace_id}", label=label_of(texts)
            )
        )
    else:
        print_records(records, format_, title=texts.words.of_trace.format(trace_id), texts=texts)
