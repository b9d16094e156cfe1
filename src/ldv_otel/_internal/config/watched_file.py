"""Looks whether the file of the Logboeken has changed, and has what it says by now taken over."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ldv_otel._internal.config.error_places import type_and_places
from ldv_otel.errors import ConfigurationError, LdvError

_logger: Final = logging.getLogger(__name__)
#: What a file may bring about must not end who looks at it, who has other work as well.
_ANY: Final = (LdvError, OSError, ValueError, TypeError, LookupError, RuntimeError)


class WatchedFile:
    """The file as it was when it was last looked at.

    Args:
        path: Where it is.
        take_over: Reads it and does what it says, all of it or nothing.
    """

    def __init__(self, path: Path, take_over: Callable[[], None]) -> None:
        self._path = path
        self._take_over = take_over
        self._seen = self._stamp()

    def look(self) -> None:
        """Take a change over; one that cannot be used is logged once, and all stays as it was."""
        stamp = self._stamp()
        if stamp == self._seen:
            return
        # Before it is read: what is written meanwhile is seen with the next look.
        self._seen = stamp
        try:
            self._take_over()
        except ConfigurationError as error:
            reason = str(error).removesuffix(" Logging did not start.")
            _logger.error("The file of LDV_LOGBOEKEN was changed and is not followed: %s The tenants stay.", reason)
        except _ANY as error:
            _logger.error("The file of LDV_LOGBOEKEN could not be read again. %s", type_and_places(error))
        else:
            _logger.warning("The file of LDV_LOGBOEKEN was changed, and is followed from here on.")

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino
