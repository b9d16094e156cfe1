"""Adoption: what is stored and was never sealed is sealed as it is now, and a change after that is found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.verification.adopt import Adoption, adopt
from ldv_otel._internal.clickhouse.verification.prove import prove
from ldv_otel._internal.clickhouse.verification.selected import rows_of_subject, rows_of_trace
from ldv_otel._internal.clickhouse.verification.stored import read_manifests
from ldv_otel._internal.clickhouse.verification.verified_log import VerifiedLog, read_verified, write_verified
from ldv_otel._internal.clickhouse.verification.verify import verify, verify_rows
from ldv_otel._internal.delivery.batch import number_batch
from ldv_otel._internal.tamper.manifest import UNNUMBERED, number_of
from ldv_otel._internal.tamper.place import DirectoryPlace
from ldv_otel._internal.tamper.proof import check_proof, encode_proof
from ldv_otel.errors import ConfigurationError, QueryError
from tests.clickhouse.conftest import sealed_store
from tests.clickhouse.test_manifest_log import LoggedStore
from tests.clickhouse.test_verify import WRITER, record

OLD = "fedcba9876543210"


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LoggedStore]:
    """A Logboek with five rows of before sealing, three of a Collector in one trace, and two sealed ones."""
    with sealed_store("chdb", request, tmp_path / "seal.key") as settings:
        sealed = LoggedStore(msgspec.structs.replace(settings, state=tmp_path / "state"))
        sealed.place = DirectoryPlace(tmp_path / "place")
        sealed.insert(number_batch(OLD, 0, [record(number) for number in range(5)]))
        for span in range(3):
            of_collector = msgspec.structs.replace(record(20), span_id=bytes([span]) * 8, name=f"span {span}")
            sealed.insert(number_batch(UNNUMBERED, 77, [of_collector]))
        sealed.send(0, 2)
        yield sealed
        sealed.client.close()
        sealed.sink.close()


def adopted(store: LoggedStore) -> Adoption:
    """Adopt with the key of the sealer."""
    return adopt(store.client, store.sealer())


def test_what_was_stored_before_is_sealed_from_here(store: LoggedStore) -> None:
    """Also spans of a Collector, which share one number; once, and said to be the weaker thing it is."""
    assert [(each.kind.value, each.records) for each in store.check().findings] == [
        ("not sealed", 3),
        ("not sealed", 5),
    ]
    assert adopted(store) == Adoption(records=8, manifests=2)
    found = store.check()
    assert (found.findings, found.records, found.adopted) == ([], 10, 8)
    assert adopted(store) == Adoption()
    # Late and out of order, as a Collector may bring them.
    for late in (9, 7):
        store.insert(number_batch(OLD, late, [record(late)]))
        assert store.kinds() == [("not sealed", 1, str(late))]
        assert adopted(store) == Adoption(records=1, manifests=1)
    assert store.check().complete


def test_a_change_after_adoption_is_found(store: LoggedStore) -> None:
    """Of an old row and of one of a Collector; a row that is removed, and one that is added between."""
    adopted(store)
    store.alter("UPDATE name = 'x' WHERE name = 'span 1'")
    assert store.kinds() == [("changed", 3, store.kinds()[0][2])]
    store.alter(f"DELETE WHERE writer_id = '{OLD}' AND seq = 3")
    assert ("removed", 1, "3") in store.kinds()


def test_what_lies_between_sealed_rows_is_not_adopted(store: LoggedStore) -> None:
    """A lawful writer leaves no such row: adopting it would hide who added it. Nor where a number has two records."""
    store.send(5, 1)
    store.insert(number_batch(WRITER, 3, [record(3)]))
    store.insert(number_batch(OLD, 2, [msgspec.structs.replace(record(2), name="anders")]))
    assert adopted(store) == Adoption(records=7, manifests=2, left=3)
    assert sorted(store.kinds()) == [("added", 1, "3"), ("not sealed", 2, "2, ...")]


def test_a_row_that_was_stored_twice_is_adopted_once(store: LoggedStore) -> None:
    """It is one record, whatever the table has."""
    store.client.command(Sql.verbatim(f"INSERT INTO logregel SELECT * FROM logregel WHERE writer_id != '{WRITER}'"))
    assert adopted(store) == Adoption(records=8, manifests=2)
    assert store.check().complete


def test_many_rows_are_adopted_in_batches(store: LoggedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few rows at a time, over hours and within one; progress ends at all."""
    monkeypatch.setattr("ldv_otel._internal.clickhouse.verification.adopt._ROWS_AT_A_TIME", 7)
    monkeypatch.setattr("ldv_otel._internal.clickhouse.verification.adopt._BATCH_ROWS", 3)
    for first in (10, 4_000, 9_000):
        store.insert(number_batch(OLD, first, [record(number) for number in range(first, first + 10)]))
    seen: list[tuple[int, int]] = []
    found = adopt(store.client, store.sealer(), lambda done, total: seen.append((done, total)))
    assert (found.records, found.left, seen[-1]) == (38, 0, (38, 38))
    stored, _ = read_manifests(store.client)
    assert max(each.manifest.count for each in stored) == 3
    assert store.check().complete


