"""`ldv verify`: whether anybody changed, removed or added records behind the Logboek's back."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ldv_otel._internal.cli.identifiers import ask_pseudonyms, pseudonymiser_of_reader
from ldv_otel._internal.cli.log_keys import named_keys
from ldv_otel._internal.cli.output import AsJson, console, print_json
from ldv_otel._internal.cli.periods import parse_period
from ldv_otel._internal.cli.progress import progress_bar
from ldv_otel._internal.cli.second_places import second_place
from ldv_otel._internal.cli.verification_output import print_verification, verification_json
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.keys import records_under_other_keys, sentence_about_keys
from ldv_otel._internal.clickhouse.queries.models import parse_trace_id
from ldv_otel._internal.clickhouse.schema.migrations import checked
from ldv_otel._internal.clickhouse.seal_key import is_there
from ldv_otel._internal.clickhouse.verification.made import write_verification
from ldv_otel._internal.clickhouse.verification.selected import rows_of_subject, rows_of_trace
from ldv_otel._internal.clickhouse.verification.verified_log import VerifiedLog, read_verified, write_verified
from ldv_otel._internal.clickhouse.verification.verify import Verification, verify, verify_rows, with_witnesses
from ldv_otel._internal.clickhouse.verification.witnessed_log import Witnesses
from ldv_otel._internal.config.settings import Settings, read_settings
from ldv_otel._internal.record.standard_json import as_standard
from ldv_otel._internal.tamper.key_place import VARIABLE, seal_key_file
from ldv_otel._internal.tamper.note import NoteKey
from ldv_otel._internal.tamper.proof import BadProof, ProvenRecord, check_proof, proofs_in
from ldv_otel._internal.tamper.signing_key import read_signer
from ldv_otel._internal.tamper.witness_files import read_known_witnesses
from ldv_otel._internal.times.instants import ms_from_datetime, now_ms, rfc3339_from_ms
from ldv_otel.errors import ConfigurationError, LdvError

#: Nothing shows tampering, and not everything is sealed or witnessed, or not every record of the person could be found.
_INCOMPLETE: Final = 3


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("verify")(verify_logboek)


def verify_logboek(
    *,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", help="Only batches with a record that started since then: a date, a time, or a duration (7d)."
        ),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            help="Public key of a sealer, or a file with one a line. Default: that of this machine, where it has one.",
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option("--against", help="A second place with checkpoints, as `ldv seal --to` wrote it."),
    ] = None,
    trace: Annotated[
        str | None, typer.Option("--trace", help="Only the records of a trace, and their batches.")
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(
            "--subject",
            help="Only the records about a person, and their batches: type of the identifier, which is asked for.",
        ),
    ] = None,
    go_on: Annotated[
        bool,
        typer.Option(
            "--continue",
            help="Do not read records again that were in the log when this machine verified everything: for a timer.",
        ),
    ] = False,
    proof: Annotated[
        Path | None,
        typer.Option("--proof", help="Check the proof of one record instead, without the Logboek and the network."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that records are as they were sealed; exit code 1 when some are not, 3 when some lack a seal or a key."""
    if proof is not None:
        _verify_proof(proof, named_keys(key or []), as_json=as_json)
        return
    if sum(each is not None for each in (trace, subject, since)) + go_on > 1:
        raise ConfigurationError("Choose one of --trace, --subject, --since and --continue. Nothing was checked.")
    settings = read_settings(os.environ)
    begin, _ = parse_period(since, None, now=datetime.now(UTC))
    since_ms = None if begin is None else ms_from_datetime(begin)
    keys = _keys(settings, key or [])
    roster = read_known_witnesses(settings)
    public = None if keys is None else [each.public for each in keys]
    pseudonymiser = None if subject is None else pseudonymiser_of_reader(settings)
    pseudonyms = None if pseudonymiser is None else ask_pseudonyms(pseudonymiser, subject or "")
    missing: dict[str, int] = {}
    with checked(LogboekClient(settings)) as client, progress_bar("verify") as progress:
        if trace is not None:
            rows = rows_of_trace(client, parse_trace_id(trace))
            verification = verify_rows(client, rows, keys=public, progress=progress)
        elif pseudonymiser is not None and pseudonyms is not None:
            rows = rows_of_subject(client, pseudonyms)
            missing = records_under_other_keys(client, pseudonymiser.keys.keys)
            verification = verify_rows(client, rows, keys=public, progress=progress)
        else:
            verification = verify(
                client,
                since=read_verified(settings) if go_on else since_ms,
                keys=public,
                places=[second_place(text, "--against", proxy=settings.proxy) for text in against or []],
                progress=progress,
            )
        whole = trace is None and subject is None and since is None
        if whole:
            verification = with_witnesses(client, verification, Witnesses(roster, settings.proxy))
            _write_down(client, verification, keys_named=keys is not None)
    if as_json:
        print_json(verification_json(verification, keys_known=keys is not None, missing_keys=missing))
    else:
        print_verification(verification, keys_known=keys is not None, whole=whole)
    if missing:
        console(stderr=True).print(sentence_about_keys(missing), markup=False, soft_wrap=True)
    log = verification.log
    if whole and verification.ok and log.origin:
        write_verified(settings, VerifiedLog(size=log.size, root=log.root, at_ms=now_ms()))
    if missing or not verification.complete:
        raise typer.Exit(_INCOMPLETE if verification.ok else 1)


