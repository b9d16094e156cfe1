"""`ldv backup` and `ldv restore`: a whole Logboek in a directory, and back into an empty one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from ldv_otel._internal.cli.output import AsJson, console, print_json
from ldv_otel._internal.clickhouse.backup.contents import BackupContents, KeyName
from ldv_otel._internal.clickhouse.backup.restore import restore_backup
from ldv_otel._internal.clickhouse.backup.write import BackupNotes, write_backup
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.seal_key import is_there
from ldv_otel._internal.config.settings import Settings, read_settings
from ldv_otel._internal.delivery.paths import spool_base, spool_root
from ldv_otel._internal.delivery.spool.inspect import inspect_spools
from ldv_otel._internal.privacy.key_file import place_of_keys, read_keys
from ldv_otel._internal.tamper.key_place import VARIABLE, seal_key_file
from ldv_otel._internal.tamper.signing_key import read_signer
from ldv_otel._internal.times.instants import rfc3339_from_ms

Directory = Annotated[Path, typer.Argument(help="Directory or .tar file of the backup.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(backup)
    app.command()(restore)


def backup(
    directory: Annotated[Path, typer.Argument(help="Directory to make, or file where it ends in .tar.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Write the whole Logboek into a directory: records, manifests, Register, removals. Never a key."""
    settings = read_settings(os.environ)
    directory = directory.expanduser().absolute()
    notes = _notes(settings)
    with LogboekClient(settings) as client:
        contents, checksum = write_backup(client, directory, notes, progress=_say)
    if as_json:
        print_json(_as_json(contents) | {"sha256": checksum})
        return
    out = console()
    size = sum(file.size for file in contents.files)
    out.print(f"backup    {directory}, {size / 1e6:.1f} MB", markup=False, soft_wrap=True)
    out.print(f"sha256    {checksum} of its backup.json, which has those of all other files", soft_wrap=True)
    if contents.waiting:
        out.print(f"NOT IN IT {contents.waiting} Logregels that wait on this machine", style="bold red")
    out.print(
        "No key is in it. Keep copies of the key file and of the seal key in another place: without the first nobody "
        "in this backup is found.",
        soft_wrap=True,
    )


def restore(directory: Directory, *, as_json: AsJson = False) -> None:
    """Put a backup into the Logboek that LDV_LOGBOEK names, which has to be empty."""
    settings = read_settings(os.environ)
    contents = restore_backup(settings, directory.expanduser().absolute(), progress=_say)
    lacking = _lacking_keys(settings, contents)
    if as_json:
        print_json(_as_json(contents) | {"missingKeys": lacking})
        return
    out = console()
    out.print(f"restored  {settings.logboek}, as it was at {rfc3339_from_ms(contents.made_ms)}", markup=False)
    if contents.seal_key:
        out.print(f"check it  ldv verify --key {contents.seal_key}", markup=False, soft_wrap=True)
    if lacking:
        out.print(
            f"NOT THERE the keys {', '.join(lacking)}: let LDV_KEYS name a key file that has them, or nobody in "
            "records under them is found.",
            style="bold red",
            markup=False,
            soft_wrap=True,
        )


def _notes(settings: Settings) -> BackupNotes:
    keys, seal_key = place_of_keys(settings), seal_key_file(settings)
    names = []
    if keys is not None and keys.exists():
        ring = read_keys(keys)
        names = [KeyName(key.id, key == ring.active) for key in ring.keys.values()]
    base = spool_base(spool_root(settings), settings.logboek)
    register = Path(settings.register) if settings.register and "://" not in settings.register else None
    return BackupNotes(
        keys=names,
        seal_key=str(read_signer(seal_key, VARIABLE).key) if seal_key is not None and is_there(seal_key) else "",
        register=register,
        waiting=sum(spool.pending for spool in inspect_spools(base)),
    )


def _lacking_keys(settings: Settings, contents: BackupContents) -> list[str]:
    path = place_of_keys(settings)
    present = set(read_keys(path).keys) if path is not None and path.exists() else set()
    return [key.id for key in contents.keys if key.id not in present]


def _as_json(contents: BackupContents) -> dict[str, object]:
    report: dict[str, object] = msgspec.to_builtins(contents)
    return report | {"tables": {table.name: table.rows for table in contents.tables}}


def _say(table: str, rows: int) -> None:
    if rows:
        console(stderr=True).print(f"{table}: {rows} rows", markup=False)
