"""From when on Logregels are kept by the terms of the Register, worked out by the engine up to the end of a minute."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import msgspec


class CutOffs(msgspec.Struct, frozen=True):
    """What the terms in force come to, up to the end of a minute.

    Attributes:
        applied_us: Which terms: the moment at which they came into force, in us.
        minute: The end of the minute, in s since 1970-01-01 UTC.
        kept_from: From when on the Logregels of each of `activities` of `ldv_term` are kept, in ms, the latest first.
        versioned: Activities with several versions, whose term depends on when an Actie began.
    """

    applied_us: int
    minute: int
    kept_from: Sequence[tuple[int, str]]
    versioned: frozenset[str]

    def later_than(self, oldest_ms: int) -> dict[str, int]:
        """Return from when on each activity is kept of which a Logregel may be past its term.

        Args:
            oldest_ms: The moment at which the oldest of the Logregels began, or an earlier one.
        """
        return {name: kept for kept, name in takewhile(lambda entry: entry[0] > oldest_ms, self.kept_from)}
