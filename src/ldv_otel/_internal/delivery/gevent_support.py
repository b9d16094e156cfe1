"""Under gevent: what waits for a disk or a server waits in gevent's pool of threads, so that other greenlets go on.

With monkey patching, our locks are gevent's and may be waited for, so only what calls the operating system goes to a
thread: `flushing`. Without it our locks are those of threads, and a greenlet that waited for one would stop the thread
that the holder needs, so all of a waiting call goes there: `waiting`. Without gevent both just call.

A greenlet may be killed wherever it waits, and with gevent's locks that is almost everywhere, also where it would
have woken others. So what waits is never done by the greenlet that asked: with patching a greenlet of our own does it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def patched() -> bool:
    """Say whether locks that are made now are gevent's."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def flushing(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Do what takes none of our locks: in a thread where gevent has patched them, else here."""
    hub = _hub() if patched() else None
    return work(*args, **kwargs) if hub is None else _apart(hub.threadpool.spawn, lambda: work(*args, **kwargs))


def waiting(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Do what may wait for our locks: under gevent in a thread, or in a greenlet if locks are gevent's; else here."""
    hub = _hub()
    if hub is None:
        return work(*args, **kwargs)
    begin = sys.modules["gevent"].spawn if patched() else hub.threadpool.spawn
    return _apart(begin, lambda: work(*args, **kwargs))


def _hub() -> Any:
    """Return the hub that others wait for while we do not switch to it; None where there is none."""
    gevent = sys.modules.get("gevent")
    if gevent is None:
        return None
    current = gevent.getcurrent()
    if isinstance(current, gevent.Greenlet):
        return gevent.get_hub()
    # The main greenlet of a patched program counts too. The thread's number, because the others are patched.
    at_the_top = current.parent is None and threading.get_native_id() == os.getpid()
    return gevent.get_hub() if at_the_top and patched() else None


def _apart(begin: Callable[[Callable[[], None]], Any], work: Callable[[], R]) -> R:
    """Have it done, and wait; a kill or a timeout comes after that, because what is begun is not undone."""
    results: list[R] = []
    errors: list[BaseException] = []

    def keep() -> None:
        # Kept here, because gevent prints what comes out of a greenlet or of a thread of its pool.
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001  (raised below)
            errors.append(error)

    task = begin(keep)
    # Lists, and emptied: a variable that holds an exception is reached by the exception's traceback.
    interruptions: list[BaseException] = []
    wait = sys.modules["gevent"].wait
    while not task.ready():
        try:
            wait([task])
        except BaseException as error:  # noqa: BLE001  (raised below)
            interruptions[:] = [error]
    if interruptions:
        raise interruptions.pop()
    if errors:
        raise errors.pop()
    return results[0]
