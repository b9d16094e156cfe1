"""Threads inside an application are started in one place, which knows that none may be had."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import ldv_otel

PACKAGE: Final = Path(ldv_otel.__file__).parent


def test_threads_are_started_in_one_place() -> None:
    """Elsewhere the error of the last thread that a process may have would reach the application."""
    starting = [
        path.relative_to(PACKAGE).as_posix()
        for path in sorted(PACKAGE.rglob("*.py"))
        if "Thread(" in path.read_text(encoding="utf-8")
    ]
    assert starting == ["_internal/config/daemon_thread.py"]
