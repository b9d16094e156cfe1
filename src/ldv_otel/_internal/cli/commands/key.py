"""`ldv key`: the keys of pseudonyms."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from ldv_otel._internal.cli.output import AsJson, print_json
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.keys import records_by_key, sentence_about_keys
from ldv_otel._internal.clickhouse.schema.migrations import checked
from ldv_otel._internal.config.settings import Settings, read_settings
from ldv_otel._internal.delivery.paths import spool_base, spool_root
from ldv_otel._internal.delivery.spool.inspect import inspect_spools
from ldv_otel._internal.privacy.key_file import add_key, place_of_keys, read_keys, remove_key
from ldv_otel.errors import ConfigurationError

key_app = typer.Typer(help="Keys for pseudonyms.")


class KeyReport(msgspec.Struct, kw_only=True):
    """A key, and how many Logregels have a pseudonym that was made with it.

    Attributes:
        in_file: Whether the key file has it.
        active: Whether new records get it.
        seals: Whether identifiers that it sealed can be opened.
        logregels: None where the Logboek was not asked.
    """

    id: str
    in_file: bool = True
    active: bool = False
    seals: bool = False
    logregels: int | None = None


File = Annotated[Path | None, typer.Option("--file", help="Key file; by default the one that LDV_KEYS names.")]


def add_to(app: typer.Typer) -> None:
    """Add the group to the application."""
    key_app.command("new")(new)
    key_app.command("list")(list_keys)
    key_app.command("check")(check)
    key_app.command("retire")(retire)
    app.add_typer(key_app, name="key")


def new(
    *,
    file: File = None,
    name: Annotated[
        str, typer.Option("--id", help="What its id begins with, before its fingerprint; by default today's date.")
    ] = "",
    seal: Annotated[
        bool, typer.Option("--seal", help="Also seal identifiers, so that who has the key can open them.")
    ] = False,
) -> None:
    """Add a fresh key and make it the active one; older keys in the file stay, so that old records are still found."""
    path = _file(file)
    key = add_key(path, name=name, sealing=seal)
    typer.echo(f"key {key.id} is active in {path}. Keep a copy in a safe place: without it nobody is found again.")


def list_keys(*, file: File = None, as_json: AsJson = False) -> None:
    """Show the ids of the keys in the file; the Logboek is not asked."""
    _print(_in_file(_file(file)), as_json=as_json)


def check(*, file: File = None, as_json: AsJson = False) -> None:
    """Compare the key file with the Logboek; exit code 1 when people are in it who cannot be found with these keys."""
    reports = _checked(read_settings(os.environ), _file(file))
    _print(reports, as_json=as_json)
    if missing := {each.id: each.logregels or 0 for each in reports if not each.in_file}:
        typer.echo(sentence_about_keys(missing), err=True)
        raise typer.Exit(1)


def retire(
    key_id: Annotated[str, typer.Argument(help="Id of the key, as `ldv key list` shows it.")], *, file: File = None
) -> None:
    """Remove a key that no record needs any more; with it goes the way to whoever it made a pseudonym of."""
    settings, path = read_settings(os.environ), _file(file)
    used = {each.id: each for each in _checked(settings, path)}
    report = used.get(key_id)
    if report is None or not report.in_file:
        raise ConfigurationError(
            f"There is no key {key_id!r} in {path}. Nothing was removed. `ldv key list` shows which there are."
        )
    if report.active:
        raise ConfigurationError(
            f"Key {key_id!r} is the active one: new records get it. Nothing was removed. Make another with `ldv key "
            "new`, and start the services again."
        )
    if report.logregels:
        raise ConfigurationError(
            f"{report.logregels} Logregels are under key {key_id!r}, and without it nobody in them is found. Nothing "
            "was removed. It can go when retention has removed the last of them."
        )
    base = spool_base(spool_root(settings), settings.logboek)
    if waiting := sum(spool.pending for spool in inspect_spools(base)):
        raise ConfigurationError(
            f"{waiting} Logregels wait on this machine, and some may be under key {key_id!r}. Nothing was removed. Run "
            "`ldv spool drain` first."
        )
    remove_key(path, key_id)
    typer.echo(
        f"key {key_id} was removed from {path}. Not looked at: spools of other machines, services that still run with "
        "it, copies of the file."
    )


def _file(file: Path | None) -> Path:
    if file is not None:
        return file.expanduser().absolute()
    path = place_of_keys(read_settings(os.environ))
    if path is None:
        raise ConfigurationError("Say where: `ldv key ... --file FILE`, or set LDV_KEYS.")
    return path


def _in_file(path: Path) -> list[KeyReport]:
    ring = read_keys(path)
    return [KeyReport(id=key.id, active=key == ring.active, seals=bool(key.seal)) for key in ring.keys.values()]


def _checked(settings: Settings, path: Path) -> list[KeyReport]:
    """Return the keys of the file, and those that only the Logboek has, with their records."""
    reports = _in_file(path)
    with checked(LogboekClient(settings)) as client:
        counts = records_by_key(client)
    for report in reports:
        report.logregels = counts.pop(report.id, 0)
    return [*reports, *(KeyReport(id=key_id, in_file=False, logregels=count) for key_id, count in counts.items())]


def _print(reports: list[KeyReport], *, as_json: bool) -> None:
    if as_json:
        print_json(msgspec.to_builtins(reports))
        return
    for report in reports:
        words = [
            "active" if report.active else "" if report.in_file else "MISSING",
            "seals" if report.seals else "",
            "" if report.logregels is None else f"{report.logregels} Logregels",
        ]
        typer.echo("  ".join([repr(report.id)[1:-1], *filter(None, words)]))
