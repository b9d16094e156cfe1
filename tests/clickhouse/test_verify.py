"""A change of the table behind the Logboek's back is found and named; and nothing lawful is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.columns import columns_of
from ldv_otel._internal.clickhouse.seal_key import new_signer
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.verification.findings import FindingKind
from ldv_otel._internal.clickhouse.verification.verify import Verification, verify
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import Batch, number_batch
from ldv_otel._internal.record.logregel import Logregel, Status
from tests.clickhouse.conftest import sealed_store

START: Final = 1_764_000_000_000
ACTIVITIES: Final = ("https://register.example/b", "https://register.example/a?x=%20&y=é", "")
WRITER: Final = "0123456789abcdef"


def record(number: int) -> Logregel:
    """A record with a value in every field."""
    return Logregel(
        trace_id=number.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "little"),
        parent_span_id=b"p" * 8,
        status=Status.OK,
        name=f"stap {number % 3}",
        start_time_ms=START + number * 1_000,
        end_time_ms=START + number * 1_000 + 7,
        processing_activity_id=ACTIVITIES[number % 3],
        parent_processing_activity_id="https://register.example/boven",
        data_subject_id=b"d" * 16,
        data_subject_id_type="BSN",
        key_id="2025",
        data_subject_sealed="v1.AAEC",
        foreign_operation_trace_id=b"f" * 16,
        foreign_operation_span_id=b"g" * 8,
        foreign_operation_processor="https://elders.example",
        external_read_api_id="https://elders.example/lezen",
        outbound_span_ids=(b"o" * 8,),
        attributes={"dpl.objects.dataset": f"{number}", "ldv.x": "y"},
        resource='{"service.name":"gemeente"}',
    )


class SealedStore:
    """A Logboek with records of two batches and a lone one, all sealed, and a way to change it in secret."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.sink = ClickHouseSink(settings)
        self.sink.open()
        self.client = LogboekClient(settings)

    def send(self, first: int, count: int, writer: str = WRITER) -> Batch:
        """Store a batch as delivery does."""
        batch = number_batch(writer, first, [record(number) for number in range(first, first + count)])
        self.sink.send(batch)
        return batch

    def reopen(self) -> None:
        """Go on as another process, with a sealer of its own."""
        self.sink.close()
        self.sink.open()

    def run(self, statement: str) -> None:
        """Run any SQL, as the default user may, and wait until it is done."""
        self.client.command(Sql.verbatim(f"{statement} SETTINGS mutations_sync = 1"))

    def alter(self, change: str) -> None:
        """Change the table."""
        self.run(f"ALTER TABLE logregel {change}")

    def insert(self, batch: Batch, manifest: str = "", salts: bytes = b"") -> None:
        """Store rows past the sink."""
        rest = len(batch.seqs) - 1
        columns = columns_of(batch) | {
            "manifest": ("String", [manifest, *[""] * rest]),
            "manifest_salts": ("String", [salts, *[b""] * rest]),
        }
        self.client.insert("logregel", columns, {"async_insert": 0})

    def check(self, **options: Any) -> Verification:
        """Verify everything."""
        return verify(self.client, **options)

    def kinds(self, **options: Any) -> list[tuple[str, int, str]]:
        """What is found: kind, how many records, and which."""
        return [(each.kind.value, each.records, each.seqs) for each in self.check(**options).findings]


