"""Target 13: whatever somebody with all rights does to the table, by chance, is found and named."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import pytest

from ldv_otel._internal.clickhouse.seal_key import new_signer
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.verification.findings import FindingKind
from ldv_otel._internal.tamper.place import DirectoryPlace
from tests.clickhouse.conftest import sealed_store
from tests.clickhouse.test_manifest_log import LoggedStore
from tests.clickhouse.test_verify import CHANGES, KEY_COLUMNS, SealedStore
from tests.support.chance import dice
from tests.torture.rig import size

pytest_plugins = ("tests.clickhouse.conftest",)
_WRITERS: Final = 8
_ELSEWHERE: Final = "eeeeeeeeeeeeeeee"
_TABLES: Final = ("logregel", "ldv_checkpoint")
_K = FindingKind


class Row(NamedTuple):
    """Where a record stands."""

    writer: str
    seq: int

    @property
    def where(self) -> str:
        """The condition that holds for it alone."""
        return f"writer_id = '{self.writer}' AND seq = {self.seq}"


class TargetStore(LoggedStore):
    """A sealed and logged Logboek that can be put back as it was."""

    other_key: Path
    rows: list[Row]
    batches: list[tuple[str, int, int]]

    def fill_by_chance(self, chance: random.Random, count: int) -> None:
        """Store so many records, of some writers that went through two sealers."""
        self.rows, self.batches = [], []
        numbers: Counter[str] = Counter()
        while len(self.rows) < count:
            if len(self.batches) == 12:
                self.reopen()
            writer = f"{chance.randrange(_WRITERS):016x}"
            first, many = numbers[writer], chance.choice((1, 2, 10, count // 40))
            self.send(first, many, writer=writer)
            self.batches.append((writer, first, many))
            self.rows += [Row(writer, seq) for seq in range(first, first + many)]
            numbers[writer] += many
        self.seal()
        self.run("CREATE TABLE moved AS logregel")
        for table in _TABLES:
            self.run(f"CREATE TABLE {table}_untouched AS {table}")
            for partition in self.partitions(table):
                self.run(f"ALTER TABLE {table}_untouched REPLACE PARTITION ID '{partition}' FROM {table}")

    def partitions(self, table: str) -> list[str]:
        """Return the ids of the partitions that have rows."""
        query = Sql(
            "SELECT DISTINCT partition_id FROM system.parts WHERE active AND database = currentDatabase()"
            " AND table = {name:String}"
        )
        return [str(partition) for (partition,) in self.client.rows(query, {"name": table})]

    def put_back(self) -> None:
        """Make the tables what they were."""
        for table in _TABLES:
            before = self.partitions(f"{table}_untouched")
            for partition in {*self.partitions(table)} - {*before}:
                self.run(f"ALTER TABLE {table} DROP PARTITION ID '{partition}'")
            for partition in before:
                self.run(f"ALTER TABLE {table} REPLACE PARTITION ID '{partition}' FROM {table}_untouched")
        self.run("TRUNCATE TABLE moved")

    def rewrite(self, where: str, column: str, value: str) -> None:
        """Take rows out and put them in again with another value, as no mutation may do to a column of the key."""
        columns = ", ".join(name for name in CHANGES if name != column)
        self.run(f"INSERT INTO moved ({column}, {columns}) SELECT {value}, {columns} FROM logregel WHERE {where}")
        self.alter(f"DELETE WHERE {where}")
        self.run("INSERT INTO logregel SELECT * FROM moved")


def change(store: TargetStore, chance: random.Random) -> set[FindingKind]:
    """Another value in a column of some rows."""
    column = chance.choice([name for name in CHANGES if not name.startswith("manifest")])
    rows = chance.sample(store.rows, chance.choice((1, 1, 5)))
    where = " OR ".join(f"({row.where})" for row in rows)
    if column in KEY_COLUMNS:
        store.rewrite(where, column, CHANGES[column])
    else:
        store.alter(f"UPDATE {column} = {CHANGES[column]} WHERE {where}")
    return {_K.CHANGED, _K.REMOVED, _K.MANIFEST_REMOVED, _K.MANIFEST_CHANGED}


def exchange(store: TargetStore, chance: random.Random) -> set[FindingKind]:
    """Two records of a writer under one another's numbers."""
    writer, first, many = chance.choice([each for each in store.batches if each[2] > 2])
    seqs = chance.sample(range(first, first + many), 2)
    where = f"writer_id = '{writer}' AND seq IN ({seqs[0]}, {seqs[1]})"
    store.rewrite(where, "seq", f"{sum(seqs)} - seq")
    return {_K.CHANGED, _K.MANIFEST_CHANGED}


def remove(store: TargetStore, chance: random.Random) -> set[FindingKind]:
    """Some records."""
    rows = chance.sample(store.rows, chance.choice((1, 1, 20)))
    store.alter("DELETE WHERE " + " OR ".join(f"({row.where})" for row in rows))
    return {_K.REMOVED, _K.MANIFEST_REMOVED}


