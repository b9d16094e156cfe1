"""Keeps the body of a request outside the Python heap, and undoes its compression."""

from __future__ import annotations

import os
import sys
import tempfile
import zlib
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Protocol, Self

from ldv_otel._internal.clickhouse.embedded.errors import (
    CANNOT_DECOMPRESS,
    NOT_IMPLEMENTED,
    QUERY_IS_TOO_LARGE,
    EngineError,
)
from ldv_otel._internal.http.zstd import zstd_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_BODY_BYTES: Final = 1 << 30
_READ_BYTES: Final = 1 << 20


class RequestBody:
    """Bytes in an anonymous file, which the engine can open by its path.

    Memory that belongs to no file system where the kernel has it, so that what was inserted leaves no trace on disk
    but the engine's own.

    Args:
        max_bytes: More than this is refused.
    """

    def __init__(self, max_bytes: int = MAX_BODY_BYTES) -> None:
        self.size = 0
        #: Set by the receiver of the bytes, once it has all of them.
        self.complete = False
        self._max_bytes = max_bytes
        if sys.platform == "linux":
            # CLOEXEC: a child process that the engine starts must not inherit what somebody inserted.
            self._file = os.fdopen(os.memfd_create("ldv-logboek", os.MFD_CLOEXEC), "w+b")
            self.path = f"/proc/self/fd/{self._file.fileno()}"
        else:
            descriptor, self.path = tempfile.mkstemp(prefix="ldv-logboek-")
            self._file = os.fdopen(descriptor, "w+b")

    def write(self, data: bytes) -> None:
        """Append.

        Raises:
            EngineError: It would become larger than allowed.
        """
        self.size += len(data)
        if self.size > self._max_bytes:
            raise too_large(self._max_bytes)
        self._file.write(data)

    def read(self, size: int = -1) -> bytes:
        """Return the first bytes, or all."""
        self._file.seek(0)
        return self._file.read(size)

    def reader(self) -> IO[bytes]:
        """Return the file itself, at its start."""
        self._file.seek(0)
        return self._file

    def blocks(self, start: int = 0) -> Iterator[bytes]:
        """Iterate over the bytes from an offset on, in pieces of at most 1 MiB."""
        self._file.seek(start)
        while block := self._file.read(_READ_BYTES):
            yield block

    def flush(self) -> None:
        """Make what was written visible to a reader that opens the path."""
        self._file.flush()

    def derived(self, pieces: Iterator[bytes]) -> RequestBody:
        """Return another body, under the same limit, made of these pieces."""
        other = RequestBody(self._max_bytes)
        try:
            for piece in pieces:
                other.write(piece)
        except BaseException:
            other.close()
            raise
        return other

    def close(self) -> None:
        """Give the memory back."""
        self._file.close()
        if sys.platform != "linux":
            Path(self.path).unlink()

    def __enter__(self) -> Self:
        """Return the body itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


def too_large(max_bytes: int) -> EngineError:
    """Make the refusal of a body that passes the limit."""
    return EngineError.of(QUERY_IS_TOO_LARGE, f"The body is larger than {max_bytes} bytes; send it in parts")


class _Decompressor(Protocol):
    """What the decompressors of lz4 and zstd have in common; `_Deflate` gives zlib's the same face."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Deflate:
    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # the heads of gzip and zlib alike
        self._full = False

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._full and not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        result = self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)
        # zlib may have taken in all of its input and still owe output.
        self._full = len(result) == max_length
        return result


def decompressed(body: RequestBody, encoding: str) -> RequestBody:
    """Undo a `Content-Encoding`.

    Raises:
        EngineError: The encoding is unknown here, or the body is not of it, or grows too large.
    """
    make, errors = _decompressor(encoding)
    try:
        return body.derived(_inflated(body.blocks(), make))
    except errors as error:
        raise EngineError.of(CANNOT_DECOMPRESS, f"The body is not valid {encoding} ({error})") from error


def _decompressor(encoding: str) -> tuple[Callable[[], _Decompressor], tuple[type[Exception], ...]]:
    """Return what makes decompressors, and what reading a bad body with them raises."""
    try:
        if encoding in {"gzip", "x-gzip", "deflate"}:
            return _Deflate, (EOFError, zlib.error)
        if encoding == "lz4":
            lz4_frame: Any = import_module("lz4.frame")
            return lz4_frame.LZ4FrameDecompressor, (EOFError, RuntimeError)
        if encoding == "zstd":
            zstd = zstd_module()
            return zstd.ZstdDecompressor, (EOFError, zstd.ZstdError)
    except ImportError as error:
        raise EngineError.of(NOT_IMPLEMENTED, f"Content-Encoding {encoding} needs the package {error.name}") from error
    raise EngineError.of(NOT_IMPLEMENTED, f"Content-Encoding {encoding} is not known here")


def _inflated(blocks: Iterator[bytes], make: Callable[[], _Decompressor]) -> Iterator[bytes]:
    """Decompress one frame after another: the driver makes a frame of each block it sends."""
    current: _Decompressor | None = None
    for block in blocks:
        data = block
        while data or (current is not None and not current.needs_input):
            current = current or make()
            # In bounded steps, so that a small body that unpacks to a huge one meets the limit first.
            yield current.decompress(data, _READ_BYTES)
            data = b""
            if current.eof:
                data = bytes(current.unused_data or b"")
                current = None
    if current is not None:
        raise EOFError("it ends within a frame")
