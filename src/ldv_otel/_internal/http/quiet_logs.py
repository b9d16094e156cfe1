"""Keeping libraries that speak for a sink from telling others, in log lines of theirs, what they send."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silent(name: str) -> Iterator[None]:
    """Keep a library from logging in this thread what we tell in our own words."""
    here = threading.get_ident()

    def elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != here

    logger = logging.getLogger(name)
    logger.addFilter(elsewhere)
    try:
        yield
    finally:
        logger.removeFilter(elsewhere)
