"""`install()`: the one line that makes a service keep a Logboek."""

from __future__ import annotations

import atexit
import importlib
import itertools
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Final

import msgspec
from opentelemetry import trace
from opentelemetry.metrics import get_meter
from opentelemetry.sdk.trace import TracerProvider

from ldv_otel._internal.config.daemon_thread import start_thread
from ldv_otel._internal.config.mounts import warning_about_place
from ldv_otel._internal.config.settings import Settings, read_service_settings, unknown_variables
from ldv_otel._internal.sdk import _private
from ldv_otel._internal.sdk.after_import import after_import
from ldv_otel._internal.sdk.attach import attach, detach
from ldv_otel._internal.sdk.health import PROVIDER_ADVICE, Health, health_of
from ldv_otel._internal.sdk.installed_processor import InstalledProcessor
from ldv_otel._internal.sdk.metrics import observe
from ldv_otel._internal.sdk.propagator import is_used, use_propagator
from ldv_otel._internal.sdk.span_state import SCOPE
from ldv_otel._internal.sdk.takeover import NAME, is_held, is_taken, running
from ldv_otel._internal.sdk.tenant_context import OneTenant, set_tenant_names
from ldv_otel._version import __version__
from ldv_otel.errors import ConfigurationError, LdvError

if TYPE_CHECKING:
    from ldv_otel._internal.sdk.outbox.contract import Outbox
    from ldv_otel._internal.sdk.tenants.processor import TenantsProcessor

_logger = logging.getLogger(__name__)

#: A span of an instrumented web server carries some 15 attributes of its own before those of the standard.
_LEAST_SPAN_ATTRIBUTES: Final = 32
#: What makes the spans of requests under ASGI, or stands around what does: modules and their classes.
_ASGI: Final = {
    "fastapi.applications": "FastAPI",
    "starlette.applications": "Starlette",
    "opentelemetry.instrumentation.asgi": "OpenTelemetryMiddleware",
}
#: So long a process may take for its exit after SIGTERM, beyond what delivering takes.
_EXIT_SECONDS: Final = 10.0


class _Installation:
    """What `install()` set up in this process."""

    def __init__(self, settings: Settings, processor: InstalledProcessor | TenantsProcessor) -> None:
        self.settings = settings
        self.processor = processor
        self._providers: list[TracerProvider] = []
        #: What `Health.provider_refused` says.
        self.provider_refused = ""

    def listen_to(self, provider: TracerProvider) -> None:
        """Log the Acties of a provider, from now on and once.

        Raises:
            ConfigurationError: Its limits or its configurator would hide them.
        """
        if self.listens_to(provider):
            return
        limit = _private.max_span_attributes(provider)
        if limit is not None and limit < _LEAST_SPAN_ATTRIBUTES:
            raise ConfigurationError(
                f"Spans of this service keep {limit} attributes at most, too few to tell an Actie by. Logging did not "
                f"start. Raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT (and OTEL_ATTRIBUTE_COUNT_LIMIT) to "
                f"{_LEAST_SPAN_ATTRIBUTES} or more."
            )
        if SCOPE in _private.silenced_tracers(provider, SCOPE):
            raise ConfigurationError(
                f"The tracer configurator of this service switches the tracer `{SCOPE}` off, and with it the Logboek. "
                "Logging did not start. Let it leave that tracer on (OTEL_PYTHON_TRACER_CONFIGURATOR, or "
                "`tracer_configurator/development` in OpenTelemetry's configuration file)."
            )
        self._providers.append(provider)
        self._attach(provider)

    def _attach(self, provider: TracerProvider) -> None:
        may_be_actie = self.processor.may_be_actie if self.settings.record == "acties" else None
        attach(provider, self.processor, may_be_actie)

    def step_aside(self) -> None:
        """See no more spans, for as long as a test logs into memory."""
        for provider in self._providers:
            detach(provider, self.processor)

    def come_back(self, providers: list[TracerProvider]) -> None:
        """See spans again, also those of providers that were set meanwhile."""
        for provider in self._providers:
            self._attach(provider)
        for provider in providers:
            self.listen_to(provider)

    def note_refused(self, refused: TracerProvider, kept: TracerProvider) -> None:
        """Say that OpenTelemetry refused a provider of the application, and what does not happen for that reason."""
        exporters = ", ".join(dict.fromkeys(_private.exporters_of(refused)))
        names = [str(provider.resource.attributes.get("service.name", "")) for provider in (refused, kept)]
        self.provider_refused = (
            "The application set a tracer provider of its own, and OpenTelemetry keeps the one that was set before it. "
            + (f"So no span reaches {exporters}" if exporters else "So the one of the application is not used")
            + (f", and the service is called {names[1]!r}, not {names[0]!r}." if names[0] != names[1] else ".")
        )
        _logger.warning("%s %s", self.provider_refused, PROVIDER_ADVICE)

    def listens_to(self, provider: trace.TracerProvider | None) -> bool:
        """Whether the Acties of this very provider are logged."""
        return any(seen is provider for seen in self._providers)


