"""The vectors of tests/data/tamper: what another implementation has to arrive at, and Go's does.

`python -m tests.tamper.test_vectors` writes the file anew.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.tamper.checkpoint import Checkpoint, LogProof
from ldv_otel._internal.tamper.manifest import (
    SALT_BYTES,
    SEALER_NAME,
    UNNUMBERED,
    Sealer,
    UnsealedRow,
    leaf_of,
    nonce_of,
    number_of,
    open_manifest,
)
from ldv_otel._internal.tamper.note import NoteKey, NoteSigner, SignedNote, check_signature, cosigner
from ldv_otel._internal.tamper.record_bytes import record_bytes, record_of_bytes
from ldv_otel._internal.tamper.tree import (
    check_consistency,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_by_inclusion,
    root_of,
)
from ldv_otel._internal.tamper.witness import WitnessRequest
from tests.support.chance import dice

FILE: Final = Path(__file__).parents[1] / "data" / "tamper" / "vectors.json"
VERIFIER: Final = Path(__file__).with_name("goverifier")
WRITER: Final = "0123456789abcdef"
ORIGIN: Final = "logboek.example/tamper-vectors"
WITNESS: Final = "witness.example/tamper-vectors"
WHEN_MS: Final = 1_764_000_000_000


def records() -> list[Logregel]:
    """A record with every field, one with as few as possible, and one with texts of many kinds."""
    every = Logregel(
        trace_id=bytes(range(16)),
        span_id=bytes(range(16, 24)),
        parent_span_id=bytes(range(24, 32)),
        status=Status.ERROR,
        name="Wijzig kenteken \u20ac",
        start_time_ms=WHEN_MS,
        end_time_ms=WHEN_MS + 1_234,
        processing_activity_id="https://register.example/activiteiten/\u00e9\u00e9n",
        parent_processing_activity_id="https://register.example/activiteiten/boven",
        data_subject_id=bytes(range(32, 48)),
        data_subject_id_type="BSN",
        key_id="2025-11",
        data_subject_sealed="v1.AAEC",
        foreign_operation_trace_id=bytes(range(48, 64)),
        foreign_operation_span_id=bytes(range(64, 72)),
        foreign_operation_processor="https://elders.example",
        external_read_api_id="https://elders.example/lezen",
        outbound_span_ids=(bytes(range(72, 80)), bytes(range(80, 88))),
        attributes={"ldv.z": "last", "dpl.objects.dataset": "x" * 200},
        resource='{"service.name":"gemeente"}',
    )
    least = Logregel(trace_id=b"t" * 16, span_id=b"s" * 8, name="", start_time_ms=0, end_time_ms=0)
    texts = msgspec.structs.replace(
        every, name="\U0001f9fe\n\t%", attributes={"\u00e9": "", "z": "\u0001"}, status=Status.OK
    )
    return [every, least, texts, msgspec.structs.replace(texts, parent_span_id=b"", outbound_span_ids=())]


def vectors() -> dict[str, Any]:
    """All vectors, made by this package from fixed keys and salts."""
    sealer = Sealer(NoteSigner(SEALER_NAME, bytes(range(32))), random_bytes=dice("tamper vectors").randbytes)
    batch, seqs = records(), (0, 1, 2, 9)
    sealed = sealer.seal(WRITER, seqs, batch, WHEN_MS + 2_000)
    sealer.confirm(sealed.manifest)
    others = [sealer.seal(WRITER, (seq,), [batch[0]], WHEN_MS + 2_000 + seq).manifest.text for seq in range(10, 16)]
    salts = {
        activity: sealed.salts[at * SALT_BYTES : (at + 1) * SALT_BYTES]
        for at, (activity, _) in enumerate(sealed.manifest.activities)
    }
    rows = sorted(zip(seqs, batch, strict=True), key=lambda row: (row[1].processing_activity_id, row[0]))
    leaves = [
        leaf_of(nonce_of(salts[record.processing_activity_id], seq), record_bytes(record, WRITER, seq))
        for seq, record in rows
    ]
    entries = [sealed.manifest.text, *others]
    log = [leaf_hash(entry.encode()) for entry in entries]
    logboek = NoteSigner(ORIGIN, bytes(range(32, 64)))
    note = logboek.sign(Checkpoint(ORIGIN, len(log), root_of(log)).text)
    cosigned = SignedNote(note.text, (*note.signatures, logboek.cosign(note.text, WHEN_MS // 1000 + 60)))
    witness = NoteSigner(WITNESS, bytes(range(64, 96)))
    request = WitnessRequest(3, tuple(consistency_proof(log, 3)), cosigned)
    cosignature = witness.cosign(note.text, WHEN_MS // 1000 + 61)
    witnessed = SignedNote(note.text, (*cosigned.signatures, cosignature))
    every = batch[0]
    number = number_of(UNNUMBERED, 77, every.trace_id, every.span_id)
    of_collector = UnsealedRow(
        every.processing_activity_id, number, record_bytes(every, UNNUMBERED, 77), every.start_time_ms
    )
    adopted = sealer.seal_rows(UNNUMBERED, [of_collector], WHEN_MS + 9_000, adopted=True)
    return {
        "records": [
            {
                "writer": WRITER,
                "seq": seq,
                "activity": record.processing_activity_id,
                "bytes": record_bytes(record, WRITER, seq).hex(),
                "salt": salts[record.processing_activity_id].hex(),
                "nonce": nonce_of(salts[record.processing_activity_id], seq).hex(),
                "leaf": leaf.hex(),
                "path": [node.hex() for node in inclusion_proof(leaves, index)],
            }
            for index, ((seq, record), leaf) in enumerate(zip(rows, leaves, strict=True))
        ],
        "adopted": {
            "writer": UNNUMBERED,
            "seq": 77,
            "number": number,
            "bytes": of_collector.content.hex(),
            "salt": adopted.salts.hex(),
            "manifest": adopted.note,
        },
        "manifest": sealed.note,
        "manifest_salts": sealed.salts.hex(),
        "sealer_key": str(NoteSigner(SEALER_NAME, bytes(range(32))).key),
        "log": {
            "key": str(logboek.key),
            "cosignature_key": str(cosigner(logboek.key)),
            "entries": entries,
            "checkpoint": str(cosigned),
            "proofs": [str(LogProof(at, tuple(inclusion_proof(log, at)), cosigned)) for at in range(len(log))],
            "consistency": [
                {
                    "size": size,
                    "root": root_of(log[:size]).hex(),
                    "path": [node.hex() for node in consistency_proof(log, size)],
                }
                for size in range(1, len(log) + 1)
            ],
        },
        "witness": {
            "key": str(cosigner(witness.key)),
            "request": str(request),
            "answer": f"{cosignature}\n",
            "checkpoint": str(witnessed),
            "proof": str(LogProof(0, tuple(inclusion_proof(log, 0)), witnessed)),
        },
    }


def test_the_file_is_what_this_package_makes() -> None:
    """A change of a format shows here; it needs another name of the format."""
    assert json.loads(FILE.read_text(encoding="utf-8")) == vectors()


def test_what_is_in_the_file_holds() -> None:
    """Read the way a verifier does, from the file alone."""
    read = json.loads(FILE.read_text(encoding="utf-8"))
    manifest = open_manifest(read["manifest"])
    assert str(NoteKey(SEALER_NAME, manifest.key)) == read["sealer_key"]
    for index, each in enumerate(read["records"]):
        content = bytes.fromhex(each["bytes"])
        assert record_of_bytes(content)[1:] == (each["writer"], each["seq"])
        leaf = leaf_of(bytes.fromhex(each["nonce"]), content)
        assert leaf.hex() == each["leaf"]
        path = [bytes.fromhex(node) for node in each["path"]]
        assert root_by_inclusion(leaf, index, len(read["records"]), path) == manifest.root
    log = read["log"]
    assert log["entries"][0] == manifest.text
    for entry, proof in zip(log["entries"], map(LogProof.parse, log["proofs"]), strict=True):
        assert proof.check(leaf_hash(entry.encode())).origin == ORIGIN
    keys = [NoteKey.parse(log["key"]), NoteKey.parse(log["cosignature_key"])]
    note = SignedNote.parse(log["checkpoint"])
    assert note.signed_by(keys) == keys
    check_signature(keys[1], note.text, note.signatures[1])
    witness = read["witness"]
    key = NoteKey.parse(witness["key"])
    request = WitnessRequest.parse(witness["request"].encode())
    assert request.note == note
    check_consistency(
        3, bytes.fromhex(log["consistency"][2]["root"]), 7, Checkpoint.parse(note.text).root, request.path
    )
    assert witness["checkpoint"] == log["checkpoint"] + witness["answer"]
    proof = LogProof.parse(witness["proof"])
    assert proof.check(leaf_hash(log["entries"][0].encode())).size == 7
    assert proof.checkpoint.signed_by([key]) == [key]


@pytest.fixture(scope="module")
def go_verifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of `goverifier`, built; without Go its tests are skipped, but not in CI."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        reason = "Go is not here, whose implementation checks our notes and proofs"
        if os.environ.get("CI", "") not in ("", "false", "0"):
            pytest.fail(reason)
        pytest.skip(reason)
    program = tmp_path_factory.mktemp("go") / "goverifier"
    subprocess.run([go, "build", "-o", str(program), "."], cwd=VERIFIER, check=True)
    return program


def verified(program: Path, content: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """What the program says."""
    return subprocess.run([str(program)], input=json.dumps(content), capture_output=True, text=True, check=False)


def b64(nodes: list[bytes]) -> list[str]:
    """Hashes as the program reads them."""
    return [base64.b64encode(node).decode() for node in nodes]


def trees() -> Iterator[dict[str, Any]]:
    """Trees of many sizes with all their proofs."""
    for size in itertools.chain(range(1, 20), (31, 32, 33, 100)):
        entries = [f"entry {number}" for number in range(size)]
        leaves = [leaf_hash(entry.encode()) for entry in entries]
        yield {
            "entries": entries,
            "root": b64([root_of(leaves)])[0],
            "inclusion": [{"index": index, "path": b64(inclusion_proof(leaves, index))} for index in range(size)],
            "consistency": [
                {
                    "size": earlier,
                    "root": b64([root_of(leaves[:earlier])])[0],
                    "path": b64(consistency_proof(leaves, earlier)),
                }
                for earlier in range(1, size + 1)
            ],
        }


def for_go() -> dict[str, Any]:
    """The vectors as the program reads them."""
    made = vectors()
    log = made["log"]
    proofs = [LogProof.parse(proof) for proof in log["proofs"]]
    return {
        "notes": [{"key": made["sealer_key"], "note": made["manifest"], "text": log["entries"][0]}],
        "trees": list(trees()),
        "checkpoints": [
            {
                "key": log["key"],
                "note": str(proof.checkpoint),
                "size": len(proofs),
                "entry": entry,
                "index": proof.index,
                "path": b64(list(proof.path)),
            }
            for entry, proof in zip(log["entries"], proofs, strict=True)
        ]
        + [
            {
                "key": log["key"],
                "cosigners": [made["witness"]["key"], log["cosignature_key"]],
                "note": made["witness"]["checkpoint"],
                "size": len(proofs),
                "entry": log["entries"][0],
                "index": 0,
                "path": b64(list(proofs[0].path)),
            }
        ],
    }


def test_gos_implementation_agrees(go_verifier: Path) -> None:
    """Notes, checkpoints, roots, and proofs of both kinds, by code that has nothing of ours."""
    ended = verified(go_verifier, for_go())
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "1 notes, 23 trees and 8 checkpoints hold\n"


def test_gos_implementation_refuses_what_was_changed(go_verifier: Path) -> None:
    """Or its agreeing would mean nothing."""
    for where in ("notes", "checkpoints"):
        content = for_go()
        content[where][0]["note"] = content[where][0]["note"].replace("\n", "\n1", 1)
        assert verified(go_verifier, content).returncode == 1
    for changed in (SignedNote.parse(vectors()["witness"]["checkpoint"]).text + "\n", vectors()["log"]["checkpoint"]):
        content = for_go()
        content["checkpoints"][-1]["note"] = changed  # without the witness
        assert verified(go_verifier, content).returncode == 1
    content = for_go()
    content["checkpoints"][-1]["cosigners"][0] = str(cosigner(NoteSigner(WITNESS, bytes(32)).key))
    assert verified(go_verifier, content).returncode == 1
    content = for_go()
    content["checkpoints"][0]["entry"] += "x"
    assert verified(go_verifier, content).returncode == 1
    content = for_go()
    content["trees"][5]["consistency"][2]["path"].pop()
    assert verified(go_verifier, content).returncode == 1


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), indent=2) + "\n", encoding="utf-8")
