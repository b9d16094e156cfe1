"""Where to look: the projections that map a prefix of an id to the hours in which it occurs.

The expressions have to stand in queries as they stand in the schema.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

HOUR: Final = "toRelativeHourNum(start_time)"


def prefix(column: str) -> str:
    """Return what the projections keep of a column with ids."""
    return f"bitShiftRight(reinterpretAsUInt32(substring({column}, 1, 4)), 4)"


def hours(column: str, more: str = "") -> str:
    """Return the condition that a row lies in an hour in which the wanted ids occur, from that column's projection.

    Args:
        more: Another condition on these hours.
    """
    where = f"WHERE {prefix(column)} IN {{prefixes:Array(UInt32)}} {more} GROUP BY {prefix(column)}, {HOUR}"
    return f"{HOUR} IN (SELECT {HOUR} FROM logregel {where})"  # noqa: S608  (our own column names)


def prefixes(ids: Iterable[bytes]) -> list[int]:
    """Return what the projections keep of some ids: the first 4 bytes, little-endian, without the low 4 bits."""
    return sorted({int.from_bytes(raw[:4], "little") >> 4 for raw in ids})
