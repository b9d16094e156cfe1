"""The bytes of a record have one reading, and nothing else has any."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.tamper.record_bytes import NotARecord, record_bytes, record_of_bytes
from tests.strategies import logregels
from tests.support.chance import examples

seqs = st.integers(0, 2**64 - 1)


@settings(max_examples=examples(300))
@given(logregels(), st.text("0123456789abcdef", min_size=16, max_size=16), seqs)
def test_bytes_are_read_as_what_was_written(record: Logregel, writer_id: str, seq: int) -> None:
    """So two records that differ in anything have different bytes."""
    assert record_of_bytes(record_bytes(record, writer_id, seq)) == (record, writer_id, seq)


@settings(max_examples=examples(300))
@given(logregels(), st.data())
def test_other_bytes_are_another_record_or_none(record: Logregel, data: st.DataObject) -> None:
    """Whatever is cut, added or changed: no two byte strings stand for one record."""
    content = record_bytes(record, "0123456789abcdef", 3)
    at = data.draw(st.integers(0, len(content) - 1))
    changed = content[:at] + bytes([content[at] ^ data.draw(st.integers(1, 255))]) + content[at + 1 :]
    for other in (content[:at], content + b"\x00", changed):
        try:
            read = record_of_bytes(other)
        except NotARecord:
            continue
        assert read != (record, "0123456789abcdef", 3)
        assert record_bytes(*read) == other


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, bytes(24) + b"\xff" * 30, bytes(1000)])
def test_what_is_no_record_is_refused(content: bytes) -> None:
    """With a sentence; a length of 2^200 takes no memory."""
    with pytest.raises(NotARecord):
        record_of_bytes(content)
