"""Where a backup is: a directory of files, or one file of them all (tar, not packed: what is in it is)."""

from __future__ import annotations

import errno
import os
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Final, Protocol

from ldv_otel._internal.config.private_directories import make_directory, sync_directory

TAR: Final = ".tar"


class BackupTarget(Protocol):
    """Takes the files of a backup; each is there, of mode 0600, when `put` returns, and on disk when `close` does."""

    def put(self, name: str, content: bytes) -> None:
        """Write one file.

        Raises:
            OSError: It cannot be written, or is there.
        """
        ...

    def close(self) -> None:
        """End it."""
        ...


class DirectoryTarget:
    """Files in a new directory (0700)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        make_directory(directory)

    def put(self, name: str, content: bytes) -> None:
        """Write one file, under its name once it is whole."""
        draft = self._directory / f"{name}.new"
        with os.fdopen(_new_file(draft), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(self._directory / name)

    def close(self) -> None:
        """Flush the names."""
        sync_directory(self._directory)


class TarTarget:
    """Members of a new file, which gets its name when it is whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft = path.with_name(f"{path.name}.part")
        make_directory(path.parent)
        self._file = os.fdopen(_new_file(self._draft), "wb")

    def put(self, name: str, content: bytes) -> None:
        """Write one member."""
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content), 0o600
        self._file.write(member.tobuf(tarfile.PAX_FORMAT))
        self._file.write(content)
        self._file.write(bytes(-len(content) % tarfile.BLOCKSIZE))

    def close(self) -> None:
        """Write the end, and give it its name."""
        self._file.write(bytes(2 * tarfile.BLOCKSIZE))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._draft.rename(self._path)
        sync_directory(self._path.parent)


def new_target(path: Path) -> BackupTarget:
    """Return where a backup of that name goes: a file, where the name ends in `.tar`.

    Raises:
        OSError: It cannot be made.
    """
    return TarTarget(path) if path.suffix == TAR else DirectoryTarget(path)


class BackupSource:
    """Reads the files of a backup, by their plain names; nothing is ever unpacked to a disk."""

    def __init__(self, path: Path, tar: tarfile.TarFile | None) -> None:
        self.path = path
        self._tar = tar

    def open(self, name: str) -> IO[bytes]:
        """Open one file for reading.

        Raises:
            OSError: It is not there, or is no plain file.
        """
        if self._tar is None:
            return (self.path / name).open("rb")
        try:
            member = self._tar.extractfile(name)
        except (KeyError, tarfile.TarError):
            member = None
        if member is None:
            raise FileNotFoundError(errno.ENOENT, "there is no such file in it", name)
        return member


@contextmanager
def opened_source(path: Path) -> Iterator[BackupSource]:
    """Open a backup for reading.

    Raises:
        OSError: It is not there, or no backup.
    """
    if not path.is_file():
        yield BackupSource(path, None)
        return
    with ExitStack() as opened:
        try:
            tar = opened.enter_context(tarfile.open(path, mode="r:"))
        except tarfile.TarError:
            raise OSError(errno.EINVAL, "it is no tar file", str(path)) from None
        yield BackupSource(path, tar)


def _new_file(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
