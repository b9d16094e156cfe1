"""A file as it lies on a disk, unpacked: gzip, zstd, and the messages that the Collector's file exporter writes.

With `compression: zstd` that exporter packs each message by itself and writes its length before it, four bytes, the
first the highest; with `format: proto` it writes OTLP in its binary form, which is not read here.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, Final

from ldv_otel._internal.http.zstd import zstd_module
from ldv_otel.errors import UnreadableInput

#: Text and its values are held in memory; a file beyond this is better split.
CONTENT_MAX_BYTES: Final = 1 << 30

_GZIP_MAGIC: Final = b"\x1f\x8b"
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_GZIP_WBITS: Final = 31
#: Small enough that a damaged stream still gives nearly everything before the damage, and a bomb is noticed in time.
_PIECE_BYTES: Final = 1 << 16
_STEP_BYTES: Final = 1 << 20
_LENGTH_BYTES: Final = 4
#: The first field of OTLP's message: a list of what a resource sent.
_PROTOBUF_START: Final = b"\x0a"
_DAMAGED: Final = "the {} stream is damaged; what comes after the damage was not read"
_CUT_OFF: Final = "the {} stream is cut off"
_IS_PROTOBUF: Final = (
    "OTLP in its binary form (protobuf), and not in JSON; let the Collector's file exporter write `format: json`"
)


def unpacked(content: bytes) -> tuple[bytes, str]:
    """Return the content of a file and what is wrong with its packing (normally empty); never raises on damage.

    Raises:
        UnreadableInput: It is too large, or in a form that cannot be read here.
    """
    if content.startswith(_GZIP_MAGIC):
        content, reason = _from_gzip(content)
    elif content.startswith(_ZSTD_MAGIC):
        content, reason = _from_zstd(content)
    elif content[_LENGTH_BYTES:].startswith(_ZSTD_MAGIC):
        content, reason = _messages(content)
    else:
        reason = ""
        _refuse_protobuf(content)
    _check_size(len(content), "")
    return content, reason


def _messages(content: bytes) -> tuple[bytes, str]:
    """Unpack messages with their lengths; each is a line of the result, so that a problem names its number."""
    messages: list[bytes] = []
    size = 0
    reason = ""
    for packed in _framed(content):
        message, reason = _from_zstd(packed)
        if message.startswith(_PROTOBUF_START):
            raise UnreadableInput(_IS_PROTOBUF)
        # A line end within a message would shift the numbers of the others; there is none in JSON but between values.
        messages.append(message.replace(b"\n", b" ").rstrip())
        size += len(message)
        _check_size(size, " unpacked")
        if reason:
            break
    return b"\n".join(messages), reason


def _framed(content: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(content):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(content[at:start], "big")
        # The last may be cut off by a crash; its decompressor says so.
        yield content[start:at]


def _from_gzip(content: bytes) -> tuple[bytes, str]:
    parts = _Parts()
    stream = zlib.decompressobj(_GZIP_WBITS)
    for start in range(0, len(content), _PIECE_BYTES):
        piece = content[start : start + _PIECE_BYTES]
        while piece:
            if stream.eof:
                # gzip files may be joined, as log rotation does.
                stream = zlib.decompressobj(_GZIP_WBITS)
            try:
                parts.add(stream.decompress(piece))
            except zlib.error:
                return parts.whole(), _DAMAGED.format("gzip")
            piece = stream.unused_data
    return parts.whole(), "" if stream.eof else _CUT_OFF.format("gzip")


def _from_zstd(content: bytes) -> tuple[bytes, str]:
    zstd = _zstd()
    parts = _Parts()
    stream = zstd.ZstdDecompressor()
    for start in range(0, len(content), _PIECE_BYTES):
        piece = content[start : start + _PIECE_BYTES]
        while piece or not (stream.eof or stream.needs_input):
            if stream.eof:
                stream = zstd.ZstdDecompressor()
            try:
                # In bounded steps: some bytes of zstd may stand for any number of bytes.
                parts.add(stream.decompress(piece, _STEP_BYTES))
            except zstd.ZstdError:
                return parts.whole(), _DAMAGED.format("zstd")
            piece = stream.unused_data if stream.eof else b""
    return parts.whole(), "" if stream.eof else _CUT_OFF.format("zstd")


class _Parts:
    """What was unpacked so far; refuses to become too large."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, part: bytes) -> None:
        """Add what comes next.

        Raises:
            UnreadableInput: It is too much.
        """
        self._parts.append(part)
        self._size += len(part)
        _check_size(self._size, " unpacked")

    def whole(self) -> bytes:
        """Return all of it."""
        return b"".join(self._parts)


def _check_size(size: int, how: str) -> None:
    if size > CONTENT_MAX_BYTES:
        raise UnreadableInput(f"larger than {CONTENT_MAX_BYTES >> 20} MiB{how}; split it into several files")


def _refuse_protobuf(content: bytes) -> None:
    """Say what a file of binary messages is, instead of that it is not JSON."""
    end = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "big")
    is_framed = content[_LENGTH_BYTES:].startswith(_PROTOBUF_START) and end <= len(content) and content[:1] == b"\0"
    if is_framed:
        raise UnreadableInput(_IS_PROTOBUF)


def _zstd() -> Any:
    try:
        return zstd_module()
    except ImportError as error:
        raise UnreadableInput(f"packed with zstd, and {error.name} is not installed here") from error
