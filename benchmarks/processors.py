"""What a process took of the processors: a figure that other work on the machine hardly changes."""

from __future__ import annotations

import os
from pathlib import Path


def cpu_ms(pid: int) -> float:
    """Return what a process took of the processors so far, in ms; Linux."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, stat[11:13])) * 1_000 / os.sysconf("SC_CLK_TCK")
