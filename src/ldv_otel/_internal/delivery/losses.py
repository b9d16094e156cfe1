"""Losses, written down: a writer that had to give records up leaves a file that `ldv status` shows.

Level `memory` can lose records by design. It must not do so quietly, and a process that has ended can no longer be
asked, so the count goes to the state directory.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import msgspec

from ldv_otel._internal.config.private_directories import make_directory
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.clock import Clock, SystemClock
from ldv_otel._internal.delivery.paths import losses_directory

_logger = logging.getLogger(__name__)


class LossReport(msgspec.Struct, kw_only=True):
    """What one writer could not deliver.

    Attributes:
        reported_ms: When this was written, in ms since 1970-01-01 UTC.
        lost: Logregels that will never be stored.
        reason: In a sentence; never holds content of a record.
    """

    writer_id: str
    pid: int
    logboek: str
    reported_ms: int
    lost: int
    reason: str


class LossWriter:
    """Writes down what a writer lost; called by delivery with each new count worth telling."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._directory = losses_directory(settings)
        self._logboek = str(settings.logboek)
        self._clock = clock or SystemClock()

    def __call__(self, writer_id: str, lost: int, reason: str) -> None:
        """Replace this writer's report by one with the new count."""
        report = LossReport(
            writer_id=writer_id,
            pid=os.getpid(),
            logboek=self._logboek,
            reported_ms=self._clock.time_ms(),
            lost=lost,
            reason=reason,
        )
        write_loss(self._directory, report)


def write_loss(directory: Path, report: LossReport) -> None:
    """Write a report down, replacing an earlier one of the same writer; a failure to do so is logged."""
    try:
        make_directory(directory)
        draft = directory / f"{report.writer_id}.{os.getpid()}.new"
        draft.write_bytes(msgspec.json.encode(report))
        draft.replace(directory / f"{report.writer_id}.json")
    except OSError as error:
        _logger.error(
            "The loss of %d Logregels could not be written to %s: %s.", report.lost, directory, error.strerror
        )


def read_losses(directory: Path) -> list[LossReport]:
    """Return all reports, newest first; an unreadable one is reported in the log and left out."""
    reports = []
    for path in sorted(directory.glob("*.json")):
        try:
            reports.append(msgspec.json.decode(path.read_bytes(), type=LossReport))
        except (OSError, msgspec.DecodeError) as error:
            _logger.warning("The loss report %s cannot be read: %s.", path, str(error))
    return sorted(reports, key=lambda report: report.reported_ms, reverse=True)
