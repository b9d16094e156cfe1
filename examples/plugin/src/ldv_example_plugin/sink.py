"""A Sink that keeps each Logregel as a line of JSON in a file."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ldv_otel.errors import ConfigurationError, LogboekUnavailable
from ldv_otel.plugins import Batch, Settings, SinkTraits


class JsonLinesSink:
    """Appends to one file; what it has is read once, at `open`, and remembered."""

    # An append is cheap, so batches can be small; and what is stored is known without asking anybody.
    traits = SinkTraits(batch_records=500, cheap_read_back=True)

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stored: set[tuple[str, int]] = set()
        self._descriptor = -1

    def open(self) -> None:
        """Read what is there, and open the file to append to."""
        if self._descriptor >= 0:
            return
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            # Only an administrator can change this. What can pass by itself is LogboekUnavailable.
            raise ConfigurationError(f"{self._path} cannot be written ({error.strerror}).") from error
        self._stored = {(row["writer_id"], row["seq"]) for row in map(json.loads, self._complete_lines())}

    def send(self, batch: Batch) -> None:
        """Append what is not stored yet; returning means that it is on disk."""
        rows = [
            {
                "writer_id": batch.writer_id,
                "seq": seq,
                "trace_id": logregel.trace_id.hex(),
                "span_id": logregel.span_id.hex(),
                "name": logregel.name,
                "processing_activity_id": logregel.processing_activity_id,
                # The pseudonym: a sink never sees an identifier.
                "data_subject_id": logregel.data_subject_id.hex(),
                "start_time_ms": logregel.start_time_ms,
                "end_time_ms": logregel.end_time_ms,
                "attributes": logregel.attributes,
            }
            for seq, logregel in zip(batch.seqs, batch.logregels, strict=True)
            # A batch may come again, whole or in parts under another token: rows that are stored are not stored twice.
            if (batch.writer_id, seq) not in self._stored
        ]
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            # Before that, a power failure could take away what was confirmed and left the spool.
            os.fdatasync(self._descriptor)
        except OSError as error:
            self.close()  # what got to the disk is read at the next `open`
            raise LogboekUnavailable(f"{self._path} refused a batch ({error.strerror}).", in_doubt=True) from error
        self._stored.update((batch.writer_id, seq) for seq in batch.seqs)

    def read_back(self, batch: Batch) -> frozenset[int]:
        """Return which records of the batch are stored."""
        if self._descriptor < 0:
            self.open()
        return frozenset(seq for seq in batch.seqs if (batch.writer_id, seq) in self._stored)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _complete_lines(self) -> list[bytes]:
        """Return the lines of the file, and cut off one that a crash in the middle of a write left behind."""
        content = self._path.read_bytes()
        end = content.rfind(b"\n") + 1
        if end < len(content):
            os.ftruncate(self._descriptor, end)
        return content[:end].splitlines()


def open_sink(settings: Settings) -> JsonLinesSink:
    """Return the sink, not opened yet; entry point `jsonl` of the group `ldv_otel_sink`."""
    if not settings.logboek.path:
        raise ConfigurationError(f"{settings.logboek} names no file. Use jsonl://localhost/absolute/path.")
    return JsonLinesSink(Path(settings.logboek.path))
