"""`install()`: the one line that makes a service keep a Logboek."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
from typing import Final

import msgspec
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from ldv_otel.errors import ConfigurationError
from ldv_otel.sdk import _private
from ldv_otel.sdk.processor import LdvSpanProcessor
from ldv_otel.settings import Settings, read_settings, unknown_variables

_logger = logging.getLogger(__name__)

#: A span of an instrumented web server carries some 15 attributes of its own before those of the standard.
_LEAST_SPAN_ATTRIBUTES: Final = 32


class Health(msgspec.Struct, frozen=True):
    """How logging is doing in this process, for a readiness probe.

    Attributes:
        installed: Whether `install()` was called here.
        pending: Logregels not yet confirmed by the Logboek.
        confirmed: Logregels confirmed since the process started.
        quarantined: Logregels that the Logboek refused as data; they are kept apart (`ldv spool quarantine list`).
        lost: Logregels that will never be stored; anything but 0 is a breach of duty.
        bent: How often each flag was put on a record; `failed` are spans that could not be logged at all.
    """

    installed: bool
    logboek: str = ""
    pending: int = 0
    confirmed: int = 0
    quarantined: int = 0
    lost: int = 0
    bent: dict[str, int] = msgspec.field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether everything that happened is, or will be, on record."""
        return self.installed and not self.lost and not self.quarantined and "failed" not in self.bent


class _Installation:
    """What `install()` set up in this process."""

    def __init__(self, settings: Settings, processor: LdvSpanProcessor) -> None:
        self.settings = settings
        self.processor = processor
        self._providers: list[TracerProvider] = []

    def listen_to(self, provider: TracerProvider) -> None:
        """Log the Acties of a provider, from now on and once."""
        if any(known is provider for known in self._providers):
            return
        limit = _private.max_span_attributes(provider)
        if limit is not None and limit < _LEAST_SPAN_ATTRIBUTES:
            raise ConfigurationError(
                f"Spans of this service keep {limit} attributes at most, too few to tell an Actie by. Logging did not "
                f"start. Raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT (and OTEL_ATTRIBUTE_COUNT_LIMIT) to "
                f"{_LEAST_SPAN_ATTRIBUTES} or more."
            )
        self._providers.append(provider)
        _private.instrument(provider, self.processor)


_installation: _Installation | None = None
_installing = threading.Lock()


def install(settings: Settings | None = None) -> None:
    """Keep a Logboek from here on: every Actie of this process is logged, sampled or not.

    Call it once, anywhere at the start: before or after the application sets its tracer provider, which it keeps. A
    second call changes nothing.

    Args:
        settings: By default read from the `LDV_*` environment variables.

    Raises:
        ConfigurationError: It could not work: the message names the variable and the way out. A server that is not
            there at the moment is no such reason.
    """
    global _installation  # noqa: PLW0603  (one Logboek a process)
    with _installing:
        if _installation is not None:
            return
        if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
            raise ConfigurationError(
                "OTEL_SDK_DISABLED=true switches OpenTelemetry off, and with it the Logboek. Logging did not start. "
                "Unset it; to send no traces to a tracing backend use OTEL_TRACES_SAMPLER=always_off."
            )
        for sentence in unknown_variables(os.environ):
            _logger.warning(sentence)
        settings = settings or read_settings(os.environ)
        provider = _sdk_provider()
        installation = _Installation(settings, LdvSpanProcessor.from_settings(settings))
        installation.listen_to(provider)
        _private.watch(installation.listen_to)
        # A provider may have been told not to shut down at exit, and a stand-in has no reason to.
        atexit.register(installation.processor.shutdown)
        _exit_on_sigterm()
        _installation = installation


def force_flush(timeout_seconds: float = 30.0) -> bool:
    """Deliver everything that is pending; True only if nothing is pending any more and nothing was ever lost.

    Raises:
        ConfigurationError: `install()` was not called.
    """
    if _installation is None:
        raise ConfigurationError("force_flush was called without install(). Call ldv_otel.install() first.")
    return _installation.processor.delivery.flush(timeout_seconds)


def health() -> Health:
    """Return how logging is doing in this process; never raises."""
    if _installation is None:
        return Health(installed=False)
    processor = _installation.processor
    delivery = processor.delivery
    return Health(
        installed=True,
        logboek=str(_installation.settings.logboek),
        pending=delivery.pending,
        confirmed=delivery.confirmed,
        quarantined=delivery.quarantined,
        lost=delivery.lost,
        bent=dict(processor.bent),
    )


def _exit_on_sigterm() -> None:
    """Let SIGTERM end the process as `sys.exit` does, so that what is pending is delivered first.

    By default the signal kills Python on the spot. A handler of the application or its server, set before or after, is
    left alone; one that flushed by itself could wait for a lock that the interrupted code holds.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def _sdk_provider() -> TracerProvider:
    """Return the provider to listen to, making a stand-in when the application has set none yet."""
    if _private.current_provider() is None:
        if "OTEL_PYTHON_TRACER_PROVIDER" not in os.environ:
            trace.set_tracer_provider(_private.StandInProvider(shutdown_on_exit=False))
        else:
            trace.get_tracer_provider()
    provider = _private.current_provider()
    if not isinstance(provider, TracerProvider):
        raise ConfigurationError(
            f"The tracer provider of this service is a {type(provider).__name__}, not one of the OpenTelemetry SDK, so "
            "its spans cannot be logged. Logging did not start. Set opentelemetry.sdk.trace.TracerProvider, or none."
        )
    return provider
