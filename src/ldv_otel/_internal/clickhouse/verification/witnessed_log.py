"""Whether the witnesses of a log have seen it as it is here: by their cosignatures, and by asking them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.verification.findings import Finding, FindingKind
from ldv_otel._internal.clickhouse.verification.stored_log import (
    StoredLog,
    read_current_log,
    read_last_notes,
    read_tree,
)
from ldv_otel._internal.tamper.checkpoint import Checkpoint
from ldv_otel._internal.tamper.note import NoteError, NoteSignature, SignedNote, check_signature, cosigned_at
from ldv_otel._internal.tamper.witness_client import ShownLog, WitnessOutcome, WitnessState, ask_witnesses
from ldv_otel._internal.tamper.witness_files import KnownWitness, KnownWitnesses

#: A `ldv seal` that runs meanwhile lets witnesses see more than was read here.
_READINGS: Final = 3
#: It has seen a log that the one here does not continue.
CONTRADICTIONS: Final = (WitnessState.AHEAD, WitnessState.FORKED)


class Witnesses(NamedTuple):
    """Who is asked about a log, and how they are reached.

    Attributes:
        roster: None for nobody.
        proxy: `LDV_PROXY`.
    """

    roster: KnownWitnesses | None = None
    proxy: str = ""


NOBODY: Final = Witnesses()


class WitnessReport(msgspec.Struct, frozen=True, kw_only=True):
    """Which witnesses have seen the last checkpoint.

    Attributes:
        quorum: How many of them are enough.
        cosigned: The names of those that cosigned it.
        missing: What came of each of the others, in words.
        silent: Those that cosigned it and do not say now whether they have seen more since, in words.
        seen_seconds: When the last of them that counts towards the quorum signed, in s since 1970-01-01 UTC; None
            where they are too few.
    """

    quorum: int
    cosigned: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    seen_seconds: int | None = None

    @property
    def enough(self) -> bool:
        """Whether it is witnessed."""
        return len(self.cosigned) >= self.quorum


def size_seen(log: StoredLog, witness: KnownWitness) -> int:
    """Return the size of the last checkpoint here that a witness cosigned; 0 for none."""
    for note in reversed(log.notes):
        if note.signature_of(witness.note_key) is not None:
            return Checkpoint.parse(note.text).size
    return 0


def shown_log(log: StoredLog, note: SignedNote, leaves: Sequence[bytes] | None, roster: KnownWitnesses) -> ShownLog:
    """Return what the witnesses of a log are shown of it."""
    return ShownLog(note, leaves, {each.note_key.name: size_seen(log, each) for each in roster.witnesses})


def stored_report(log: StoredLog, witnesses: KnownWitnesses) -> WitnessReport:
    """Return which witnesses cosigned the last checkpoint as far as is stored, without asking them."""
    note = log.last
    if note is None:
        missing = tuple(f"{each.note_key.name}: there is no checkpoint yet" for each in witnesses.witnesses)
        return WitnessReport(quorum=witnesses.quorum, missing=missing)
    signatures = dict(_good_cosignatures(note, witnesses.witnesses))
    words = {
        each.note_key.name: f"{each.note_key.name}: cosigned {size_seen(log, each)} of "
        f"{Checkpoint.parse(note.text).size} manifests"
        for each in witnesses.witnesses
    }
    return _report(witnesses, signatures, words)


def witness_status(client: LogboekClient, witnesses: KnownWitnesses) -> WitnessReport:
    """Return which witnesses cosigned the last checkpoint, for who looks often: nobody is asked."""
    return stored_report(read_last_notes(client), witnesses)


def check_witnesses(
    client: LogboekClient, roster: KnownWitnesses, *, proxy: str = ""
) -> tuple[WitnessReport, list[Finding]]:
    """Ask the witnesses whether the last checkpoint is the last that they saw; what they do not answer is stored.

    They are asked by the checkpoint itself, which they cosign anew where it is: so it takes no key of the log.

    Args:
        proxy: `LDV_PROXY`.

    Raises:
        ConfigurationError: They cannot be asked from here.
    """
    log = read_current_log(client)
    note = log.last
    if note is None:
        return _without_checkpoint(log, roster)
    for _ in range(_READINGS):
        tree = read_tree(client, log)
        leaves = tree.leaves if tree is not None and tree.is_of(note) else None
        outcomes = ask_witnesses(roster.witnesses, shown_log(log, note, leaves, roster), proxy=proxy)
        seen = max((each.size or 0 for each in outcomes if each.state is WitnessState.AHEAD), default=0)
        later = read_current_log(client) if seen else log
        if later.last is None or len(later.entries) < seen or len(later.entries) <= len(log.entries):
            break
        log, note = later, later.last
    return _outcome(note, roster, outcomes)


def _without_checkpoint(log: StoredLog, witnesses: KnownWitnesses) -> tuple[WitnessReport, list[Finding]]:
    detail = (
        "There is no checkpoint. If `ldv seal` ran before, somebody removed the log; `ldv witness --show` of a witness "
        "says what it has seen of it."
    )
    return stored_report(log, witnesses), [Finding(kind=FindingKind.NOT_WITNESSED, detail=detail)]


def _outcome(
    note: SignedNote, witnesses: KnownWitnesses, outcomes: Sequence[WitnessOutcome]
) -> tuple[WitnessReport, list[Finding]]:
    signatures = dict(_good_cosignatures(note, witnesses.witnesses))
    signatures |= {each.witness: each.cosignature for each in outcomes if each.cosignature is not None}
    report = msgspec.structs.replace(
        _report(witnesses, signatures, {each.witness: each.sentence for each in outcomes}),
        silent=tuple(each.sentence for each in outcomes if each.cosignature is None and each.witness in signatures),
    )
    findings = [
        Finding(kind=FindingKind.LOG_CHANGED, detail=f"The witness {each.witness} says: {each.detail}.")
        for each in outcomes
        if each.state in CONTRADICTIONS
    ]
    if not report.enough:
        detail = (
            f"{len(report.cosigned)} of the {report.quorum} witnesses that it takes cosigned the last checkpoint. "
            f"{'; '.join(report.missing)}."
        )
        findings.append(Finding(kind=FindingKind.NOT_WITNESSED, detail=detail))
    return report, findings


def _good_cosignatures(note: SignedNote, witnesses: Sequence[KnownWitness]) -> Iterator[tuple[str, NoteSignature]]:
    """Give the cosignatures of witnesses that are good, by the witness's name."""
    for witness in witnesses:
        key = witness.note_key
        signature = note.signature_of(key)
        if signature is not None:
            try:
                check_signature(key, note.text, signature)
            except NoteError:
                continue  # a wrong one counts for as much as none, and the witness is named as missing
            yield key.name, signature


def _report(
    witnesses: KnownWitnesses, signatures: Mapping[str, NoteSignature], words: Mapping[str, str]
) -> WitnessReport:
    names = [each.note_key.name for each in witnesses.witnesses]
    times = sorted(map(cosigned_at, signatures.values()))
    return WitnessReport(
        quorum=witnesses.quorum,
        cosigned=tuple(name for name in names if name in signatures),
        missing=tuple(words.get(name, name) for name in names if name not in signatures),
        seen_seconds=times[witnesses.quorum - 1] if len(times) >= witnesses.quorum else None,
    )
