"""ClickHouse's own compressed frames: bodies under `decompress=1`, answers under `compress=1`.

A frame is a CityHash128 of the rest, a method byte, two sizes, and the compressed bytes. Checksums of bodies are not
verified: they came over loopback, and LZ4, ZSTD and the engine each notice bytes that are not theirs.
"""

from __future__ import annotations

import struct
from importlib import import_module
from typing import IO, TYPE_CHECKING, Final

from ldv_otel._internal.clickhouse.embedded.errors import CANNOT_DECOMPRESS, NOT_IMPLEMENTED, EngineError
from ldv_otel._internal.http.zstd import zstd_module

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ldv_otel._internal.clickhouse.embedded.body import RequestBody

_CHECKSUM: Final = struct.Struct("<QQ")
_WORD: Final = (1 << 64) - 1
#: Method, size of the frame without its checksum, size of what it holds.
_HEAD: Final = struct.Struct("<BII")
_NONE: Final = 0x02
#: LZ4's block format: from the first number of literals on, bytes of the second go on counting while they are full.
_LONG: Final = 15
_MORE: Final = 255
_LZ4: Final = 0x82
_ZSTD: Final = 0x90
#: What the server itself accepts at most (DBMS_MAX_COMPRESSED_SIZE).
_MAX_FRAME_BYTES: Final = 1 << 30
#: Of an answer, so that no client has to hold much at a time.
_ANSWER_FRAME_BYTES: Final = 1 << 20


def unframed(body: RequestBody) -> RequestBody:
    """Unpack a body of frames.

    Raises:
        EngineError: It is not made of whole frames of a known method, or grows too large.
    """
    return body.derived(_contents(body.reader()))


def framed(data: bytes) -> bytes:
    """Pack an answer into frames of LZ4, the only method that ClickHouse's JDBC driver reads.

    They hold literals only: over loopback there is nothing to save by compressing.
    """
    return b"".join(_frame(data[at : at + _ANSWER_FRAME_BYTES]) for at in range(0, len(data), _ANSWER_FRAME_BYTES))


def _frame(data: bytes) -> bytes:
    packed = _literals(data)
    content = _HEAD.pack(_LZ4, _HEAD.size + len(packed), len(data)) + packed
    return checksum(content) + content


def _literals(data: bytes) -> bytes:
    """Return an LZ4 block of one sequence without a match: how many literals there are, and the literals."""
    if len(data) < _LONG:
        return bytes((len(data) << 4,)) + data
    more, last = divmod(len(data) - _LONG, _MORE)
    return b"\xf0" + bytes((_MORE,)) * more + bytes((last,)) + data


def checksum(content: bytes) -> bytes:
    """Return the CityHash128 of a frame's content, as of version 1.0.2, with which ClickHouse stays.

    Args:
        content: The frame from its method byte on.
    """
    from clickhouse_cityhash.cityhash import CityHash128  # of the extra `embedded`

    # ClickHouse writes the pair of words that the library returns as one number, its first word the high one.
    number: int = CityHash128(content)
    return _CHECKSUM.pack(number >> 64, number & _WORD)


def _contents(source: IO[bytes]) -> Iterator[bytes]:
    while head := source.read(_CHECKSUM.size + _HEAD.size):
        if len(head) < _CHECKSUM.size + _HEAD.size:
            raise _broken("it ends within the head of a frame")
        method, packed_size, size = _HEAD.unpack_from(head, _CHECKSUM.size)
        if packed_size < _HEAD.size or max(packed_size, size) > _MAX_FRAME_BYTES:
            raise _broken(f"a frame says it has {packed_size} bytes for {size}")
        packed = source.read(packed_size - _HEAD.size)
        if len(packed) < packed_size - _HEAD.size:
            raise _broken("it ends within a frame")
        content = _unpack(method, packed, size)
        if len(content) != size:
            raise _broken(f"a frame holds {len(content)} bytes and not {size}")
        yield content


def _unpack(method: int, packed: bytes, size: int) -> bytes:
    try:
        if method == _NONE:
            return packed
        if method == _LZ4:
            return bytes(import_module("lz4.block").decompress(packed, uncompressed_size=size))
        if method == _ZSTD:
            return bytes(zstd_module().ZstdDecompressor().decompress(packed, size))
    except ImportError as error:
        raise EngineError.of(NOT_IMPLEMENTED, f"This frame needs the package {error.name}") from error
    except Exception as error:  # two libraries, each with errors of its own, and the same answer to all of them
        raise _broken(f"a frame does not unpack: {error}") from error
    raise EngineError.of(NOT_IMPLEMENTED, f"Frames of method 0x{method:02x} are not known here")


def _broken(reason: str) -> EngineError:
    return EngineError.of(CANNOT_DECOMPRESS, f"The body is not made of compressed frames: {reason}")
