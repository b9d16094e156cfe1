from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldv_otel._internal.delivery.batch import Batch, new_writer_id, number_batch
from ldv_otel._internal.record.logregel import Logregel
from tests.strategies import logregels


@given(st.lists(logregels(), min_size=1, max_size=4))
def test_equal_content_has_an_equal_token(records: list[Logregel]) -> None:
    """A token is a hash of the exact content: the same after a restart, and for nothing else."""
    batch = number_batch("w", 7, records)
    assert number_batch("w", 7, records).token == batch.token
    others = [
        number_batch("v", 7, records),
        number_batch("w", 8, records),
        number_batch("w", 7, [*records, records[0]]),
        Batch(writer_id="w", seqs=batch.seqs, logregels=batch.logregels, repair=1),
    ]
    assert batch.token not in {other.token for other in others}


@given(st.lists(logregels(), min_size=1, max_size=6), st.data())
def test_a_repair_has_what_is_missing_under_a_new_token(records: list[Logregel], data: st.DataObject) -> None:
    """Rows that are stored are not sent again; the rest keeps its places."""
    batch = number_batch("w", 100, records)
    stored = data.draw(st.frozensets(st.sampled_from(batch.seqs)))
    repair = batch.without(stored)
    if stored == set(batch.seqs):
        assert repair is None
        return
    assert repair is not None
    assert repair.token != batch.token
    assert dict(zip(repair.seqs, repair.logregels, strict=True)) == {
        seq: record for seq, record in zip(batch.seqs, batch.logregels, strict=True) if seq not in stored
    }


def test_a_batch_without_records_is_refused() -> None:
    """It could not be read back."""
    with pytest.raises(ValueError, match="records"):
        number_batch("w", 0, [])


def test_writers_are_told_apart() -> None:
    """16 hex digits, drawn anew."""
    assert len({new_writer_id() for _ in range(100)}) == 100
    assert len(new_writer_id()) == 16
