"""Whose a spool is: the lock that its process holds, and the directory that its account alone may write."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from pathlib import Path
from typing import Final

from ldv_otel._internal.config.private_directories import fault_of, make_directory
from ldv_otel._internal.delivery.spool.progress import PROGRESS_NAME
from ldv_otel._internal.delivery.spool.segment import SUFFIX
from ldv_otel.errors import ConfigurationError

_logger = logging.getLogger(__name__)

LOCK_NAME: Final = "owner.lock"


def claim_base(base: Path) -> None:
    """Make the directory of this account's spools, or check that one that is there is this account's own.

    Below a directory that several accounts may write (`install -d -m 1777`), another one could have made it first.

    The way to it is not checked: accounts may share a directory that belongs to one of them, which can take away the
    spools of others but not read them or put its own in their place.

    Raises:
        ConfigurationError: It did.
        OSError: It cannot be made.
    """
    if not os.path.lexists(base):
        make_directory(base)
    fault = fault_of(base)
    if fault:
        raise ConfigurationError(f"LDV_SPOOL: {base} {fault} Logging did not start.")


def advice(base: Path) -> str:
    """Return what to do so that this account can have its spools in a directory, which could not be made."""
    root = base.parent
    directory = next((each for each in (root, *root.parents) if each.exists()), root)
    if directory.exists() and directory.stat().st_uid != os.geteuid() and not os.access(directory, os.W_OK | os.X_OK):
        # With the sticky bit nobody can take away what is another's; below it each account has a directory of its own.
        return (
            f"{directory} belongs to another account. For several accounts let its owner run "
            f"`install -d -m 1777 {root}`, or give each of them a LDV_SPOOL of its own."
        )
    return "Let LDV_SPOOL name a directory on a local disk that this user may write."


def remove_spool(directory: Path) -> None:
    """Remove a spool of which everything is confirmed; the caller owns it or holds its lock.

    A crash in between leaves a spool with fewer files, which the next adopter removes. The lock file is the last: until
    then no other process can hold the directory.
    """
    for path in (
        *sorted(directory.glob(f"*{SUFFIX}")),  # in order: the end of an Actie is never removed before its start
        *directory.glob("*.new"),
        directory / PROGRESS_NAME,
        directory / LOCK_NAME,
    ):
        path.unlink(missing_ok=True)
    try:
        directory.rmdir()
    except FileNotFoundError:
        return  # removed already
    except OSError as error:
        _logger.warning("The spool directory %s holds something else and stays: %s.", directory, error.strerror)


def hold(directory: Path) -> int:
    """Lock a spool directory for this process; return the descriptor that holds the lock.

    Raises:
        BlockingIOError: A living process has it.
        OSError: It cannot be locked.
    """
    descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its owner may have removed it between our `open` and `flock`; we would hold a file that has no name any more.
        if not os.path.samestat(os.fstat(descriptor), os.stat(directory / LOCK_NAME)):  # noqa: PTH116  (as its twin)
            raise BlockingIOError(errno.EWOULDBLOCK, "it was removed meanwhile")
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def owner_of(directory: Path) -> int:
    """Return the process id of a spool's owner, in the owner's own process namespace; 0 when it cannot be read."""
    try:
        return int((directory / LOCK_NAME).read_bytes())
    except (OSError, ValueError):
        return 0
