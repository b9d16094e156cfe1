"""Inspection of spools from outside, without disturbing their owners."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from pathlib import Path

import msgspec

from ldv_otel._internal.delivery.spool.progress import Progress
from ldv_otel._internal.delivery.spool.quarantine import QUARANTINE_NAME, Quarantine
from ldv_otel._internal.delivery.spool.reader import OrphanSpool
from ldv_otel._internal.delivery.spool.segment import SUFFIX
from ldv_otel._internal.delivery.spool.write_ahead import interrupted_acties
from ldv_otel._internal.delivery.spool.writer import hold, owner_of
from ldv_otel._internal.record.logregel import decode_logregel


class SpoolStatus(msgspec.Struct, kw_only=True):
    """The state of one writer's spool.

    Attributes:
        pid: Process id of its owner, as the owner knew it; 0 when that cannot be read.
        alive: Whether its owner runs; otherwise any process for the same Logboek, or `ldv spool drain`, sends it.
        pending: Records that are not confirmed yet.
        in_doubt: How many of those belong to a batch that was frozen, so may be in the Logboek already.
        running: Acties that have begun and not ended (level `write-ahead`); when the owner is dead they never will.
        oldest_ms: When the oldest pending record ended, in ms since 1970-01-01 UTC; None when nothing is pending.
        quarantined: Records of this writer in the quarantine.
        confirmed_ms: When the Logboek last confirmed something of it, in ms since 1970-01-01 UTC; None for never.
        damaged_bytes: Bytes that could not be read.
    """

    writer_id: str
    pid: int
    alive: bool
    pending: int
    in_doubt: int
    running: int
    oldest_ms: int | None
    quarantined: int
    confirmed_ms: int | None
    file_bytes: int
    damaged_bytes: int


def inspect_spools(base: Path) -> list[SpoolStatus]:
    """Return all spools below a directory, by name."""
    if not base.is_dir():
        return []
    quarantined = Counter(record.writer_id for record in Quarantine(base / QUARANTINE_NAME).records())
    spools = []
    for directory in sorted(base.iterdir()):
        if directory.name != QUARANTINE_NAME and not directory.name.startswith("."):
            with suppress(FileNotFoundError):  # it was drained and removed meanwhile
                spools.append(_inspect(directory, quarantined[directory.name]))
    return spools


def _inspect(directory: Path, quarantined: int) -> SpoolStatus:
    progress = Progress.read(directory)
    orphan = OrphanSpool(directory)
    pending = in_doubt = 0
    oldest_ms: int | None = None
    for record in orphan.records():
        if record.seq > progress.confirmed:
            pending += 1
            in_doubt += any(frozen.first <= record.seq <= frozen.last for frozen in progress.frozen)
            if oldest_ms is None:
                try:
                    oldest_ms = decode_logregel(record.payload).end_time_ms
                except msgspec.DecodeError:
                    continue  # the next record has a time
    return SpoolStatus(
        writer_id=directory.name,
        pid=owner_of(directory),
        alive=_alive(directory),
        pending=pending,
        in_doubt=in_doubt,
        running=len(interrupted_acties(orphan)),
        oldest_ms=oldest_ms,
        quarantined=quarantined,
        confirmed_ms=progress.confirmed_ms or None,
        file_bytes=sum(path.stat().st_size for path in directory.glob(f"*{SUFFIX}")),
        damaged_bytes=sum(orphan.damaged.values()),
    )


def _alive(directory: Path) -> bool:
    try:
        # Held for a moment only; an adopter that tries meanwhile takes it for alive, and comes back.
        os.close(hold(directory))
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
