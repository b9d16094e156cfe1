"""Memory, time and files of this process, under the names that Prometheus has for them everywhere."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import Final

from ldv_otel._internal.http.openmetrics import MetricFamily

_STARTED_SECONDS: Final = time.time()
_STATM: Final = Path("/proc/self/statm")
_DESCRIPTORS: Final = Path("/proc/self/fd")


def process_figures() -> list[MetricFamily]:
    """Return what the operating system says of this process; where there is no `/proc`, less of it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    families = [
        MetricFamily("process_cpu_seconds", "counter", "Time on a processor.", {(): usage.ru_utime + usage.ru_stime}),
        MetricFamily("process_start_time_seconds", "gauge", "When it started, since 1970.", {(): _STARTED_SECONDS}),
    ]
    try:
        pages = int(_STATM.read_text(encoding="ascii").split()[1])
        descriptors = sum(1 for _ in _DESCRIPTORS.iterdir())
    except (OSError, IndexError, ValueError):
        return families
    return [
        *families,
        MetricFamily("process_resident_memory_bytes", "gauge", "Memory.", {(): pages * os.sysconf("SC_PAGE_SIZE")}),
        MetricFamily("process_open_fds", "gauge", "Open files and sockets.", {(): descriptors}),
    ]
