"""The proof of one record: what it shows, and that nothing else passes for one."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.tamper.checkpoint import Checkpoint, LogProof
from ldv_otel._internal.tamper.manifest import SALT_BYTES, SEALER_NAME, Sealer, leaf_of, nonce_of
from ldv_otel._internal.tamper.note import NoteSigner, SignedNote
from ldv_otel._internal.tamper.proof import FORMAT, BadProof, RecordProof, check_proof, encode_proof
from ldv_otel._internal.tamper.record_bytes import record_bytes
from ldv_otel._internal.tamper.tree import inclusion_proof, leaf_hash, root_of
from tests.support.chance import examples

WRITER: Final = "0123456789abcdef"
LOG: Final = NoteSigner("logboek.example/log", bytes(range(32, 64)))
SEEN: Final = 1_764_000_123
RECORDS: Final = [
    Logregel(
        trace_id=b"t" * 16,
        span_id=bytes([number + 1] * 8),
        name="Wijzig kenteken",
        start_time_ms=1_764_000_000_000 + number,
        end_time_ms=1_764_000_000_100,
        processing_activity_id="https://register.example/a",
        data_subject_id=b"d" * 16,
        resource='{"service.name":"gemeente"}',
    )
    for number in range(5)
]


def made(*, logged: bool = True) -> RecordProof:
    """The proof of the third of five records, in the second of three manifests."""
    sealer = Sealer(NoteSigner(SEALER_NAME, bytes(range(32))))
    manifests = [sealer.seal(WRITER, range(at, at + 5), RECORDS, 1_764_000_001_000) for at in (0, 5, 10)]
    sealed = manifests[1]
    salt = sealed.salts[:SALT_BYTES]
    leaves = [leaf_of(nonce_of(salt, seq), record_bytes(record, WRITER, seq)) for seq, record in enumerate(RECORDS, 5)]
    log = [leaf_hash(each.manifest.text.encode()) for each in manifests]
    note = LOG.sign(Checkpoint(LOG.key.name, 3, root_of(log)).text)
    note = SignedNote(note.text, (*note.signatures, LOG.cosign(note.text, SEEN)))
    return RecordProof(
        format=FORMAT,
        record=record_bytes(RECORDS[2], WRITER, 7),
        nonce=nonce_of(salt, 7),
        index=2,
        path=tuple(inclusion_proof(leaves, 2)),
        manifest=sealed.note,
        log=str(LogProof(1, tuple(inclusion_proof(log, 1)), note)) if logged else "",
    )


def test_a_proof_shows_the_record_and_when_it_was_seen() -> None:
    """From the file alone; it is small."""
    content = encode_proof(made())
    assert len(content) < 4_000
    proven = check_proof(content, [LOG.key])
    assert (proven.logregel, proven.writer_id, proven.seq) == (RECORDS[2], WRITER, 7)
    assert proven.checkpoint is not None
    assert (proven.checkpoint.origin, proven.signers, proven.seen_seconds) == (LOG.key.name, (LOG.key,), SEEN)


def test_without_keys_a_proof_shows_that_it_holds_together() -> None:
    """And names nobody who signed; one without a log has no checkpoint."""
    assert check_proof(encode_proof(made())).signers == ()
    assert check_proof(encode_proof(made(logged=False)), [LOG.key]).checkpoint is None


def test_a_proof_of_another_logboek_is_told() -> None:
    """The reader has the key of the log that he asks about."""
    with pytest.raises(BadProof, match="another Logboek"):
        check_proof(encode_proof(made()), [NoteSigner("elders.example/log", bytes(32)).key])
    with pytest.raises(BadProof, match="another Logboek"):
        check_proof(encode_proof(made()), [NoteSigner(LOG.key.name, bytes(32)).key])


#: A member that is another, and what is said of it.
CHANGES: Final[dict[str, tuple[Any, str]]] = {
    "format": ("ldv-proof/2", "of the version"),
    "nonce": (bytes(32), "not the one that was sealed"),
    "index": (1, "not the one that was sealed"),
    "path": ((bytes(32),), "The path in the proof was changed"),
    "manifest": ("no note", "The manifest in the proof was changed"),
    "log": ("no proof", "about the log was changed"),
    "record": (record_bytes(RECORDS[2], WRITER, 8), "not the one that was sealed"),
}


@pytest.mark.parametrize("member", CHANGES)
def test_a_changed_member_is_named(member: str) -> None:
    """In a sentence."""
    value, sentence = CHANGES[member]
    with pytest.raises(BadProof, match=sentence):
        check_proof(encode_proof(msgspec.structs.replace(made(), **{member: value})), [LOG.key])


def test_a_record_that_the_manifest_does_not_list_is_none() -> None:
    """Of another writer, number or time."""
    late = msgspec.structs.replace(RECORDS[2], start_time_ms=1_765_000_000_000, end_time_ms=1_765_000_000_000)
    for content in (
        record_bytes(RECORDS[2], "f" * 16, 7),
        record_bytes(RECORDS[2], WRITER, 3),
        record_bytes(late, WRITER, 7),
    ):
        with pytest.raises(BadProof, match="lists"):
            check_proof(encode_proof(msgspec.structs.replace(made(), record=content)))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "cut"),
        (b"{}", "no proof of this version"),
        (b"[1, 2]", "no proof of this version"),
        (b"[" * 100_000, "no proof"),
        (b"\xff\xfe", "no proof"),
        (encode_proof(made()).replace(b"ldv-proof/1", b"something/1"), "no proof of a Logregel"),
        (json.dumps({**json.loads(encode_proof(made())), "more": 1}).encode(), "no proof of this version"),
    ],
)
def test_what_is_no_proof_is_told(content: bytes, sentence: str) -> None:
    """In a sentence, and never a crash."""
    with pytest.raises(BadProof, match=sentence):
        check_proof(content)


@settings(max_examples=examples(200))
@given(st.data())
def test_a_proof_with_any_other_byte_shows_nothing_else(data: st.DataObject) -> None:
    """It is refused, or it was white space of the JSON, or a signature of nobody the reader knows."""
    content = encode_proof(made())
    at = data.draw(st.integers(0, len(content) - 1))
    other = content[:at] + bytes([data.draw(st.integers(0, 255))]) + content[at + 1 :]
    try:
        proven = check_proof(other, [LOG.key])
    except BadProof:
        return
    assert (proven.logregel, proven.writer_id, proven.seq) == (RECORDS[2], WRITER, 7)


@settings(max_examples=examples(50))
@given(st.integers(0, 3_000))
def test_a_cut_proof_is_told(size: int) -> None:
    """Wherever it was cut."""
    content = encode_proof(made())
    with pytest.raises(BadProof):
        check_proof(content[: min(size, len(content) - 3)])
