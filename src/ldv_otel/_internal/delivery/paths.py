"""Where a user's state is on the local disk: spools and loss reports, each below the state directory by default."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.home_directories import NoHomeDirectory, home_directory
from ldv_otel._internal.config.settings import Settings
from ldv_otel.errors import ConfigurationError


def state_directory(settings: Settings) -> Path:
    """Return the directory for what this machine remembers.

    Raises:
        ConfigurationError: The settings name none, and the user has no home directory.
    """
    try:
        return settings.state or home_directory("state")
    except NoHomeDirectory as error:
        raise ConfigurationError(
            f"LDV_STATE is not set, and {error.strerror}. Let LDV_STATE name a directory that this user may write."
        ) from None


def spool_root(settings: Settings) -> Path:
    """Return the directory of all spools of this user; of a tenant, one that no other tenant has.

    Raises:
        ConfigurationError: The settings name none, and the user has no home directory.
    """
    try:
        root = settings.spool or (settings.state or home_directory("state")) / "spool"
    except NoHomeDirectory as error:
        raise ConfigurationError(
            f"LDV_SPOOL is not set, and {error.strerror}, so there is no place for records until the Logboek has them. "
            "Let LDV_SPOOL name a directory on a disk that outlives the process and that this user may write (in a "
            "container a mounted volume)."
        ) from None
    if settings.tenant and not settings.own_spool:
        # By account: it makes the directories of its tenants itself, and others could not write there.
        return root / f"tenants-{os.geteuid()}" / settings.tenant
    return root


def spool_base(root: Path, address: LogboekAddress) -> Path:
    """Return the directory of all spools of this account for one Logboek.

    Its name is a hash of the address, without a password or token, so that processes that log elsewhere never adopt a
    spool from it; and the account, so that several can share a root. One of an earlier version, without the account,
    stays in use for whom it belongs to.
    """
    name = hashlib.sha256(str(address).encode()).hexdigest()[:16]
    account = os.geteuid()
    earlier = root / name
    with suppress(OSError):  # it is not there, or not for us
        if earlier.stat().st_uid == account:
            return earlier
    return root / f"{name}-{account}"


def losses_directory(settings: Settings) -> Path:
    """Return the directory of the loss reports of this user's writers; for a user without a home, beside the spools.

    Raises:
        ConfigurationError: As `spool_root`.
    """
    try:
        return (settings.state or home_directory("state")) / "losses"
    except NoHomeDirectory:
        return spool_root(settings) / f"losses-{os.geteuid()}"
