"""The room that a disk has, asked before it is used: nothing is filled up to find out where it ends."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

import msgspec

#: Segments end where the blocks of most file systems do.
_BLOCK_BYTES: Final = 4_096
#: A new segment takes this share of the free room at most, so that a small disk holds several, and what is confirmed
#: can be unlinked piece by piece.
_SHARE: Final = 4
#: With less than this a disk is full: a segment of a few records, and what the file system needs for its name.
FULL_BYTES: Final = 32 * 1024


class DiskRoom(msgspec.Struct, frozen=True):
    """The room of the file system of a directory.

    Attributes:
        free_bytes: What this account may still write; None where the file system does not say.
        total_bytes: 0 where it does not say.
    """

    free_bytes: int | None
    total_bytes: int

    @property
    def full(self) -> bool:
        """Whether no segment can be made."""
        return self.free_bytes is not None and self.free_bytes < FULL_BYTES


def room_of(directory: Path) -> DiskRoom:
    """Return the room of a directory, or of the nearest one above it that is there."""
    while True:
        try:
            state = os.statvfs(directory)
        except FileNotFoundError:
            directory = directory.parent
            continue
        except OSError:
            return DiskRoom(None, 0)
        break
    if not state.f_blocks:
        return DiskRoom(None, 0)  # a tmpfs without a size, and some network file systems
    free = state.f_bavail * state.f_frsize
    if state.f_files and not state.f_favail:
        free = 0  # there is no room for another name
    return DiskRoom(free, state.f_blocks * state.f_frsize)


def affordable_bytes(directory: Path, planned: int, needed: int) -> int:
    """Return how large a segment is made: as planned, or as small as the room asks for, down to what is needed.

    Raises:
        OSError: There is no room for what is needed; nothing was written to find out.
    """
    free = room_of(directory).free_bytes
    if free is None:
        return max(planned, needed)
    if free < max(needed + _BLOCK_BYTES, FULL_BYTES):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    share = free // _SHARE // _BLOCK_BYTES * _BLOCK_BYTES
    return max(min(planned, share), needed)
