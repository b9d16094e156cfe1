"""The secret of `ldv logboek`: who may read it may use the Logboek.

It is made with the Logboek, in a file of mode 0600 beside it (`DIR.secret`). While `ldv logboek` runs it holds a note
in this user's state directory, named after its port, that says where that file is; so processes of the same user send
the secret without being told, and only as long as the program that was announced still runs.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ldv_otel._internal.config.home_directories import home_directory
from ldv_otel._internal.config.private_directories import make_directory
from ldv_otel._internal.config.private_files import make_private_file, read_private_file
from ldv_otel.errors import ConfigurationError

_logger = logging.getLogger(__name__)

_TRIES: Final = 50
_PAUSE_SECONDS: Final = 0.02
_SECRET_BYTES: Final = 32
_NAMED: Final = "The secret of the Logboek"


def secret_file(directory: Path) -> Path:
    """Return where the secret of a Logboek is."""
    return directory.with_name(directory.name + ".secret")


def make_secret(directory: Path) -> str:
    """Return the secret of a Logboek, after making one if it has none.

    Raises:
        ConfigurationError: The file cannot be made, or others have a hand in it.
    """
    path = secret_file(directory)
    try:
        if not os.path.lexists(path):
            make_private_file(path, f"{secrets.token_urlsafe(_SECRET_BYTES)}\n".encode())
        secret = read_private_file(path, _NAMED).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigurationError(
            f"{_NAMED}: {path} cannot be made or read ({reason}). Nothing was started. "
            "Choose a directory whose parent this user may write, or remove the file to get a new secret."
        ) from error
    if not secret:
        raise ConfigurationError(f"{_NAMED}: {path} is empty. Nothing was started. Remove it to get a new one.")
    return secret


@contextmanager
def announced(port: int, directory: Path) -> Iterator[None]:
    """Let processes of this user find the secret of the Logboek that this process serves on a port.

    Where the note cannot be written, they have to be told: `LDV_LOGBOEK_PASSWORD_FILE`.
    """
    descriptor = -1
    try:
        path = _note(port)
        make_directory(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        _lock_note(descriptor)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, os.fsencode(secret_file(directory)), 0)
    except OSError as error:
        if descriptor >= 0:
            os.close(descriptor)
            descriptor = -1
        _logger.warning(
            "The note with the place of the secret cannot be written (%s: %s), so other processes do not find it by "
            "themselves. Give each LDV_LOGBOEK_PASSWORD_FILE=%s.",
            error.filename or "no directory",
            error.strerror,
            secret_file(directory),
        )
    try:
        yield
    finally:
        if descriptor >= 0:
            # Emptied, not removed: another one may have opened it and be waiting for the lock.
            with suppress(OSError):  # a full disk; the lock that ends says the same
                os.ftruncate(descriptor, 0)
            os.close(descriptor)


def _lock_note(descriptor: int) -> None:
    """Lock a note for this process; a client that looks holds it for an instant only."""
    for attempt in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt + 1 == _TRIES:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def announced_secret(port: int) -> str:
    """Return the secret of the `ldv logboek` of this user that serves a port of this machine; empty without one.

    Raises:
        ConfigurationError: The file with the secret, or the note that leads to it, is not safe to use.
    """
    try:
        path = _note(port)
        if not _is_locked(path):
            return ""
        target = os.fsdecode(read_private_file(path, "The note of `ldv logboek`"))
        return read_private_file(Path(target), _NAMED).decode("ascii", "replace").strip() if target else ""
    except OSError:
        # Without it the server answers that the secret is missing, which says more than this could.
        return ""


def _is_locked(path: Path) -> bool:
    """Return whether the program that wrote a note still runs: the kernel ends its lock with it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _note(port: int) -> Path:
    return home_directory("state") / "logboek" / str(port)
