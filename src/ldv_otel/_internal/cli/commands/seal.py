"""`ldv seal`: a checkpoint of all manifests so far, and copies of it in other places."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
import typer

from ldv_otel._internal.cli.output import AsJson, console, print_json
from ldv_otel._internal.cli.progress import progress_bar
from ldv_otel._internal.cli.second_places import second_place
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import checked
from ldv_otel._internal.clickhouse.seal_key import new_signer, signer_for
from ldv_otel._internal.clickhouse.verification.adopt import Adoption, adopt
from ldv_otel._internal.clickhouse.verification.manifest_log import SealResult, log_signer, seal
from ldv_otel._internal.clickhouse.verification.witnessed_log import CONTRADICTIONS, Witnesses
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.tamper.place import SecondPlace
from ldv_otel._internal.tamper.witness_client import WitnessOutcome
from ldv_otel._internal.tamper.witness_files import KnownWitnesses, read_known_witnesses
from ldv_otel.errors import ConfigurationError

#: The checkpoint is there, and too few witnesses have seen it.
_NOT_WITNESSED: Final = 3


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("seal")(seal_logboek)


def seal_logboek(
    *,
    to: Annotated[
        list[str] | None,
        typer.Option("--to", help="Copy the log to file:///DIR or s3://BUCKET/PREFIX?days=3650 too. Repeatable."),
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
    """Sign a checkpoint of all manifests so far with the key of this machine: for a timer, once a minute.

    With LDV_WITNESSES others are asked to cosign it: exit code 3 when too few do, 1 when one has seen another log.
    """
    settings = read_settings(os.environ)
    places = [second_place(text, "--to", proxy=settings.proxy) for text in to or []]
    roster = read_known_witnesses(settings)
    with checked(LogboekClient(settings)) as client:
        signer = new_signer(settings) if new_key else signer_for(settings, client)
        if signer is None:
            raise ConfigurationError("LDV_SEAL=0 says that nothing is sealed here. No checkpoint was made.")
        adoption = None
        if adopt_rows:
            with progress_bar("adopt") as progress:
                adoption = adopt(client, signer, progress)
        result = seal(client, log_signer(signer), places, witnesses=Witnesses(roster, settings.proxy), succeeds=new_key)
    _print(result, adoption, places, roster, as_json=as_json)
    if roster is not None:
        _end(result.witnesses, roster)


def _end(outcomes: Sequence[WitnessOutcome], roster: KnownWitnesses) -> None:
    """End with the exit code that says what came of the witnesses."""
    if any(each.state in CONTRADICTIONS for each in outcomes):
        raise typer.Exit(1)
    if sum(each.cosignature is not None for each in outcomes) < roster.quorum:
        raise typer.Exit(_NOT_WITNESSED)


def _print(
    result: SealResult,
    adoption: Adoption | None,
    places: Sequence[SecondPlace],
    roster: KnownWitnesses | None,
    *,
    as_json: bool,
) -> None:
    if as_json:
        print_json(
            {
                "origin": result.checkpoint.origin,
                "size": result.checkpoint.size,
                "root": result.checkpoint.root.hex(),
                "added": result.added,
                "key": str(result.key),
                "places": [str(place) for place in places],
                **({} if roster is None else {"witnesses": _as_json(result.witnesses), "quorum": roster.quorum}),
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
    for outcome in result.witnesses:
        out.print(f"witness {outcome.sentence}", markup=False, soft_wrap=True)
    if roster is not None:
        cosigned = sum(outcome.cosignature is not None for outcome in result.witnesses)
        out.print(f"witnessed by {cosigned} of {len(roster.witnesses)}, and {roster.quorum} are enough")
    if any(outcome.state in CONTRADICTIONS for outcome in result.witnesses):
        out.print(
            "A witness has seen another log of this name. Run `ldv verify`, keep everything as it is, and ask the "
            "witness for the checkpoint that it has (`ldv witness --show`).",
            style="bold red",
            soft_wrap=True,
        )
    if not places and roster is None:
        out.print("Without --to or LDV_WITNESSES nobody but this Logboek has the checkpoint.", soft_wrap=True)


def _as_json(outcomes: Sequence[WitnessOutcome]) -> list[dict[str, Any]]:
    return [{"name": each.witness, "state": each.state, "detail": each.detail, "size": each.size} for each in outcomes]
