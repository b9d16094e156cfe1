"""What the files of an embedded Logboek tell without its engine, which one process at a time may open."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

#: A part of the table: year, first and last block, level, and a version of it after a mutation.
_PART: Final = re.compile(r"\d{4}_\d+_\d+_\d+(?:_\d+)?")


def has_records(directory: Path, database: str) -> bool:
    """Return whether Logregels are stored in an embedded Logboek.

    Raises:
        OSError: That cannot be seen.
    """
    try:
        return any(map(_PART.fullmatch, (part.name for part in (directory / "data" / database / "logregel").iterdir())))
    except FileNotFoundError:
        # There is no table, or no directory at all.
        return False
