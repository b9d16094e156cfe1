"""Starts the threads of this package, where they can be had."""

from __future__ import annotations

import threading
from collections.abc import Callable


def start_thread(work: Callable[[], None], name: str) -> threading.Thread | None:
    """Start a daemon thread; return None where none can be had.

    A process may have as many as it is allowed, and from Python 3.12 on the interpreter starts none once it is ending.
    That is no error of the application's, which only wanted to log: what the thread was for is done later, or in place.
    """
    thread = threading.Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except (RuntimeError, MemoryError):
        return None
    return thread
