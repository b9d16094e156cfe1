"""A witness: what it cosigns, what it refuses, and that it never goes back, whoever asks and whatever breaks."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path

import pytest

from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.config.yaml_file import parse_yaml
from ldv_otel._internal.tamper.checkpoint import Checkpoint
from ldv_otel._internal.tamper.note import (
    NoteError,
    NoteSigner,
    SignedNote,
    check_signature,
    cosigned_at,
    cosigner,
)
from ldv_otel._internal.tamper.tree import consistency_proof, leaf_hash, root_of
from ldv_otel._internal.tamper.witness import (
    MOST_BODY_BYTES,
    SIZE_TYPE,
    Witness,
    WitnessAnswer,
    WitnessRequest,
    witness_signer,
)
from ldv_otel._internal.tamper.witness_files import KnownWitnesses, WitnessedLogs, read_known_witnesses
from ldv_otel.errors import ConfigurationError

LOG = NoteSigner("logboek.example/log", bytes(range(32)))
OTHER = NoteSigner("logboek.example/log", bytes(range(1, 33)))
LEAVES = [leaf_hash(f"manifest {number}".encode()) for number in range(20)]
FORK = [*LEAVES[:4], *(leaf_hash(f"another {number}".encode()) for number in range(16))]
NOW = 1_764_000_000


def note(size: int, leaves: list[bytes] = LEAVES, signer: NoteSigner = LOG) -> SignedNote:
    """A checkpoint of the first leaves."""
    return signer.sign(Checkpoint("logboek.example/log", size, root_of(leaves[:size])).text)


def body(earlier: int, size: int, leaves: list[bytes] = LEAVES, signer: NoteSigner = LOG) -> bytes:
    """What a log sends."""
    path = tuple(consistency_proof(leaves[:size], earlier)) if earlier <= size else ()
    return str(WitnessRequest(earlier, path, note(size, leaves, signer))).encode()


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    """A witness of one log."""
    return opened(tmp_path / "witness")


def opened(directory: Path) -> Witness:
    """The witness of a directory."""
    return Witness(witness_signer(directory), {LOG.key.name: [LOG.key]}, directory, now_seconds=lambda: NOW)


def conflict(size: int) -> WitnessAnswer:
    """The answer that says what was cosigned last."""
    return WitnessAnswer(HTTPStatus.CONFLICT, f"{size}\n", SIZE_TYPE)


def cosigned_size(witness: Witness) -> int:
    """What it remembers."""
    seen = witness.seen(LOG.key.name)
    return 0 if seen is None else seen.checkpoint.size


def test_what_continues_is_cosigned_and_remembered(witness: Witness, tmp_path: Path) -> None:
    """With the time, over the whole checkpoint; the same one again gets a new cosignature."""
    for earlier, size in ((0, 3), (3, 8), (8, 8), (8, 20)):
        answer = witness.add_checkpoint(body(earlier, size))
        assert answer.status == HTTPStatus.OK
        signature = SignedNote.parse(f"{note(size).text}\n{answer.content}").signatures[0]
        check_signature(witness.key, note(size).text, signature)
        assert cosigned_at(signature) == NOW
        assert cosigned_size(opened(tmp_path / "witness")) == size
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "witness").iterdir()} == {0}


def test_it_never_goes_back(witness: Witness) -> None:
    """A log that was cut or rolled back is told what the witness has, whatever old size it names."""
    witness.add_checkpoint(body(0, 8))
    for earlier, size in ((0, 5), (5, 5), (0, 8), (7, 20)):
        assert witness.add_checkpoint(body(earlier, size)) == conflict(8)
    assert witness.add_checkpoint(body(8, 5)).status == HTTPStatus.BAD_REQUEST
    assert cosigned_size(witness) == 8


def test_of_two_histories_it_cosigns_one(witness: Witness, tmp_path: Path) -> None:
    """With the log's own key: the other is refused, and kept as evidence where it is of the same size."""
    witness.add_checkpoint(body(0, 8))
    assert witness.add_checkpoint(body(8, 20, FORK)).status == HTTPStatus.UNPROCESSABLE_ENTITY
    seen = witness.seen(LOG.key.name)
    assert seen is not None
    assert not seen.forked
    assert witness.add_checkpoint(body(8, 8, FORK)) == conflict(8)
    seen = witness.seen(LOG.key.name)
    assert seen is not None
    assert (seen.forked, seen.checkpoint.root) == (True, root_of(LEAVES[:8]))
    (evidence,) = (tmp_path / "witness").glob("*.fork")
    kept = SignedNote.parse(evidence.read_text(encoding="utf-8"))
    assert (kept.signed_by([LOG.key]), Checkpoint.parse(kept.text).root) == ([LOG.key], root_of(FORK[:8]))
    assert witness.add_checkpoint(body(8, 20)).status == HTTPStatus.OK


