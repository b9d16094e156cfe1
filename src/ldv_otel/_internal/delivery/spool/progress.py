"""The progress of a spool: which batches were frozen before their first send, and up to where all is confirmed.

A frozen batch keeps its boundaries over a restart, so that it is sent again as exactly the same block under the same
token. An append-only file of lines, each with its CRC; a torn line is as if it had never been written, which is safe:
the batch is then in doubt, and is read back.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Final, Self

import msgspec

from ldv_otel._internal.delivery.gevent_support import flushing

PROGRESS_NAME: Final = "progress"


class FrozenBatch(msgspec.Struct, frozen=True, tag="frozen"):
    """A batch that has been, or was about to be, sent."""

    first: int
    last: int
    token: str


class ConfirmedBatch(msgspec.Struct, frozen=True, tag="confirmed"):
    """Every record up to `last` is in the Logboek, or quarantined, since `at_ms` (ms since 1970-01-01 UTC)."""

    last: int
    at_ms: int = 0


_Entry = FrozenBatch | ConfirmedBatch
_encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[_Entry] = msgspec.json.Decoder(_Entry)


class Progress:
    """The progress file of one spool; one thread writes it.

    Attributes:
        confirmed: Highest sequence number that is done; -1 for none.
        confirmed_ms: When that was noted, in ms since 1970-01-01 UTC; 0 for never.
        frozen: Batches that were frozen and not confirmed, in order.
    """

    def __init__(self, directory: Path) -> None:
        self._load(directory)
        self._path = directory / PROGRESS_NAME
        #: Opened by the first entry, since a full disk may have no room for a file; -1 once it is closed.
        self._descriptor: int | None = None

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Return the progress of a spool for reading only."""
        progress = cls.__new__(cls)
        progress._load(directory)  # noqa: SLF001  (its own class)
        progress._descriptor = -1  # noqa: SLF001  (as above)
        return progress

    def _load(self, directory: Path) -> None:
        self.confirmed = -1
        self.confirmed_ms = 0
        self.frozen: list[FrozenBatch] = []
        path = directory / PROGRESS_NAME
        for line in path.read_bytes().split(b"\n") if path.exists() else ():
            entry = _checked(line)
            if isinstance(entry, FrozenBatch):
                self.frozen.append(entry)
            elif isinstance(entry, ConfirmedBatch):
                self._confirm(entry)

    @property
    def highest(self) -> int:
        """Highest sequence number that was ever sent, as far as is known; -1 for none."""
        return max((self.confirmed, *(batch.last for batch in self.frozen)))

    def freeze(self, batch: FrozenBatch) -> None:
        """Put a batch's boundaries on disk before its first send.

        Raises:
            OSError: The disk refused; the batch may be sent all the same, and is then in doubt after a restart.
        """
        # In memory first: when the disk refuses, the batch still counts as sent, and is not frozen a second time.
        self.frozen.append(batch)
        # Flushed before the first send: after power loss the Logboek may have a batch that this disk knows nothing of.
        flushing(os.fdatasync, self._write(batch))

    def confirm(self, entry: ConfirmedBatch) -> None:
        """Note how far everything is done. Not flushed: what is lost of it is only read back again.

        Raises:
            OSError: The disk refused; what was confirmed is read back after a restart.
        """
        self._confirm(entry)
        self._write(entry)

    def close(self) -> None:
        """Close the file."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor is not None and descriptor >= 0:
            os.close(descriptor)

    def _confirm(self, entry: ConfirmedBatch) -> None:
        self.confirmed = max(self.confirmed, entry.last)
        self.confirmed_ms = max(self.confirmed_ms, entry.at_ms)
        self.frozen = [batch for batch in self.frozen if batch.last > self.confirmed]

    def _write(self, entry: _Entry) -> int:
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        text = _encode(entry)
        # A newline before the entry too: it ends a torn line of a full disk, which would else swallow this one.
        os.write(self._descriptor, b"\n%08x %s\n" % (zlib.crc32(text), text))
        return self._descriptor


def _checked(line: bytes) -> _Entry | None:
    crc, _, text = line.partition(b" ")
    try:
        if int(crc, 16) == zlib.crc32(text):
            return _decoder.decode(text)
    except (ValueError, msgspec.DecodeError):
        return None
    return None
