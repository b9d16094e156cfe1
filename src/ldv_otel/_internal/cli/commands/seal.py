"""`ldv seal`: a checkpoint of all manifests so far, and copies of it in other places."""

from __future__ import annotations

import os
from typing import Annotated

import msgspec
import typer

from ldv_otel._internal.cli.output import AsJson, console, print_json
from ldv_otel._internal.cli.progress import progress_bar
from ldv_otel._internal.cli.second_places import second_place
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import checked
from ldv_otel._internal.clickhouse.seal_key import new_signer, signer_for
from ldv_otel._internal.clickhouse.verification.adopt import adopt
from ldv_otel._internal.clickhouse.verification.manifest_log import log_signer, seal
from ldv_otel._internal.config.settings import read_settings
from ldv_otel.errors import ConfigurationError


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("seal")(seal_logboek)


def seal_logboek(
    *,
    to: Annotated[
        list[str] | None,
        typer.Option("--to", help="Copy the log to a second place too: file:///DIR. Can be given several times."),
    ] = None,
    adopt_rows: Annotated[
        bool,
        typer.Option(
            "--adopt",
            help="First seal what is stored and was never sealed, as it is now: older records, those of a Collector.",
        ),
    ] = False,
    new_key: Annotated[
        bool,
        typer.Option(
            "--new-key", help="Make a key first: on a machine that is new, or where the key was lost for good."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Sign a checkpoint of all manifests so far with the key of this machine: for a timer, once a minute."""
    settings = read_settings(os.environ)
    places = [second_place(text, "--to") for text in to or []]
    with checked(LogboekClient(settings)) as client:
        signer = new_signer(settings) if new_key else signer_for(settings, client)
        if signer is None:
            raise ConfigurationError("LDV_SEAL=0 says that nothing is sealed here. No checkpoint was made.")
        adoption = None
        if adopt_rows:
            with progress_bar("adopt") as progress:
                adoption = adopt(client, signer, progress)
        result = seal(client, log_signer(signer), places, succeeds=new_key)
    if as_json:
        print_json(
            {
                "origin": result.checkpoint.origin,
                "size": result.checkpoint.size,
                "root": result.checkpoint.root.hex(),
                "added": result.added,
                "key": str(result.key),
                "places": [str(place) for place in places],
                **({} if adoption is None else {"adopted": msgspec.to_builtins(adoption)}),
            }
        )
        return
    out = console()
    if adoption is not None:
        out.print(f"adopted {adoption.records} Logregels in {adoption.manifests} manifests, as they are now")
    if adoption is not None and adoption.left:
        out.print(
            f"left   {adoption.left} rows that lie between sealed ones, or share a number: see `ldv verify`",
            soft_wrap=True,
        )
    out.print(f"log    {result.checkpoint.origin}: {result.checkpoint.size} manifests, {result.added} of them new")
    out.print(f"key    {result.key}", soft_wrap=True)
    for place in places:
        out.print(f"place  {place}", soft_wrap=True)
    if not places:
        out.print("Without --to nobody but this Logboek has the checkpoint.", soft_wrap=True)
