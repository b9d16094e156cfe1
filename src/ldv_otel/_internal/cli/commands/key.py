"""`ldv key`: the keys of pseudonyms."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ldv_otel._internal.privacy.key_file import add_key
from ldv_otel.errors import ConfigurationError

key_app = typer.Typer(help="Keys for pseudonyms.")


def add_to(app: typer.Typer) -> None:
    """Add the group to the application."""
    key_app.command("new")(new)
    app.add_typer(key_app, name="key")


def new(
    *,
    file: Annotated[
        Path | None, typer.Option("--file", help="Key file; by default the one that LDV_KEYS names.")
    ] = None,
    key_id: Annotated[str, typer.Option("--id", help="Name of the key; by default today's date.")] = "",
    seal: Annotated[
        bool, typer.Option("--seal", help="Also seal identifiers, so that who has the key can open them.")
    ] = False,
) -> None:
    """Add a fresh key and make it the active one; older keys in the file stay, so that old records are still found."""
    named = os.environ.get("LDV_KEYS", "")
    path = file or (Path(named) if named else None)
    if path is None:
        raise ConfigurationError("Say where: `ldv key new --file FILE`, or set LDV_KEYS.")
    key = add_key(path.expanduser().absolute(), key_id=key_id, sealing=seal)
    typer.echo(f"key {key.id} is active in {path}. Keep a copy in a safe place: without it nobody is found again.")
