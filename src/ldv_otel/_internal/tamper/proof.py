"""The proof of one record: a small file that shows, without the Logboek, that the record was there and is unchanged.

JSON with the record's bytes and nonce, its path in the tree of its batch, the manifest of the batch, and the proof that
the manifest is in the log. docs/tamper-log.md has the format to the byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.tamper.checkpoint import Checkpoint, LogProof
from ldv_otel._internal.tamper.manifest import Manifest, leaf_of, number_of, open_manifest
from ldv_otel._internal.tamper.note import NoteError, NoteKey, NoteSignature, cosigned_at, cosigner
from ldv_otel._internal.tamper.record_bytes import NotARecord, record_of_bytes
from ldv_otel._internal.tamper.tree import ProofError, leaf_hash, root_by_inclusion

FORMAT: Final = "ldv-proof/1"
#: A record of the largest size has more, and is proven all the same; what is longer is no proof.
MOST_BYTES: Final = 128 * 1024 * 1024


class RecordProof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The members of the file; byte strings are in base64.

    Attributes:
        index: Of the leaf in the tree of its batch.
        path: From the leaf's neighbour up to the child of the root.
        manifest: The signed note.
        log: The tlog-proof of the manifest; empty when it was not in the log yet.
    """

    format: str
    record: bytes
    nonce: bytes
    index: int
    path: tuple[bytes, ...]
    manifest: str
    log: str = ""


class ProvenRecord(msgspec.Struct, frozen=True):
    """What a proof shows.

    Attributes:
        checkpoint: Of the log that has the manifest; None when the proof has none.
        signers: Those of the given keys that signed it.
        seen_seconds: When they or the log say that they saw it, in s since 1970-01-01 UTC; None when nobody does.
    """

    logregel: Logregel
    writer_id: str
    seq: int
    manifest: Manifest
    checkpoint: Checkpoint | None
    signers: tuple[NoteKey, ...]
    seen_seconds: int | None


class BadProof(ValueError):
    """A file is no proof, or one that does not hold; the text says which, as a sentence."""


def encode_proof(proof: RecordProof) -> bytes:
    """Return the file of a proof."""
    return msgspec.json.format(msgspec.json.encode(proof), indent=1) + b"\n"


class _ProvenRow(msgspec.Struct):
    bewijs: msgspec.Raw = msgspec.Raw(b"null")


class _FileOfProvenRows(msgspec.Struct):
    regels: list[_ProvenRow]


def proofs_in(content: bytes) -> list[bytes]:
    """Return the proofs in a file, each as `check_proof` takes it: those of a citizen's records, or the one it is.

    Raises:
        BadProof: It has rows, and none of them has a proof.
    """
    try:
        rows = msgspec.json.decode(content, type=_FileOfProvenRows).regels
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [content]
    proofs = [bytes(row.bewijs) for row in rows if bytes(row.bewijs) != b"null"]
    if not proofs:
        raise BadProof("The file has rows, and no proof of any of them.")
    return proofs


def check_proof(content: bytes, keys: Sequence[NoteKey] = ()) -> ProvenRecord:
    """Return what the file of a proof shows.

    Args:
        keys: Of logs and witnesses that the reader trusts. Without any it is shown that the file holds together, and
            not that anybody else ever saw it.

    Raises:
        BadProof: It shows nothing; why, as a sentence.
    """
    proof = _decoded(content)
    try:
        record = record_of_bytes(proof.record)
        manifest = open_manifest(proof.manifest)
    except NotARecord as error:
        raise BadProof(f"The record in the proof was changed or cut: {error}.") from error
    except NoteError as error:
        raise BadProof(f"The manifest in the proof was changed: {error}.") from error
    _check_listed(proof, record.writer_id, record.seq, record.logregel, manifest)
    if not proof.log:
        return ProvenRecord(*record, manifest, None, (), None)
    try:
        log = LogProof.parse(proof.log)
        checkpoint = log.check(leaf_hash(manifest.text.encode()))
        by_key = [each for key in keys for each in (key, cosigner(key))]
        signers = log.checkpoint.signed_by(by_key)
    except (NoteError, ProofError) as error:
        raise BadProof(f"The part of the proof that is about the log was changed: {error}.") from error
    if keys and not signers:
        raise BadProof(
            f"The proof is about the log {checkpoint.origin}, and none of the given keys signed its checkpoint: it is "
            "of another Logboek, or made by somebody else."
        )
    names = tuple(key for key in keys if key in signers or cosigner(key) in signers)
    return ProvenRecord(*record, manifest, checkpoint, names, _seen(log.checkpoint.signatures, signers))


def _decoded(content: bytes) -> RecordProof:
    try:
        proof = msgspec.json.decode(content, type=RecordProof) if len(content) <= MOST_BYTES else None
    except msgspec.ValidationError as error:
        raise BadProof(f"The file is no proof of this version: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadProof("The file is no proof, or was cut: it is not whole as JSON.") from error
    if proof is None or not proof.format.startswith("ldv-proof/"):
        raise BadProof("The file is no proof of a Logregel.")
    if proof.format != FORMAT:
        raise BadProof(f"The proof is of the version {proof.format}, and this program knows {FORMAT}.")
    return proof


def _check_listed(proof: RecordProof, writer_id: str, seq: int, logregel: Logregel, manifest: Manifest) -> None:
    number = number_of(writer_id, seq, logregel.trace_id, logregel.span_id)
    listed = writer_id == manifest.writer_id and any(first <= number <= last for first, last in manifest.seqs)
    if not listed or not manifest.first_start_ms <= logregel.start_time_ms <= manifest.last_start_ms:
        raise BadProof("The record is not one that the manifest in the proof lists.")
    try:
        root = root_by_inclusion(leaf_of(proof.nonce, proof.record), proof.index, manifest.count, proof.path)
    except ProofError as error:
        raise BadProof(f"The path in the proof was changed: {error}.") from error
    if root != manifest.root:
        raise BadProof("The record is not the one that was sealed: it, or its path or nonce, was changed.")


def _seen(signatures: Sequence[NoteSignature], signers: Sequence[NoteKey]) -> int | None:
    ids = {(key.name, key.key_id) for key in signers}
    times = []
    for signature in signatures:
        if (signature.name, signature.key_id) in ids:
            try:
                times.append(cosigned_at(signature))
            except NoteError:
                continue
    return min(times, default=None)