@pytest.fixture(params=["chdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SealedStore]:
    """A sealed Logboek: numbers 0 to 9, 10 to 12, and 13."""
    with sealed_store(request.param, request, tmp_path / "seal.key") as settings:
        sealed = SealedStore(settings)
        try:
            for first, count in ((0, 10), (10, 3), (13, 1)):
                sealed.send(first, count)
            yield sealed
        finally:
            sealed.client.close()
            sealed.sink.close()


def test_what_was_not_touched_is_found_whole(store: SealedStore) -> None:
    """No finding; all records are counted, and the key that sealed them is named."""
    found = store.check()
    assert (found.findings, found.ok, found.records, found.manifests) == ([], True, 14, 3)
    assert list(found.keys.values()) == [3]
    assert store.check(keys=[bytes.fromhex(key) for key in found.keys]).ok


#: A change for each column of the table, as SQL.
CHANGES: Final = {
    "trace_id": "repeat('x', 16)", "span_id": "repeat('y', 8)", "parent_span_id": "''", "start_time": "start_time + 1",
    "duration_ms": "duration_ms + 1", "status": "'Error'", "name": "'iets anders'",
    "processing_activity_id": "'https://register.example/z'", "parent_processing_activity_id": "''",
    "data_subject_id": "repeat('z', 16)", "data_subject_id_type": "'KVK'", "key_id": "'2024'",
    "data_subject_sealed": "''", "foreign_operation_trace_id": "repeat('q', 16)",
    "foreign_operation_span_id": "repeat('r', 8)", "foreign_operation_processor": "''", "external_read_api_id": "''",
    "outbound_span_ids": "[]", "attributes": "map('ldv.x', 'z')", "resource": "'{}'", "writer_id": "'ffff'",
    "seq": "seq + 1000", "manifest": "concat(manifest, ' ')", "manifest_salts": "repeat('s', 48)",
}  # fmt: skip
#: Part of the sorting key, which a mutation may not change: the row is taken out and put in again.
KEY_COLUMNS: Final = ("start_time", "span_id", "writer_id", "seq", "processing_activity_id")


def test_every_column_is_tried(store: SealedStore) -> None:
    """A column that is added later is another thing that could be changed."""
    columns = store.client.rows(
        Sql("SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'logregel'"
            " AND default_kind != 'ALIAS'")
    )  # fmt: skip
    assert {name for (name,) in columns} == set(CHANGES)


@pytest.mark.parametrize("column", CHANGES)
def test_a_change_of_any_column_is_found(store: SealedStore, column: str) -> None:
    """Of any row: here the first of a batch, where its manifest stands, and one in its middle."""
    for seq in (10, 4):
        if column.startswith("manifest") and seq == 4:
            continue
        if column in KEY_COLUMNS:
            columns = ", ".join(name for name in CHANGES if name != column)
            store.run("CREATE TABLE IF NOT EXISTS moved AS logregel")
            store.client.command(
                Sql.verbatim(
                    f"INSERT INTO moved ({column}, {columns}) SELECT {CHANGES[column]}, {columns} "
                    f"FROM logregel WHERE seq = {seq}"
                )
            )
            store.alter(f"DELETE WHERE seq = {seq}")
            store.client.command(Sql.verbatim("INSERT INTO logregel SELECT * FROM moved"))
            store.run("TRUNCATE TABLE moved")
        else:
            store.alter(f"UPDATE {column} = {CHANGES[column]} WHERE seq = {seq}")
    found = store.check()
    kinds = [(each.kind, each.records, each.seqs) for each in found.findings]
    batches = [(10, "0-9"), (3, "10-12")]
    if column in ("writer_id", "seq"):
        moved = {"writer_id": [("not sealed", 2, "4, 10")], "seq": [("not sealed", 2, "1004, 1010")]}[column]
        assert kinds == [("removed", 1, "4"), ("removed", 1, "10"), *moved]
    elif column == "manifest":
        assert kinds[0][0] == "manifest changed"
        assert ("manifest removed", 0, "") in kinds
        assert ("added", 3, "10-12") in kinds
    elif column == "manifest_salts":
        assert kinds in ([("salt lost", 3, "10-12")], [("changed", 3, "10-12")])
    else:
        assert kinds == [("changed", *batch) for batch in batches]
    assert not found.ok
    assert all(each.sentence.startswith(f"{each.kind}: ") for each in found.findings)


def test_a_removed_record_is_found(store: SealedStore) -> None:
    """By its number; from the middle, and one that was alone in its batch, which takes its manifest along."""
    store.alter("DELETE WHERE seq = 4")
    assert store.kinds() == [("removed", 1, "4")]
    store.alter("DELETE WHERE seq IN (5, 6, 12)")
    assert store.kinds() == [("removed", 3, "4-6"), ("removed", 1, "12")]


def test_a_removed_batch_is_found(store: SealedStore) -> None:
    """The next manifest of the sealer names it."""
    store.alter("DELETE WHERE seq BETWEEN 10 AND 12")
    found = store.check()
    assert [each.kind for each in found.findings] == [FindingKind.MANIFEST_REMOVED]
    assert found.findings[0].sealer.endswith(" 1")


def test_a_removed_manifest_is_found(store: SealedStore) -> None:
    """Its records are in none any more."""
    store.alter("UPDATE manifest = '' WHERE seq = 10")
    assert [kind for kind, *_ in store.kinds()] == ["manifest removed", "added"]


def test_a_record_that_was_added_is_found(store: SealedStore) -> None:
    """Under a number of its own, in a gap, under a number that is taken, and of a writer that is not there."""
    store.insert(number_batch(WRITER, 14, [record(14)]))
    assert store.kinds() == [("not sealed", 1, "14")]
    assert not store.check().complete
    store.send(16, 1)
    assert store.kinds() == [("added", 1, "14")]
    store.insert(number_batch(WRITER, 4, [record(99)]))
    assert store.kinds() == [("added", 1, "4"), ("added", 1, "14")]
    store.insert(number_batch("ffffffffffffffff", 0, [record(0)]))
    assert store.kinds() == [("added", 1, "4"), ("added", 1, "14"), ("not sealed", 1, "0")]


def test_records_of_before_a_writer_had_a_key_are_no_sign_of_tampering(store: SealedStore) -> None:
    """A process without a key stored a part, and another one with a key sent what it left; between them is added."""
    writer = "fedcba9876543210"
    store.insert(number_batch(writer, 0, [record(0), record(1)]))
    store.send(2, 2, writer=writer)
    store.send(5, 1, writer=writer)
    store.insert(number_batch(writer, 6, [record(6)]))
    assert store.kinds() == [("not sealed", 3, "0-1, 6")]
    store.insert(number_batch(writer, 4, [record(4)]))
    assert store.kinds() == [("not sealed", 3, "0-1, 6"), ("added", 1, "4")]


def test_exchanged_records_are_found(store: SealedStore) -> None:
    """Two rows of one batch with one another's content."""
    store.run("CREATE TABLE moved AS logregel")
    names = ", ".join(name for name in CHANGES if name != "seq")
    store.client.command(
        Sql.verbatim(f"INSERT INTO moved (seq, {names}) SELECT 7 - seq, {names} FROM logregel WHERE seq IN (3, 4)")
    )
    store.alter("DELETE WHERE seq IN (3, 4)")
    store.client.command(Sql.verbatim("INSERT INTO logregel SELECT * FROM moved"))
    assert store.kinds() == [("changed", 10, "0-9")]


def test_a_manifest_of_somebody_else_is_found(store: SealedStore, tmp_path: Path) -> None:
    """Records that are sealed anew after a change, with another key, as long as the right one is known."""
    keys = [bytes.fromhex(key) for key in store.check().keys]
    of_somebody_else = msgspec.structs.replace(store.settings, seal_key=tmp_path / "other.key")
    new_signer(of_somebody_else)
    other = SealedStore(of_somebody_else)
    other.send(20, 2, writer="ffffffffffffffff")
    other.client.close()
    assert store.check().ok
    found = store.check(keys=keys)
    other.sink.close()
    assert [(each.kind, each.records) for each in found.findings] == [
        (FindingKind.UNKNOWN_KEY, 2),
        (FindingKind.NOT_SEALED, 2),
    ]


def test_a_row_that_was_stored_twice_is_none_that_was_added(store: SealedStore) -> None:
    """A batch that was sent again after the deduplication window, manifest and all, or without."""
    store.client.command(Sql.verbatim("INSERT INTO logregel SELECT * FROM logregel"))
    assert store.kinds() == []
    store.client.command(Sql.verbatim("INSERT INTO logregel SELECT * FROM logregel WHERE seq = 3"))
    assert store.kinds() == []


def test_records_of_before_are_no_sign_of_tampering(store: SealedStore) -> None:
    """They are counted: nothing shows whether they were changed."""
    old = msgspec.structs.replace(record(0), start_time_ms=START - 9_000_000_000, end_time_ms=START)
    store.insert(number_batch("fedcba9876543210", 0, [old]))
    found = store.check()
    assert [(each.kind, each.records) for each in found.findings] == [(FindingKind.NOT_SEALED, 1)]
    assert found.ok
    assert not found.complete


def test_a_period_looks_at_its_batches_only(store: SealedStore) -> None:
    """What lies before it is not read again."""
    store.alter("UPDATE name = 'x' WHERE seq = 4")
    assert [kind for kind, *_ in store.kinds(since=START)] == ["changed"]
    assert store.kinds(since=START + 9_500) == []
    assert store.check(since=START + 9_500).records == 4


def test_progress_ends_at_all_records(store: SealedStore) -> None:
    """It is what a bar shows."""
    seen: list[tuple[int, int]] = []
    store.check(progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (14, 14)
