"""An exception thrown into a thread from elsewhere, at each call inside a commit: nobody else waits for ever."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from pathlib import Path
from types import FrameType

import pytest

from ldv_otel._internal.delivery.spool.writer import SpoolWriter
from ldv_otel.errors import LogboekUnavailable

_FILES = ("writer.py", "threading.py")


class _At:
    """Raises at one of the points where Python itself lets signals and asynchronous exceptions in: beside calls."""

    def __init__(self, point: int) -> None:
        self._left = point
        self.raised = False

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        if event in ("call", "c_return") and frame.f_code.co_filename.endswith(_FILES):
            self._left -= 1
            if self._left == 0:
                self.raised = True
                raise TimeoutError


@pytest.mark.parametrize("leads", [True, False])
def test_an_exception_thrown_into_a_commit_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, leads: bool
) -> None:
    """Whether it is the thread that commits or one that waits for it; and what is acknowledged is counted."""
    flush = os.fdatasync
    flushing: list[int] = []

    def slow(descriptor: int) -> None:
        # Not an event, whose own lock the exception could leave taken.
        flushing.append(1)
        time.sleep(0.01)
        flush(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow)
    spool = SpoolWriter(tmp_path, "0011223344556677", segment_bytes=4096)
    acknowledged: list[int] = []

    def append(at: _At | None) -> None:
        with contextlib.suppress(TimeoutError, LogboekUnavailable):
            try:
                sys.setprofile(at)
                acknowledged.append(spool.append(b"x"))
            finally:
                sys.setprofile(None)

    for point in range(1, 200):
        at = _At(point)
        flushing.clear()
        threads = [
            threading.Thread(target=append, args=(at if (number == 0) is leads and number < 2 else None,), daemon=True)
            for number in range(4)
        ]
        threads[0].start()
        deadline = time.monotonic() + 0.05
        while not flushing and time.monotonic() < deadline:
            time.sleep(0.001)
        for thread in threads[1:]:
            thread.start()
        for thread in threads:
            thread.join(3)
        assert not any(thread.is_alive() for thread in threads), point
        if not at.raised:
            break
    assert not at.raised
    assert point > 5
    assert len(set(acknowledged)) == len(acknowledged)
    assert spool.committed_records >= len(acknowledged)
    spool.append(b"last")
    spool.close()
