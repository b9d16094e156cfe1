from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldv_otel._internal.delivery.spool.segment import (
    HEADER_BYTES,
    NewerFormat,
    encode_records,
    make_segment,
    scan_segment,
    segment_name,
)

SIZE = 64 * 1024
payloads = st.lists(st.binary(min_size=1, max_size=400), max_size=20)


def a_segment(records: list[tuple[int, bytes]], tmp: Path | None = None) -> bytearray:
    """A segment with these records."""
    del tmp
    header = bytearray(HEADER_BYTES)
    return header + encode_records(records) + bytes(SIZE)


@given(payloads)
def test_what_was_written_is_read(written: list[bytes]) -> None:
    """Records come back in order, whatever bytes they hold, zeros too."""
    records = list(enumerate(written, 5))
    scan = scan_segment(bytes(a_segment(records)))
    assert [(record.seq, record.payload) for record in scan.records] == records
    assert (scan.damaged_bytes, scan.torn) == (0, False)


@given(payloads.filter(bool), st.data())
def test_a_torn_write_loses_only_itself(written: list[bytes], data: st.DataObject) -> None:
    """A kill in the middle of a write leaves what was acknowledged before."""
    records = list(enumerate(written))
    whole = encode_records(records)
    cut = data.draw(st.integers(0, len(whole)))
    scan = scan_segment(bytes(HEADER_BYTES) + whole[:cut] + bytes(SIZE))
    found = [(record.seq, record.payload) for record in scan.records]
    assert found == records[: len(found)]
    assert len(encode_records(records[: len(found) + 1])) > cut or len(found) == len(records)
    assert scan.damaged_bytes == 0


@given(payloads.filter(lambda found: len(found) > 2), st.data())
def test_damage_is_skipped_and_counted(written: list[bytes], data: st.DataObject) -> None:
    """One flipped bit costs one record; its neighbours are read, and the damage is counted."""
    records = list(enumerate(written))
    segment = a_segment(records)
    begin = HEADER_BYTES + len(encode_records(records[:1]))
    end = HEADER_BYTES + len(encode_records(records[:2]))
    length = 16 + len(written[1])
    at = data.draw(st.integers(begin, begin + length - 1))
    segment[at] ^= 1 << data.draw(st.integers(0, 7))
    scan = scan_segment(bytes(segment))
    assert [(record.seq, record.payload) for record in scan.records] == [records[0], *records[2:]]
    assert scan.damaged_bytes == end - begin


def test_random_garbage_is_survived() -> None:
    """Zeroed pages, noise, truncation: what is left is read or counted, and nothing is made up."""
    rng = random.Random(7)  # a test's noise
    records = [(seq, rng.randbytes(rng.randint(1, 300))) for seq in range(100)]
    for _ in range(200):
        segment = a_segment(records)
        for _ in range(rng.randint(1, 5)):
            at, length = rng.randrange(len(segment) - SIZE), rng.randint(1, 2_000)
            segment[at : at + length] = rng.randbytes(length) if rng.random() < 0.5 else bytes(length)
        del segment[rng.randint(1, len(segment)) :]
        scan = scan_segment(bytes(segment))
        assert all((record.seq, record.payload) in records for record in scan.records)


def test_a_segment_is_private_and_whole_before_it_is_used(tmp_path: Path) -> None:
    """0600, full size, its name sorts by number."""
    path = make_segment(tmp_path, 12, "00112233aabbccdd", size=SIZE)
    assert path.name == segment_name(12)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_size == SIZE
    assert scan_segment(path.read_bytes()).records == []
    assert list(tmp_path.iterdir()) == [path]


def test_a_newer_format_is_left_alone(tmp_path: Path) -> None:
    """An old version does not guess."""
    data = bytearray(make_segment(tmp_path, 1, "00112233aabbccdd", size=SIZE).read_bytes())
    data[8:10] = (99).to_bytes(2, "little")
    import struct
    import zlib

    data[36:40] = struct.pack("<I", zlib.crc32(bytes(data[:36])))
    with pytest.raises(NewerFormat, match="99"):
        scan_segment(bytes(data))
