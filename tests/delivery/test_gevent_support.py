"""Greenlets that are killed in the middle of a commit: whoever is not killed goes on, wherever the kill arrives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("gevent")

_KILLS = """
import sys
if sys.argv[1] == "patched":
    from gevent import monkey
    monkey.patch_all()
import json, os, pathlib
import gevent
from ldv_otel._internal.delivery.durable import DurableDelivery
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.testing import InMemoryLogboek

delivery = DurableDelivery(InMemoryLogboek(), pathlib.Path(sys.argv[2]), segment_bytes=64 * 1024)
flush, flushes, numbers, stuck, failed = os.fdatasync, [], iter(range(1, 100_000)), [], []

def counted(descriptor):
    flush(descriptor)
    flushes.append(1)

os.fdatasync = counted

def submit():
    number = next(numbers)
    delivery.submit(
        Logregel(
            trace_id=number.to_bytes(16, "big"),
            span_id=number.to_bytes(8, "big"),
            name=str(number),
            start_time_ms=1,
            end_time_ms=1,
        )
    )

def rounds(victim, after_flush, turns, signal):
    before = len(flushes)
    jobs = [gevent.spawn(submit) for _ in range(3)]
    while after_flush and len(flushes) == before and not all(job.ready() for job in jobs):
        gevent.sleep(0)
    for _ in range(turns):
        gevent.sleep(0)
    jobs[victim].kill(signal, block=False)
    jobs[victim].kill(block=False)
    gevent.joinall(jobs, timeout=20)
    stuck.extend((victim, after_flush, turns) for job in jobs if not job.ready())
    failed.extend(repr(job.exception) for job in jobs if job is not jobs[victim] and not job.successful())

for victim in range(3):
    for after_flush in (True, False):
        for turns in range(25):
            if not stuck:
                rounds(victim, after_flush, turns, gevent.Timeout() if turns % 2 else gevent.GreenletExit())
flushed = not stuck and delivery.shutdown(20)
print(json.dumps({"stuck": stuck, "failed": failed, "flushed": flushed, "lost": delivery.lost}), flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("kind", ["patched", "plain"])
def test_a_kill_anywhere_in_a_commit_holds_up_nobody(tmp_path: Path, kind: str) -> None:
    """The one that commits for others, or that was to be the next, is killed, twice, at every turn of the hub."""
    done = subprocess.run(
        [sys.executable, "-c", _KILLS, kind, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stdout) == {"stuck": [], "failed": [], "flushed": True, "lost": 0}
