"""What a lawful removal leaves behind of a batch: which leaves went, on what ground, and hashes in place of them.

A removal is a signed note like a manifest. So the records that stay can still be checked, and a removal that no holder
of a key made does not pass for one. docs/tamper-log.md has the format to the byte.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from ldv_otel._internal.tamper.checkpoint import hash_of, number
from ldv_otel._internal.tamper.manifest import (
    Manifest,
    escaped,
    in_one_spelling,
    numbers_of,
    opened,
    ranges_of,
    unescaped,
)
from ldv_otel._internal.tamper.note import base64_of, unbase64
from ldv_otel._internal.tamper.tree import node_of, subtrees_of_range

HEADER: Final = "ldv-removal/1"

_REMOVAL_ID: Final = re.compile(r"[0-9a-f-]{36}", re.ASCII)
_HEAD_LINES: Final = 4


class LeafRange(NamedTuple):
    """Leaves that follow one another: from the first up to the one before `end`."""

    begin: int
    end: int


class RemovedLeaves(msgspec.Struct, frozen=True):
    """What went of one batch, earlier removals included.

    Attributes:
        manifest: SHA-256 of the text of its manifest.
        leaves: Ranges of indexes in the tree, ascending.
        subtrees: The hash of each subtree that covers a part of them.
    """

    manifest: bytes
    leaves: tuple[LeafRange, ...]
    subtrees: tuple[tuple[LeafRange, bytes], ...]

    @property
    def count(self) -> int:
        """How many leaves went."""
        return sum(end - begin for begin, end in self.leaves)

    @property
    def indexes(self) -> set[int]:
        """The index of each."""
        return {index for begin, end in self.leaves for index in range(begin, end)}

    @property
    def nodes(self) -> dict[tuple[int, int], bytes]:
        """The hashes of subtrees by their ranges."""
        return {(begin, end): node for (begin, end), node in self.subtrees}


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """A removal, of records in many batches.

    Attributes:
        removal_id: As in `ldv_removal`, a UUID.
        key: The public key of who signed.
        time_ms: When, in ms since 1970-01-01 UTC.
        kept_from: By activity, from when on its records are kept, in ms; what started earlier went. 0 for records with
            a term of their own.
        batches: What went of each.
    """

    removal_id: str
    key: bytes
    time_ms: int
    kept_from: dict[str, int]
    batches: tuple[RemovedLeaves, ...]

    @property
    def text(self) -> str:
        """The text that is signed."""
        lines = [
            HEADER,
            f"removal {self.removal_id}",
            f"key {base64_of(self.key)}",
            f"time {self.time_ms}",
            *(f"activity {self.kept_from[activity]} {escaped(activity)}" for activity in sorted(self.kept_from)),
        ]
        for batch in self.batches:
            ranges = " ".join(f"{begin}-{end}" for begin, end in batch.leaves)
            lines.append(f"batch {base64_of(batch.manifest)} {ranges}")
            lines += (f"subtree {begin}-{end} {base64_of(node)}" for (begin, end), node in batch.subtrees)
        return "\n".join(lines) + "\n"

    @classmethod
    def parse(cls, text: str) -> Removal:
        """Return the removal that a note's text is.

        Raises:
            NoteError: It is none, or not in its one spelling.
        """
        return in_one_spelling(text, "removal", HEADER, _parsed)


def open_removal(note: str | bytes) -> Removal:
    """Return the removal in a stored note; see `manifest.opened`."""
    return opened(note, "removal", Removal.parse)


def manifest_hash(manifest: Manifest) -> bytes:
    """Return what a removal names a manifest by."""
    return hashlib.sha256(manifest.text.encode()).digest()


def removed_leaves(
    manifest: Manifest, gone: Iterable[int], leaves: Mapping[int, bytes], earlier: RemovedLeaves | None
) -> RemovedLeaves:
    """Return what is left behind of the leaves that go now and of those that went earlier.

    Args:
        gone: Indexes of the leaves that go now.
        leaves: The hashes of all leaves that are there, by index.
        earlier: What went before.

    Raises:
        ProofError: Something of the tree is neither there nor known from before.
    """
    size = manifest.count
    indexes = set(gone)
    nodes: dict[tuple[int, int], bytes] = {(index, index + 1): leaf for index, leaf in leaves.items()}
    if earlier is not None:
        indexes |= earlier.indexes
        nodes |= earlier.nodes
    ranges = tuple(LeafRange(first, last + 1) for first, last in ranges_of(sorted(indexes)))
    cuts = [LeafRange(*cut) for begin, end in ranges for cut in subtrees_of_range(begin, end, size)]
    return RemovedLeaves(manifest_hash(manifest), ranges, tuple((cut, node_of(cut, nodes.get)) for cut in cuts))


def _parsed(lines: Sequence[str]) -> Removal:
    kept_from: dict[str, int] = {}
    batches: list[RemovedLeaves] = []
    for line in lines[_HEAD_LINES:-1]:
        name, *words = line.split(" ")
        if name == "activity" and not batches:
            since, activity = words
            kept_from[unescaped(activity)] = number(since)
        elif name == "batch":
            batches.append(
                RemovedLeaves(hash_of(words[0]), tuple(LeafRange(*numbers_of(text)) for text in words[1:]), ())
            )
        elif name == "subtree":
            cut, node = words
            last = batches[-1]
            subtree = LeafRange(*numbers_of(cut)), hash_of(node)
            batches[-1] = RemovedLeaves(last.manifest, last.leaves, (*last.subtrees, subtree))
        else:
            raise ValueError("a line of it is none of a removal")
    removal_id = lines[1].removeprefix("removal ")
    if not _REMOVAL_ID.fullmatch(removal_id):
        raise ValueError("its id is no UUID")
    return Removal(
        removal_id=removal_id,
        key=unbase64(lines[2].removeprefix("key ")),
        time_ms=number(lines[3].removeprefix("time ")),
        kept_from=kept_from,
        batches=tuple(batches),
    )
