"""Whether a dead process has left a spool, asked without taking it over."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ldv_otel._internal.delivery.spool.ownership import hold
from ldv_otel._internal.delivery.spool.quarantine import QUARANTINE_NAME


def has_orphan(base: Path) -> bool:
    """Return whether below a directory of spools there is one that no living process has."""
    with suppress(OSError):  # there is no such directory, or it is going away
        for directory in base.iterdir():
            if directory.name == QUARANTINE_NAME or directory.name.startswith("."):
                continue
            with suppress(OSError):  # its owner lives, or it was removed meanwhile
                os.close(hold(directory))
                return True
    return False
