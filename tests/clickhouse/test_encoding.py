"""Blocks of the driver's types beside those of our own encoder."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldv_otel._internal.clickhouse import native
from ldv_otel._internal.clickhouse.columns import columns_of, values_of
from ldv_otel._internal.clickhouse.encoding import block
from ldv_otel._internal.delivery.batch import number_batch
from ldv_otel._internal.record.logregel import Logregel
from tests.strategies import logregels


@given(records=st.lists(logregels(), min_size=1, max_size=12), first=st.integers(0, 2**40))
def test_both_encoders_give_the_same_bytes(records: list[Logregel], first: int) -> None:
    """Any batch of records that normalisation can give is the same block by the driver's types and by our encoder."""
    batch = number_batch("writer", first, records)
    assert block(values_of(batch), len(records)) == native.block(columns_of(batch), len(records))


@pytest.mark.parametrize("words", [1, 2, 255, 257, 300, 65_535, 65_537])
def test_dictionaries_of_any_size_are_the_same(words: int) -> None:
    """The width of an index into the dictionary is the same, whatever the number of words."""
    texts = [str(number) for number in range(words)]
    ours = native.block({"word": ("LowCardinality(String)", native.low_cardinality(texts))}, words)
    assert block({"word": ("LowCardinality(String)", texts)}, words) == ours


@pytest.mark.parametrize("words", [256, 65_536])
def test_a_full_dictionary_has_a_wider_index(words: int) -> None:
    """Where every index of a width is in use, the driver takes the next width, which holds the same rows."""
    texts = [str(number) for number in range(words)]
    ours = native.block({"word": ("LowCardinality(String)", native.low_cardinality(texts))}, words)
    assert len(block({"word": ("LowCardinality(String)", texts)}, words)) - len(ours) == words * (
        1 if words == 256 else 2
    )
