"""Forks, spawns and ends of every kind: what was acknowledged is on disk, and is sent once."""

from __future__ import annotations

import signal

import pytest

from tests.processes.rig import Rig, wait_until

pytestmark = pytest.mark.slow

_SECONDS = 120.0


def verdict(rig: Rig, *, least: int) -> None:
    """All that was acknowledged is there; what was not may be there too, since its commit had begun."""
    acknowledged = rig.acknowledged()
    assert len(acknowledged) >= least, rig.logs()
    rig.adopt()
    unacknowledged = [name for name in rig.stored() if name not in set(acknowledged)]
    assert all(name.startswith("id-thread-") for name in unacknowledged)
    rig.verdict(acknowledged=acknowledged, issued=[*acknowledged, *unacknowledged])


@pytest.mark.timeout(900)
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing(rig: Rig, method: str) -> None:
    """Children log, and leave as multiprocessing lets them or through `os._exit`: neither runs atexit handlers."""
    with rig.start("-m", "tests.processes.children", method) as service:
        assert service.end(_SECONDS) == 0, service.output
        assert "Traceback" not in service.output
    verdict(rig, least=10)


@pytest.mark.timeout(900)
def test_fork_while_threads_are_inside_submit(rig: Rig) -> None:
    """Whatever lock was held at the fork: the child commits to a spool of its own, and nothing hangs."""
    with rig.start("-m", "tests.processes.children", "fork-under-load") as service:
        assert service.end(_SECONDS) == 0, service.output
        assert "Traceback" not in service.output
    assert {name for name in rig.acknowledged() if "child" in name} == {f"id-child-{number}" for number in range(20)}
    verdict(rig, least=40)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_signal_that_the_service_does_not_handle(rig: Rig, number: signal.Signals) -> None:
    """It ends at once or after a flush, in the middle of commits; what was acknowledged is not lost."""
    with rig.start("-m", "tests.processes.children", "forever") as service:
        wait_until(lambda: len(rig.acknowledged()) > 50, _SECONDS, lambda: service.output)
        status = service.stop(number)
    assert status != 0, service.output
    verdict(rig, least=50)
