"""Real web servers: every answered request has its Logregel, once, however the server makes its workers."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.processes.rig import HANG_SECONDS, Rig, Service, issue, request_all, wait_until

pytestmark = pytest.mark.slow

_WSGI = "tests.processes.apps:application"
_REQUESTS = 60


def gunicorn(rig: Rig, worker: str, *more: str, **environ: str) -> tuple[Service, int]:
    """Start gunicorn with two workers; return it and its port.

    Its gevent worker may sit out the graceful timeout with any application, and a worker that is stopped while it boots
    does so too; hence the short one.
    """
    service = rig.start(
        "-m",
        "gunicorn",
        "--bind=127.0.0.1:0",
        "--workers=2",
        "--graceful-timeout=2",
        f"--worker-class={worker}",
        *more,
        _WSGI,
        **environ,
    )
    service.wait_for(r"(?s)Booting worker.*Booting worker")
    return service, int(service.wait_for(r"Listening at: http://127\.0\.0\.1:(\d+)")[1])


@pytest.mark.timeout(900)
@pytest.mark.parametrize("preload", [False, True], ids=["", "preload"])
@pytest.mark.parametrize("worker", ["sync", "gthread", "gevent"])
def test_gunicorn(rig: Rig, worker: str, preload: bool) -> None:  # a parameter of the test
    """Each worker has a spool of its own, also when `install()` ran in the master before it forked."""
    ids = issue(_REQUESTS)
    service, port = gunicorn(rig, worker, "--threads=4", *(["--preload"] if preload else []))
    with service:
        answered = request_all(port, ids)
        assert service.stop() == 0
    assert answered == ids, service.output
    assert "Traceback" not in service.output
    rig.verdict(acknowledged=answered, issued=ids)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("worker", ["gthread", "gevent"])
def test_gunicorn_while_the_logboek_is_away(rig: Rig, worker: str) -> None:
    """The workers answer, stop in time, and what they leave on disk is adopted when the Logboek is back."""
    ids = issue(_REQUESTS)
    rig.logboek.stop()
    try:
        service, port = gunicorn(rig, worker, "--threads=4", "--preload", LDV_FLUSH_SECONDS="0.5")
        with service:
            answered = request_all(port, ids)
            assert service.stop() == 0
        assert answered == ids, service.output
    finally:
        rig.logboek.start()
    assert rig.left_over()
    assert not rig.stored()
    rig.verdict(acknowledged=answered, issued=ids)


@pytest.mark.timeout(900)
def test_gunicorn_workers_that_are_replaced(rig: Rig) -> None:
    """Workers come and go while requests are served: a spool each, and none is left behind."""
    ids = issue(_REQUESTS)
    service, port = gunicorn(rig, "gthread", "--threads=4", "--max-requests=20", "--preload")
    with service:
        answered = request_all(port, ids)
        assert service.stop() == 0
    assert len(answered) > _REQUESTS // 2
    rig.verdict(acknowledged=answered, issued=ids)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("delivery", ["durable", "memory"])
@pytest.mark.parametrize("how", ["--enable-threads", "--py-call-uwsgi-fork-hooks", "--lazy-apps"])
def test_uwsgi(rig: Rig, how: str, delivery: str) -> None:
    """A server that forks in C: its workers have a spool of their own each, or a queue.

    Its master has no thread of ours when it forks. One that waits for the interpreter's lock then leaves a worker in
    which every request waits for ever; that is seldom, so that not the waiting is tested but what it takes.
    """
    # Beside this interpreter first: `make test` does not put the environment's programs on the path.
    command = shutil.which("uwsgi", path=str(Path(sys.executable).parent)) or shutil.which("uwsgi")
    if command is None:
        pytest.skip("uwsgi is not installed: it is built from source and needs a C compiler")
    ids = issue(_REQUESTS)
    options = "--http-socket=127.0.0.1:0 --master --processes=2 --threads=2 --enable-threads --need-app"
    options += " --die-on-term --disable-logging"
    service = rig.start(
        "-c",
        "import os, sys; os.execv(sys.argv[1], sys.argv[1:])",
        command,
        *options.split(),
        f"--virtualenv={sys.prefix}",
        f"--module={_WSGI}",
        how,
        LDV_DELIVERY=delivery,
    )
    with service:
        port = int(service.wait_for(r"bound to TCP address 127\.0\.0\.1:(\d+)")[1])
        loaded = "WSGI app 0 .*WSGI app 0 " if how == "--lazy-apps" else ""
        service.wait_for(r"(?s)spawned uWSGI worker 2.*" + loaded)
        assert len(list(Path(f"/proc/{service.pid}/task").iterdir())) == 1
        answered = request_all(port, ids)
        if delivery == "memory":  # which promises nothing over the end of a process
            wait_until(lambda: len(rig.stored()) == len(ids), HANG_SECONDS, lambda: service.output)
        service.stop()
    assert answered == ids, service.output
    assert "Traceback" not in service.output
    assert "No thread" not in service.output
    rig.verdict(acknowledged=answered, issued=ids)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("workers", [1, 2])
def test_uvicorn(rig: Rig, workers: int) -> None:
    """Async handlers with `async with`; one process, or a supervisor with spawned workers."""
    ids = issue(_REQUESTS)
    with rig.start("-m", "uvicorn", "--port=0", f"--workers={workers}", "tests.processes.apps:asgi") as service:
        port = int(service.wait_for(r"running on http://127\.0\.0\.1:(\d+)")[1])
        service.wait_for("(?s)" + "Application startup complete.*" * workers)
        answered = request_all(port, ids)
        service.stop()
    assert answered == ids, service.output
    assert "Traceback" not in service.output
    rig.verdict(acknowledged=answered, issued=ids)
