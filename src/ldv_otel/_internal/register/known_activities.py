"""The activities of the Register, for the check at the time of writing (LDV-N15): which a record may name.

A record never waits for it: a Register behind a URL is asked again beside the work, and a Register that cannot be had
at all knows everything, because nothing is refused or flagged without having been looked up.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from ldv_otel._internal.config.daemon_thread import start_thread
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.register.source import RegisterSource, register_source
from ldv_otel.errors import ConfigurationError, LdvError

_logger = logging.getLogger(__name__)

#: How long an activity that was added to the Register may stay unknown here.
_SECONDS: Final = 60.0
#: A file is looked at again this soon, when it lacks an activity.
_SECONDS_OF_FILE: Final = 1.0


class KnownActivities:
    """Knows which activities are in the Register, of any version; threads share it, and so do forks.

    Args:
        source: Where the Register is.
        quiet: What is asked inside it makes no spans (LDV-A11).
        clock: Seconds that only grow.

    Raises:
        ConfigurationError: Its file cannot be used. A URL that gives nothing at the moment is asked again.
        RegisterError: As above.
    """

    def __init__(
        self,
        source: RegisterSource,
        *,
        quiet: Callable[[], AbstractContextManager[None]] = nullcontext,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._quiet = quiet
        self._clock = clock
        self._is_file = "://" not in source.location
        self._activity_ids: frozenset[str] | None = None
        self._look_again = clock() + _SECONDS
        self._look_at_file_again = clock() + _SECONDS_OF_FILE
        try:
            self._look()
        except LdvError as error:
            if self._is_file:
                raise
            _logger.warning("Activities are not checked until the Register can be had. %s", str(error))

    def knows(self, activity: str) -> bool:
        """Return whether the Register has an activity; also True as long as there is no Register."""
        now = self._clock()
        if now >= self._look_again:
            # Before it: another thread that comes by meanwhile need not ask too.
            self._look_again = now + _SECONDS
            if self._is_file:
                self._look_quietly()
            else:
                # Where no thread can be had, what is known goes on until it is looked at again.
                start_thread(self._look_quietly, "ldv-register")
        activity_ids = self._activity_ids
        if activity_ids is None or activity in activity_ids:
            return True
        if self._is_file and now >= self._look_at_file_again:
            # It may have been added a moment ago.
            self._look_at_file_again = now + _SECONDS_OF_FILE
            self._look_quietly()
            return self._activity_ids is None or activity in self._activity_ids
        return False

    def _look_quietly(self) -> None:
        try:
            self._look()
        except LdvError as error:
            # With a Register of before the source goes on with that one, and says so itself.
            _logger.warning("Activities are not checked until the Register can be had. %s", str(error))

    def _look(self) -> None:
        with self._quiet():
            self._activity_ids = frozenset(activity.id for activity in self._source.get())


def known_activities(
    settings: Settings, quiet: Callable[[], AbstractContextManager[None]] = nullcontext
) -> KnownActivities | None:
    """Return what `LDV_REGISTER_CHECK` asks for; None when activities are not checked.

    Raises:
        ConfigurationError: It is to be checked, and there is no Register, or one that cannot be used.
    """
    if settings.register_check == "off":
        return None
    source = register_source(settings)
    if source is None:
        raise ConfigurationError(
            f"LDV_REGISTER_CHECK={settings.register_check} checks activities against the Register, and LDV_REGISTER is "
            "not set. Logging did not start. Let LDV_REGISTER name the Register."
        )
    return KnownActivities(source, quiet=quiet)
