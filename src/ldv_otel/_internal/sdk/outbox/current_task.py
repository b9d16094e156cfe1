"""Which task runs here, so that no Actie is put into the transaction of another one."""

from __future__ import annotations

import sys


def current_task() -> object:
    """Return the task of asyncio that runs in this thread; None outside of one."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs here
        return None
