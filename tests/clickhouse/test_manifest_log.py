"""Checkpoints of the log of manifests, and what only a copy in a second place shows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.verification.findings import FindingKind
from ldv_otel._internal.clickhouse.verification.manifest_log import SealResult, leaf_of_manifest, log_signer, seal
from ldv_otel._internal.clickhouse.verification.stored import read_manifests
from ldv_otel._internal.clickhouse.verification.verify import Verification, verify
from ldv_otel._internal.delivery.batch import new_writer_id
from ldv_otel._internal.tamper.checkpoint import Checkpoint
from ldv_otel._internal.tamper.manifest import SEALER_NAME
from ldv_otel._internal.tamper.note import NoteKey, NoteSigner, SignedNote
from ldv_otel._internal.tamper.place import DirectoryPlace, SecondPlace
from ldv_otel._internal.tamper.signing_key import make_signer, read_signer
from ldv_otel._internal.tamper.tree import leaf_hash, root_of
from ldv_otel.errors import ConfigurationError, LdvError
from tests.clickhouse.conftest import sealed_store
from tests.clickhouse.test_verify import SealedStore


class LoggedStore(SealedStore):
    """A sealed Logboek whose log is kept with one key, here and in a second place."""

    place: SecondPlace

    def sealer(self) -> NoteSigner:
        """The key that seals."""
        assert self.settings.seal_key is not None
        return read_signer(self.settings.seal_key, "LDV_SEAL_KEY")

    def signer(self) -> NoteSigner:
        """The key of the log: that of the sealer, under a name of its own."""
        return log_signer(self.sealer())

    def seal(self) -> SealResult:
        """Make a checkpoint."""
        return seal(self.client, self.signer(), [self.place])

    def checked(self) -> Verification:
        """Verify against the second place, with the key."""
        keys = [self.signer().key.public]
        return verify(self.client, keys=keys, places=[self.place])

    def found(self) -> list[FindingKind]:
        """The kinds of findings."""
        return [each.kind for each in self.checked().findings]

    def fill(self, batches: int) -> None:
        """Store batches of two records, each of a writer of its own."""
        for _ in range(batches):
            self.send(0, 2, writer=new_writer_id())


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LoggedStore]:
    """A sealed Logboek with three batches."""
    with sealed_store("chdb", request, tmp_path / "seal.key") as settings:
        sealed = LoggedStore(settings)
        sealed.place = DirectoryPlace(tmp_path / "place")
        sealed.fill(3)
        yield sealed
        sealed.client.close()
        sealed.sink.close()


def test_each_checkpoint_continues_the_one_before(store: LoggedStore) -> None:
    """It has all manifests, signed by the log, who says when; what came after it is counted."""
    assert (store.seal().added, store.seal().added) == (3, 0)
    store.fill(2)
    assert store.checked().log.unlogged == 2
    result = store.seal()
    assert (result.added, result.checkpoint.size) == (2, 5)
    found = store.checked()
    assert (found.findings, found.log.size, found.log.unlogged, found.log.places) == ([], 5, 0, 1)
    assert found.log.seen_seconds is not None
    stored, _ = read_manifests(store.client)
    assert sorted(map(leaf_of_manifest, (each.manifest for each in stored))) == sorted(store.place.leaves(5))


def test_a_cut_tail_is_found_by_the_log(store: LoggedStore) -> None:
    """The last batch of a sealer, rows and manifest and all: no later manifest names it."""
    store.seal()
    query = Sql("SELECT toString(writer_id) FROM logregel WHERE position(manifest, ' 2 1') > 0")
    last = store.client.rows(query)[0][0]
    store.alter(f"DELETE WHERE writer_id = '{last}'")
    assert store.found() == [FindingKind.MANIFEST_REMOVED]
    with pytest.raises(LdvError, match="not in the Logboek any more"):
        store.seal()


def test_a_cut_tail_with_its_checkpoint_is_found_in_the_second_place(store: LoggedStore) -> None:
    """As if yesterday's files had been put back: the Logboek is in order in itself."""
    store.seal()
    store.fill(1)
    store.seal()
    writer = store.client.rows(Sql("SELECT toString(writer_id) FROM logregel WHERE position(manifest, ' 3 2') > 0"))[0][
        0
    ]
    store.alter(f"DELETE WHERE writer_id = '{writer}'")
    store.run("ALTER TABLE ldv_checkpoint DELETE WHERE size = 4")
    assert store.check().ok
    found = store.checked()
    assert [each.kind for each in found.findings] == [FindingKind.LOG_CHANGED]
    assert "has 1 entries more" in found.findings[0].sentence
    with pytest.raises(LdvError, match="does not continue the last checkpoint in"):
        store.seal()


