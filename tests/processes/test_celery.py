"""Celery: as many Logregels as tasks, whatever the pool; `max_tasks_per_child=1` is where others keep one in ten."""

from __future__ import annotations

import pytest

from tests.processes.rig import Rig, issue, wait_until

pytestmark = pytest.mark.slow

_TASKS = 50
_SECONDS = 60.0


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "pool",
    [
        ("--pool=prefork", "--max-tasks-per-child=1"),
        ("--pool=threads",),
        ("--pool=gevent",),
    ],
    ids=" ".join,
)
def test_every_task_has_its_logregel(rig: Rig, pool: tuple[str, ...]) -> None:
    """Children of the prefork pool are replaced after each task, and never run exit handlers."""
    files = rig.directory / "celery"
    for name in ("messages", "control"):
        (files / name).mkdir(parents=True)
    environ = {"CELERY_FILES": str(files)}
    with rig.start("-m", "tests.processes.tasks", str(_TASKS), **environ) as producer:
        assert producer.end(_SECONDS) == 0, producer.output
    options = ("--concurrency=2", "--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=INFO")
    with rig.start("-m", "celery", "-A", "tests.processes.tasks", "worker", *pool, *options, **environ) as worker:
        wait_until(lambda: len(rig.acknowledged()) >= _TASKS, _SECONDS, lambda: worker.output[-4_000:])
        worker.stop()
    ids = issue(_TASKS)
    assert sorted(rig.acknowledged()) == ids
    assert "Traceback" not in worker.output, worker.output
    rig.verdict(acknowledged=ids, issued=ids)
