"""Looking at spools from outside, without disturbing their owners."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from ldv_otel.delivery.spool.progress import Progress
from ldv_otel.delivery.spool.quarantine import QUARANTINE_NAME
from ldv_otel.delivery.spool.reading import Orphan
from ldv_otel.delivery.spool.segment import SUFFIX
from ldv_otel.delivery.spool.spool import hold
from ldv_otel.logregel import decode_logregel


class SpoolStatus(msgspec.Struct, kw_only=True):
    """One writer's spool.

    Attributes:
        alive: Whether its owner runs; otherwise any process for the same Logboek, or `ldv spool drain`, sends it.
        pending: Records that are not confirmed yet.
        in_doubt: How many of those belong to a batch that was frozen, so may be in the Logboek already.
        oldest_ms: When the oldest pending record began, in ms since 1970-01-01 UTC; None when nothing is pending.
        damaged_bytes: Bytes that could not be read.
    """

    writer_id: str
    alive: bool
    pending: int
    in_doubt: int
    oldest_ms: int | None
    file_bytes: int
    damaged_bytes: int


def inspect_spools(base: Path) -> list[SpoolStatus]:
    """Return all spools below a directory, by name."""
    if not base.is_dir():
        return []
    return [
        _inspect(directory)
        for directory in sorted(base.iterdir())
        if directory.name != QUARANTINE_NAME and not directory.name.startswith(".")
    ]


def _inspect(directory: Path) -> SpoolStatus:
    progress = Progress.read(directory)
    orphan = Orphan(directory)
    pending = in_doubt = 0
    oldest_ms: int | None = None
    for record in orphan.records():
        if record.seq > progress.confirmed:
            pending += 1
            in_doubt += any(frozen.first <= record.seq <= frozen.last for frozen in progress.frozen)
            if oldest_ms is None:
                try:
                    oldest_ms = decode_logregel(record.payload).start_time_ms
                except msgspec.DecodeError:
                    continue  # the next one says it
    return SpoolStatus(
        writer_id=directory.name,
        alive=_alive(directory),
        pending=pending,
        in_doubt=in_doubt,
        oldest_ms=oldest_ms,
        file_bytes=sum(path.stat().st_size for path in directory.glob(f"*{SUFFIX}")),
        damaged_bytes=sum(orphan.damaged.values()),
    )


def _alive(directory: Path) -> bool:
    try:
        os.close(hold(directory))
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
