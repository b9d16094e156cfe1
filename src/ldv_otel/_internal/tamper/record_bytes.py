"""The bytes of a Logregel that are hashed: what the table holds of it, in ClickHouse's RowBinary format.

RowBinary, because an engine makes the same bytes by itself (`formatRow`), so that millions of records are checked where
they are. The order is ours, and is written down in docs/tamper-format.md. It never changes: another order would need
another name for the manifests that are made over it.
"""

from __future__ import annotations

import functools
import struct
from typing import Final, NamedTuple

from ldv_otel._internal.record.logregel import Logregel, Status

_NO_TRACE: Final = bytes(16)
_NO_SPAN: Final = bytes(8)
_ONE_BYTE: Final = 128
#: The lengths that most texts have.
_LENGTHS: Final = tuple(bytes((length,)) for length in range(_ONE_BYTE))
_TIMES: Final = struct.Struct("<qQb")
_SEQ: Final = struct.Struct("<Q")


def record_bytes(logregel: Logregel, writer_id: str, seq: int) -> bytes:
    """Return the bytes of a record under its writer and sequence number; equal rows have equal bytes, no others do."""
    parent, outbound, attributes = logregel.parent_span_id, logregel.outbound_span_ids, logregel.attributes
    start = logregel.start_time_ms
    parts = [
        logregel.trace_id,
        logregel.span_id,
        _LENGTHS[len(parent)],
        parent,
        _TIMES.pack(start, logregel.end_time_ms - start, logregel.status),
        logregel.data_subject_id or _NO_TRACE,
        logregel.foreign_operation_trace_id or _NO_TRACE,
        logregel.foreign_operation_span_id or _NO_SPAN,
        _text(logregel.data_subject_sealed),
        _length(len(outbound)),
        *outbound,
        _length(len(attributes)),
    ]
    # A table may give the entries of a map back in any order.
    for name in sorted(attributes):
        parts += (_text(name), _text(attributes[name]))
    parts += (
        _labels(
            logregel.name,
            logregel.processing_activity_id,
            logregel.parent_processing_activity_id,
            logregel.data_subject_id_type,
            logregel.key_id,
            logregel.foreign_operation_processor,
            logregel.external_read_api_id,
            logregel.resource,
            writer_id,
        ),
        _SEQ.pack(seq),
    )
    return b"".join(parts)


class NotARecord(ValueError):
    """Bytes are not those of a record."""


class BytesOfRecord(NamedTuple):
    """What the bytes of a record stand for."""

    logregel: Logregel
    writer_id: str
    seq: int


def record_of_bytes(content: bytes) -> BytesOfRecord:
    """Return the record behind the bytes of `record_bytes`.

    Raises:
        NotARecord: They are not the bytes of any record.
    """
    reader = _Reader(content)
    try:
        record = _read(reader)
    except (UnicodeDecodeError, ValueError, struct.error):
        raise NotARecord("the bytes of the record are not in the order of a record") from None
    if reader.rest or record_bytes(*record) != content:
        raise NotARecord("the bytes of the record are not in their one spelling")
    return record


def _read(reader: _Reader) -> BytesOfRecord:
    trace_id, span_id, parent = reader.take(16), reader.take(8), reader.take(reader.length())
    start, duration, status = _TIMES.unpack(reader.take(_TIMES.size))
    subject, foreign_trace, foreign_span = (reader.take(size) for size in (16, 16, 8))
    sealed = reader.text()
    outbound = tuple(reader.take(8) for _ in range(reader.length()))
    attributes = {}
    for _ in range(reader.length()):
        name = reader.text()
        attributes[name] = reader.text()
    name, activity, parent_activity, type_, key_id, processor, read_api, resource, writer_id = (
        reader.text() for _ in range(9)
    )
    (seq,) = _SEQ.unpack(reader.take(_SEQ.size))
    logregel = Logregel(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=parent,
        status=Status(status),
        name=name,
        start_time_ms=start,
        end_time_ms=start + duration,
        processing_activity_id=activity,
        parent_processing_activity_id=parent_activity,
        data_subject_id=subject if any(subject) else b"",
        data_subject_id_type=type_,
        key_id=key_id,
        data_subject_sealed=sealed,
        foreign_operation_trace_id=foreign_trace if any(foreign_trace) else b"",
        foreign_operation_span_id=foreign_span if any(foreign_span) else b"",
        foreign_operation_processor=processor,
        external_read_api_id=read_api,
        outbound_span_ids=outbound,
        attributes=attributes,
        resource=resource,
    )
    return BytesOfRecord(logregel, writer_id, seq)


class _Reader:
    """Bytes that are read from left to right."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    @property
    def rest(self) -> int:
        """How many bytes were not read."""
        return len(self._content) - self._at

    def take(self, size: int) -> bytes:
        """Return the next bytes."""
        part = self._content[self._at : self._at + size]
        if len(part) != size:
            raise NotARecord("the bytes of the record break off")
        self._at += size
        return part

    def length(self) -> int:
        """Return a length; one that is longer than what follows fails when that is taken."""
        value = shift = 0
        while (byte := self.take(1)[0]) >= _ONE_BYTE:
            value += (byte - _ONE_BYTE) << shift
            shift += 7
        return min(value + (byte << shift), len(self._content) + 1)

    def text(self) -> str:
        """Return a text."""
        return self.take(self.length()).decode()


@functools.lru_cache(maxsize=256)
def _labels(*texts: str) -> bytes:
    """Return texts of which a service has few, so that most records find them encoded."""
    return b"".join(map(_text, texts))


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _length(len(encoded)) + encoded


def _length(length: int) -> bytes:
    """Return a length as LEB128: seven bits a byte, the lowest first; the highest bit says that more follow."""
    if length < _ONE_BYTE:
        return _LENGTHS[length]
    content = bytearray()
    while length >= _ONE_BYTE:
        content.append(length % _ONE_BYTE + _ONE_BYTE)
        length //= _ONE_BYTE
    content.append(length)
    return bytes(content)
