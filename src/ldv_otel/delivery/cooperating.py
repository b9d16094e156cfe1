"""Under gevent: what waits for a disk or a server waits in gevent's pool of threads, so that other greenlets go on.

With monkey patching, our locks are gevent's and may be waited for, so only what calls the operating system goes to a
thread: `flushing`. Without it our locks are those of threads, and a greenlet that waited for one would stop the thread
that the holder needs, so all of a waiting call goes there: `waiting`. Without gevent both just call.
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
    return work(*args, **kwargs) if hub is None else _in_pool(hub, lambda: work(*args, **kwargs))


def waiting(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Do what may wait for our locks: in a thread where a greenlet has to wait for locks of threads, else here."""
    hub = None if patched() else _hub()
    return work(*args, **kwargs) if hub is None else _in_pool(hub, lambda: work(*args, **kwargs))


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


def _in_pool(hub: Any, work: Callable[[], R]) -> R:
    """Wait for a thread; a kill or a timeout of the greenlet comes after that, because what is begun is not undone."""
    outcome, interruption = hub.threadpool.spawn(work), None
    while not outcome.ready():
        try:
            outcome.wait()
        except BaseException as error:  # noqa: BLE001  (raised below)
            interruption = error
    if interruption is not None:
        raise interruption
    result: R = outcome.get()
    return result
