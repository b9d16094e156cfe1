"""Chance in tests: the same each time in `make test`, another each time in `make fuzz` and `make torture`.

`LDV_TEST_SEED` repeats a run. `LDV_FUZZ` is how many times more examples each property gets than in `make test`.
"""

from __future__ import annotations

import os
import random
from itertools import count
from typing import Final
from uuid import UUID

SEED: Final = int(os.environ.get("LDV_TEST_SEED") or 20_261_129)
FUZZ: Final = int(os.environ.get("LDV_FUZZ") or 0)


def dice(name: str) -> random.Random:
    """Return a source of chance that the seed repeats, whatever other tests ran before."""
    return random.Random(f"{SEED}/{name}")  # guards nothing


def examples(number: int) -> int:
    """Return how many examples a property gets in this kind of run."""
    return number * (FUZZ or 1)


def noise(size: int) -> bytes:
    """Return bytes that no compression makes smaller."""
    return dice("noise").randbytes(size)


def new_bsn() -> str:
    """Return nine digits that no other test of this process has."""
    return f"{next(_numbers):09d}"


def new_uuid() -> str:
    """Return a UUID that no other test of this process has."""
    return str(UUID(int=_uuids.getrandbits(128), version=4))


def new_id(size: int) -> bytes:
    """Return the bytes of a trace or span that no other test of this process has."""
    return _ids.randbytes(size)


# The first number is none that tests write out, and seven digits apart none is part of another.
_numbers: Final = count(300_000_007, 10_007)
_uuids: Final = dice("UUIDs")
_ids: Final = dice("ids")