def test_logs_that_are_not_listed_get_nothing(witness: Witness, tmp_path: Path) -> None:
    """Neither a cosignature nor a file, and neither does who has another key for a log that is."""
    assert witness.add_checkpoint(body(0, 3, signer=OTHER)).status == HTTPStatus.FORBIDDEN
    stranger = NoteSigner("elsewhere", bytes(32))
    text = stranger.sign(Checkpoint("elsewhere", 3, root_of(LEAVES[:3])).text)
    assert witness.add_checkpoint(f"old 0\n\n{text}".encode()).status == HTTPStatus.NOT_FOUND
    wrong = SignedNote(note(5).text, note(3).signatures)
    assert witness.add_checkpoint(f"old 0\n\n{wrong}".encode()).status == HTTPStatus.FORBIDDEN
    assert [path.name for path in (tmp_path / "witness").iterdir()] == ["witness.key"]


@pytest.mark.parametrize(
    "changed",
    [
        b"",
        b"old 0\n",
        b"old 00\n\n" + str(note(3)).encode(),
        b"old -1\n\n" + str(note(3)).encode(),
        b"old 0\nno hash\n\n" + str(note(3)).encode(),
        "old 0\n\u20ac\n\n".encode() + str(note(3)).encode(),
        body(0, 3)[:-1],
        body(0, 3).replace(b"\n3\n", b"\n03\n"),
        b"old 0\n" + b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n" * 64 + b"\n" + str(note(3)).encode(),
        body(0, 3) + b"x" * MOST_BODY_BYTES,
        b"\xff" * 100,
    ],
)
def test_what_is_no_request_changes_nothing(witness: Witness, changed: bytes) -> None:
    """Whatever a stranger sends, the answer is a sentence."""
    answer = witness.add_checkpoint(changed)
    assert answer.status == HTTPStatus.BAD_REQUEST
    assert answer.content.endswith(".\n")
    assert cosigned_size(witness) == 0


def test_a_proof_that_shows_nothing_is_refused(witness: Witness) -> None:
    """Too short, too long, of other sizes, or beside no earlier checkpoint."""
    node = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
    assert witness.add_checkpoint(f"old 0\n{node}\n{note(3)}".encode()).status == HTTPStatus.UNPROCESSABLE_ENTITY
    empty = LOG.sign(Checkpoint(LOG.key.name, 0, root_of(LEAVES)).text)
    assert witness.add_checkpoint(f"old 0\n\n{empty}".encode()) == conflict(0)
    witness.add_checkpoint(body(0, 3))
    path = consistency_proof(LEAVES[:8], 3)
    for wrong in (path[:-1], [*path, path[0]], path[::-1], consistency_proof(LEAVES[:8], 4)):
        request = str(WitnessRequest(3, tuple(wrong), note(8))).encode()
        assert witness.add_checkpoint(request).status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert cosigned_size(witness) == 3


def test_of_requests_at_once_one_counts(witness: Witness) -> None:
    """Each of many threads would take it from the same size to another one."""
    witness.add_checkpoint(body(0, 4))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(witness.add_checkpoint, [body(4, size) for size in range(5, 21)]))
    assert sorted(answer.status for answer in answers) == [HTTPStatus.OK] + [HTTPStatus.CONFLICT] * 15
    (size,) = [size for size, answer in zip(range(5, 21), answers, strict=True) if answer.status == HTTPStatus.OK]
    assert cosigned_size(witness) == size


