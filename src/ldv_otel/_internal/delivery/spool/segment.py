"""The file format of the spool: append-only segments of checked records.

A segment is made at full size with zeros, so that a commit writes data and nothing about the file itself:

    header   8s magic "LDVSPOOL", H version, H zero, 16s writer id, Q number, I CRC-32 of the 36 bytes before
    record   I length of the payload, I CRC-32 of what follows, Q sequence number, payload, zeros up to 8 bytes
    ...      zeros to the end

A record is a Logregel, or the start of an Actie (level `write-ahead`), which is never sent: those count for themselves,
from 2^63 on, so that they leave no gaps among the Logregels. Version 1 had Logregels only.

All integers are little-endian. A length of 0 ends the records. A record whose CRC does not match is damage when a good
record follows; otherwise it is the torn end of a write that was never acknowledged.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from ldv_otel._internal.config.private_directories import sync_directory

MAGIC: Final = b"LDVSPOOL"
VERSION: Final = 2
SUFFIX: Final = ".segment"
#: 8 MiB hold some 20,000 records; zero-filling one takes a few ms, and it is done ahead.
SEGMENT_BYTES: Final = 8 * 1024 * 1024
#: The first is small, because many a process lives for one task only; each after it is four times larger.
_FIRST_SEGMENT_BYTES: Final = 64 * 1024
_LARGE_FROM: Final = 5

#: Sequence numbers from here on are those of starts.
FIRST_START: Final = 1 << 63

_HEADER: Final = struct.Struct("<8sHH16sQI")
_RECORD: Final = struct.Struct("<IIQ")
_ALIGNMENT: Final = 8
_SEQ_BYTES: Final = 8
_NO_RECORD: Final = bytes(4)
_PADDING: Final = tuple(bytes(length) for length in range(_ALIGNMENT))
_ZEROS: Final = bytes(1024 * 1024)

HEADER_BYTES: Final = _HEADER.size + (-_HEADER.size % _ALIGNMENT)


class NewerFormat(Exception):  # no error of ours: the reader marks the spool as newer
    """A segment was written by a newer version; it is left alone."""


class StoredRecord(msgspec.Struct, frozen=True):
    """One good record of a segment, with where it ends: the next may begin there."""

    seq: int
    payload: bytes
    end: int


class Scan(msgspec.Struct):
    """What a segment holds.

    Attributes:
        records: The good ones, in order.
        damaged_bytes: Bytes that lie before a good record and are none themselves; 0 in a sound segment.
        torn: Whether something unreadable follows the last good record: a write that was cut off.
    """

    records: list[StoredRecord]
    damaged_bytes: int = 0
    torn: bool = False


def segment_name(number: int) -> str:
    """Return the file name of a segment; names sort as numbers do."""
    return f"{number:012d}{SUFFIX}"


def segment_size(number: int, largest: int = SEGMENT_BYTES) -> int:
    """Return how large a segment is made."""
    return min(_FIRST_SEGMENT_BYTES << 2 * (min(number, _LARGE_FROM) - 1), largest)


def make_segment(directory: Path, number: int, writer_id: str, *, size: int = SEGMENT_BYTES) -> Path:
    """Make a zero-filled segment that is on disk with its name before anything is acknowledged on it.

    Raises:
        OSError: The disk refused; nothing is left behind.
    """
    path = directory / segment_name(number)
    draft = path.with_suffix(".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        try:
            write_all(descriptor, _header(number, writer_id).ljust(HEADER_BYTES, b"\0"))
            for start in range(HEADER_BYTES, size, len(_ZEROS)):
                write_all(descriptor, _ZEROS[: size - start])
            # Size and blocks are on disk now: later commits flush data only (`fdatasync`), not the file's metadata.
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        # A crash before this leaves a `.new` file, which nobody reads and `remove_spool` unlinks.
        draft.rename(path)
        # Without it a power loss could take the name away, and all records that were acknowledged in the file.
        sync_directory(directory)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    return path


def add_segment(directory: Path, number: int, writer_id: str, records: Sequence[tuple[int, bytes]]) -> None:
    """Add a segment of just these records to a spool that is held; flushed when it returns.

    Raises:
        OSError: The disk refused; some of the records may be there.
    """
    data = encode_records(records)
    path = make_segment(directory, number, writer_id, size=HEADER_BYTES + len(data))
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.lseek(descriptor, HEADER_BYTES, os.SEEK_SET)
        write_all(descriptor, data)
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def encode_records(records: Iterable[tuple[int, bytes]]) -> bytes:
    """Return the bytes of records, ready to be written at the end of a segment's data."""
    parts: list[bytes] = []
    pack, crc32 = _RECORD.pack, zlib.crc32
    for seq, payload in records:
        length = len(payload)
        checksum = crc32(payload, crc32(seq.to_bytes(_SEQ_BYTES, "little")))
        parts += (pack(length, checksum, seq), payload, _PADDING[-length % _ALIGNMENT])
    return b"".join(parts)


def scan_segment(data: bytes) -> Scan:
    """Return the good records of a whole segment; never raises on damage.

    Raises:
        NewerFormat: The header is that of a newer version.
    """
    _check_header(data)
    return scan_records(data, HEADER_BYTES)


def scan_records(data: bytes, position: int = 0) -> Scan:
    """Return the good records in some bytes of a segment that begin where a record does; never raises on damage."""
    scan = Scan([])
    position = _good_run(data, position, scan.records)
    while data[position:].strip(b"\0"):
        for at in range(position + _ALIGNMENT, len(data) - _RECORD.size + 1, _ALIGNMENT):
            if data[at : at + 4] == _NO_RECORD:
                continue
            end = _good_run(data, at, scan.records)
            if end > at:
                scan.damaged_bytes += at - position
                position = end
                break
        else:
            scan.torn = True
            break
    return scan


def _good_run(data: bytes, position: int, records: list[StoredRecord]) -> int:
    """Collect good records as long as they follow one another; return where they end.

    This is most of what reading a backlog costs, hence one loop without calls of our own.
    """
    append, unpack, crc32, view = records.append, _RECORD.unpack_from, zlib.crc32, memoryview(data)
    last = len(data) - _RECORD.size
    while position <= last:
        length, crc, seq = unpack(data, position)
        begin = position + _RECORD.size
        end = begin + length
        if not length or end > len(data) or crc32(view[begin - _SEQ_BYTES : end]) != crc:
            break
        position = end + -length % _ALIGNMENT
        append(StoredRecord(seq, data[begin:end], position))
    return position


def _header(number: int, writer_id: str) -> bytes:
    fields = struct.pack("<8sHH16sQ", MAGIC, VERSION, 0, writer_id.encode("ascii"), number)
    return fields + struct.pack("<I", zlib.crc32(fields))


def _check_header(data: bytes) -> None:
    """A damaged header is no reason to give the records up; only a newer format is."""
    if len(data) < _HEADER.size:
        return
    magic, version, _, _, _, crc = _HEADER.unpack_from(data)
    if magic == MAGIC and crc == zlib.crc32(data[: _HEADER.size - 4]) and version > VERSION:
        raise NewerFormat(f"version {version}, known up to {VERSION}")


def write_all(descriptor: int, data: bytes) -> None:
    """Write bytes, in as many calls as that takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
