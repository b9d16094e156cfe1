"""A second place for the log of manifests: a directory of static files, as C2SP's tlog-tiles has them.

`checkpoint` is the last note, `checkpoint.d/SIZE` every one, and `tile/LEVEL/...` has the hashes of the tree, 256 to a
file (https://c2sp.org/tlog-tiles). Any web server can serve it. What it is worth depends on who may write there: it
should be somebody else than who administers the database.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from ldv_otel._internal.tamper.note import NoteError, SignedNote
from ldv_otel._internal.tamper.tree import HASH_BYTES, root_of
from ldv_otel.errors import ConfigurationError

_TILE_HASHES: Final = 256
_GROUP: Final = 1_000


class SecondPlace:
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
        hashes: list[bytes] = []
        for index in range(0, size, _TILE_HASHES):
            width = min(_TILE_HASHES, size - index)
            # A tile that was full later has the hashes of its partial forms.
            names = [_tile_name(0, index // _TILE_HASHES, width), _tile_name(0, index // _TILE_HASHES, _TILE_HASHES)]
            content = next((path.read_bytes() for path in map(self._path.joinpath, names) if path.is_file()), b"")
            if len(content) < width * HASH_BYTES:
                raise ConfigurationError(f"The file {names[0]} in {self._path} is not there, or not whole.")
            hashes += (content[at : at + HASH_BYTES] for at in range(0, width * HASH_BYTES, HASH_BYTES))
        return hashes

    def write(self, note: SignedNote, leaves: Sequence[bytes], before: int) -> None:
        """Write a checkpoint, and the tiles that are new or longer since an earlier size; the checkpoint last.

        Raises:
            ConfigurationError: The place cannot be written to; the checkpoint there is still the one before.
        """
        try:
            for name, content in _tiles(leaves, before):
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


def _tiles(leaves: Sequence[bytes], before: int) -> Iterator[tuple[str, bytes]]:
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
