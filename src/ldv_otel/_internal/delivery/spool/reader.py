"""Readers of a spool: the next records of the process's own, and everything in an orphan spool."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from ldv_otel._internal.delivery.spool.progress import Progress
from ldv_otel._internal.delivery.spool.segment import (
    FIRST_START,
    HEADER_BYTES,
    SUFFIX,
    NewerFormat,
    StoredRecord,
    scan_records,
    scan_segment,
    segment_name,
)

_logger = logging.getLogger(__name__)

_READ_BYTES: Final = 4 * 1024 * 1024
_PEEK_BYTES: Final = 64 * 1024


class SpoolReader:
    """The reader follows the spool of this process, a few MiB at a time, and unlinks segments that are confirmed."""

    def __init__(self, directory: Path, *, read_bytes: int = _READ_BYTES) -> None:
        self._directory = directory
        self._read_bytes = read_bytes
        self._segment = 1
        self._offset = HEADER_BYTES
        self._last_seqs: list[tuple[int, int]] = []
        self._last_seq = -1

    def read(self, committed: tuple[int, int], end_of: Callable[[int], int]) -> list[StoredRecord]:
        """Return the next Logregels; empty when there are none.

        Args:
            committed: Segment and offset up to which the spool has acknowledged.
            end_of: Where the acknowledged part of an earlier segment ends; what follows there was refused.
        """
        while (self._segment, self._offset) < committed:
            limit = committed[1] if self._segment == committed[0] else end_of(self._segment)
            if self._offset < limit:
                records = [record for record in self._records(limit) if record.seq < FIRST_START]
                if records:
                    self._last_seq = records[-1].seq
                    return records
            elif self._segment < committed[0]:
                self._last_seqs.append((self._segment, self._last_seq))
                self._segment, self._offset = self._segment + 1, HEADER_BYTES
        return []

    def _records(self, limit: int) -> list[StoredRecord]:
        """Return some of the records before `limit`; one that is larger than what is read at once is read whole."""
        size = self._read_bytes
        with (self._directory / segment_name(self._segment)).open("rb") as file:
            while True:
                end = min(limit, self._offset + size)
                records = scan_records(os.pread(file.fileno(), end - self._offset, self._offset)).records
                if records:
                    self._offset += records[-1].end
                    return records
                if end == limit:
                    _logger.error("%d bytes of %s cannot be read back.", limit - self._offset, file.name)
                    self._offset = limit
                    return []
                size *= 4

    def peek(self, committed: tuple[int, int], end_of: Callable[[int], int]) -> StoredRecord | None:
        """Return the next Logregel without taking it; None also when the drainer unlinked its segment meanwhile."""
        ahead = SpoolReader(self._directory, read_bytes=_PEEK_BYTES)
        ahead._segment, ahead._offset = self._segment, self._offset
        try:
            return next(iter(ahead.read(committed, end_of)), None)
        except FileNotFoundError:
            return None

    def drop(self, confirmed: int) -> int:
        """Unlink the segments of which everything is confirmed; that needs no space, so it works on a full disk.

        Returns:
            The segment that is read now.

        A crash before it is harmless: the progress file says what is confirmed, and what it lost is read back.
        """
        while self._last_seqs and self._last_seqs[0][1] <= confirmed:
            number, _ = self._last_seqs.pop(0)
            (self._directory / segment_name(number)).unlink(missing_ok=True)
        return self._segment


class OrphanSpool:
    """The spool of a dead process. Its reader holds its lock, so nothing else changes it.

    Attributes:
        last_seq: Highest sequence number of a Logregel read so far; -1 for none.
        last_segment: Highest number of a segment read so far.
        damaged: Segments in which something cannot be read, with the number of bytes between good records.
        newer: Whether a segment is of a newer format, so that this spool has to be left alone.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.last_seq = -1
        self.last_segment = 0
        self.damaged: dict[Path, int] = {}
        self.newer = False
        self._path = directory

    def keep_segment(self) -> None:
        """Treat the segment that is being read as damaged: something in it is sound and yet cannot be understood."""
        self.damaged.setdefault(self._path, 0)

    def batches(self, progress: Progress, most: int) -> Iterator[tuple[list[StoredRecord], bool]]:
        """Give what is not confirmed, in batches, each with whether it was frozen: those come as they were."""
        frozen = list(progress.frozen)
        batch: list[StoredRecord] = []
        confirmed = progress.confirmed
        for record in self.records():
            if record.seq <= confirmed:
                continue
            if batch and (record.seq > frozen[0].last if frozen else len(batch) >= most):
                yield batch, bool(frozen)
                batch, frozen = [], frozen[1:]
            batch.append(record)
        if batch:
            yield batch, bool(frozen)

    def records(self) -> Iterator[StoredRecord]:
        """Give every good Logregel, segment after segment."""
        for record in self.everything():
            if record.seq < FIRST_START:
                self.last_seq = max(self.last_seq, record.seq)
                yield record

    def everything(self) -> Iterator[StoredRecord]:
        """Give every good record, starts of Acties too."""
        for path in sorted(self.directory.glob(f"*{SUFFIX}")):
            try:
                scan = scan_segment(path.read_bytes())
            except NewerFormat:
                self.newer = True
                return
            if scan.damaged_bytes or scan.torn:
                # What follows the last good record may be a write that was cut off, or a record that was acknowledged.
                self.damaged[path] = scan.damaged_bytes
            self._path = path
            if path.stem.isdigit():
                self.last_segment = int(path.stem)
            yield from scan.records
