"""Target 3: killed at every system call of one full life that changes a file."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ldv_otel._internal.delivery.durable import drain
from tests.torture.rig import FileLogboek, Forge, orphaned_segments, strace

SYSCALLS = ("write", "pwrite64", "fdatasync", "fsync", "rename", "unlink", "rmdir", "mkdir", "openat", "flock")
_KILLED = -9


@pytest.fixture
def forge() -> Iterator[Forge]:
    """What forks the processes to be killed."""
    with Forge() as found:
        yield found


def prepared(forge: Forge, where: Path, first: int) -> tuple[str, str, str]:
    """Leave an orphan whose first batch was stored and not confirmed, and return the next life's arguments."""
    base, store = where / "spools", where / "store"
    pid = forge.fork("cycle", str(base), str(store), str(first))
    tracer = strace(pid, "-e", "trace=fsync", "-P", str(store), "-e", "inject=fsync:signal=KILL:when=1")
    forge.open_gate()
    assert forge.reap() == _KILLED
    tracer.communicate()
    return str(base), str(store), str(first + 1_000)


def calls(forge: Forge, where: Path) -> dict[str, int]:
    """Count each system call of one undisturbed life."""
    arguments = prepared(forge, where, 0)
    pid = forge.fork("cycle", *arguments)
    log = where / "strace.log"
    tracer = strace(pid, "-e", f"trace={','.join(SYSCALLS)}", "-o", str(log))
    forge.open_gate()
    assert forge.reap() == 0
    tracer.communicate()
    text = log.read_text(errors="replace")
    return {name: len(re.findall(rf"^{name}\(", text, re.MULTILINE)) for name in SYSCALLS}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_crash_point_recovers(forge: Forge, tmp_path: Path) -> None:
    """From adopting an orphan to taking the spool away: whatever a kill leaves on disk, the next process puts right."""
    (tmp_path / "count").mkdir()
    counts = calls(forge, tmp_path / "count")
    assert min(counts[name] for name in ("write", "pwrite64", "fdatasync", "fsync", "rename", "unlink")) > 0
    survived = failed = points = 0
    for name, count in counts.items():
        for when in range(1, count + 1):
            points += 1
            where = tmp_path / f"{name}-{when}"
            where.mkdir()
            arguments = prepared(forge, where, points * 10_000)
            pid = forge.fork("cycle", *arguments)
            tracer = strace(pid, "-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={when}")
            forge.open_gate()
            survived += forge.reap() != _KILLED
            tracer.communicate()
            base, sink = Path(arguments[0]), FileLogboek(Path(arguments[1]))
            drain(sink, base)
            stored = sink.names()
            forge.settle()
            here = {span_id for span_id in forge.oracle.acknowledged if number(span_id) // 10_000 == points}
            issued = {span_id for span_id in forge.oracle.issued if number(span_id) // 10_000 == points}
            wrong = here - set(stored) or len(stored) != len(set(stored)) or set(stored) - issued
            left = orphaned_segments(base)
            if wrong or left:
                failed += 1
                print(f"{name} {when}: {wrong}, left {left}")
            shutil.rmtree(where)
    print(f"{points} points {counts}, {survived} not reached")
    assert not failed
    assert not survived


def number(span_id: str) -> int:
    """Return the number of a record."""
    return int(span_id, 16) - 1
