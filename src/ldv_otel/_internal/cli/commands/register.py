"""Commands that bring the Register's rules to the Logboek: register, retention."""

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
from ldv_otel._internal.cli.rendering import moment, plain
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.register_table import apply_register, changes, compare
from ldv_otel._internal.clickhouse.retention.plan import RetentionPlan, apply_retention, plan_retention
from ldv_otel._internal.clickhouse.schema.migrations import checked
from ldv_otel._internal.config.settings import Settings, read_settings
from ldv_otel._internal.register.source import load_register
from ldv_otel._internal.times.durations import Duration
from ldv_otel.errors import ConfigurationError

register_app = typer.Typer(
    help="The Register of processing activities that LDV_REGISTER names: compare it, bring it in.", no_args_is_help=True
)
retention_app = typer.Typer(
    help="Removing what is past its term by the Register: look first, then remove.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    register_app.command("check")(check)
    register_app.command("apply")(apply)
    retention_app.command("plan")(plan)
    retention_app.command("apply")(apply_plan)
    app.add_typer(register_app, name="register")
    app.add_typer(retention_app, name="retention")


def check(*, as_json: AsJson = False) -> None:
    """Compare the Register with the Logboek; exit code 1 when the Logboek uses what the Register lacks."""
    settings = read_settings(os.environ)
    found = load_register(settings)
    with checked(LogboekClient(settings)) as client:
        comparison = compare(client, found)
        pending = changes(client, found)
    if as_json:
        print_json(
            {
                "register": found.source,
                "activities": len(found),
                "unregistered": comparison.unregistered,
                "unused": comparison.unused,
                "not_applied": [{"id": change.activity.id, "differs": change.differs} for change in pending],
            }
        )
    else:
        out = console()
        out.print(f"Register    {plain(found.source)}, {len(found)} activities", markup=False, soft_wrap=True)
        for activity, count in comparison.unregistered.items():
            label = plain(activity) or "(no activity named)"
            out.print(f"not in it   {label}: {count} Logregels", markup=False, soft_wrap=True)
        for activity in comparison.unused:
            out.print(f"not used    {plain(activity)}", markup=False, soft_wrap=True)
        for change in pending:
            what = f"differs in {', '.join(change.differs)}" if change.differs else "is new"
            line = f"not applied {plain(change.activity.id)} {what}: `ldv register apply`"
            out.print(line, markup=False, soft_wrap=True)
    if not comparison.ok:
        raise typer.Exit(1)


def apply(
    *,
    amend: Annotated[
        bool, typer.Option("--amend", help="Take entries too that differ under the same URI: slips put right.")
    ] = False,
) -> None:
    """Bring the Register's entries into force in the Logboek: terms, confidentiality, and what activities mean."""
    settings = read_settings(os.environ)
    found = load_register(settings)
    with checked(LogboekClient(settings)) as client:
        applied = apply_register(client, found, amend=amend)
    for change in applied:
        what = f"amended ({', '.join(change.differs)})" if change.differs else "new"
        typer.echo(f"{what} {plain(change.activity.id)}")
    if not applied:
        typer.echo("nothing to do")


Longest = Annotated[
    str,
    typer.Option("--longest", help="How long to keep what has no term, as ISO 8601 has it: P20Y. Default: for ever."),
]


def plan(*, longest: Longest = "", as_json: AsJson = False) -> None:
    """Count what is past its term, by activity and year; nothing changes."""
    settings = read_settings(os.environ)
    with checked(LogboekClient(settings)) as client:
        _check_applied(settings, client)
        found = plan_retention(client, longest=_term(longest))
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        _print_plan(found)


def apply_plan(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: for a timer.")] = False,
    longest: Longest = "",
    as_json: AsJson = False,
) -> None:
    """Remove what is past its term, after showing the plan and asking; what was removed is on record."""
    settings = read_settings(os.environ)
    with checked(LogboekClient(settings)) as client:
        _check_applied(settings, client)
        found = plan_retention(client, longest=_term(longest))
        if not as_json:
            _print_plan(found)
        if found.logregels and not yes:
            if not sys.stdin.isatty():
                raise ConfigurationError("Nothing was removed: say --yes where nobody can be asked.")
            typer.confirm(f"Remove {found.logregels} Logregels for good?", abort=True, err=True)
        removed = apply_retention(
            client,
            found,
            progress=lambda done: typer.echo(f"removed {done.logregels} of {done.year} by {done.way}", err=True),
        )
    if as_json:
        print_json({"removed": msgspec.to_builtins(removed)})


def _term(text: str) -> Duration | None:
    if not text:
        return None
    try:
        return Duration.parse(text)
    except ValueError as error:
        raise ConfigurationError(f"--longest cannot be used: {error}. Nothing was removed.") from None


def _check_applied(settings: Settings, client: LogboekClient) -> None:
    """Refuse to remove by terms that the Register no longer has; without a Register, those in force count."""
    if settings.register and changes(client, load_register(settings)):
        raise ConfigurationError(
            "The Register differs from what is in force in the Logboek; nothing was removed. Look at it with "
            "`ldv register check`, and run `ldv register apply` first."
        )


def _print_plan(found: RetentionPlan) -> None:
    table = Table(header_style="bold", box=SIMPLE_HEAD, title_justify="left")
    for caption in ("activity", "year", "past its term", "first", "last", "kept from (UTC)"):
        table.add_column(caption, overflow="fold")
    for expired in (*found.expired, *found.own):
        table.add_row(
            Text(plain(expired.activity)),
            str(expired.year),
            str(expired.logregels),
            moment(expired.first_ms)[:10],
            moment(expired.last_ms)[:10],
            moment(expired.kept_from_ms)[:19] if expired.kept_from_ms else "(own term)",
        )
    if found.logregels:
        page_out(table)
    out = console()
    out.print(f"past their term  {found.logregels} Logregels")
    for kept in found.without_term:
        label = plain(kept.activity) or "(no activity named)"
        line = f"no term known    {kept.logregels} Logregels of {label}, from {moment(kept.first_ms)[:10]} on"
        out.print(line, markup=False, soft_wrap=True)
    if found.unfinished:
        out.print(f"not finished     {found.unfinished} removals that were begun; they are finished first")
