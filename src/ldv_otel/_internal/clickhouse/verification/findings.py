"""What a check of the Logboek finds: its kinds, and the sentence that a reader gets of each."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from ldv_otel._internal.times.instants import rfc3339_from_ms


class FindingKind(StrEnum):
    """What happened to records or manifests."""

    CHANGED = "changed"
    REMOVED = "removed"
    ADDED = "added"
    NOT_SEALED = "not sealed"
    SALT_LOST = "salt lost"
    MANIFEST_CHANGED = "manifest changed"
    MANIFEST_REMOVED = "manifest removed"
    FORKED = "forked"
    UNKNOWN_KEY = "unknown key"
    LOG_CHANGED = "log changed"
    NOT_WITNESSED = "not witnessed"


#: They show neither that anything was changed nor that nothing was.
SHOWS_NOTHING: Final = frozenset({FindingKind.NOT_SEALED, FindingKind.NOT_WITNESSED})

_ADVICE: Final = {
    FindingKind.CHANGED: "Compare them with a backup or with who received them, and find out who may write to it.",
    FindingKind.REMOVED: "No retention term removed them. Look for them in a backup, and find out who may delete.",
    FindingKind.ADDED: "No writer sent them through a sealer. Treat them as false until their origin is shown.",
    FindingKind.NOT_SEALED: (
        "They are of before sealing, of a Collector or of a service without a usable key, or somebody added them; "
        "nothing shows which. `ldv status` says whether services seal here; `ldv seal --adopt` seals what is there."
    ),
    FindingKind.SALT_LOST: "Without it nobody can tell whether they were changed. Put it back from a backup.",
    FindingKind.MANIFEST_CHANGED: "What it listed cannot be checked any more. Put it back from a backup.",
    FindingKind.MANIFEST_REMOVED: "It was stored, with records. Look for both in a backup.",
    FindingKind.UNKNOWN_KEY: "If it is the key of a service of yours, name it; else treat the records as added.",
    FindingKind.LOG_CHANGED: "Keep both as they are, and find out which is older and who may write to each.",
    FindingKind.NOT_WITNESSED: (
        "Nothing shows that others have seen the log as it is here. `ldv seal` asks them, and says what each answers."
    ),
    FindingKind.FORKED: "One of the two is not of the sealer, or its process was copied. Look for it in a backup.",
}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was found.

    Attributes:
        records: How many records it is about at most; 0 for a manifest of which the records are not known.
        writer_id: Of the records; empty when that is not known.
        seqs: Their sequence numbers in words: `3, 7-9`.
        sealer: Id and number of the manifest, where it is about one.
        first_start_ms: Start of the earliest record, in ms since 1970-01-01 UTC; None when that is not known.
        last_start_ms: Start of the latest one.
        detail: What exactly differs.
    """

    kind: FindingKind
    records: int = 0
    writer_id: str = ""
    seqs: str = ""
    sealer: str = ""
    first_start_ms: int | None = None
    last_start_ms: int | None = None
    detail: str = ""

    @property
    def sentence(self) -> str:
        """What happened, to which records, between which times, and what to do."""
        subject = f"{self.records} Logregels" if self.records != 1 else "1 Logregel"
        if self.kind is FindingKind.NOT_WITNESSED:
            return f"{self.kind}: {self.detail} {_ADVICE[self.kind]}"
        parts = [f"{self.kind}:", subject if self.records else "records that are not known"]
        if self.writer_id:
            parts.append(f"of writer {self.writer_id}")
        if self.seqs:
            parts.append(f"(numbers {self.seqs})")
        if self.first_start_ms is not None and self.last_start_ms is not None:
            first, last = map(rfc3339_from_ms, (self.first_start_ms, self.last_start_ms))
            parts.append(f"that started between {first} and {last}" if first != last else f"that started at {first}")
        if self.sealer:
            parts.append(f"in manifest {self.sealer}")
        return f"{' '.join(parts)}. {self.detail} {_ADVICE[self.kind]}".replace("  ", " ")
