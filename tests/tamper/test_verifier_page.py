"""The verifier page: what it says of a proof is what this package says."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from ldv_otel._internal.tamper.manifest import nonce_of
from ldv_otel._internal.tamper.note import NoteKey, NoteSigner
from ldv_otel._internal.tamper.proof import BadProof, RecordProof, check_proof, encode_proof
from ldv_otel._internal.tamper.verifier_page import verifier_page
from tests.support.chance import dice
from tests.tamper.test_vectors import FILE

NODE: Final = shutil.which("node")
#: Gives a verdict on each case: `{"file": ..., "keys": [...]}`.
HARNESS: Final = """
const cases = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
(async () => {
  const verdicts = [];
  for (const each of cases) {
    try {
      const keys = await Promise.all(each.keys.map(parseKey));
      const shown = await Promise.all(proofsIn(each.file).map((proof) => checkProof(proof, keys)));
      verdicts.push({ ok: true, name: shown[0].record.name, sentences: sentencesOf(shown[0]) });
    } catch (error) {
      if (!(error instanceof BadProof)) throw error;
      verdicts.push({ ok: false, sentences: [error.message] });
    }
  }
  console.log(JSON.stringify(verdicts));
})();
"""


def proofs() -> list[RecordProof]:
    """The proofs of the records of the vectors, with the log and without, and of an adopted one."""
    vectors = json.loads(FILE.read_text("utf-8"))
    found = [
        RecordProof(
            format="ldv-proof/1",
            record=bytes.fromhex(record["bytes"]),
            nonce=bytes.fromhex(record["nonce"]),
            index=index,
            path=tuple(map(bytes.fromhex, record["path"])),
            manifest=vectors["manifest"],
            log=vectors["log"]["proofs"][0] if index else "",
        )
        for index, record in enumerate(vectors["records"])
    ]
    adopted = vectors["adopted"]
    content = bytes.fromhex(adopted["bytes"])
    nonce = nonce_of(bytes.fromhex(adopted["salt"]), adopted["number"])
    return [
        *found,
        RecordProof(format="ldv-proof/1", record=content, nonce=nonce, index=0, path=(), manifest=adopted["manifest"]),
    ]


def log_key() -> str:
    """The key of the log of the vectors."""
    return str(json.loads(FILE.read_text("utf-8"))["log"]["key"])


def cases() -> list[dict[str, Any]]:
    """Good files, and ones in which one thing is different: each member, bytes of the record, signatures, keys."""
    key, chance = log_key(), dice("verifier page")
    found: list[dict[str, Any]] = [
        {"file": encode_proof(proof).decode(), "keys": keys} for proof in proofs() for keys in ([], [key])
    ]
    proof = proofs()[1]
    whole = json.loads(encode_proof(proof))
    for name in whole:
        found.append({"file": json.dumps({each: value for each, value in whole.items() if each != name}), "keys": []})
        found.append({"file": json.dumps(whole | {name: 5}), "keys": []})
    for _ in range(60):
        content = bytearray(proof.record)
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        found.append({"file": encode_proof(msgspec.structs.replace(proof, record=bytes(content))).decode(), "keys": []})
    for field, text in itertools.product(("manifest", "log"), range(40)):
        before = getattr(proof, field)
        at = chance.randrange(len(before))
        after = before[:at] + ("" if text % 2 else "A") + before[at + 1 :]
        if after != before:
            found.append({"file": json.dumps(whole | {field: after}), "keys": [key]})
    others = [
        {"format": "ldv-proof/2"}, {"format": "x"}, {"index": 2}, {"index": -1}, {"index": 0.5},
        {"path": whole["path"][:1]},
        {"path": [*whole["path"], whole["nonce"]]}, {"path": [whole["nonce"], *whole["path"][1:]]},
        {"nonce": whole["path"][0]}, {"log": ""}, {"record": whole["record"] + "AAAA"},
    ]  # fmt: skip
    found += ({"file": json.dumps(whole | change), "keys": [key]} for change in others)
    found += ({"file": text, "keys": []} for text in ("", "{", "[]", "null", "5", json.dumps(whole)[:-9]))
    witness = json.loads(FILE.read_text("utf-8"))["witness"]
    cosigned = json.dumps(whole | {"log": witness["proof"]})
    found += ({"file": file, "keys": [witness["key"]]} for file in (cosigned, json.dumps(whole)))
    found.append({"file": cosigned, "keys": [key, witness["key"]]})
    found.append({"file": json.dumps(whole), "keys": [str(NoteSigner("other.example/log", bytes(32)).key)]})
    return found


def says(case: dict[str, Any]) -> bool:
    """Whether this package takes a file for a proof."""
    keys = [NoteKey.parse(key) for key in case["keys"]]
    try:
        proven = check_proof(case["file"].encode(), keys)
    except BadProof:
        return False
    # Who gives a key wants to know that it signed.
    return not keys or bool(proven.signers)


@pytest.mark.skipif(NODE is None, reason="there is no Node here")
def test_the_page_says_what_this_package_says(tmp_path: Path) -> None:
    """Of every file: the same verdict, and a sentence in Dutch for each that is none."""
    script = re.search(r"<script>(.*)</script>", verifier_page().decode(), re.DOTALL)
    assert script is not None
    program = tmp_path / "verifier.js"
    program.write_text(script[1] + HARNESS, encoding="utf-8")
    every = cases()
    assert NODE is not None
    done = subprocess.run([NODE, program], input=json.dumps(every), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    verdicts = json.loads(done.stdout)
    differing = [
        (case["file"][:3_000], verdict)
        for case, verdict in zip(every, verdicts, strict=True)
        if verdict["ok"] != says(case)
    ]
    assert differing == []
    assert {True, False} == {verdict["ok"] for verdict in verdicts}
    assert all(sentence.endswith(".") for verdict in verdicts for sentence in verdict["sentences"])
    assert "Wijzig kenteken \u20ac" in [verdict.get("name") for verdict in verdicts]
