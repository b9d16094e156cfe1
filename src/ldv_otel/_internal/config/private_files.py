"""Files that hold secrets: only their owner may have a hand in them, as with ssh.

A check is worth something only for what nobody else can exchange after it. So a file is checked by the descriptor that
is then read, and links are followed only where nobody but root and this user can have put them
(`private_directories.py`).
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

from ldv_otel._internal.config.private_directories import make_directory, trusted_path
from ldv_otel.errors import ConfigurationError

_ROOT: Final = 0
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
#: Of a file that root hands out, the group may read too.
_MOUNTED: Final = _OTHERS & ~stat.S_IRGRP
_LINKS: Final = frozenset({errno.ELOOP, errno.EMLINK})


def read_private_file(path: Path, named_by: str) -> bytes:
    """Return the content of a file that belongs to this user and that nobody else may read or write.

    Also of one of root that only a group may read: a Secret of Kubernetes with `fsGroup`, a credential of systemd. Root
    chose who is in that group, and this user could not read it otherwise.

    Args:
        named_by: What names it in messages: a variable, or what it is.

    Raises:
        ConfigurationError: It belongs to somebody else, is open to others, is no file, or others could exchange it or a
            link or directory on the way; with the way out.
        OSError: It cannot be read.
    """
    where = trusted_path(path, named_by)
    try:
        # NONBLOCK: a named pipe in its place must not make this wait for somebody to write into it.
        descriptor = os.open(where, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in _LINKS:
            raise ConfigurationError(
                f"{named_by}: {where} became a symbolic link just now. Nothing was read. Find out who did that."
            ) from error
        raise
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ConfigurationError(f"{named_by}: {where} is no regular file. Nothing was read.")
        if status.st_uid not in (_ROOT, os.geteuid()):
            raise ConfigurationError(
                f"{named_by}: {where} belongs to user {status.st_uid}, and this process is user {os.geteuid()}. "
                f"Nothing was read. Run as its owner, or as root `chown {os.geteuid()} {where}`."
            )
        if status.st_mode & (_MOUNTED if _is_handed_out(status) else _OTHERS):
            raise ConfigurationError(
                f"{named_by}: others may read or write {where} (mode {stat.S_IMODE(status.st_mode):04o}). "
                f"Nothing was read. Run `chmod 600 {where}`; of a mounted secret set the mode to 0400 (Kubernetes: "
                "`defaultMode`, with `fsGroup`)."
            )
        return file.read()


def make_private_file(path: Path, content: bytes) -> bool:
    """Put content into a new file of mode 0600, whole or not at all; the directories to it are made too.

    Returns:
        Whether it is ours that is there now: False where there was one, or another process was quicker.

    Raises:
        OSError: It cannot be made.
    """
    draft = _draft_of(path, content)
    try:
        # A link and no rename: of two processes that make a file, both use the first one's.
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def replace_private_file(path: Path, content: bytes) -> None:
    """Put content of mode 0600 in the place of a file, so that a reader sees the old one or the new one.

    Raises:
        OSError: It cannot be written.
    """
    _draft_of(path, content).replace(path)


def _draft_of(path: Path, content: bytes) -> Path:
    """Return a file beside another one, with the content on disk."""
    make_directory(path.parent)
    # By chance too: two threads may write, and a process that was killed in a container left one with its pid behind,
    # which the next one has again.
    draft = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        draft.unlink()
        raise
    return draft


def _is_handed_out(status: os.stat_result) -> bool:
    """Return whether root gave this file to a service: to another account, or mounted, which makes it read-only."""
    return status.st_uid == _ROOT and (os.geteuid() != _ROOT or not status.st_mode & stat.S_IWUSR)
