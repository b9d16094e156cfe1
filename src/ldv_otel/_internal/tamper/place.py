"""Second places for the log of manifests, of which one is a directory of static files, as C2SP's tlog-tiles has them.

`checkpoint` is the last note, `checkpoint.d/SIZE` every one, and `tile/LEVEL/...` has the hashes of the tree, 256 to a
file (https://c2sp.org/tlog-tiles). Any web server can serve it. What it is worth depends on who may write there: it
should be somebody else than who administers the database.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

from ldv_otel._internal.tamper.note import NoteError, SignedNote
from ldv_otel._internal.tamper.tree import HASH_BYTES, root_of
from ldv_otel.errors import ConfigurationError

_TILE_HASHES: Final = 256
_GROUP: Final = 1_000


class SecondPlace(Protocol):
    """Where a copy of the log is."""

    def __str__(self) -> str:
        """Where it is."""
        ...

    def checkpoint(self) -> SignedNote | None:
        """Return the last checkpoint; None when there is none yet.

        Raises:
            ConfigurationError: What is there cannot be read, or is none.
        """
        ...

    def leaves(self, size: int) -> list[bytes]:
        """Return the hashes of the first entries.

        Raises:
            ConfigurationError: A tile is not there, or is not whole.
        """
        ...

    def write(self, note: SignedNote, leaves: Sequence[bytes], before: int) -> None:
        """Write a checkpoint, and the tiles that are new or longer since an earlier size; the checkpoint last.

        Raises:
            ConfigurationError: It cannot be written to; the checkpoint there is still the one before.
        """
        ...


class DirectoryPlace:
    """A directory with checkpoints and tiles.

    Args:
        path: It is made when it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        """Where it is."""
        return str(self._path)

    def checkpoint(self) -> SignedNote | None:
        """Return the last checkpoint; None when there is none yet.

        Raises:
            ConfigurationError: What is there cannot be read, or is none.
        """
        try:
            text = (self._path / "checkpoint").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"The checkpoint in {self._path} cannot be read ({type(error).__name__})."
            ) from error
        try:
            return SignedNote.parse(text)
        except NoteError as error:
            raise ConfigurationError(f"The checkpoint in {self._path} is none: {error}.") from error

    def leaves(self, size: int) -> list[bytes]:
        """Return the hashes of the first entries.

        Raises:
            ConfigurationError: A tile is not there, or is not whole.
        """
        return hashes_in_tiles(size, self._read, str(self))

    def _read(self, name: str) -> bytes | None:
        path = self._path / name
        return path.read_bytes() if path.is_file() else None

    def write(self, note: SignedNote, leaves: Sequence[bytes], before: int) -> None:
        """Write a checkpoint, and the tiles that are new or longer since an earlier size; the checkpoint last.

        Raises:
            ConfigurationError: The place cannot be written to; the checkpoint there is still the one before.
        """
        try:
            for name, content in tiles(leaves, before):
                _put(self._path / name, content)
            text = str(note).encode()
            _put(self._path / "checkpoint.d" / str(len(leaves)), text)
            _put(self._path / "checkpoint", text)
        except OSError as error:
            raise ConfigurationError(
                f"The second place {self._path} cannot be written to ({error.strerror}). Its last checkpoint stands; "
                "run `ldv seal` again when that is mended."
            ) from error


def _put(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def hashes_in_tiles(size: int, read: Callable[[str], bytes | None], where: str) -> list[bytes]:
    """Return the hashes of the first entries of a log.

    Args:
        read: Returns the content of a file; None where there is none.
        where: Of the files, for messages.

    Raises:
        ConfigurationError: A tile is not there, or is not whole.
    """
    hashes: list[bytes] = []
    for index in range(0, size, _TILE_HASHES):
        width = min(_TILE_HASHES, size - index)
        # A tile that was full later has the hashes of its partial forms.
        names = (_tile_name(0, index // _TILE_HASHES, width), _tile_name(0, index // _TILE_HASHES, _TILE_HASHES))
        content = next((content for content in map(read, names) if content is not None), b"")
        if len(content) < width * HASH_BYTES:
            raise ConfigurationError(f"The file {names[0]} in {where} is not there, or not whole.")
        hashes += (content[at : at + HASH_BYTES] for at in range(0, width * HASH_BYTES, HASH_BYTES))
    return hashes


def tiles(leaves: Sequence[bytes], before: int) -> Iterator[tuple[str, bytes]]:
    """Give the tiles that a tree has and that of its first leaves has not."""
    level, hashes = 0, list(leaves)
    while hashes:
        for index in range(before // _TILE_HASHES, -(-len(hashes) // _TILE_HASHES)):
            tile = hashes[index * _TILE_HASHES : (index + 1) * _TILE_HASHES]
            yield _tile_name(level, index, len(tile)), b"".join(tile)
        full = len(hashes) // _TILE_HASHES
        hashes = [root_of(hashes[index * _TILE_HASHES : (index + 1) * _TILE_HASHES]) for index in range(full)]
        level, before = level + 1, before // _TILE_HASHES


def _tile_name(level: int, index: int, width: int) -> str:
    groups = [f"{index % _GROUP:03}"]
    while index >= _GROUP:
        index //= _GROUP
        groups.insert(0, f"x{index % _GROUP:03}")
    partial = "" if width == _TILE_HASHES else f".p/{width}"
    return f"tile/{level}/{'/'.join(groups)}{partial}"
