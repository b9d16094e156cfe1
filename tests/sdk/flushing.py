"""Which threads flush a spool."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from ldv_otel._internal.delivery.spool.writer import SpoolWriter


@contextmanager
def flushing() -> Iterator[list[str]]:
    """The names of the threads that flush, one for each flush."""
    threads: list[str] = []
    flush = SpoolWriter._flush

    def noted(spool: SpoolWriter) -> None:
        threads.append(threading.current_thread().name)
        flush(spool)

    with mock.patch.object(SpoolWriter, "_flush", noted):
        yield threads