def test_of_processes_at_once_one_counts(witness: Witness, tmp_path: Path) -> None:
    """They share the memory, as `ldv witness` and `ldv serve` on one machine do."""
    witness.add_checkpoint(body(0, 4))
    code = (
        "import sys; from pathlib import Path; from tests.tamper.test_witness import body, opened;"
        "print(opened(Path(sys.argv[1])).add_checkpoint(body(4, int(sys.argv[2]))).status.value)"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "witness"), str(size)], stdout=subprocess.PIPE, text=True
        )
        for size in (5, 9, 20)
    ]
    statuses = [int(process.communicate(timeout=120)[0]) for process in running]
    assert sorted(statuses) == [200, 409, 409]


def test_nothing_is_signed_without_its_memory(witness: Witness, tmp_path: Path) -> None:
    """What cannot be read or written may have been another size."""
    witness.add_checkpoint(body(0, 4))
    (memory,) = [path for path in (tmp_path / "witness").iterdir() if not path.suffix]
    whole = memory.read_bytes()
    memory.write_bytes(whole[:-5])
    with pytest.raises(ConfigurationError, match="Nothing was signed"):
        witness.add_checkpoint(body(4, 8))
    memory.write_bytes(whole)
    memory.chmod(0o644)
    with pytest.raises(ConfigurationError, match="others may read or write"):
        witness.add_checkpoint(body(4, 8))


def test_a_full_disk_stops_it(witness: Witness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A size that is not on disk must not be cosigned: after a power cut it would be forgotten."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    witness.add_checkpoint(body(0, 4))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationError, match="No space left on device"):
        witness.add_checkpoint(body(4, 8))
    monkeypatch.undo()
    assert cosigned_size(opened(tmp_path / "witness")) == 4
    assert witness.add_checkpoint(body(4, 8)).status == HTTPStatus.OK


def test_files_that_cannot_be_used_name_the_line() -> None:
    """Keys of another kind, a quorum nobody can reach, one key that would count twice, an address without TLS."""
    own = cosigner(OTHER.key)
    assert parse_yaml(f"logs: [{{key: {LOG.key}}}]", "file", WitnessedLogs).by_origin == {LOG.key.name: [LOG.key]}
    named = parse_yaml(f"logs: [{{key: {LOG.key}, origin: other}}]", "file", WitnessedLogs)
    assert named.by_origin == {"other": [LOG.key]}
    entry = f"{{key: {own}, url: 'https://witness.example/witness'}}"
    witnesses = parse_yaml(f"quorum: 1\nwitnesses: [{entry}]", "file", KnownWitnesses)
    assert witnesses.witnesses[0].note_key == own
    for text, type_ in (
        (f"logs: [{{key: {own}}}]", WitnessedLogs),
        ("logs: [{key: nonsense}]", WitnessedLogs),
        (f"quorum: 2\nwitnesses: [{entry}]", KnownWitnesses),
        (f"quorum: 0\nwitnesses: [{entry}]", KnownWitnesses),
        (f"quorum: 1\nwitnesses: [{entry}, {entry}]", KnownWitnesses),
        (f"quorum: 1\nwitnesses: [{entry.replace('https', 'http')}]", KnownWitnesses),
        (f"quorum: 1\nwitnesses: [{entry.replace(str(own), str(LOG.key))}]", KnownWitnesses),
    ):
        with pytest.raises(ConfigurationError, match=r"^file:[12]:"):
            parse_yaml(text, "file", type_)


def test_without_a_file_nobody_witnesses(tmp_path: Path) -> None:
    """And with one, those that it names."""
    settings = read_settings({"LDV_LOGBOEK": "chdb:///nowhere"})
    assert read_known_witnesses(settings) is None
    file = tmp_path / "witnesses.yaml"
    file.write_text(f"quorum: 1\nwitnesses: [{{key: {cosigner(OTHER.key)}, url: 'http://127.0.0.1:1/witness'}}]")
    named = read_known_witnesses(read_settings({"LDV_LOGBOEK": "chdb:///nowhere", "LDV_WITNESSES": str(file)}))
    assert named is not None
    assert (named.quorum, named.witnesses[0].url) == (1, "http://127.0.0.1:1/witness")


def test_a_request_is_read_as_it_is_written() -> None:
    """Both sides have the one spelling."""
    assert WitnessRequest.parse(body(3, 8)) == WitnessRequest(3, tuple(consistency_proof(LEAVES[:8], 3)), note(8))
    with pytest.raises(NoteError):
        WitnessRequest.parse(body(3, 8).replace(b"old", b"new"))
