"""`ldv proof`: a file that shows, without the Logboek, that a record was there and is unchanged."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.models import parse_span_id, parse_trace_id
from ldv_otel._internal.clickhouse.schema.migrations import checked
from ldv_otel._internal.clickhouse.verification.prove import prove
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.tamper.proof import check_proof, encode_proof
from ldv_otel.errors import LdvError


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("proof")(proof)


def proof(
    trace_id: Annotated[str, typer.Argument(help="32 hexadecimal digits, or a UUID.")],
    span_id: Annotated[str, typer.Argument(help="16 hexadecimal digits.")],
    file: Annotated[Path, typer.Argument(help="Where the proof goes.")],
) -> None:
    """Write the proof of one record to a file; `ldv verify --proof FILE` checks it anywhere."""
    settings = read_settings(os.environ)
    with checked(LogboekClient(settings)) as client:
        made = prove(client, parse_trace_id(trace_id), parse_span_id(span_id))
    content = encode_proof(made)
    # Nobody should be given a proof that does not hold.
    check_proof(content)
    try:
        file.write_bytes(content)
    except OSError as error:
        raise LdvError(f"{file} cannot be written ({error.strerror}).") from error
    typer.echo(f"{file}: {len(content)} bytes", err=True)
    if not made.log:
        typer.echo("Its manifest is not in a checkpoint yet: run `ldv seal`, and make the proof again.", err=True)