_installation: _Installation | None = None
_installing = threading.Lock()


def install(settings: Settings | None = None, *, outbox: Outbox | Sequence[Outbox] | None = None) -> None:
    """Keep a Logboek from here on: every Actie of this process is logged, sampled or not.

    Call it once, anywhere at the start: before or after the application sets its tracer provider, which it keeps. A
    second call changes nothing, but that it may be the first with an outbox. While a test logs into memory
    (`ldv_otel.testing`) it sets up nothing.

    Args:
        settings: By default read from the `LDV_*` environment variables.
        outbox: A database of the application, or several, with whose transactions records commit; see
            `ldv_otel.outbox`.

    Raises:
        ConfigurationError: It could not work: the message names the variable and the way out. A server that is not
            there at the moment is no such reason.
    """
    try:
        set_up(settings, outbox=outbox)
    except LdvError as error:
        # Without what caused it: above our sentence, its traceback is all that most people read.
        raise error from None


def set_up(
    settings: Settings | None = None,
    *,
    outbox: Outbox | Sequence[Outbox] | None = None,
    on_refusal: Callable[[Callable[[TracerProvider], None]], Callable[[TracerProvider], None]] = lambda listen: listen,
) -> None:
    """Do what `install` says.

    Args:
        settings: As for `install`.
        outbox: As for `install`.
        on_refusal: Wraps what is called with each provider that the service sets later, and may raise.

    Raises:
        ConfigurationError: As `install`.
    """
    global _installation  # noqa: PLW0603  (one Logboek a process)
    with _installing:
        if is_taken():
            _logger.info("A test logs into memory, so install() sets up nothing.")
            if is_held():
                importlib.import_module("ldv_otel_pytest").log_into_memory()
            return
        if _installation is not None:
            if outbox is not None and getattr(_installation.processor, "senders", None) is None:
                # `opentelemetry-instrument` and `ldv run` set logging up before the application can name its database.
                _open_outboxes(outbox, _installation)
            return
        if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
            raise ConfigurationError(
                "OTEL_SDK_DISABLED=true switches OpenTelemetry off, and with it the Logboek. Logging did not start. "
                "Unset it; to send no traces to a tracing backend use OTEL_TRACES_SAMPLER=always_off."
            )
        for sentence in unknown_variables(os.environ):
            _logger.warning(sentence)
        settings = settings or read_service_settings(os.environ)
        provider = _sdk_provider()
        installation = _Installation(settings, _processor_for(settings))
        for sentence in _warnings_about_places(settings):
            _logger.warning("%s", sentence)
        if outbox is not None:
            _open_outboxes(outbox, installation)
        installation.listen_to(provider)
        processor = installation.processor
        choice = None if isinstance(processor, InstalledProcessor) else processor.choice
        use_propagator(processor.parties, processor.extensions, choice)
        set_tenant_names(choice or (OneTenant(settings.tenant) if settings.tenant else None))
        _private.watch(on_refusal(installation.listen_to), installation.note_refused)
        for module in _ASGI:
            after_import(module, _hold_answers_of)
        atexit.register(installation.processor.close)
        _exit_on_sigterm()
        _installation = installation
        observe(get_meter(SCOPE, __version__), health)
        _logger.info("%s", _start_line(installation))


def _hold_answers_of(module: ModuleType) -> None:
    from ldv_otel._internal.sdk.asgi_answers import hold_answers_of  # which needs asyncio, as that module does

    hold_answers_of(getattr(module, _ASGI[module.__name__]))


def _processor_for(settings: Settings) -> InstalledProcessor | TenantsProcessor:
    if settings.logboeken is None:
        processor = InstalledProcessor.from_settings(settings)
        processor.logboek = str(settings.logboek)
        return processor
    from ldv_otel._internal.sdk.tenants.processor import TenantsProcessor  # most services have one Logboek

    return TenantsProcessor.from_settings(settings)


def _start_line(installation: _Installation) -> str:
    """Return in one line what logs where, for the log of a start."""
    from ldv_otel._internal.delivery.paths import spool_root
    from ldv_otel._internal.privacy.key_file import keys_for

    settings = installation.settings
    rules = installation.processor.mapper.count
    if settings.logboeken is not None:
        logboeken = settings.logboeken
        whose = [f"Logboeken of {len(logboeken.content.tenants)} tenants ({logboeken.path})"]
    else:
        keys = len(keys_for(settings).keys)
        whose = [f"Logboek {settings.logboek}", f"{keys} {'key' if keys == 1 else 'keys'}"]
    parts = [
        whose[0],
        f"{rules} {'rule' if rules == 1 else 'rules'}",
        *whose[1:],
        settings.delivery,
        "no spool" if settings.delivery == "memory" else f"spool {spool_root(settings)}",
    ]
    return ", ".join(parts)


