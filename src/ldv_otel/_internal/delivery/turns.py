"""Turns: work that is done in pieces, each up to where it waits, so that a thread can do other work meanwhile."""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Pause(NamedTuple):
    """Where a turn of a drainer ends: what it waits for.

    Attributes:
        seconds: How long at most.
        records: It need not wait longer than until so many were committed; 0 where it waits for none.
        idle: Nothing is there to be sent, so nobody can hurry it.
        failed: Something has failed and is tried again afterwards: only who stops it cuts this short.
        firm: Those who wait for what is there do not cut it short: it is short, and they gain by it.
    """

    seconds: float
    records: int = 0
    idle: bool = False
    failed: bool = False
    firm: bool = False

    @property
    def can_be_hurried(self) -> bool:
        """Whether a caller that waits cuts it short."""
        return not (self.idle or self.failed or self.firm)


#: Gives pauses, and is sent whether the drainer is to stop.
Turns = Generator[Pause, bool | None, T]
