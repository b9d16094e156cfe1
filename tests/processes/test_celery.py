"""Celery: as many Logregels as tasks, whatever the pool; `max_tasks_per_child=1` is where others keep one in ten."""

from __future__ import annotations

import pytest

from tests.processes.rig import Rig, issue, wait_until
from tests.torture.rig import size

pytestmark = pytest.mark.slow

_SECONDS = 120.0


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize(
    ("tasks", "pool"),
    [
        (size(100, 10_000), ("--pool=prefork", "--concurrency=8", "--max-tasks-per-child=1")),
        (size(1_000, 10_000), ("--pool=prefork", "--concurrency=2", "--max-tasks-per-child=100")),
        (size(1_000, 10_000), ("--pool=threads", "--concurrency=8")),
        (size(1_000, 10_000), ("--pool=gevent", "--concurrency=8")),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, tuple) else given,
)
def test_every_task_has_its_logregel(rig: Rig, tasks: int, pool: tuple[str, ...]) -> None:
    """Children of the prefork pool are replaced after some tasks, and never run exit handlers."""
    files = rig.directory / "celery"
    for name in ("messages", "control"):
        (files / name).mkdir(parents=True)
    environ = {"CELERY_FILES": str(files)}
    with rig.start("-m", "tests.processes.tasks", str(tasks), **environ) as producer:
        assert producer.end(_SECONDS) == 0, producer.output
    options = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=INFO")
    with rig.start("-m", "celery", "-A", "tests.processes.tasks", "worker", *pool, *options, **environ) as worker:
        done = 0
        while done < tasks:
            # However long all of it takes: without any progress it hangs.
            wait_until(lambda: len(rig.acknowledged()) > done, _SECONDS, lambda: worker.output[-4_000:])  # noqa: B023
            done = len(rig.acknowledged())
        worker.stop()
    ids = issue(tasks)
    assert sorted(rig.acknowledged()) == ids
    assert "Traceback" not in worker.output, worker.output
    rig.verdict(acknowledged=ids, issued=ids)
