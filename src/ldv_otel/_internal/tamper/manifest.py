"""Manifests: what a sealer signs of each batch, and the leaves of its records.

A manifest is a signed note. It lists the records of one batch by writer and sequence number, and commits to their
content by the root of a Merkle tree. Its leaves are ordered by activity and sequence number, so that what a retention
term removes together lies together. docs/tamper-format.md has the format to the byte.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol, TypeVar
from urllib.parse import quote, unquote

import msgspec

from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.tamper.checkpoint import hash_of, number
from ldv_otel._internal.tamper.note import NoteError, NoteKey, NoteSigner, SignedNote, base64_of, unbase64
from ldv_otel._internal.tamper.record_bytes import record_bytes
from ldv_otel._internal.tamper.tree import leaf_hash, root_of

HEADER: Final = "ldv-manifest/1"
#: Of the key of a sealer; which one it is, its manifests say themselves.
SEALER_NAME: Final = "ldv-sealer"
SALT_BYTES: Final = 16

_SEALER_BYTES: Final = 8
_SEALER_ID: Final = re.compile(r"[0-9a-f]{16}", re.ASCII)
_ACTIVITY: Final = re.compile(r"activity ([0-9]+) ([\x21-\x7e]*)", re.ASCII)
_SEQ: Final = struct.Struct("<Q")
#: All that can be seen in ASCII but `%`.
_PLAIN: Final = "".join(map(chr, range(0x21, 0x7F))).replace("%", "")
_LINES: Final = 9
_ADOPTED: Final = "adopted"
#: The writer of what plain OpenTelemetry sent through a Collector, which numbers nothing.
UNNUMBERED: Final = "collector"


class SeqRange(NamedTuple):
    """Sequence numbers that follow one another, both ends included."""

    first: int
    last: int

    @property
    def size(self) -> int:
        """How many there are."""
        return self.last - self.first + 1


class ActivityCount(NamedTuple):
    """How many leaves of a batch are of an activity."""

    activity: str
    leaves: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a batch.

    Attributes:
        sealer: 16 hex digits, drawn when the process started that sealed the batch.
        number: Of the manifest among those of its sealer, from 0 on.
        previous: Number of the last manifest before this one that the sealer knows to be stored; None for none. Those
            between are of batches that were refused.
        key: The sealer's public key.
        time_ms: When the batch was sealed, by the sealer's clock, in ms since 1970-01-01 UTC.
        writer_id: Of all records in the batch.
        seqs: Their sequence numbers, ascending.
        first_start_ms: The earliest start of a record.
        last_start_ms: The latest start of one.
        activities: In the order of the leaves: by their bytes.
        root: Of the tree of leaves.
        adopted: Whether the batch was sealed long after it was stored, by who found it there.
    """

    sealer: str
    number: int
    previous: int | None
    key: bytes
    time_ms: int
    writer_id: str
    seqs: tuple[SeqRange, ...]
    first_start_ms: int
    last_start_ms: int
    activities: tuple[ActivityCount, ...]
    root: bytes
    adopted: bool = False

    @property
    def count(self) -> int:
        """How many records the batch has."""
        return sum(count for _, count in self.activities)

    @property
    def text(self) -> str:
        """The text that is signed."""
        previous = "-" if self.previous is None else self.previous
        lines = [
            HEADER,
            f"sealer {self.sealer} {self.number} {previous}",
            f"key {base64_of(self.key)}",
            f"time {self.time_ms}",
            f"writer {escaped(self.writer_id)}",
            f"seqs {' '.join(f'{first}-{last}' for first, last in self.seqs)}",
            f"starts {self.first_start_ms} {self.last_start_ms}",
            *(f"activity {count} {escaped(activity)}" for activity, count in self.activities),
            f"root {base64_of(self.root)}",
            *([_ADOPTED] if self.adopted else ()),
        ]
        return "\n".join(lines) + "\n"

    @classmethod
    def parse(cls, text: str) -> Manifest:
        """Return the manifest that a note's text is.

        Raises:
            NoteError: It is none, or not in its one spelling.
        """
        return in_one_spelling(text, "manifest", HEADER, _parsed)


