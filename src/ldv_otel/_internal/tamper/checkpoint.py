"""Checkpoints and proofs of a log (https://c2sp.org/tlog-checkpoint, https://c2sp.org/tlog-proof)."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from ldv_otel._internal.tamper.note import NoteError, SignedNote, base64_of, unbase64
from ldv_otel._internal.tamper.tree import HASH_BYTES, ProofError, root_by_inclusion

PROOF_HEADER: Final = "c2sp.org/tlog-proof@v1"

_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_TEXT_LINES: Final = 3
#: 2^63 entries have no longer path.
_LONGEST_PATH: Final = 64


class Checkpoint(msgspec.Struct, frozen=True):
    """What a log commits to: how many entries it has, and their root.

    Attributes:
        origin: The name of the log, which is also that of its key.
    """

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The text of the note."""
        return f"{self.origin}\n{self.size}\n{base64_of(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Return the checkpoint that a note's text is; lines after the third are not ours, and are left alone.

        Raises:
            NoteError: It is none.
        """
        lines = text.split("\n")
        if len(lines) <= _TEXT_LINES or not all(lines[:-1]):
            raise NoteError("it is no checkpoint: it has too few lines, or an empty one")
        return cls(lines[0], number(lines[1]), hash_of(lines[2]))


class LogProof(msgspec.Struct, frozen=True):
    """That an entry is in a log, with the log's checkpoint.

    Attributes:
        extra: What an application needs beside it; nobody signed it.
    """

    index: int
    path: tuple[bytes, ...]
    checkpoint: SignedNote
    extra: bytes = b""

    def __str__(self) -> str:
        """The proof as it is stored and sent."""
        extra = [f"extra {base64_of(self.extra)}"] if self.extra else []
        path = map(base64_of, self.path)
        return "\n".join((PROOF_HEADER, *extra, f"index {self.index}", *path, "", str(self.checkpoint)))

    @classmethod
    def parse(cls, text: str) -> LogProof:
        """Return the parts of a proof; whether it holds is not known yet.

        Raises:
            NoteError: It is none.
        """
        head, separator, checkpoint = text.partition("\n\n")
        lines = head.split("\n")
        if not separator or lines.pop(0) != PROOF_HEADER:
            raise NoteError(f"it is no proof: {PROOF_HEADER} has to be its first line")
        extra = b""
        if lines and lines[0].startswith("extra "):
            extra = unbase64(lines.pop(0).removeprefix("extra "))
        if not lines or not lines[0].startswith("index ") or len(lines) > _LONGEST_PATH:
            raise NoteError("it is no proof: the line `index` is not where it belongs")
        index = number(lines.pop(0).removeprefix("index "))
        return cls(index, tuple(map(hash_of, lines)), SignedNote.parse(checkpoint), extra)

    def check(self, leaf: bytes) -> Checkpoint:
        """Return the checkpoint in whose tree a leaf is shown to be; who signed it is for the caller to see.

        Raises:
            NoteError: The checkpoint is none.
            ProofError: The leaf is not shown to be in it.
        """
        checkpoint = Checkpoint.parse(self.checkpoint.text)
        if root_by_inclusion(leaf, self.index, checkpoint.size, self.path) != checkpoint.root:
            raise ProofError("the path leads to another root than that of the checkpoint")
        return checkpoint


def number(text: str) -> int:
    """Return a whole number in its one spelling.

    Raises:
        NoteError: It is none.
    """
    if not _NUMBER.fullmatch(text):
        raise NoteError("it has something else than a number where one belongs")
    return int(text)


def hash_of(text: str) -> bytes:
    """Return a hash in base64.

    Raises:
        NoteError: It is none.
    """
    content = unbase64(text)
    if len(content) != HASH_BYTES:
        raise NoteError("it has something else than a hash where one belongs")
    return content
