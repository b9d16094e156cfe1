"""`ldv retention`: removing records that are past their term."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ldv_otel._internal.cli.output import AsJson, console, page_out, print_json
from ldv_otel._internal.cli.periods import day_to_come
from ldv_otel._internal.cli.rendering import moment, plain
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.models import parse_span_id, parse_trace_id
from ldv_otel._internal.clickhouse.register_table import register_changes
from ldv_otel._internal.clickhouse.retention.apply import apply_retention
from ldv_otel._internal.clickhouse.retention.plan import RetentionPlan, plan_retention, set_end
from ldv_otel._internal.clickhouse.schema.migrations import checked
from ldv_otel._internal.clickhouse.seal_key import is_there
from ldv_otel._internal.config.settings import Settings, read_settings
from ldv_otel._internal.register.source import load_register
from ldv_otel._internal.tamper.key_place import VARIABLE, seal_key_file
from ldv_otel._internal.tamper.note import NoteSigner
from ldv_otel._internal.tamper.signing_key import read_signer
from ldv_otel._internal.times.durations import Duration
from ldv_otel._internal.times.instants import ms_from_rfc3339
from ldv_otel.errors import ConfigurationError

retention_app = typer.Typer(
    help="Removing what is past its term by the Register: look first, then remove.", no_args_is_help=True
)


def add_to(app: typer.Typer) -> None:
    """Add the group to the application."""
    retention_app.command("plan")(plan)
    retention_app.command("apply")(apply)
    retention_app.command("date")(date)
    app.add_typer(retention_app, name="retention")


Longest = Annotated[
    str,
    typer.Option("--longest", help="How long to keep what has no term, as ISO 8601 has it: P20Y. Default: for ever."),
]


def plan(
    *,
    longest: Longest = "",
    on: Annotated[
        str | None, typer.Option("--on", help="Count what will be past its term on that day, instead of in a month.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Count what is past its term, by activity and year, and what will be; nothing changes."""
    upcoming_on = day_to_come(on)
    settings = read_settings(os.environ)
    with checked(LogboekClient(settings)) as client:
        _check_applied(settings, client)
        retention_plan = plan_retention(client, longest=_term(longest), upcoming_on=upcoming_on)
    if as_json:
        print_json(msgspec.to_builtins(retention_plan))
    else:
        _print_plan(retention_plan)


def apply(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: for a timer.")] = False,
    longest: Longest = "",
    as_json: AsJson = False,
) -> None:
    """Remove what is past its term, after showing the plan and asking; what was removed is on record."""
    settings = read_settings(os.environ)
    with checked(LogboekClient(settings)) as client:
        _check_applied(settings, client)
        retention_plan = plan_retention(client, longest=_term(longest))
        if not as_json:
            _print_plan(retention_plan)
        if retention_plan.logregels and not yes:
            if not sys.stdin.isatty():
                raise ConfigurationError("Nothing was removed: say --yes where nobody can be asked.")
            typer.confirm(f"Remove {retention_plan.logregels} Logregels for good?", abort=True, err=True)
        removed = apply_retention(
            client,
            retention_plan,
            signer=_signer(settings),
            progress=lambda done: typer.echo(f"removed {done.logregels} of {done.year} by {done.way}", err=True),
        )
    if as_json:
        print_json({"removed": msgspec.to_builtins(removed)})


def _signer(settings: Settings) -> NoteSigner | None:
    """Return the key that signs what a removal leaves behind; None where nobody said which, and none was made."""
    path = seal_key_file(settings)
    if path is None or (settings.seal_key is None and not is_there(path)):
        return None
    return read_signer(path, VARIABLE)


def date(
    trace_id: Annotated[str, typer.Argument(help="32 hex digits or a UUID.")],
    *,
    until: Annotated[str, typer.Option("--until", help="The last day on which the records are kept, as 2046-12-31.")],
    span_id: Annotated[str, typer.Option("--span", help="Only this record: 16 hex digits.")] = "",
) -> None:
    """Set until when records are kept whose activity has a term in words: those of a trace, or one record of it."""
    trace, span = parse_trace_id(trace_id), parse_span_id(span_id) if span_id else b""
    try:
        until_ms = ms_from_rfc3339(f"{until}T23:59:59.999Z")
    except ValueError:
        raise ConfigurationError("--until is no day like 2046-12-31. Nothing was set.") from None
    settings = read_settings(os.environ)
    with checked(LogboekClient(settings)) as client:
        logregels = set_end(client, trace, span, until_ms)
    typer.echo(f"kept until {until}: {logregels} Logregels whose activity has a term in words")


def _term(text: str) -> Duration | None:
    if not text:
        return None
    try:
        return Duration.parse(text)
    except ValueError as error:
        raise ConfigurationError(f"--longest cannot be used: {error}. Nothing was removed.") from None


def _check_applied(settings: Settings, client: LogboekClient) -> None:
    """Refuse to remove by terms that the Register no longer has; without a Register, those in force count."""
    if settings.register and register_changes(client, load_register(settings)):
        raise ConfigurationError(
            "The Register differs from what is in force in the Logboek; nothing was removed. Look at it with "
            "`ldv register check`, and run `ldv register apply` first."
        )


def _print_plan(retention_plan: RetentionPlan) -> None:
    table = Table(header_style="bold", box=SIMPLE_HEAD, title_justify="left")
    for caption in ("activity", "year", "past its term", "first", "last", "kept from (UTC)"):
        table.add_column(caption, overflow="fold")
    for expired in (*retention_plan.expired, *retention_plan.own, *retention_plan.dated):
        table.add_row(
            Text(plain(expired.activity)),
            str(expired.year),
            str(expired.logregels),
            moment(expired.first_ms)[:10],
            moment(expired.last_ms)[:10],
            moment(expired.kept_from_ms)[:19] if expired.kept_from_ms else "(own end)",
        )
    if retention_plan.logregels:
        page_out(table)
    out = console()
    out.print(f"past their term  {retention_plan.logregels} Logregels")
    for upcoming in retention_plan.next_month:
        since = f", in force since {moment(upcoming.in_force_from_ms)[:10]}" if upcoming.in_force_from_ms else ""
        out.print(
            f"on {retention_plan.upcoming_on:%Y-%m-%d}    {upcoming.logregels} Logregels of "
            f"{plain(upcoming.activity) or '(no activity named)'}, "
            f"{moment(upcoming.first_ms)[:10]} to {moment(upcoming.last_ms)[:10]}: "
            f"{upcoming.retention} from their end{since}",
            markup=False,
            soft_wrap=True,
        )
    for kept in retention_plan.without_term:
        label = plain(kept.activity) or "(no activity named)"
        why = f"in words         {plain(kept.retention_text)}:" if kept.retention_text else "no term known   "
        line = f"{why} {kept.logregels} Logregels of {label}, from {moment(kept.first_ms)[:10]} on"
        out.print(line, markup=False, soft_wrap=True)
    if retention_plan.unfinished:
        out.print(f"not finished     {retention_plan.unfinished} removals that were begun; they are finished first")