class UnsealedRow(NamedTuple):
    """What a seal needs of a record.

    Attributes:
        number: See `number_of`.
        content: Its bytes.
    """

    activity: str
    number: int
    content: bytes
    start_ms: int


class SealedBatch(msgspec.Struct, frozen=True):
    """A manifest as it is stored, with the salts of its leaves.

    Attributes:
        note: The signed note.
        salts: 16 bytes for each activity, in the order of the manifest.
    """

    manifest: Manifest
    note: str
    salts: bytes


class Sealer:
    """One process that makes manifests, one after the other; for one thread.

    Args:
        signer: With the name `SEALER_NAME`.
        random_bytes: Gives so many bytes that nobody can guess.
    """

    def __init__(self, signer: NoteSigner, *, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self.sealer_id = random_bytes(_SEALER_BYTES).hex()
        self._signer = signer
        self._random_bytes = random_bytes
        self._stored: int | None = None
        self._next = 0

    @property
    def key(self) -> NoteKey:
        """The key that its manifests are signed with."""
        return self._signer.key

    def seal(self, writer_id: str, seqs: Sequence[int], logregels: Sequence[Logregel], time_ms: int) -> SealedBatch:
        """Return the manifest of a batch under a number of its own.

        Args:
            seqs: Ascending, one for each record.
        """
        rows = [
            UnsealedRow(record.processing_activity_id, seq, record_bytes(record, writer_id, seq), record.start_time_ms)
            for record, seq in zip(logregels, seqs, strict=True)
        ]
        return self.seal_rows(writer_id, rows, time_ms)

    def seal_rows(
        self, writer_id: str, rows: Iterable[UnsealedRow], time_ms: int, *, adopted: bool = False
    ) -> SealedBatch:
        """Return the manifest of rows of one writer, each under a number of its own, in any order."""
        order = sorted(rows)
        salts: dict[str, bytes] = {}
        counts: dict[str, int] = {}
        leaves = []
        for activity, number_, content, _ in order:
            if activity not in salts:
                salts[activity], counts[activity] = self._random_bytes(SALT_BYTES), 0
            counts[activity] += 1
            leaves.append(leaf_of(nonce_of(salts[activity], number_), content))
        starts = [row.start_ms for row in order]
        manifest = Manifest(
            sealer=self.sealer_id,
            number=self._next,
            previous=self._stored,
            key=self._signer.key.public,
            time_ms=time_ms,
            writer_id=writer_id,
            seqs=tuple(ranges_of(sorted(row.number for row in order))),
            first_start_ms=min(starts),
            last_start_ms=max(starts),
            activities=tuple(ActivityCount(activity, counts[activity]) for activity in salts),
            root=root_of(leaves),
            adopted=adopted,
        )
        self._next += 1
        return SealedBatch(manifest, str(self._signer.sign(manifest.text)), b"".join(salts.values()))

    def confirm(self, manifest: Manifest) -> None:
        """Note that a manifest is stored: the next one names it."""
        self._stored = manifest.number


def nonce_of(salt: bytes, seq: int) -> bytes:
    """Return the nonce of a leaf. It says nothing of the salt, so that it can be shown with its record."""
    # SHA-256 over a secret and a number of fixed lengths gives what HMAC would: nothing can be added to it.
    return hashlib.sha256(salt + _SEQ.pack(seq)).digest()


def number_of(writer_id: str, seq: int, trace_id: bytes, span_id: bytes) -> int:
    """Return the number by which a manifest lists a record: its sequence number, or one made of its ids."""
    if writer_id != UNNUMBERED:
        return seq
    (number_,) = _SEQ.unpack_from(hashlib.sha256(trace_id + span_id).digest())
    return int(number_) >> 1


def leaf_of(nonce: bytes, content: bytes) -> bytes:
    """Return the leaf of a record.

    Args:
        content: From `record_bytes`.
    """
    return leaf_hash(nonce + content)


class SealerText(Protocol):
    """What a sealer signs."""

    @property
    def key(self) -> bytes:
        """Its public key."""

    @property
    def text(self) -> str:
        """The text that it signs."""


T = TypeVar("T", bound=SealerText)


def in_one_spelling(text: str, kind: str, header: str, read: Callable[[Sequence[str]], T]) -> T:
    """Return what the text of a note says.

    Args:
        kind: What it should be, for messages.
        header: Its first line.
        read: Makes it of the lines; what it finds wrong it raises as a ValueError.

    Raises:
        NoteError: It is none, or not in the one spelling that its own `text` is.
    """
    lines = text.split("\n")
    if lines[0] != header:
        raise NoteError(f"it is no {kind}: {header} has to be its first line")
    try:
        content = read(lines)
    except (ValueError, IndexError) as error:
        raise NoteError(f"it is no {kind}: {error}") from None
    if content.text != text:
        raise NoteError(f"it is no {kind} in its one spelling")
    return content


def opened(note: str | bytes, kind: str, parse: Callable[[str], T]) -> T:
    """Return what a sealer's note says, after checking that the key that it names signed it.

    Raises:
        NoteError: It is none, or the signature is wrong.
    """
    signed = SignedNote.parse(note)
    content = parse(signed.text)
    if not signed.signed_by([NoteKey(SEALER_NAME, content.key)]):
        raise NoteError(f"the key that the {kind} names did not sign it")
    return content


def open_manifest(note: str | bytes) -> Manifest:
    """Return the manifest in a stored note; see `opened`."""
    return opened(note, "manifest", Manifest.parse)


def ranges_of(seqs: Iterable[int]) -> Iterator[SeqRange]:
    """Give ascending numbers as ranges."""
    first = last = -1
    for seq in seqs:
        if first < 0:
            first = seq
        elif seq != last + 1:
            yield SeqRange(first, last)
            first = seq
        last = seq
    if first >= 0:
        yield SeqRange(first, last)


def _parsed(lines: Sequence[str]) -> Manifest:
    if len(lines) < _LINES:
        raise ValueError("it has too few lines")
    sealer, own, previous = _words(lines[1], "sealer", 3)
    if not _SEALER_ID.fullmatch(sealer):
        raise ValueError("a sealer has 16 hexadecimal digits")
    adopted = lines[-2] == _ADOPTED
    if adopted:
        lines = [*lines[:-2], lines[-1]]
    activities = [match for match in map(_ACTIVITY.fullmatch, lines[7:-2]) if match]
    if len(activities) != len(lines) - _LINES:
        raise ValueError("a line of it is no activity")
    first_start, last_start = map(int, _words(lines[6], "starts", 2))
    manifest = Manifest(
        sealer=sealer,
        number=number(own),
        previous=None if previous == "-" else number(previous),
        key=unbase64(*_words(lines[2], "key", 1)),
        time_ms=int(*_words(lines[3], "time", 1)),
        writer_id=unescaped(*_words(lines[4], "writer", 1)),
        seqs=tuple(SeqRange(*numbers_of(text)) for text in _words(lines[5], "seqs", None)),
        first_start_ms=first_start,
        last_start_ms=last_start,
        activities=tuple(ActivityCount(unescaped(match[2]), number(match[1])) for match in activities),
        root=hash_of(*_words(lines[-2], "root", 1)),
        adopted=adopted,
    )
    if manifest.count != sum(seqs.size for seqs in manifest.seqs):
        raise ValueError("it lists another number of records than its activities have")
    return manifest


def _words(line: str, name: str, count: int | None) -> list[str]:
    first, *words = line.split(" ")
    if first != name or (count is not None and len(words) != count):
        raise ValueError(f"the line `{name}` is not where it belongs")
    return words


def numbers_of(text: str) -> tuple[int, int]:
    """Return the two numbers of a range.

    Raises:
        NoteError: They are none.
    """
    first, _, last = text.partition("-")
    return number(first), number(last)


def escaped(text: str) -> str:
    """Return a text as a line of a manifest has it."""
    return quote(text, safe=_PLAIN)


def unescaped(text: str) -> str:
    """Return what `escaped` made a line of.

    Raises:
        UnicodeDecodeError: It is no UTF-8.
    """
    return unquote(text, errors="strict")
