"""The log of manifests as the Logboek has it: which manifests in which order, and the checkpoints of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.verification.manifest_sql import HASHES
from ldv_otel._internal.tamper.checkpoint import Checkpoint
from ldv_otel._internal.tamper.note import NoteError, SignedNote
from ldv_otel._internal.tamper.tree import root_of

#: A checkpoint and its cosignatures stand in two rows.
_CHECKPOINTS: Final = Sql("SELECT note, sealers, numbers FROM ldv_checkpoint ORDER BY size, at")
#: Without the entries: of some hours, where there is a checkpoint a minute.
_LAST_CHECKPOINTS: Final = Sql("SELECT note FROM ldv_checkpoint ORDER BY size DESC, at DESC LIMIT 500")
_ENTRIES: Final = Sql("SELECT sealers, numbers FROM ldv_checkpoint WHERE notEmpty(numbers) ORDER BY size, at")
#: With more signatures than the two of the log itself.
_LAST_WITNESSED: Final = Sql("""
SELECT note FROM ldv_checkpoint WHERE countSubstrings(note, '\n— ') > 2 ORDER BY size DESC, at DESC LIMIT 10
""")
#: More than a Logboek has witnesses, and fewer than a note may have signatures.
_MOST_SIGNATURES: Final = 64


class LogEntry(NamedTuple):
    """What names a manifest in the log."""

    sealer: str
    number: int


class StoredLog(msgspec.Struct, frozen=True):
    """The log as the Logboek has it.

    Attributes:
        entries: In their order.
        notes: Its checkpoints, the last one last.
        bad: Why something that stands as a checkpoint is none.
    """

    entries: list[LogEntry]
    notes: list[SignedNote]
    bad: list[str]

    @property
    def last(self) -> SignedNote | None:
        """The last checkpoint with all of its signatures; None when there is none."""
        return self._whole(self.notes[-1].text) if self.notes else None

    @property
    def witnessed(self) -> SignedNote | None:
        """The last checkpoint that somebody else signed too, with all of its signatures; None when there is none."""
        for note in reversed(self.notes):
            origin = note.text.partition("\n")[0]
            if any(signature.name != origin for signature in note.signatures):
                return self._whole(note.text)
        return None

    def _whole(self, text: str) -> SignedNote:
        # Each `ldv seal` signs anew, also where nothing came in since.
        signatures = {
            (signature.name, signature.key_id): signature
            for note in self.notes
            if note.text == text
            for signature in note.signatures
        }
        return SignedNote(text, tuple(signatures.values())[:_MOST_SIGNATURES])


class LogTree(NamedTuple):
    """The log as a tree; whether it is that of its checkpoints shows its root.

    Attributes:
        places: Where each entry is.
        leaves: The hashes of the entries.
    """

    places: Mapping[LogEntry, int]
    leaves: list[bytes]

    def is_of(self, note: SignedNote) -> bool:
        """Whether a checkpoint is one of this log.

        Raises:
            NoteError: It is none.
        """
        checkpoint = Checkpoint.parse(note.text)
        return checkpoint.size <= len(self.leaves) and root_of(self.leaves[: checkpoint.size]) == checkpoint.root


def read_log(client: LogboekClient) -> StoredLog:
    """Return the log as it is stored; whether it is what was signed is not known yet."""
    rows = client.rows(_CHECKPOINTS, bytes_columns=("note",))
    entries = [entry for _, sealers, numbers in rows for entry in map(LogEntry, sealers, numbers)]
    return _with_notes(entries, [note for note, _, _ in rows])


def read_last_notes(client: LogboekClient) -> StoredLog:
    """Return the last checkpoints of a log without its entries: for who looks often."""
    return _with_notes([], _notes(client, _LAST_CHECKPOINTS))


def read_current_log(client: LogboekClient, *, witnessed: bool = False) -> StoredLog:
    """Return all entries of a log and its last checkpoints: in a year there are a million, which take seconds to read.

    Args:
        witnessed: Whether the last that others signed too have to be among them, however long ago that was.
    """
    entries = [entry for sealers, numbers in client.rows(_ENTRIES) for entry in map(LogEntry, sealers, numbers)]
    notes = _notes(client, _LAST_CHECKPOINTS)
    log = _with_notes(entries, notes)
    if witnessed and log.witnessed is None:
        return _with_notes(entries, [*_notes(client, _LAST_WITNESSED), *notes])
    return log


def _notes(client: LogboekClient, newest_first: Sql) -> list[bytes]:
    """Return the notes of a query, the oldest first."""
    return [note for (note,) in reversed(client.rows(newest_first, bytes_columns=("note",)))]


def _with_notes(entries: list[LogEntry], notes: Sequence[bytes]) -> StoredLog:
    log = StoredLog(entries, [], [])
    for note in notes:
        try:
            log.notes.append(SignedNote.parse(note))
        except NoteError as error:
            log.bad.append(str(error))
    return log


def read_tree(client: LogboekClient, log: StoredLog) -> LogTree | None:
    """Return the tree of a log, of which the engine makes the hashes; None where a manifest of it is missing."""
    hashes = {LogEntry(sealer, number): bytes.fromhex(leaf) for sealer, number, leaf in client.rows(HASHES)}
    if not set(log.entries) <= hashes.keys():
        return None
    return LogTree({entry: at for at, entry in enumerate(log.entries)}, [hashes[each] for each in log.entries])