def test_a_log_that_was_made_anew_is_found_in_the_second_place(store: LoggedStore) -> None:
    """With the key of a sealer and the log: everything is signed, and one entry is another."""
    store.seal()
    store.run("TRUNCATE TABLE ldv_checkpoint")
    store.run("ALTER TABLE logregel DELETE WHERE 1")
    store.reopen()
    store.fill(3)
    seal(store.client, store.signer())
    assert store.check().ok
    assert store.found() == [FindingKind.LOG_CHANGED] * 3
    with pytest.raises(LdvError, match="does not continue"):
        store.seal()


def test_a_checkpoint_of_another_key_is_found(store: LoggedStore, tmp_path: Path) -> None:
    """In the Logboek and in the second place."""
    other = log_signer(make_signer(tmp_path / "other.key", SEALER_NAME, "LDV_SEAL_KEY"))
    seal(store.client, other, [store.place])
    assert store.found() == [FindingKind.LOG_CHANGED] * 2
    with pytest.raises(ConfigurationError, match="is not of this key"):
        store.seal()


def test_a_changed_checkpoint_is_found(store: LoggedStore) -> None:
    """Its text, or which manifests it has."""
    store.seal()
    store.run("ALTER TABLE ldv_checkpoint UPDATE note = 'no note' WHERE 1")
    assert store.found() == [FindingKind.LOG_CHANGED]
    store.run("ALTER TABLE ldv_checkpoint UPDATE numbers = arrayMap(x -> x + 50, numbers) WHERE 1")
    assert store.found() == [FindingKind.LOG_CHANGED, *[FindingKind.MANIFEST_REMOVED] * 3]


def test_a_changed_second_place_is_found(store: LoggedStore, tmp_path: Path) -> None:
    """Nothing there, tiles that are not those of the checkpoint, and no place at all."""
    store.seal()
    store.alter("UPDATE name = 'x' WHERE 0")
    (tile,) = (tmp_path / "place" / "tile" / "0").rglob("3")
    stored = bytearray(tile.read_bytes())
    stored[0] ^= 1
    tile.write_bytes(stored)
    assert store.found() == []
    store.run("ALTER TABLE ldv_checkpoint UPDATE numbers = [0, 2, 1] WHERE 1")
    assert FindingKind.LOG_CHANGED in store.found()
    shutil.rmtree(tmp_path / "place")
    assert "There is no checkpoint in" in store.checked().findings[-1].sentence
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "checkpoint").write_text("no note")
    with pytest.raises(ConfigurationError, match="is none"):
        store.checked()


def test_a_place_that_cannot_be_written_to_keeps_its_checkpoint(store: LoggedStore, tmp_path: Path) -> None:
    """The next run brings it up to date."""
    store.seal()
    store.fill(1)
    target = tmp_path / "place" / "tile" / "0" / "000.p"
    shutil.move(target, tmp_path / "aside")
    target.touch()
    with pytest.raises(ConfigurationError, match="cannot be written to"):
        store.seal()
    note = store.place.checkpoint()
    assert note is not None
    assert Checkpoint.parse(note.text).size == 3
    target.unlink()
    shutil.move(tmp_path / "aside", target)
    assert store.seal().checkpoint.size == 4
    assert store.found() == []


@pytest.mark.parametrize("sizes", [(1, 255, 256, 257), (300, 66_000), (65_536,)])
def test_tiles_hold_the_hashes_of_the_tree(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    """256 to a file and level, whatever sizes it grows by: each tile's root is in the tile above."""
    signer = NoteSigner("log", bytes(32))
    place = DirectoryPlace(tmp_path)
    leaves: list[bytes] = []
    for size in sizes:
        before = len(leaves)
        leaves += (leaf_hash(str(number).encode()) for number in range(before, size))
        place.write(signer.sign(Checkpoint("log", size, root_of(leaves)).text), leaves, before)
        assert place.leaves(size) == leaves
        assert all(place.leaves(earlier) == leaves[:earlier] for earlier in sizes if earlier <= size)
    full = len(leaves) // 256
    if full:
        name = f"tile/1/{(full - 1) // 256:03}" + ("" if full % 256 == 0 else f".p/{full % 256}")
        above = (tmp_path / name).read_bytes()
        first = (full - 1) // 256 * 256
        assert above[:32] == root_of(leaves[first * 256 : (first + 1) * 256])
    assert sorted(path.name for path in (tmp_path / "checkpoint.d").iterdir()) == sorted(map(str, sizes))


def test_the_name_of_a_log_is_that_of_its_key(tmp_path: Path) -> None:
    """So that two logs are told apart, and one has one name."""
    sealer = make_signer(tmp_path / "seal.key", SEALER_NAME, "LDV_SEAL_KEY")
    signer = log_signer(sealer)
    assert signer.key.name == f"ldv-logboek/{signer.key.public.hex()[:16]}"
    assert signer.key.public == sealer.key.public
    assert NoteKey.parse(str(signer.key)) == signer.key
    assert SignedNote.parse(str(signer.sign("text\n"))).signed_by([signer.key]) == [signer.key]
