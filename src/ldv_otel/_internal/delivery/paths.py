"""Where a user's state is on the local disk: spools and loss reports, each below the state directory by default."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings


def state_directory() -> Path:
    """Return the platform's directory for state of this package."""
    import platformdirs  # 5 ms that the import of the package need not cost

    return Path(platformdirs.user_state_dir("ldv_otel", appauthor=False))


def spool_root(settings: Settings) -> Path:
    """Return the directory of all spools of this user."""
    return settings.spool or (settings.state or state_directory()) / "spool"


def spool_base(root: Path, address: LogboekAddress) -> Path:
    """Return the directory of all spools for one Logboek.

    Its name is a hash of the address, without a password or token, so that processes that log elsewhere never adopt a
    spool from it.
    """
    return root / hashlib.sha256(str(address).encode()).hexdigest()[:16]


def losses_directory(settings: Settings) -> Path:
    """Return the directory of the loss reports of this user's writers."""
    return (settings.state or state_directory()) / "losses"
