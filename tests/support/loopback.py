"""Ports of loopback, and a server of a test on one of them, in a thread of its own."""

from __future__ import annotations

import itertools
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Self

#: Below those that the kernel gives to outgoing connections (from 32,768 on, and 49,152 elsewhere).
_FIRST: Final = 10_000
_COUNT: Final = 22_000
_numbers = itertools.count()


def free_port() -> int:
    """Return a port that nobody has, and that no outgoing connection gets in the meantime.

    For a server that is stopped and started on the same port, that starts later, or that never does.
    """
    for _ in range(_COUNT):
        # Processes that test side by side begin at different places.
        port = _FIRST + (os.getpid() * 97 + next(_numbers)) % _COUNT
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port of loopback is free")


class LoopbackServer(ThreadingHTTPServer):
    """Serves for the length of a `with` block."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def __enter__(self) -> Self:
        """Serve."""
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.shutdown()
        self._thread.join()
        self.server_close()
