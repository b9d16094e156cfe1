"""Starts the threads of this package, where they can be had and do no harm."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable


def forks_later() -> bool:
    """Return whether this process is uWSGI's, with the application loaded and its workers not yet forked.

    It forks in C, without the hooks of Python. A thread that waits for the interpreter's lock at that moment leaves it
    in a state in which the children wait for ever. So there may be none: each worker starts its own with its first
    Logregel. Workers, mules and spoolers have another process id than the master, and the only process of a uWSGI
    without one is worker 1 as soon as it serves.
    """
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is None or not hasattr(uwsgi, "worker_id"):
        return False
    return uwsgi.worker_id() == 0 and uwsgi.masterpid() in (0, os.getpid())


def start_thread(work: Callable[[], None], name: str) -> threading.Thread | None:
    """Start a daemon thread; return None where none can be had, or where it `forks_later`.

    A process may have as many as it is allowed, and from Python 3.12 on the interpreter starts none once it is ending.
    That is no error of the application's, which only wanted to log: what the thread was for is done later, or in place.
    """
    if forks_later():
        return None
    thread = threading.Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except (RuntimeError, MemoryError):
        return None
    return thread