def _warnings_about_places(settings: Settings) -> list[str]:
    """Return what does not keep what is put there: the spool, and the directory of an embedded Logboek."""
    from ldv_otel._internal.delivery.paths import spool_root  # importing a service waits for nothing of this

    places = [] if settings.delivery == "memory" else [(spool_root(settings), "LDV_SPOOL")]
    if settings.logboek.embedded:
        places.append((Path(settings.logboek.path), "LDV_LOGBOEK"))
    return [sentence for sentence in itertools.starmap(warning_about_place, places) if sentence]


def _open_outboxes(outbox: Outbox | Sequence[Outbox], installation: _Installation) -> None:
    """Begin to see the transactions of the application's databases, and to send what is in their outboxes.

    Raises:
        ConfigurationError: One cannot be used like this.
    """
    from ldv_otel._internal.delivery.sink import make_sink
    from ldv_otel._internal.delivery.write_gates import gated
    from ldv_otel._internal.sdk.outbox.installed import InstalledOutboxes

    settings, processor = installation.settings, installation.processor
    if not isinstance(processor, InstalledProcessor):
        raise ConfigurationError(
            "install() was given an outbox, and LDV_LOGBOEKEN names several Logboeken: an outbox goes to one. Nothing "
            "was set up for it. Let a process with an outbox work for one tenant (LDV_TENANT)."
        )
    outboxes = InstalledOutboxes(
        tuple(outbox) if isinstance(outbox, Sequence) else (outbox,),
        processor.delivery,
        processor.records_so_far,
        lambda: gated(make_sink(settings), settings, _private.uninstrumented),
    )
    outboxes.open()
    processor.outboxes = processor.senders = outboxes


def force_flush(timeout_seconds: float = 30.0) -> bool:
    """Deliver everything that is pending; True only if nothing is pending any more and nothing was ever lost.

    Raises:
        ConfigurationError: `install()` was not called.
    """
    if is_taken():
        return True
    if _installation is None:
        raise ConfigurationError("force_flush was called without install(). Call ldv_otel.install() first.")
    return _installation.processor.flush(timeout_seconds)


def health() -> Health:
    """Return how logging is doing in this process; never raises."""
    if is_taken():
        return _health_of_test()
    if _installation is None:
        return Health(installed=False)
    provider = _private.sdk_provider(_private.current_provider())
    return msgspec.structs.replace(
        _installation.processor.health(),
        provider_replaced=not _installation.listens_to(provider),
        silenced_tracers=tuple(_private.silenced_tracers(provider)) if provider is not None else (),
        propagator_replaced=not is_used(),
        provider_refused=_installation.provider_refused,
    )


def installation() -> _Installation | None:
    """Return what `install()` set up in this process; None when it was not called."""
    return _installation


def _health_of_test() -> Health:
    processor = running()
    if processor is None:
        return Health(installed=True, logboek=NAME)
    health = health_of(processor.delivery.stats(), logboek=NAME, flags=processor.flags)
    return msgspec.structs.replace(
        health, overlooked=processor.overlooked.report(), unmatched_rules=processor.mapper.unmatched()
    )


def _exit_on_sigterm() -> None:
    """Let SIGTERM end the process as `sys.exit` does, so that what is pending is delivered first.

    By default the signal kills Python on the spot. A handler of the application or its server, set before or after, is
    left alone; one that flushed by itself could wait for a lock that the interrupted code holds.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_leave_signals)


def _on_sigterm(number: int, _: FrameType | None) -> None:
    # A second one ends the process at once, as the first would have without us.
    signal.signal(number, signal.SIG_DFL)
    start_thread(_end_all_the_same, "ldv-sigterm")
    sys.exit(128 + number)


def _end_all_the_same() -> None:
    """End the process by the signal's own action if it goes on after it: a loop may swallow every exception."""
    if _installation is not None:
        _installation.processor.shutdown()
    time.sleep(_EXIT_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _leave_signals() -> None:
    """Give a forked child the default action back: whoever forked it expects that the signal ends it."""
    if signal.getsignal(signal.SIGTERM) is _on_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _sdk_provider() -> TracerProvider:
    """Return the provider to listen to, making a stand-in when the application has set none yet."""
    if _private.current_provider() is None:
        if "OTEL_PYTHON_TRACER_PROVIDER" not in os.environ:
            trace.set_tracer_provider(_private.StandInProvider(shutdown_on_exit=False))
        else:
            trace.get_tracer_provider()
    current = _private.current_provider()
    provider = _private.sdk_provider(current)
    if provider is None:
        raise ConfigurationError(
            f"The tracer provider of this service is a {type(current).__name__}, not one of the OpenTelemetry SDK, so "
            "its spans cannot be logged. Logging did not start. Set opentelemetry.sdk.trace.TracerProvider, or none."
        )
    return provider
