"""Greenlets that wait for a commit let the others go on: with monkey patching and without, each in a process."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.processes.rig import Rig

pytest.importorskip("gevent")

_SERVICE = """
import sys
if sys.argv[1] == "patched":
    from gevent import monkey
    monkey.patch_all()
import json, os, threading, time
import gevent
from gevent import monkey
import ldv_otel as ldv

sleep, flush = monkey.get_original("time", "sleep"), os.fdatasync
flushes, in_main, turns = [], [], [0]

def slow(descriptor):
    flushes.append(1)
    in_main.append(threading.get_native_id() == os.getpid())
    sleep(0.02)
    flush(descriptor)

def turning():
    while True:
        turns[0] += 1
        gevent.sleep(0.001)

def log(number, level):
    with ldv.processing("https://register.example/activiteiten/parkeren", name=f"id-{number:04d}", delivery=level):
        gevent.sleep(0)
    return f"id-{number:04d}"

ldv.install()
gevent.spawn(turning)
gevent.sleep(0)
os.fdatasync = slow
told, counts = [], {}
for level, numbers in (("durable", range(0, 40)), ("write-ahead", range(40, 80)), ("confirmed", range(80, 90))):
    before = len(flushes)
    jobs = [gevent.spawn(log, number, level) for number in numbers]
    gevent.joinall(jobs, raise_error=True)
    told += [job.value for job in jobs]
    counts[level] = len(flushes) - before
while_committing = turns[0]

# A timeout or a kill in the middle of a commit: refused or not, and nobody else suffers.
cut = []
for number in range(90, 110):
    job = gevent.spawn(log, number, "durable")
    other = gevent.spawn(log, number + 100, "durable")
    gevent.sleep(0.005)
    job.kill()
    told.append(other.get())
    cut.append(f"id-{number:04d}")
os.fdatasync = flush
flushed = ldv.force_flush(20)
print(json.dumps({"told": told, "cut": cut, "counts": counts, "turns": while_committing, "in_main": sum(in_main),
    "flushes": len(in_main), "flushed": flushed, "pending": ldv.health().pending}))
"""


def run(rig: Rig, kind: str) -> dict[str, Any]:
    """Run the service to its end."""
    with rig.start("-c", _SERVICE, kind) as service:
        assert service.end(90) == 0, service.output
    found: dict[str, Any] = json.loads(service.output.splitlines()[-1])
    return found


@pytest.mark.parametrize("kind", ["patched", "plain"])
def test_a_commit_waits_in_a_thread(rig: Rig, kind: str) -> None:
    """No flush is in the thread of the greenlets, which go on meanwhile and commit together."""
    found = run(rig, kind)
    assert found["in_main"] == 0, found
    assert found["turns"] > found["counts"]["durable"]
    assert found["counts"]["durable"] < 40
    assert found["counts"]["write-ahead"] < 80
    assert found["pending"] == 0
    rig.verdict(acknowledged=found["told"], issued=found["told"] + found["cut"])
