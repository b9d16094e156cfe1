"""A batch: records with a fixed identity, so that one batch that is sent twice is not taken for two."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from ldv_otel._internal.record.logregel import Logregel, encode_logregel

_WRITER_ID_BYTES: Final = 8


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch has records of one writer; its rows, order and token never change, so that it can be sent again (LDV-L2).

    Attributes:
        writer_id: 16 hex digits, drawn when the writer of the records started.
        seqs: Their sequence numbers within that writer, ascending, one for each record.
        payloads: The records' bytes, as `encode_logregel` makes them; made here unless a spool has them already.
        repair: 0 for the first token; a repair of rows that went missing needs a token the Logboek has not seen.
        token: Hash of the exact content, or of that and the repair; equal batches have equal tokens, and no others do.
    """

    writer_id: str
    seqs: tuple[int, ...]
    logregels: tuple[Logregel, ...]
    payloads: tuple[bytes, ...] = ()
    repair: int = 0
    token: str = ""

    def __post_init__(self) -> None:
        """Derive the token, and refuse a batch that could not be read back."""
        if not self.payloads:
            msgspec.structs.force_setattr(self, "payloads", tuple(map(encode_logregel, self.logregels)))
        if not self.logregels or not len(self.seqs) == len(self.logregels) == len(self.payloads):
            raise ValueError("A batch needs records, and one sequence number for each.")
        if not self.token:
            msgspec.structs.force_setattr(self, "token", self._hash())

    def _hash(self) -> str:
        content = [f"{self.writer_id}|{self.repair}|".encode()]
        for seq, payload in zip(self.seqs, self.payloads, strict=True):
            content += (b"%d|%d|" % (seq, len(payload)), payload)
        return hashlib.sha256(b"".join(content)).hexdigest()

    def without(self, stored: Collection[int]) -> Batch | None:
        """Return what is missing as a repair batch under a new token, or None when nothing is."""
        repair = self.repair + 1
        if not stored:
            # Nothing of a dead process arrived, mostly: its content was hashed already, and is not once more.
            token = hashlib.sha256(f"{self.token}|{repair}".encode()).hexdigest()
            return msgspec.structs.replace(self, repair=repair, token=token)
        missing = [index for index, seq in enumerate(self.seqs) if seq not in stored]
        return self._part(missing, repair=repair) if missing else None

    def halves(self) -> tuple[Batch, Batch]:
        """Return the two halves of a batch of at least two records, each under a token of its own."""
        count = len(self.seqs)
        return self._part(range(count // 2)), self._part(range(count // 2, count))

    def around(self, index: int) -> tuple[Batch | None, Batch, Batch | None]:
        """Return one record of a batch as a batch, with what is before and after it, if anything."""
        count = len(self.seqs)
        before = self._part(range(index)) if index else None
        after = self._part(range(index + 1, count)) if index + 1 < count else None
        return before, self._part([index]), after

    def _part(self, indexes: Sequence[int], *, repair: int = 0) -> Batch:
        return Batch(
            writer_id=self.writer_id,
            seqs=tuple(self.seqs[index] for index in indexes),
            logregels=tuple(self.logregels[index] for index in indexes),
            payloads=tuple(self.payloads[index] for index in indexes),
            repair=repair,
        )


def number_batch(writer_id: str, first_seq: int, logregels: Sequence[Logregel]) -> Batch:
    """Return a batch of records that follow one another in the writer's sequence."""
    seqs = tuple(range(first_seq, first_seq + len(logregels)))
    return Batch(writer_id=writer_id, seqs=seqs, logregels=tuple(logregels))


def new_writer_id() -> str:
    """Return 16 random hex digits: a writer is one process (or one import) and never comes back."""
    return secrets.token_hex(_WRITER_ID_BYTES)
