"""`ldv uninstall --plan`: what there is of a Logboek on this machine and on its server, and what has to be kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from ldv_otel._internal.cli.output import AsJson, console, print_json
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.front_secret import secret_file
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.schema.migrations import schema_status
from ldv_otel._internal.clickhouse.schema.roles import ROLES
from ldv_otel._internal.clickhouse.schema.users import USERS
from ldv_otel._internal.config.settings import Settings, read_settings
from ldv_otel._internal.delivery.paths import losses_directory, spool_base, spool_root
from ldv_otel._internal.delivery.spool.inspect import inspect_spools
from ldv_otel._internal.delivery.spool.quarantine import QUARANTINE_NAME, Quarantine
from ldv_otel._internal.privacy.key_file import place_of_keys
from ldv_otel._internal.tamper.key_place import seal_key_file
from ldv_otel._internal.times.instants import rfc3339_from_ms
from ldv_otel.errors import ConfigurationError, LdvError


class UninstallStep(msgspec.Struct, frozen=True):
    """One thing that is there.

    Attributes:
        keep: Why it has to be kept for now; empty for what may go.
        remove: The command or statement that removes it, to be run by hand.
    """

    what: str
    keep: str
    remove: str


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(uninstall)


def uninstall(
    *,
    plan: Annotated[bool, typer.Option("--plan", help="Show what there is; nothing is ever removed by this.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what there is of this Logboek, in the order in which it may go, and what has to be kept by law."""
    if not plan:
        raise ConfigurationError(
            "Nothing is removed by this command. Run `ldv uninstall --plan` to see what there is and how it goes."
        )
    settings = read_settings(os.environ)
    steps = [*_waiting(settings), *_stored(settings), *_keys(settings), *_others(settings)]
    if as_json:
        print_json([msgspec.to_builtins(step) for step in steps])
        return
    out = console()
    for number, step in enumerate(steps, 1):
        out.print(f"{number}. {step.what}", markup=False, soft_wrap=True)
        if step.keep:
            out.print(f"   KEEP: {step.keep}", style="bold red", markup=False, soft_wrap=True)
        out.print(f"   {step.remove}", markup=False, soft_wrap=True)


def _waiting(settings: Settings) -> list[UninstallStep]:
    base = spool_base(spool_root(settings), settings.logboek)
    if not base.exists():
        return []
    waiting = sum(spool.pending for spool in inspect_spools(base))
    quarantined = len(Quarantine(base / QUARANTINE_NAME).records())
    keep = ""
    if waiting or quarantined:
        keep = f"{waiting} Logregels wait in it and {quarantined} are quarantined: they are in no other place."
    remove = "Stop the services, run `ldv spool drain` and `ldv spool quarantine list`; then "
    return [UninstallStep(f"spools in {base}", keep, f"{remove}rm -r {base}")]


def _stored(settings: Settings) -> list[UninstallStep]:
    address = settings.logboek
    try:
        with LogboekClient(settings) as client:
            totals = read.totals(client) if schema_status(client).current else None
    except LdvError as error:
        return [UninstallStep(f"the Logboek {address}", f"It was not looked into. {error}", "Make it answer first.")]
    keep = ""
    if totals is not None and totals.logregels and totals.last_ms is not None:
        keep = (
            f"{totals.logregels} Logregels, the last of {rfc3339_from_ms(totals.last_ms)}. Each has to be kept for the "
            "term of its activity, and shown to the person it is about who asks: `ldv retention plan` shows the terms, "
            "`ldv backup` takes them along to another place."
        )
    if address.embedded:
        directory = Path(address.path)
        return [UninstallStep(f"records in {directory}", keep, f"rm -r {directory} {secret_file(directory)}")]
    names = ", ".join(USERS)
    return [
        UninstallStep(f"records in {address}", keep, f"DROP DATABASE {address.database}"),
        UninstallStep("roles and accounts on that server", "", f"DROP ROLE IF EXISTS {', '.join(ROLES)}"),
        UninstallStep("accounts that `ldv schema users` made", "", f"DROP USER IF EXISTS {names}"),
    ]


def _keys(settings: Settings) -> list[UninstallStep]:
    steps = []
    keys, seal_key = place_of_keys(settings), seal_key_file(settings)
    if keys is not None and keys.exists():
        keep = "As long as there are records or backups: without it nobody in them is found, which the law gives them."
        steps.append(UninstallStep(f"keys of pseudonyms in {keys}", keep, f"shred -u {keys}"))
    if seal_key is not None and seal_key.exists():
        keep = "Its public key as long as there are records or backups: it shows that they are unchanged."
        steps.append(UninstallStep(f"the key that seals, in {seal_key}", keep, f"shred -u {seal_key}"))
    return steps


def _others(settings: Settings) -> list[UninstallStep]:
    losses = losses_directory(settings)
    steps = []
    if losses.exists() and any(losses.iterdir()):
        keep = "Reports of records that were lost: the privacy officer has to have seen them."
        steps.append(UninstallStep(f"loss reports in {losses}", keep, f"rm -r {losses}"))
    steps.append(UninstallStep("the package", "", "pip uninstall ldv-otel"))
    return steps
