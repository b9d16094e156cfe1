"""Inspection of spools from outside, without disturbing their owners."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from ldv_otel._internal.delivery.spool.ownership import hold, owner_of
from ldv_otel._internal.delivery.spool.progress import Progress
from ldv_otel._internal.delivery.spool.quarantine import QUARANTINE_NAME, Quarantine
from ldv_otel._internal.delivery.spool.reader import OrphanSpool
from ldv_otel._internal.delivery.spool.room import room_of
from ldv_otel._internal.delivery.spool.segment import SUFFIX
from ldv_otel._internal.delivery.spool.write_ahead import interrupted_acties
from ldv_otel._internal.record.logregel import decode_logregel

_LEAST_AGE_SECONDS: Final = 60.0


class SpoolStatus(msgspec.Struct, kw_only=True):
    """The state of one writer's spool.

    Attributes:
        pid: Process id of its owner, as the owner knew it; 0 when that cannot be read.
        alive: Whether its owner runs; otherwise any process for the same Logboek, or `ldv spool drain`, sends it.
        pending: Records that are not confirmed yet.
        pending_bytes: Their size on disk.
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
    pending_bytes: int
    in_doubt: int
    running: int
    oldest_ms: int | None
    quarantined: int
    confirmed_ms: int | None
    file_bytes: int
    damaged_bytes: int


class BacklogStatus(msgspec.Struct, kw_only=True):
    """What all spools for a Logboek hold that it has not confirmed, and how long their disk has room for more.

    Attributes:
        directory: Where they are.
        pending: Records that are not confirmed yet.
        oldest_ms: When the oldest of them ended, in ms since 1970-01-01 UTC; None when nothing is pending.
        free_bytes: Room on the disk; None where the file system does not say.
        total_bytes: Size of the disk; 0 where it does not say.
        full: Whether it has none left for another segment, so that applications are refused.
        lasts_seconds: How long it has room at the rate at which this backlog grew; None where nothing can be said.
    """

    directory: str
    pending: int
    oldest_ms: int | None
    free_bytes: int | None
    total_bytes: int
    full: bool
    lasts_seconds: float | None


def backlog_of(base: Path, spools: Sequence[SpoolStatus], now_ms: int) -> BacklogStatus:
    """Return the backlog of some spools together, with the room of their disk."""
    room = room_of(base)
    oldest = min((spool.oldest_ms for spool in spools if spool.oldest_ms is not None), default=None)
    grown = sum(spool.pending_bytes for spool in spools)
    age_seconds = (now_ms - oldest) / 1_000 if oldest is not None else 0.0
    lasts = None
    # Of a backlog of less than a minute nobody can say how fast it grows.
    if room.free_bytes is not None and age_seconds >= _LEAST_AGE_SECONDS and grown:
        lasts = room.free_bytes / (grown / age_seconds)
    return BacklogStatus(
        directory=str(base),
        pending=sum(spool.pending for spool in spools),
        oldest_ms=oldest,
        free_bytes=room.free_bytes,
        total_bytes=room.total_bytes,
        full=room.full,
        lasts_seconds=lasts,
    )


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
    pending = in_doubt = pending_bytes = 0
    oldest_ms: int | None = None
    for record in orphan.records():
        if record.seq > progress.confirmed:
            pending += 1
            pending_bytes += len(record.payload)
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
        pending_bytes=pending_bytes,
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
