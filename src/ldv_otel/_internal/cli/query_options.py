"""Options that commands which read records share: period, limit, cursor, confidentiality."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from ldv_otel._internal.cli.listing import ListingTexts
from ldv_otel._internal.cli.output import OutputFormat, console, print_records
from ldv_otel._internal.cli.periods import parse_period
from ldv_otel._internal.clickhouse.queries.models import Cursor, Page, PageLimits
from ldv_otel._internal.times.instants import ms_from_datetime

After = Annotated[str | None, typer.Option("--after", help="Cursor of the page before: go on from there.")]
Confidential = Annotated[
    bool,
    typer.Option(
        "--confidential/--no-confidential",
        help="Whether to show confidential records, which data subjects do not see.",
    ),
]
Reason = Annotated[
    str | None,
    typer.Option("--reason", help="Why you look, in a sentence: it is put on record before anything is read."),
]
Limit = Annotated[int, typer.Option("--limit", help="Show at most so many records.", min=1)]


def page_limits(since: str | None, until: str | None, after: str | None, limit: int) -> PageLimits:
    """Return the limits of a query for these options.

    Raises:
        QueryError: The period or the cursor cannot be read.
    """
    begin, end = parse_period(since, until, now=datetime.now(UTC))
    return PageLimits(
        since_ms=None if begin is None else ms_from_datetime(begin),
        until_ms=None if end is None else ms_from_datetime(end),
        after=Cursor.parse(after) if after is not None else None,
        limit=limit,
    )


def print_page(page: Page, format_: OutputFormat, *, title: str, texts: ListingTexts) -> None:
    """Print a page of records, and on standard error the cursor of the next page, where there is one."""
    print_records(page.records, format_, title=title, texts=texts)
    if page.following is not None:
        console(stderr=True).print(f"There are more: --after {page.following}", soft_wrap=True)
