"""Counts what was tried against the product and what got through, for the table of `make attack`.

`make test` tries a small number of each kind, `make attack` (`LDV_ATTACK=full`) many; `LDV_TEST_SEED` repeats a run.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

RESULTS: Final = Path(__file__).parents[2] / ".test-results" / "attacks"
_FULL: Final = os.environ.get("LDV_ATTACK") == "full"


def rounds(small: int, full: int) -> int:
    """Return how many attempts of a kind this run makes."""
    return full if _FULL else small


@dataclass
class Tally:
    """Attempts of one kind.

    Attributes:
        through: The attempts that did what they should not have done.
    """

    kind: str
    against: str
    tried: int = 0
    through: list[str] = field(default_factory=list)

    def note(self, attempt: object, *, got_through: bool) -> None:
        """Count an attempt."""
        self.tried += 1
        if got_through:
            self.through.append(str(attempt)[:500])


@contextmanager
def tally(kind: str, against: str) -> Iterator[Tally]:
    """Count attempts; leave a row for the table, and fail if one got through."""
    counts = Tally(kind, against)
    yield counts
    RESULTS.mkdir(parents=True, exist_ok=True)
    name = re.sub("[^a-z0-9]+", "-", f"{kind} {against}".lower())
    row = [kind, against, counts.tried, len(counts.through)]
    (RESULTS / f"{name}.json").write_text(json.dumps(row), encoding="utf-8")
    assert counts.tried, "nothing was tried"
    assert not counts.through, f"{len(counts.through)} of {counts.tried} got through: {counts.through[:5]}"
