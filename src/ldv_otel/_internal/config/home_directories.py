"""The directories that a platform gives each user, and containers that give their user none.

OpenShift and AWS Lambda run a process as a user who is in no list, often without HOME. Libraries then raise, or give a
directory `~` below the current one; neither is a place for records.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Literal


class NoHomeDirectory(OSError):
    """HOME is not set, and the system knows no home of this user."""

    def __init__(self) -> None:
        super().__init__(errno.ENOENT, "HOME is not set and this user has no home directory")


def home_directory(kind: Literal["state", "cache"]) -> Path:
    """Return the platform's directory of this package for one kind of files; it may not be there yet.

    Raises:
        NoHomeDirectory: There is none.
    """
    import platformdirs  # 5 ms that the import of the package need not cost

    find = platformdirs.user_state_dir if kind == "state" else platformdirs.user_cache_dir
    try:
        directory = Path(find("ldv_otel", appauthor=False))
    except RuntimeError:
        raise NoHomeDirectory from None
    if not directory.is_absolute():
        raise NoHomeDirectory
    return directory
