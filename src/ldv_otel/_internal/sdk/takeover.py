"""Tests take the place of `install()`: while they do, no record of this process reaches a real Logboek.

What `install()` set up before steps aside for as long, and comes back afterwards; a call meanwhile sets up nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from opentelemetry.sdk.trace import TracerProvider

from ldv_otel._internal.sdk import _private
from ldv_otel._internal.sdk.attach import attach, detach
from ldv_otel._internal.sdk.processor import LdvSpanProcessor

#: The process in which the pytest plugin lets no `install()` set up anything; its value is a process id, because the
#: services that a test starts are none of these.
HELD: Final = "_LDV_OTEL_TEST_PROCESS"
#: What `health()` names as the Logboek of a test.
NAME: Final = "memory (ldv_otel.testing)"


class Installed(Protocol):
    """What `install()` set up: it can step aside, and come back."""

    def step_aside(self) -> None:
        """See no more spans."""

    def come_back(self, providers: list[TracerProvider]) -> None:
        """See spans again, also those of providers that were set meanwhile."""


#: The processors of tests, the one that logs now last; whether nothing is to log at all; the providers that tests see.
_tests: list[LdvSpanProcessor] = []
_on_hold: list[bool] = []
_providers: list[TracerProvider] = []


def is_taken() -> bool:
    """Return whether a test has taken the place of `install()` in this process."""
    return bool(_tests) or bool(_on_hold) or is_held()


def hold() -> None:
    """Let no `install()` set up anything from now on: this process imports an application only to look at it."""
    _on_hold.append(True)


def sets_provider() -> bool:
    """Return whether an application that was imported has set a tracer provider of its own."""
    return _private.current_provider() is not None


def is_held() -> bool:
    """Return whether the pytest plugin lets no `install()` set up anything in this process."""
    return os.environ.get(HELD) == str(os.getpid())


def running() -> LdvSpanProcessor | None:
    """Return the processor of the test that runs now; None between two of them."""
    return _tests[-1] if _tests else None


@contextmanager
def taken_over(processor: LdvSpanProcessor, provider: TracerProvider, installed: Installed | None) -> Iterator[None]:
    """Let a test's processor see the spans of a provider, and of those that are set meanwhile, and nobody else of ours.

    Args:
        installed: What `install()` set up in this process before.
    """
    outermost = not _tests
    watching = _private.watching()
    if outermost and installed is not None:
        installed.step_aside()
    _let_see(running(), processor)
    _tests.append(processor)
    listen(provider)
    _private.watch(listen, lambda *_: None)
    try:
        yield
    finally:
        _tests.remove(processor)
        _let_see(processor, running())
        if not _tests:
            _private.watch(*watching)
            if installed is not None:
                installed.come_back(_providers)
            _providers.clear()


def take_over_below(processor: LdvSpanProcessor, provider: TracerProvider) -> None:
    """Let a processor see what no test sees, from now to the end of the process."""
    _tests.insert(0, processor)
    if len(_tests) == 1:
        _private.watch(listen, lambda *_: None)
    listen(provider)


def listen(provider: TracerProvider) -> None:
    """Let the test that runs now see the spans of a provider, once."""
    if not any(provider is seen for seen in _providers):
        _providers.append(provider)
        attach(provider, _tests[-1])


def _let_see(before: LdvSpanProcessor | None, now: LdvSpanProcessor | None) -> None:
    for provider in _providers:
        if before is not None:
            detach(provider, before)
        if now is not None:
            attach(provider, now)