@pytest.mark.parametrize("at_a_time", range(1, 10))
def test_records_under_one_number_are_looked_at_together(
    store: LoggedStore, monkeypatch: pytest.MonkeyPatch, at_a_time: int
) -> None:
    """Wherever what is read at a time ends: neither of them is adopted, and they are counted once."""
    monkeypatch.setattr("ldv_otel._internal.clickhouse.verification.adopt._ROWS_AT_A_TIME", at_a_time)
    store.insert(number_batch(OLD, 2, [msgspec.structs.replace(record(2), name="anders")]))
    found = adopted(store)
    assert (found.records, found.left) == (7, 2)
    assert store.kinds() == [("not sealed", 2, "2, ...")]


def test_an_adopted_record_has_a_proof(store: LoggedStore) -> None:
    """It is found by the number that its ids make, and says when it was sealed."""
    adopted(store)
    store.seal()
    of_collector = record(20)
    proof = prove(store.client, of_collector.trace_id, b"\x01" * 8)
    proven = check_proof(encode_proof(proof), [store.signer().key])
    assert (proven.logregel.name, proven.manifest.adopted, proven.seq) == ("span 1", True, 77)
    assert number_of(UNNUMBERED, 77, of_collector.trace_id, b"\x01" * 8) in {
        number for first, last in proven.manifest.seqs for number in range(first, last + 1)
    }


def test_only_the_records_of_a_trace_or_a_person_are_checked(store: LoggedStore) -> None:
    """With their batches: a change elsewhere is not looked for, and what no manifest lists is said."""
    rows = rows_of_trace(store.client, record(1).trace_id)
    assert {row.writer_id for row in rows} == {WRITER, OLD}
    found = verify_rows(store.client, rows)
    assert [(each.kind.value, each.writer_id, each.seqs) for each in found.findings] == [("not sealed", OLD, "1")]
    assert (found.manifests, found.records) == (1, 2)
    adopted(store)
    assert verify_rows(store.client, rows).complete
    person = rows_of_subject(store.client, [b"d" * 16])
    assert len(person) == 10
    store.alter("UPDATE name = 'x' WHERE name = 'span 1'")
    assert verify_rows(store.client, rows).complete
    assert [each.kind.value for each in verify_rows(store.client, person).findings] == ["changed"]
    nobody = verify_rows(store.client, rows_of_trace(store.client, b"?" * 16))
    assert (nobody.records, nobody.complete) == (0, True)


def test_a_check_goes_on_from_the_one_before(store: LoggedStore) -> None:
    """What was in the log then is not read again; a log that is another one makes it read everything."""
    adopted(store)
    assert read_verified(store.settings) is None
    store.seal()
    log = store.check().log
    write_verified(store.settings, VerifiedLog(size=log.size, root=log.root, at_ms=1))
    passed = read_verified(store.settings)
    assert passed is not None
    store.send(2, 3)
    seen: list[tuple[int, int]] = []
    found = verify(store.client, since=passed, progress=lambda done, total: seen.append((done, total)))
    assert (found.findings, found.records, found.passed, seen) == ([], 13, 10, [(3, 3)])
    store.alter("UPDATE name = 'x' WHERE name = 'span 1'")
    assert verify(store.client, since=passed).complete
    assert [each.kind.value for each in verify(store.client).findings] == ["changed"]
    another = msgspec.structs.replace(passed, root="00" * 32)
    found = verify(store.client, since=another)
    assert sorted(each.kind.value for each in found.findings) == ["changed", "log changed"]
    assert found.passed == 0


def test_what_is_remembered_has_to_be_readable(store: LoggedStore, tmp_path: Path) -> None:
    """A file that is none is named, with the way out; and so is a place that takes none."""
    write_verified(store.settings, VerifiedLog(size=1, root="00", at_ms=1))
    write_verified(store.settings, VerifiedLog(size=2, root="00", at_ms=1))
    assert read_verified(store.settings) == VerifiedLog(size=2, root="00", at_ms=1)
    (path,) = (tmp_path / "state" / "verified").iterdir()
    path.write_text("{}")
    with pytest.raises(ConfigurationError, match="everything is verified anew"):
        read_verified(store.settings)
    path.unlink()
    path.mkdir()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_verified(store.settings, VerifiedLog(size=2, root="00", at_ms=1))


def test_a_record_is_proven_wherever_its_manifest_stands(store: LoggedStore) -> None:
    """In a row of days before, as in a batch of a spool that waited; and of a record without one there is none."""
    days = 3 * 86_400
    store.sink.send(number_batch(WRITER, 50, [record(30), record(30 + days)]))
    late, unsealed = record(30 + days), record(4)
    assert prove(store.client, late.trace_id, late.span_id).index in (0, 1)
    with pytest.raises(QueryError, match="is not sealed"):
        prove(store.client, unsealed.trace_id, unsealed.span_id)
    with pytest.raises(QueryError, match="no Logregel"):
        prove(store.client, b"?" * 16, b"?" * 8)