def cut(store: TargetStore, chance: random.Random) -> set[FindingKind]:
    """The end of a writer, manifests and all."""
    row = chance.choice(store.rows)
    store.alter(f"DELETE WHERE writer_id = '{row.writer}' AND seq >= {row.seq}")
    return {_K.REMOVED, _K.MANIFEST_REMOVED}


def remove_writer(store: TargetStore, chance: random.Random) -> set[FindingKind]:
    """All records of a writer."""
    store.alter(f"DELETE WHERE writer_id = '{chance.choice(store.rows).writer}'")
    return {_K.MANIFEST_REMOVED}


def cut_all(store: TargetStore, chance: random.Random) -> set[FindingKind]:
    """The latest batches of all, and the checkpoint that has them: only the second place shows it."""
    keep = chance.randrange(1, len(store.batches))
    latest = " OR ".join(
        f"(writer_id = '{writer}' AND seq BETWEEN {first} AND {first + many - 1})"
        for writer, first, many in store.batches[keep:]
    )
    store.alter(f"DELETE WHERE {latest}")
    store.run("ALTER TABLE ldv_checkpoint DELETE WHERE 1")
    return {_K.MANIFEST_REMOVED, _K.LOG_CHANGED}


def add(store: TargetStore, chance: random.Random) -> set[FindingKind]:
    """A copy of a record under a number that is free, at a writer of the Logboek or another one."""
    row = chance.choice(store.rows)
    writer = chance.choice((row.writer, _ELSEWHERE))
    columns = ", ".join(name for name in CHANGES if name not in ("writer_id", "seq", "manifest", "manifest_salts"))
    store.run(
        f"INSERT INTO logregel (writer_id, seq, {columns})"
        f" SELECT '{writer}', seq + 1000000000, {columns} FROM logregel WHERE {row.where}"
    )
    return {_K.NOT_SEALED, _K.ADDED}


def add_under_a_number(store: TargetStore, chance: random.Random) -> set[FindingKind]:
    """Another record under a number that is taken, beside the one that is there."""
    row = chance.choice(store.rows)
    columns = ", ".join(name for name in CHANGES if name not in ("name", "manifest", "manifest_salts"))
    store.run(f"INSERT INTO logregel (name, {columns}) SELECT 'anders', {columns} FROM logregel WHERE {row.where}")
    return {_K.ADDED, _K.CHANGED}


def edit_manifest(store: TargetStore, chance: random.Random) -> set[FindingKind]:
    """A digit of a manifest, all of it, or the salts."""
    writer, first, _ = chance.choice(store.batches)
    edit = chance.choice(
        ("manifest = ''", "manifest = replaceRegexpOne(manifest, '[0-9]', 'x')", "manifest_salts = repeat('s', 48)")
    )
    store.alter(f"UPDATE {edit} WHERE writer_id = '{writer}' AND seq = {first}")
    return {_K.MANIFEST_REMOVED, _K.MANIFEST_CHANGED, _K.ADDED, _K.SALT_LOST, _K.CHANGED}


def seal_anew(store: TargetStore, chance: random.Random) -> set[FindingKind]:
    """A batch made anew by the right algorithm, with another key."""
    writer, first, many = chance.choice(store.batches)
    store.alter(f"DELETE WHERE writer_id = '{writer}' AND seq BETWEEN {first} AND {first + many - 1}")
    other = msgspec.structs.replace(store.settings, seal_key=store.other_key)
    if not store.other_key.exists():
        new_signer(other)
    forger = SealedStore(other)
    forger.send(first, many, writer=writer)
    forger.client.close()
    forger.sink.close()
    return {_K.UNKNOWN_KEY, _K.MANIFEST_REMOVED}


ATTACKS: Final = (
    change,
    change,
    exchange,
    remove,
    cut,
    remove_writer,
    cut_all,
    add,
    add_under_a_number,
    edit_manifest,
    seal_anew,
)


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TargetStore]:
    """An empty sealed Logboek with a second place."""
    with sealed_store("chdb", request, tmp_path / "seal.key") as settings:
        target = TargetStore(settings)
        target.place = DirectoryPlace(tmp_path / "place")
        target.other_key = tmp_path / "other.key"
        yield target
        target.client.close()
        target.sink.close()


@pytest.mark.slow
@pytest.mark.timeout(86_400)
def test_no_attack_by_chance_stays_unseen(store: TargetStore) -> None:
    """Each is found, under a name that fits it; and what was put back is whole again."""
    chance = dice("tampering")
    store.fill_by_chance(chance, size(2_000, 1_000_000))
    assert store.found() == []
    seen: Counter[str] = Counter()
    for number in range(size(44, 10_000)):
        attack = ATTACKS[number % len(ATTACKS)]
        expected = attack(store, chance)
        findings = store.found()
        assert expected & set(findings), f"{attack.__name__} ({number}): {findings}"
        seen[attack.__name__] += 1
        store.put_back()
        if number % 20 == 0:
            assert store.found() == []
    print(f"{sum(seen.values())} attacks on {len(store.rows)} records, all found: {dict(seen)}")
