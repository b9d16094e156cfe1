"""A Sink that keeps each Logregel as a line of JSON in a file."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ldv_otel.errors import ConfigurationError, LogboekUnavailable
from ldv_otel.plugins import Batch, Settings, SinkTraits


class JsonLinesSink:
    """Appends to one file, which other processes of the service append to as well."""

    # An append is cheap, so batches can be small; and so is asking what is stored.
    traits = SinkTraits(batch_records=500, cheap_read_back=True)

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stored: set[tuple[str, int]] = set()
        self._read = 0  # bytes of the file that `_stored` knows of
        self._descriptor = -1

    def open(self) -> None:
        """Open the file to append to, and read what is there."""
        if self._descriptor >= 0:
            return
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with self._locked():
                _sync_directory(self._path.parent)
        except OSError as error:
            self.close()
            # Only an administrator can change this. What can pass by itself is LogboekUnavailable.
            raise ConfigurationError(f"{self._path} cannot be written ({error.strerror}).") from error

    def send(self, batch: Batch) -> None:
        """Append what is not stored yet; returning means that it is on disk."""
        try:
            with self._locked():
                data = "".join(json.dumps(row) + "\n" for row in self._new_rows(batch)).encode()
                while data:
                    data = data[os.write(self._descriptor, data) :]
                # Before that, a power failure could take away what was confirmed and left the spool.
                os.fdatasync(self._descriptor)
        except OSError as error:
            # What got to the disk is read by the next call, which begins with half a row cut off.
            raise LogboekUnavailable(f"{self._path} refused a batch ({error.strerror}).", in_doubt=True) from error

    def read_back(self, batch: Batch) -> frozenset[int]:
        """Return which records of the batch are stored, by whatever process."""
        try:
            with self._locked():
                return frozenset(seq for seq in batch.seqs if (batch.writer_id, seq) in self._stored)
        except OSError as error:
            raise LogboekUnavailable(f"{self._path} cannot be read ({error.strerror}).") from error

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes out of the file, and know of all that they stored in it.

        A process adopts the spool of a dead one, whose last batch may be here already: so what this process remembers
        is not enough.
        """
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            self._read_on()
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _read_on(self) -> None:
        """Read the rows that came since the last time, and cut off half a row: its process died while it wrote."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            content = file.read()
        end = content.rfind(b"\n") + 1
        if end < len(content):
            os.ftruncate(self._descriptor, self._read + end)
        if end:
            # The process that wrote them may have died before it did this.
            os.fdatasync(self._descriptor)
        self._stored.update((row["writer_id"], row["seq"]) for row in map(json.loads, content[:end].splitlines()))
        self._read += end

    def _new_rows(self, batch: Batch) -> Iterator[dict[str, object]]:
        """Yield the rows that are not stored yet: a batch may come again, whole or in parts under another token."""
        for seq, logregel in zip(batch.seqs, batch.logregels, strict=True):
            if (batch.writer_id, seq) not in self._stored:
                yield {
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


def _sync_directory(directory: Path) -> None:
    """Make sure that a file made in a directory is still there after a power failure."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_sink(settings: Settings) -> JsonLinesSink:
    """Return the sink, not opened yet; entry point `jsonl` of the group `ldv_otel_sink`."""
    if not settings.logboek.path:
        raise ConfigurationError(f"{settings.logboek} names no file. Use jsonl://localhost/absolute/path.")
    return JsonLinesSink(Path(settings.logboek.path))
