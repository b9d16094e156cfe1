"""A disk whose power is cut: what of a directory is left is what was flushed, and by chance some of the rest.

Calls of `os` that change a directory tree are recorded while they are made. From that record any moment's disk can be
made again as a power cut may have left it:

- of a file, what was written before its last flush began; of later writes any sectors, each old or new;
- of a directory, the names as of its last flush; of later changes any number of the first, since file systems keep
  their order (journals), though not across directories.

It is stricter than ext4, where flushing one file brings along the names made before, in other directories too.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias
from unittest.mock import patch

_SECTOR_BYTES: Final = 512


@dataclass
class File:
    """What the disk has of a file, and writes that it may not have, each with the moment it was made."""

    content: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, int, bytes]] = field(default_factory=list)

    def flush(self, before: int) -> None:
        """Have what was written before a moment."""
        for moment, offset, data in self.pending:
            if moment < before:
                _put(self.content, offset, data)
        self.pending = [write for write in self.pending if write[0] >= before]

    def left(self, chance: random.Random, odds: float) -> bytes:
        """Return the bytes after a cut."""
        content = bytearray(self.content)
        for _, offset, data in self.pending:
            end = offset + len(data)
            start = offset
            while start < end:
                stop = min(start - start % _SECTOR_BYTES + _SECTOR_BYTES, end)
                if chance.random() < odds:
                    _put(content, start, data[start - offset : stop - offset])
                start = stop
        return bytes(content)


@dataclass
class Directory:
    """Names that the disk has, names that a program sees, and the changes between them."""

    flushed: dict[str, Node] = field(default_factory=dict)
    seen: dict[str, Node] = field(default_factory=dict)
    pending: list[tuple[int, dict[str, Node | None]]] = field(default_factory=list)

    def change(self, moment: int, names: dict[str, Node | None]) -> None:
        """Give names to nodes, or take them away, in one step."""
        _rename(self.seen, names)
        self.pending.append((moment, names))

    def flush(self, before: int) -> None:
        """Have the changes that were made before a moment."""
        while self.pending and self.pending[0][0] < before:
            _rename(self.flushed, self.pending.pop(0)[1])

    def left(self, chance: random.Random, odds: float) -> dict[str, Node]:
        """Return the names after a cut."""
        names = dict(self.flushed)
        for _, change in self.pending:
            if chance.random() >= odds:
                break
            _rename(names, change)
        return names


Node: TypeAlias = File | Directory


class Recording:
    """What happened below a directory, in order; others may `note` what is to be told apart by its moment.

    Args:
        root: A directory that is there; what is in it counts as flushed.
    """

    def __init__(self, root: Path) -> None:
        self.events: list[tuple[str, tuple[Any, ...]]] = []
        self._root = os.fspath(root)
        self._before = _loaded(root)

    def note(self, kind: str, *what: object) -> None:
        """Add something that a cut comes before or after."""
        self.events.append((kind, what))

    def cut(self, moment: int, chance: random.Random, target: Path) -> None:
        """Make the directory as it may be when the power goes before an event."""
        root = _copied(self._before)
        opened: dict[int, Node] = {}
        for now, (kind, what) in enumerate(self.events[:moment]):
            replay = getattr(self, f"_replay_{kind}", None)
            if replay is not None:
                replay(root, opened, now, *what)
        # Often all or nothing of what was not flushed is left.
        odds = chance.choice((0.0, 1.0, chance.random()))
        _made(root, target, chance, odds)

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Record while the block runs, whatever thread makes a call."""
        record: dict[str, Callable[..., Callable[..., Any]]] = {
            "open": self._open,
            "write": self._write,
            "pwrite": self._pwrite,
            "fsync": self._flush,
            "fdatasync": self._flush,
            "rename": self._named,
            "unlink": self._named,
            "rmdir": self._named,
            "mkdir": self._named,
        }
        patches = [patch.object(os, name, made(name, getattr(os, name))) for name, made in record.items()]
        for each in patches:
            each.start()
        try:
            yield
        finally:
            for each in patches:
                each.stop()

    def _ours(self, path: object) -> bool:
        return isinstance(path, str | os.PathLike) and os.fspath(path).startswith(self._root)

    def _open(self, _: str, real: Callable[..., int]) -> Callable[..., int]:
        def opening(path: Any, flags: int, *more: Any, **options: Any) -> int:
            descriptor = real(path, flags, *more, **options)
            # A descriptor of something else may have had this number before.
            self.note("open", descriptor, os.fspath(path) if self._ours(path) else "", flags)
            return descriptor

        return opening

    def _write(self, _: str, real: Callable[..., int]) -> Callable[..., int]:
        def writing(descriptor: int, data: Any) -> int:
            count = real(descriptor, data)
            try:
                end = os.lseek(descriptor, 0, os.SEEK_CUR)
            except OSError:
                return count  # a pipe
            self.note("write", descriptor, end - count, bytes(data[:count]))
            return count

        return writing

    def _pwrite(self, _: str, real: Callable[..., int]) -> Callable[..., int]:
        def writing(descriptor: int, data: Any, offset: int) -> int:
            count = real(descriptor, data, offset)
            self.note("write", descriptor, offset, bytes(data[:count]))
            return count

        return writing

    def _flush(self, _: str, real: Callable[[int], None]) -> Callable[[int], None]:
        def flushing(descriptor: int) -> None:
            began = len(self.events)
            real(descriptor)
            self.note("flush", descriptor, began)

        return flushing

    def _named(self, name: str, real: Callable[..., None]) -> Callable[..., None]:
        def changing(*paths: Any, **options: Any) -> None:
            real(*paths, **options)
            if self._ours(paths[0]):
                self.note(name, *(os.fspath(path) for path in paths if self._ours(path)))

        return changing

    def _replay_open(self, root: Directory, opened: dict[int, Node], now: int, *what: Any) -> None:
        descriptor, path, flags = what
        opened.pop(descriptor, None)
        if not path:
            return
        directory, name = self._found(root, path)
        node = directory.seen.get(name) if name else directory
        if node is None or flags & os.O_TRUNC:
            node = File()  # one that is written over is the old one or the new one after a cut
            directory.change(now, {name: node})
        opened[descriptor] = node

    def _replay_write(self, root: Directory, opened: dict[int, Node], now: int, *what: Any) -> None:
        del root
        descriptor, offset, data = what
        node = opened.get(descriptor)
        if isinstance(node, File):
            node.pending.append((now, offset, data))

    def _replay_flush(self, root: Directory, opened: dict[int, Node], now: int, *what: Any) -> None:
        del root, now
        descriptor, began = what
        if descriptor in opened:
            opened[descriptor].flush(began)

    def _replay_rename(self, root: Directory, opened: dict[int, Node], now: int, *what: Any) -> None:
        del opened
        (source, old), (target, new) = (self._found(root, path) for path in what)
        node = source.seen[old]
        if source is target:
            source.change(now, {old: None, new: node})
        else:
            # Two directories: without a flush of both the name may be in either, but never in neither.
            target.change(now, {new: node})
            target.flush(now + 1)
            source.change(now, {old: None})

    def _replay_unlink(self, root: Directory, opened: dict[int, Node], now: int, *what: Any) -> None:
        del opened
        directory, name = self._found(root, what[0])
        directory.change(now, {name: None})

    _replay_rmdir = _replay_unlink

    def _replay_mkdir(self, root: Directory, opened: dict[int, Node], now: int, *what: Any) -> None:
        del opened
        directory, name = self._found(root, what[0])
        directory.change(now, {name: Directory()})

    def _found(self, root: Directory, path: str) -> tuple[Directory, str]:
        """Return the directory that a path leads to, and the name in it."""
        *parents, name = Path(path).relative_to(self._root).parts or ("",)
        found = root
        for parent in parents:
            inside = found.seen[parent]
            assert isinstance(inside, Directory)
            found = inside
        return found, name


def _put(content: bytearray, offset: int, data: bytes) -> None:
    content.extend(bytes(max(0, offset + len(data) - len(content))))
    content[offset : offset + len(data)] = data


def _rename(names: dict[str, Node], change: dict[str, Node | None]) -> None:
    for name, node in change.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


def _loaded(path: Path) -> Directory:
    """Return a directory as it is, all of it flushed."""
    names: dict[str, Node] = {
        entry.name: _loaded(entry) if entry.is_dir() else File(bytearray(entry.read_bytes()))
        for entry in sorted(path.iterdir())
    }
    return Directory(names, dict(names))


def _copied(directory: Directory) -> Directory:
    names: dict[str, Node] = {
        name: _copied(node) if isinstance(node, Directory) else File(bytearray(node.content))
        for name, node in directory.flushed.items()
    }
    return Directory(names, dict(names))


def _made(directory: Directory, path: Path, chance: random.Random, odds: float) -> None:
    path.mkdir()
    for name, node in directory.left(chance, odds).items():
        if isinstance(node, Directory):
            _made(node, path / name, chance, odds)
        else:
            (path / name).write_bytes(node.left(chance, odds))
