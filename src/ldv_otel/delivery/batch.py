"""A batch: records with a fixed identity, so that sending it twice can be told from sending two."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from ldv_otel.logregel import Logregel, encode_logregel

_WRITER_ID_BYTES: Final = 8


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Records of one writer, frozen before the first send: rows, order and token never change.

    Attributes:
        writer_id: Who wrote them: 16 hex digits drawn when the writer started.
        seqs: Their places in that writer's sequence, ascending, one for each record.
        repair: 0 for the first token; a repair of rows that went missing needs a token the Logboek has not seen.
        token: Hash of the exact content; equal batches have equal tokens, and no others do.
    """

    writer_id: str
    seqs: tuple[int, ...]
    logregels: tuple[Logregel, ...]
    repair: int = 0
    token: str = ""

    def __post_init__(self) -> None:
        """Derive the token, and refuse a batch that could not be read back."""
        if not self.logregels or len(self.seqs) != len(self.logregels):
            raise ValueError("A batch needs records, and one sequence number for each.")
        if not self.token:
            msgspec.structs.force_setattr(self, "token", self._hash())

    def _hash(self) -> str:
        digest = hashlib.sha256(f"{self.writer_id}|{self.repair}|".encode())
        for seq, logregel in zip(self.seqs, self.logregels, strict=True):
            encoded = encode_logregel(logregel)
            digest.update(b"%d|%d|" % (seq, len(encoded)))
            digest.update(encoded)
        return digest.hexdigest()

    def without(self, stored: Collection[int]) -> Batch | None:
        """Return what is missing as a repair batch under a new token, or None when nothing is."""
        missing = [pair for pair in zip(self.seqs, self.logregels, strict=True) if pair[0] not in stored]
        if not missing:
            return None
        seqs, logregels = zip(*missing, strict=True)
        return Batch(writer_id=self.writer_id, seqs=seqs, logregels=logregels, repair=self.repair + 1)


def number_batch(writer_id: str, first_seq: int, logregels: Sequence[Logregel]) -> Batch:
    """Return a batch of records that follow one another in the writer's sequence."""
    seqs = tuple(range(first_seq, first_seq + len(logregels)))
    return Batch(writer_id=writer_id, seqs=seqs, logregels=tuple(logregels))


def new_writer_id() -> str:
    """Return 16 random hex digits: a writer is one process (or one import) and never comes back."""
    return secrets.token_hex(_WRITER_ID_BYTES)
