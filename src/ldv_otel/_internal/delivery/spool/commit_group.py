"""A group of records that are committed with one write and one flush, and how those who wait for it are woken."""

from __future__ import annotations

import threading

import msgspec


class CommitGroup(msgspec.Struct, eq=False):
    """A group of records that are committed with one write and one flush.

    Attributes:
        records: Sequence number and bytes of each.
        begun: Acties that begin, or to which a start adds something (True).
        ended: Acties that end.
        done: Whether it is on disk, or was refused.
        error: Why it was refused.
        followers: One lock for each waiting thread, which takes half the time of a condition. One follower is woken to
            lead the group, and all of them when it is on disk.
    """

    records: list[tuple[int, bytes]] = []
    begun: list[tuple[bytes, tuple[int, bytes], bool]] = []
    ended: list[bytes] = []
    done: bool = False
    error: OSError | None = None
    followers: list[threading.Lock] = []

    def wake_one(self) -> None:
        """Wake one waiting follower. An unlocked lock belongs to one that is already running, or was interrupted."""
        for turn in self.followers:
            if turn.locked():
                turn.release()
                break

    def wake_all(self) -> None:
        """Wake all waiting followers."""
        for turn in self.followers:
            if turn.locked():
                turn.release()
