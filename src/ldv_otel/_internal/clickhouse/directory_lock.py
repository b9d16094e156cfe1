"""Holds an embedded directory for one process, and names that process to others.

chDB lets one process at a time open a directory, and tells a second one nothing it could act on. This lock is taken
first, so that the error names the process that has the directory, and `ldv logboek`, which shares it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from ldv_otel._internal.config.private_directories import make_directory
from ldv_otel.errors import ConfigurationError

if TYPE_CHECKING:
    from types import TracebackType

_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


@dataclass(slots=True)
class _Held:
    """An open, locked file, and how many `DirectoryLock`s of this process share it."""

    fd: int
    users: int = 1


@dataclass(slots=True)
class _Registry:
    """What this process holds, by lock file. `flock` is per open file, so a process must open each only once."""

    pid: int = field(default_factory=os.getpid)
    mutex: threading.Lock = field(default_factory=threading.Lock)
    held: dict[Path, _Held] = field(default_factory=dict)


_registry = _Registry()


def _forget_inherited() -> None:
    """Close, in a forked child, what belongs to its parent.

    Closing the child's copy leaves the parent's lock alone, where `LOCK_UN` would open it for everyone. Not closing
    it would keep the directory locked for as long as the child outlives its parent.
    """
    # Replaced whole: its mutex may be held by a thread that does not exist in this process.
    global _registry
    inherited, _registry = _registry, _Registry()
    for held in inherited.held.values():
        os.close(held.fd)


os.register_at_fork(after_in_child=_forget_inherited)


def _own_registry() -> _Registry:
    """Return this process's registry, also after a fork made in C, which runs no Python hooks."""
    if _registry.pid != os.getpid():
        _forget_inherited()
    return _registry


class DirectoryLock:
    """The right to open one embedded directory, shared by all clients of this process.

    The lock file lies beside the directory (`<directory>.lock`, 0600, holding the pid) and is never removed: removing
    it would let two processes lock two files of the same name. The kernel frees the lock when the process ends,
    however it ends.

    Args:
        directory: The chDB directory; it need not exist yet. Symbolic links are followed first.
    """

    def __init__(self, directory: Path) -> None:
        self.directory: Final = Path(os.path.realpath(directory))
        self.file: Final = self.directory.with_name(self.directory.name + ".lock")
        self._holder_pid = 0

    @property
    def held(self) -> bool:
        """Whether this object holds the lock, in the process that acquired it."""
        return self._holder_pid == os.getpid()

    def acquire(self) -> None:
        """Take the lock, or raise at once an error that names its holder; a second call changes nothing.

        Raises:
            ConfigurationError: Another process has the directory, or its lock file cannot be used here.
        """
        if self.held:
            return
        registry = _own_registry()
        with registry.mutex:
            held = registry.held.get(self.file)
            if held is None:
                registry.held[self.file] = _Held(self._open_and_lock())
            else:
                held.users += 1
        self._holder_pid = os.getpid()

    def release(self) -> None:
        """Release the lock with its last holder in this process; a forked child has none to release."""
        if not self.held:
            return
        self._holder_pid = 0
        registry = _own_registry()
        with registry.mutex:
            held = registry.held[self.file]
            held.users -= 1
            if held.users == 0:
                del registry.held[self.file]
                os.close(held.fd)

    def __enter__(self) -> Self:
        """Acquire the lock."""
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release it."""
        self.release()

    def _open_and_lock(self) -> int:
        try:
            make_directory(self.file.parent)
            fd = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"The lock file {self.file} of the embedded Logboek cannot be opened ({error.strerror}). "
                "Nothing was opened. Choose a directory whose parent this user may write."
            ) from error
        try:
            # Not fcntl.lockf: its locks end when any code of this process closes any descriptor of the file.
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            message = self._unlockable(error) if error.errno in _NO_LOCKS else self._taken(_written_pid(fd))
            os.close(fd)
            raise ConfigurationError(message) from error
        # Only the pid's text: a reader between these calls gets an empty file, and reports "another process".
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        return fd

    def _taken(self, pid: str) -> str:
        return (
            f"The embedded Logboek {self.directory} is in use by {pid}, and chDB serves one process per directory. "
            f"Nothing was opened. To share it, let `ldv logboek --path {self.directory} --listen 127.0.0.1:8123` have "
            "the directory and give each process LDV_LOGBOEK=clickhouse+http://127.0.0.1:8123."
        )

    def _unlockable(self, error: OSError) -> str:
        return (
            f"The file system of {self.file} has no file locks ({error.strerror}), so that two processes could open "
            f"{self.directory} at once. Nothing was opened. Choose a directory on a local disk."
        )


def _written_pid(fd: int) -> str:
    written = os.pread(fd, 32, 0).strip()
    return f"process {written.decode()}" if written.isdigit() else "another process"
