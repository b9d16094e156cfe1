"""The log of manifests: what came into it, and its checkpoints, in the Logboek and in a second place."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.tables import Table
from ldv_otel._internal.clickhouse.verification.findings import Finding, FindingKind
from ldv_otel._internal.clickhouse.verification.stored import StoredManifest, read_manifests
from ldv_otel._internal.clickhouse.verification.stored_log import LogEntry, StoredLog, read_current_log, read_log
from ldv_otel._internal.clickhouse.verification.witnessed_log import NOBODY, Witnesses, WitnessReport, shown_log
from ldv_otel._internal.tamper.checkpoint import Checkpoint
from ldv_otel._internal.tamper.manifest import Manifest
from ldv_otel._internal.tamper.note import NoteError, NoteKey, NoteSigner, SignedNote, cosigned_at, cosigner
from ldv_otel._internal.tamper.place import SecondPlace
from ldv_otel._internal.tamper.tree import leaf_hash, root_of, roots_of_first
from ldv_otel._internal.tamper.witness_client import WitnessOutcome, ask_witnesses
from ldv_otel._internal.times.instants import now_ms
from ldv_otel.errors import ConfigurationError, LdvError

_ADVICE: Final = "No checkpoint was made. Run `ldv verify`, which names what is missing, and keep the second place."


class SealResult(msgspec.Struct, frozen=True):
    """What `seal` came to.

    Attributes:
        added: How many manifests came into the log.
        witnesses: What came of asking each witness.
    """

    checkpoint: Checkpoint
    added: int
    key: NoteKey
    witnesses: tuple[WitnessOutcome, ...] = ()


def leaf_of_manifest(manifest: Manifest) -> bytes:
    """Return the hash of a manifest as an entry of the log."""
    return leaf_hash(manifest.text.encode())


def log_signer(signer: NoteSigner) -> NoteSigner:
    """Return a key as that of a log, whose name is made of it."""
    return signer.renamed(f"ldv-logboek/{signer.key.public.hex()[:16]}")


def signed_checkpoint(note: SignedNote, keys: Sequence[bytes] | None) -> Checkpoint:
    """Return the checkpoint of a note that one of some keys signed under the name of its origin.

    Args:
        keys: Public keys; None takes any that the note names, which proves nothing of who signed.

    Raises:
        NoteError: It is none, or nobody of them signed it.
    """
    checkpoint = Checkpoint.parse(note.text)
    if keys is not None and not note.signed_by(NoteKey(checkpoint.origin, key) for key in keys):
        raise NoteError("none of the known keys signed it")
    return checkpoint


def seen_seconds(note: SignedNote, keys: Sequence[bytes]) -> int | None:
    """Return when the log itself says that it made a checkpoint, in s since 1970-01-01 UTC; None when it does not."""
    origin = note.text.split("\n", 1)[0]
    ids = {cosigner(NoteKey(origin, key)).key_id for key in keys}
    return next((cosigned_at(each) for each in note.signatures if each.name == origin and each.key_id in ids), None)


def seal(
    client: LogboekClient,
    signer: NoteSigner,
    places: Sequence[SecondPlace] = (),
    *,
    witnesses: Witnesses = NOBODY,
    succeeds: bool = False,
) -> SealResult:
    """Take the manifests that are new into the log, sign a checkpoint of it, have it witnessed, and copy it.

    Args:
        signer: Of the log; its name is the origin.
        places: To which it is copied, with the cosignatures.
        witnesses: Who is asked to cosign it.
        succeeds: Whether it may go on with what another key signed, whoever had that.

    Raises:
        LdvError: The log is not what was signed before, here or in another place; nothing was signed.
        ConfigurationError: A place cannot be written to; the checkpoint is in the Logboek then.
    """
    stored, _ = read_manifests(client)
    by_entry = {LogEntry(each.manifest.sealer, each.manifest.number): each.manifest for each in stored}
    log = read_current_log(client)
    leaves = _leaves_so_far(log, by_entry)
    key = None if succeeds else signer.key
    _check_continues(log.notes[-1] if log.notes else None, leaves, key, "the Logboek")
    sizes = [_check_continues(place.checkpoint(), leaves, key, str(place)) for place in places]
    logged = set(log.entries)
    fresh = sorted(
        (each.manifest for each in stored if LogEntry(each.manifest.sealer, each.manifest.number) not in logged),
        key=lambda manifest: (manifest.time_ms, manifest.sealer, manifest.number),
    )
    fresh = list({LogEntry(manifest.sealer, manifest.number): manifest for manifest in fresh}.values())
    leaves += map(leaf_of_manifest, fresh)
    checkpoint = Checkpoint(signer.key.name, len(leaves), root_of(leaves))
    note = signer.sign(checkpoint.text)
    note = SignedNote(note.text, (*note.signatures, signer.cosign(note.text, now_ms() // 1_000)))
    # Before any witness sees it: what they have seen has to be here, or the next checkpoint might contradict them.
    _store(client, checkpoint, note, fresh)
    roster = witnesses.roster
    outcomes = (
        []
        if roster is None
        else ask_witnesses(roster.witnesses, shown_log(log, note, leaves, roster), proxy=witnesses.proxy)
    )
    cosignatures = [each.cosignature for each in outcomes if each.cosignature is not None]
    if cosignatures:
        note = SignedNote(note.text, (*note.signatures, *cosignatures))
        _store(client, checkpoint, note, [])
    for place, size in zip(places, sizes, strict=True):
        place.write(note, leaves, size)
    return SealResult(checkpoint, len(fresh), signer.key, tuple(outcomes))


def _store(client: LogboekClient, checkpoint: Checkpoint, note: SignedNote, fresh: Sequence[Manifest]) -> None:
    client.insert(
        Table.LDV_CHECKPOINT,
        {
            "size": ("UInt64", [checkpoint.size]),
            "note": ("String", [str(note)]),
            "sealers": ("Array(LowCardinality(String))", [[manifest.sealer for manifest in fresh]]),
            "numbers": ("Array(UInt64)", [[manifest.number for manifest in fresh]]),
        },
        {"async_insert": 0},
    )


def _leaves_so_far(log: StoredLog, manifests: Mapping[LogEntry, Manifest]) -> list[bytes]:
    missing = [entry for entry in log.entries if entry not in manifests]
    if missing:
        raise LdvError(f"{len(missing)} manifests that are in the log are not in the Logboek any more. {_ADVICE}")
    return [leaf_of_manifest(manifests[entry]) for entry in log.entries]


def _check_continues(note: SignedNote | None, leaves: Sequence[bytes], key: NoteKey | None, where: str) -> int:
    """Refuse to sign what does not continue a checkpoint that was signed before; return the size of that one.

    Args:
        key: With which that one has to be signed; None for any.
    """
    if note is None:
        return 0
    try:
        before = signed_checkpoint(note, None if key is None else [key.public])
    except NoteError as error:
        raise ConfigurationError(
            f"The last checkpoint in {where} is not of this key ({error}). {_ADVICE} Or let LDV_SEAL_KEY name the key "
            "that signed it. If that key is lost for good, `ldv seal --new-key` goes on with a new one; verifiers need "
            "both."
        ) from error
    if key is not None and before.origin != key.name:
        raise ConfigurationError(f"The last checkpoint in {where} is of the log {before.origin}. {_ADVICE}")
    if before.size > len(leaves) or root_of(leaves[: before.size]) != before.root:
        raise LdvError(f"The log in the Logboek does not continue the last checkpoint in {where}. {_ADVICE}")
    return before.size


class LogReport(msgspec.Struct, frozen=True):
    """What a check of the log came to.

    Attributes:
        origin: Its name; empty when there is no checkpoint.
        size: Of the last checkpoint.
        root: Of its tree, in hexadecimal digits.
        seen_seconds: When that was made, as its signer says, in s since 1970-01-01 UTC; None when that is not known.
        unlogged: How many manifests are not in it.
        places: How many other places have a checkpoint of it that was compared.
        witnesses: Who else has seen the last checkpoint; None where no witnesses are known.
    """

    origin: str = ""
    size: int = 0
    root: str = ""
    seen_seconds: int | None = None
    unlogged: int = 0
    places: int = 0
    witnesses: WitnessReport | None = None


def check_log(
    client: LogboekClient,
    stored: Sequence[StoredManifest],
    keys: Sequence[bytes] | None,
    places: Sequence[SecondPlace] = (),
) -> tuple[LogReport, list[Finding]]:
    """Compare the manifests that are there with those of the log, and the log with its copies in other places.

    Args:
        stored: All manifests of the Logboek.
        keys: Public keys; None takes any, which only compares the log with itself and its copies.
    """
    log = read_log(client)
    findings = [_changed(f"A checkpoint in the Logboek is none: {reason}.") for reason in log.bad]
    manifests = {LogEntry(each.manifest.sealer, each.manifest.number): each.manifest for each in stored}
    leaves = [leaf_of_manifest(manifests[entry]) if entry in manifests else None for entry in log.entries]
    findings += [
        Finding(
            kind=FindingKind.MANIFEST_REMOVED,
            sealer=f"{entry.sealer} {entry.number}",
            detail=f"It is entry {index} of the log.",
        )
        for index, (entry, leaf) in enumerate(zip(log.entries, leaves, strict=True))
        if leaf is None
    ]
    report = LogReport(unlogged=len(manifests.keys() - set(log.entries)))
    there = [(place, place.checkpoint()) for place in places]
    logged = _logged_leaves(leaves, [*log.notes, *(note for _, note in there if note is not None)])
    for note in log.notes:
        findings += _against(note, logged, keys, "the Logboek")
    for place, note_there in there:
        if note_there is None:
            findings.append(_changed(f"There is no checkpoint in {place}."))
            continue
        findings += _against(note_there, logged, keys, str(place), place)
        report = msgspec.structs.replace(report, places=report.places + 1)
    if log.notes:
        last = log.notes[-1]
        report = msgspec.structs.replace(report, seen_seconds=seen_seconds(last, keys or []))
        with contextlib.suppress(NoteError):  # what is none was said above
            checkpoint = Checkpoint.parse(last.text)
            report = msgspec.structs.replace(
                report, origin=checkpoint.origin, size=checkpoint.size, root=checkpoint.root.hex()
            )
    return report, findings


def _changed(detail: str) -> Finding:
    return Finding(kind=FindingKind.LOG_CHANGED, detail=detail)


class _LoggedLeaves(NamedTuple):
    """The entries of the log.

    Attributes:
        leaves: The hash of each; None for those that are missing.
        whole: How many come before the first that is missing.
        roots: Of the trees that checkpoints are of, as far as none is missing, by size.
    """

    leaves: Sequence[bytes | None]
    whole: int
    roots: Mapping[int, bytes]


def _logged_leaves(leaves: Sequence[bytes | None], notes: Sequence[SignedNote]) -> _LoggedLeaves:
    # All roots in one way through the leaves: there is a checkpoint a minute.
    sizes = set()
    for note in notes:
        with contextlib.suppress(NoteError):  # what is none is said where it is compared
            sizes.add(Checkpoint.parse(note.text).size)
    there = list(itertools.takewhile(lambda leaf: leaf is not None, leaves))
    return _LoggedLeaves(leaves, len(there), roots_of_first((leaf for leaf in there if leaf is not None), sizes))


def _against(
    note: SignedNote,
    logged: _LoggedLeaves,
    keys: Sequence[bytes] | None,
    where: str,
    place: SecondPlace | None = None,
) -> list[Finding]:
    """Compare the log with one of its checkpoints, and entry by entry where the hashes are in another place."""
    try:
        checkpoint = signed_checkpoint(note, keys)
    except NoteError as error:
        return [_changed(f"A checkpoint in {where} is not good: {error}.")]
    if checkpoint.size > len(logged.leaves):
        gone = checkpoint.size - len(logged.leaves)
        return [
            _changed(f"The checkpoint in {where} has {gone} entries more: the Logboek's log was cut or rolled back.")
        ]
    is_whole = checkpoint.size <= logged.whole
    if is_whole and logged.roots[checkpoint.size] == checkpoint.root:
        return []
    if not is_whole and place is None:
        return []  # what is missing was named already
    return _named_by(place, checkpoint, logged.leaves[: checkpoint.size], where)


def _named_by(
    place: SecondPlace | None, checkpoint: Checkpoint, leaves: Sequence[bytes | None], where: str
) -> list[Finding]:
    """Say which entries differ from the hashes in another place; without one, only that some do."""
    if place is None:
        return [_changed(f"A checkpoint of {checkpoint.size} entries in {where} is of other manifests.")]
    hashes = place.leaves(checkpoint.size)
    if root_of(hashes) != checkpoint.root:
        return [_changed(f"The tiles in {where} are not those of its checkpoint: they were changed.")]
    differing = [
        index for index, (leaf, there) in enumerate(zip(leaves, hashes, strict=True)) if leaf not in (None, there)
    ]
    return [_changed(f"Another manifest stands for entry {index} than {where} has.") for index in differing]
