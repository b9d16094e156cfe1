"""Signed notes, checkpoints and proofs of C2SP: published vectors, and what is none is refused."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldv_otel._internal.tamper.checkpoint import Checkpoint, LogProof
from ldv_otel._internal.tamper.note import (
    COSIGNATURE,
    NoteError,
    NoteKey,
    NoteSignature,
    NoteSigner,
    SignedNote,
    check_signature,
    cosigned_at,
    cosigner,
    unbase64,
)
from ldv_otel._internal.tamper.tree import ProofError, inclusion_proof, leaf_hash, root_of
from tests.support.chance import examples

#: Published with Go's implementation (golang.org/x/mod/sumdb/note).
PETER: Final = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_PRIVATE: Final = unbase64("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
ENOCH_PRIVATE: Final = bytes(32)
PROBLEM: Final = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_LINE: Final = (
    "\u2014 EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ="
)


def test_the_published_note_is_read_and_made() -> None:
    """Signing the text with the published key gives the published note; a second signature is added to it."""
    key = NoteKey.parse(PETER)
    assert str(key) == PETER
    note = SignedNote.parse(PROBLEM)
    assert str(note) == PROBLEM
    assert note.signed_by([key]) == [key]
    signer = NoteSigner("PeterNeumann", PETER_PRIVATE)
    assert signer.key == key
    assert str(signer.sign(note.text)) == PROBLEM
    assert str(NoteSigner("EnochRoot", ENOCH_PRIVATE).sign(note.text).signatures[0]) == ENOCH_LINE


def test_a_signature_of_another_key_means_nothing() -> None:
    """Neither good nor bad: who checks has no key for it."""
    assert SignedNote.parse(PROBLEM).signed_by([NoteSigner("PeterNeumann", ENOCH_PRIVATE).key]) == []


@settings(max_examples=examples(200))
@given(st.data())
def test_a_changed_note_is_refused(data: st.DataObject) -> None:
    """Whichever character is another: it is no note, or has no signature of the key, or a wrong one."""
    key = NoteKey.parse(PETER)
    at = data.draw(st.integers(0, len(PROBLEM) - 1))
    other = data.draw(st.characters().filter(lambda character: character != PROBLEM[at]))
    try:
        assert SignedNote.parse(PROBLEM[:at] + other + PROBLEM[at + 1 :]).signed_by([key]) == []
    except (NoteError, UnicodeEncodeError):
        return


@pytest.mark.parametrize(
    "text",
    ["", "\n", "text\n", "text\n\n", PROBLEM[:-1], PROBLEM.replace("x08g", "x08*"), PROBLEM.replace("=", ""),
     PROBLEM.replace("AM=", "AN="), PROBLEM.replace("problem", "prob\tlem"), PROBLEM.replace("\u2014 ", "- "),
     "text\n\n\u2014 a+b AAAAAAAA\n", "text\n\n" + "\u2014 a AAAAAAAA\n" * 101],
)  # fmt: skip
def test_what_is_no_note_is_refused(text: str) -> None:
    """With a sentence, and never a crash."""
    with pytest.raises(NoteError):
        SignedNote.parse(text)


@pytest.mark.parametrize("text", ["", "a", "a+b", PETER.replace("c74", "c75"), PETER[:-4], PETER.replace("+AR", "+BR")])
def test_what_is_no_key_is_refused(text: str) -> None:
    """Its id has to be that of its bytes, and its algorithm one that is known."""
    with pytest.raises(NoteError):
        NoteKey.parse(text)


def test_a_private_key_is_in_no_text() -> None:
    """Objects end up in logs."""
    assert str(NoteSigner("PeterNeumann", PETER_PRIVATE)) == f"NoteSigner({PETER})"


def test_a_text_without_a_line_end_is_not_signed() -> None:
    """It would be another text after reading."""
    with pytest.raises(NoteError):
        NoteSigner("a", ENOCH_PRIVATE).sign("text")


def test_a_cosignature_says_when() -> None:
    """It holds for its time only."""
    signer = NoteSigner("witness.example", ENOCH_PRIVATE)
    key = cosigner(signer.key)
    assert key.algorithm == COSIGNATURE
    assert NoteKey.parse(str(key)) == key
    signature = signer.cosign("log\n1\nroot\n", 1_764_000_000)
    assert cosigned_at(signature) == 1_764_000_000
    check_signature(key, "log\n1\nroot\n", signature)
    later = NoteSignature(signature.name, signature.key_id, (1_764_000_001).to_bytes(8, "big") + signature.content[8:])
    for wrong in (later, NoteSignature(signature.name, signature.key_id, signature.content[8:])):
        with pytest.raises(NoteError):
            check_signature(key, "log\n1\nroot\n", wrong)


#: The note in the specification of checkpoints; it has no key there.
CHECKPOINT: Final = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"


def test_the_published_checkpoint_is_read_and_made() -> None:
    """Extension lines are left alone."""
    checkpoint = Checkpoint.parse(CHECKPOINT)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.text == CHECKPOINT
    assert Checkpoint.parse(CHECKPOINT + "extension\n") == checkpoint


@pytest.mark.parametrize(
    "text",
    ["", "a\n1\n", CHECKPOINT.replace("2085", "02085"), CHECKPOINT.replace("2085", "-085"), CHECKPOINT[1:].join("\n\n"),
     CHECKPOINT.replace("=", ""), CHECKPOINT.replace("CsUY", ""), CHECKPOINT.replace("2085", "\u0662\u0660")],
)  # fmt: skip
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    """Each number and hash has one spelling."""
    with pytest.raises(NoteError):
        Checkpoint.parse(text)


@pytest.mark.parametrize("extra", [b"", b"anything"])
def test_a_proof_shows_that_an_entry_is_in_the_log(extra: bytes) -> None:
    """As it is made, written and read; another entry is not shown by it."""
    leaves = [leaf_hash(bytes([number])) for number in range(11)]
    note = NoteSigner("log", ENOCH_PRIVATE).sign(Checkpoint("log", 11, root_of(leaves)).text)
    proof = LogProof(6, tuple(inclusion_proof(leaves, 6)), note, extra)
    assert LogProof.parse(str(proof)) == proof
    assert proof.check(leaves[6]).size == 11
    with pytest.raises(ProofError):
        proof.check(leaves[5])


def test_a_proof_of_the_only_entry_has_no_path() -> None:
    """The checkpoint follows the index and an empty line."""
    note = NoteSigner("log", ENOCH_PRIVATE).sign(Checkpoint("log", 1, leaf_hash(b"")).text)
    assert LogProof.parse(str(LogProof(0, (), note))).check(leaf_hash(b"")).size == 1


@pytest.mark.parametrize(
    "text", ["", "c2sp.org/tlog-proof@v2\nindex 0\n\n", "c2sp.org/tlog-proof@v1\nindex 0\n",
             "c2sp.org/tlog-proof@v1\n\n",
             "c2sp.org/tlog-proof@v1\nindex 00\n\na\n", "c2sp.org/tlog-proof@v1\nindex 0\nAA==\n\na\n",
             "c2sp.org/tlog-proof@v1\nextra *\nindex 0\n\na\n"],
)  # fmt: skip
def test_what_is_no_proof_is_refused(text: str) -> None:
    """Of another version too."""
    with pytest.raises(NoteError):
        LogProof.parse(text)