def check_everything(settings: Settings, client: LogboekClient) -> Verification:
    """Verify every record now, with the keys of this machine where it has some, and put on record that it was done."""
    keys = _keys(settings, [])
    with progress_bar("verify") as progress:
        verification = verify(
            client,
            keys=None if keys is None else [each.public for each in keys],
            progress=progress,
        )
    verification = with_witnesses(client, verification, Witnesses(read_known_witnesses(settings), settings.proxy))
    _write_down(client, verification, keys_named=keys is not None)
    return verification


def _write_down(client: LogboekClient, verification: Verification, *, keys_named: bool) -> None:
    """Let the Logboek say that it was checked, where this account may write that."""
    try:
        write_verification(client, verification, keys_named=keys_named)
    except LdvError as error:
        console(stderr=True).print(
            f"That this check was made is not on record in the Logboek. {error}", markup=False, soft_wrap=True
        )


def _verify_proof(file: Path, keys: list[NoteKey], *, as_json: bool) -> None:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"--proof: {file} cannot be read ({error.strerror}).") from error
    outcomes: list[dict[str, Any]] = []
    try:
        contents = proofs_in(content)
    except BadProof as error:
        contents, outcomes = [], [{"ok": False, "sentence": str(error)}]
    for each in contents:
        try:
            proven = check_proof(each, keys)
        except BadProof as error:
            outcomes.append({"ok": False, "sentence": str(error)})
        else:
            sentence = " ".join(_of_proof(proven, named=bool(keys)))
            outcomes.append({"ok": True, "sentence": sentence, "record": as_standard(proven.logregel)})
    if as_json:
        print_json(outcomes[0] if len(outcomes) == 1 else outcomes)
    else:
        for outcome in outcomes:
            if outcome["ok"]:
                print_json(outcome["record"])
            console().print(outcome["sentence"], markup=False, soft_wrap=True)
    if not all(outcome["ok"] for outcome in outcomes):
        raise typer.Exit(1)


def _of_proof(proven: ProvenRecord, *, named: bool) -> list[str]:
    manifest = proven.manifest
    sentences = [
        f"This record was sealed at {rfc3339_from_ms(manifest.time_ms)} by the sealer's clock, and is unchanged since."
    ]
    if manifest.adopted:
        sentences.append("It was stored before that without a seal; nothing shows what it was then.")
    if proven.checkpoint is None:
        sentences.append("The proof has no checkpoint of the log, so that only the sealer's key speaks for that.")
    elif not named:
        sentences.append(
            f"Its manifest is in the log {proven.checkpoint.origin}. Nobody said whose key that is: give the key that "
            "the organisation publishes with --key."
        )
    else:
        names = ", ".join(key.name for key in proven.signers)
        seen = "" if proven.seen_seconds is None else f", at {rfc3339_from_ms(proven.seen_seconds * 1_000)}"
        sentences.append(f"Its manifest is in the log {proven.checkpoint.origin}, signed by {names}{seen}.")
    sentences.append("It does not show that there are no other records.")
    return sentences


def _keys(settings: Settings, named: list[str]) -> list[NoteKey] | None:
    """Return the keys of sealers; None when nobody said which they are."""
    if not named:
        path = seal_key_file(settings)
        return None if path is None or not is_there(path) else [read_signer(path, VARIABLE).key]
    return named_keys(named)
