"""`ldv register`: the Register of processing activities beside the Logboek."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from ldv_otel._internal.cli.output import AsJson, console, print_json
from ldv_otel._internal.cli.rendering import plain
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.register_table import apply_register, compare, register_changes
from ldv_otel._internal.clickhouse.schema.migrations import checked
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.linked_data.graphs import RdfFormat, register_text
from ldv_otel._internal.register.source import load_register

register_app = typer.Typer(
    help="The Register of processing activities that LDV_REGISTER names: compare it, bring it in.", no_args_is_help=True
)


def add_to(app: typer.Typer) -> None:
    """Add the group to the application."""
    register_app.command("check")(check)
    register_app.command("apply")(apply)
    register_app.command("export")(export)
    app.add_typer(register_app, name="register")


def check(*, as_json: AsJson = False) -> None:
    """Compare the Register with the Logboek; exit code 1 when the Logboek uses what the Register lacks."""
    settings = read_settings(os.environ)
    register = load_register(settings)
    with checked(LogboekClient(settings)) as client:
        comparison = compare(client, register)
        pending = register_changes(client, register)
    if as_json:
        print_json(
            {
                "register": register.source,
                "activities": len(register),
                "unregistered": comparison.unregistered,
                "unused": comparison.unused,
                "not_applied": [{"id": change.activity.id, "differs": change.differs} for change in pending],
            }
        )
    else:
        out = console()
        out.print(f"Register    {plain(register.source)}, {len(register)} activities", markup=False, soft_wrap=True)
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


def export(
    *,
    format_: Annotated[RdfFormat, typer.Option("--format", help="How the triples are written.")] = RdfFormat.TURTLE,
) -> None:
    """Print the Register as linked data. It is read as it is in LDV_REGISTER; the Logboek is not asked."""
    register = load_register(read_settings(os.environ))
    typer.echo(register_text(register, format_), nl=False)


def apply(
    *,
    amend: Annotated[
        bool,
        typer.Option("--amend", help="Also take entries that differ under the same URI, to correct mistakes."),
    ] = False,
) -> None:
    """Bring the Register's entries into force in the Logboek: terms, confidentiality, and what activities mean."""
    settings = read_settings(os.environ)
    register = load_register(settings)
    with checked(LogboekClient(settings)) as client:
        applied = apply_register(client, register, amend=amend)
    for change in applied:
        what = f"amended ({', '.join(change.differs)})" if change.differs else "new"
        typer.echo(f"{what} {plain(change.activity.id)}")
    if not applied:
        typer.echo("nothing to do")
