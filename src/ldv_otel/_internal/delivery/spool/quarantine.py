"""The quarantine: a file for each record that the Logboek refuses as data, with the reason (LDV-L2)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from ldv_otel._internal.config.private_directories import make_directory, sync_directory
from ldv_otel._internal.delivery.spool.segment import SUFFIX, write_all

QUARANTINE_NAME: Final = "quarantine"


class QuarantinedRecord(msgspec.Struct, kw_only=True):
    """One record that was quarantined.

    Attributes:
        payload: The record's bytes as they were in the spool.
        reason: In a sentence; never holds content of the record.
    """

    writer_id: str
    seq: int
    reason: str
    payload: bytes


class Quarantine:
    """A directory (0700) with a file (0600) for each record, and damaged segments beside them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def add(self, writer_id: str, seq: int, payload: bytes, reason: str) -> None:
        """Keep a record on disk before it leaves the spool.

        Raises:
            OSError: The disk refused.
        """
        make_directory(self._directory)
        content = msgspec.json.encode(QuarantinedRecord(writer_id=writer_id, seq=seq, reason=reason, payload=payload))
        draft = self._directory / f"{writer_id}-{seq}.new"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            write_all(descriptor, content)
            # Before the rename: after power loss the final name must not stand for an empty file.
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        # A crash before this leaves a `.new` file that nobody reads; the record is still in its spool.
        draft.rename(draft.with_suffix(".json"))
        # The record leaves the spool when this returns, so its name here has to survive power loss as well.
        sync_directory(self._directory)

    def keep_segment(self, writer_id: str, path: Path) -> Path:
        """Move a damaged segment here, and return where it is now."""
        make_directory(self._directory)
        target = self._directory / f"{writer_id}-{path.name}"
        path.rename(target)
        return target

    def records(self) -> list[QuarantinedRecord]:
        """Return the quarantined records."""
        return [
            msgspec.json.decode(path.read_bytes(), type=QuarantinedRecord)
            for path in sorted(self._directory.glob("*.json"))
        ]

    def release(self, writer_id: str, seq: int) -> None:
        """Remove a record that the Logboek has confirmed."""
        (self._directory / f"{writer_id}-{seq}.json").unlink(missing_ok=True)

    def segments(self) -> list[Path]:
        """Return the damaged segments that were kept."""
        return sorted(self._directory.glob(f"*{SUFFIX}"))
