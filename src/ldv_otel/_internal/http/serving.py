"""What the commands that serve, `ldv serve` and `ldv logboek`, do alike around uvicorn."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

    import uvicorn


@contextmanager
def stopping_on_signals(server: uvicorn.Server) -> Iterator[None]:
    """Let SIGTERM and SIGINT end the server and not the process, which has a Logboek to close after it.

    uvicorn has handlers of its own while it serves, and raises the signal again when it is done: for these.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def address_of(listener: socket.socket, scheme: str = "http") -> str:
    """Return the URL of what listens there."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
