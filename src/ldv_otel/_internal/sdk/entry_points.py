"""What OpenTelemetry loads by name, so that a service keeps a Logboek without a line of code.

OpenTelemetry's auto-instrumentation logs whatever fails while it starts, and lets the service go on. A service that was
told to keep a Logboek and cannot must not start, so these end the process.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final, NoReturn, ParamSpec, TypeVar

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Sampler

from ldv_otel._internal.config.error_places import type_and_places
from ldv_otel._internal.config.settings import read_service_settings, unknown_variables
from ldv_otel._internal.config.variables import VARIABLES
from ldv_otel._internal.sdk.install import set_up
from ldv_otel._internal.sdk.propagator import LdvPropagator, from_environment
from ldv_otel._internal.sdk.reloaders import only_helps_python
from ldv_otel._internal.sdk.sampler import LdvSampler
from ldv_otel._internal.sdk.uninstrumented_parts import say_what_is_left_out
from ldv_otel.errors import ConfigurationError, LdvError
from ldv_otel_start import is_named

P = ParamSpec("P")
R = TypeVar("R")

_logger = logging.getLogger(__name__)

#: Samplers whose argument OpenTelemetry hands over as a number.
_RATIO_SAMPLERS: Final = ("traceidratio", "parentbased_traceidratio")


def pre_instrument() -> None:
    """Call `install()` when the environment asks for a Logboek; entry point of `opentelemetry-instrument`.

    It asks with any variable of ours, or with the name `ldv` in one of OpenTelemetry's. Else this does nothing: the
    package may lie in an image whose services do not all keep a Logboek.

    Raises:
        SystemExit: The Logboek cannot be kept; the message names the variable and the way out.
    """
    if _asks(os.environ) and not _is_own_command():
        say_what_is_left_out(os.environ)
        _or_exit(set_up)(on_refusal=_or_exit)


def start() -> None:
    """Set up OpenTelemetry with its instrumentations, and the Logboek; what `ldv run` has Python do first.

    Raises:
        SystemExit: One of them cannot be set up; the message says which, and the way out.
    """
    if not _is_own_command():
        _or_exit(_start)()


class TracesExporter(SpanExporter):
    """`ldv` in `OTEL_TRACES_EXPORTER` or in the SDK's configuration file: sets the Logboek up, and exports nothing.

    The processor that the SDK wraps around an exporter sees sampled spans only and forgets a batch that fails, so
    `install()` logs the Acties instead, and this one discards what it is given.

    Args:
        options: Settings of the configuration file, in lower case and without `LDV_`; they go before the environment.

    Raises:
        SystemExit: As `pre_instrument`.
    """

    def __init__(self, **options: Any) -> None:
        _or_exit(_set_up_with)(options)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002  (the SDK's signature)
        """Discard the spans: the Acties among them are logged already."""
        return SpanExportResult.SUCCESS


def sampler(argument: str | None = None) -> LdvSampler:
    """Return `ldv` in `OTEL_TRACES_SAMPLER`: a sampler whose sampled flag is up to another one.

    Args:
        argument: From `OTEL_TRACES_SAMPLER_ARG`: the name of a sampler, with its own argument after a colon, such as
            `traceidratio:0.1`; a number alone is a ratio for `parentbased_traceidratio`; when left out it is
            `parentbased_always_on`.

    Raises:
        SystemExit: There is no such sampler.
    """
    return LdvSampler(_or_exit(_inner_sampler)(argument or ""))


def propagator() -> LdvPropagator:
    """Return `ldv` in `OTEL_PROPAGATORS`, where it comes last; `install()` needs it not.

    Raises:
        SystemExit: `LDV_PARTIES` or `LDV_UNKNOWN_CALLERS` cannot be used.
    """
    return _or_exit(from_environment)()


def _start() -> None:
    from opentelemetry.instrumentation.auto_instrumentation import initialize  # another package

    # What an instrumentation starts meanwhile, such as `uname`, is no service.
    path = os.environ.pop("PYTHONPATH", None)
    try:
        initialize(swallow_exceptions=False)
    except Exception as error:
        raise ConfigurationError(
            f"OpenTelemetry could not be set up, so the service did not start: {error}. Without a tracing backend set "
            "OTEL_TRACES_EXPORTER=none, OTEL_METRICS_EXPORTER=none and OTEL_LOGS_EXPORTER=none."
        ) from error
    finally:
        if path is not None:
            os.environ["PYTHONPATH"] = path
    set_up(on_refusal=_or_exit)


def _set_up_with(options: Mapping[str, Any]) -> None:
    variables = {f"LDV_{name.upper()}": _as_text(value) for name, value in options.items() if value is not None}
    strange = sorted(set(variables) - {variable.name for variable in VARIABLES})
    if strange:
        raise ConfigurationError(
            f"The exporter `ldv` in OpenTelemetry's configuration file has no option {_option(strange[0])}. Logging "
            f"did not start. {_closest(strange)}Its options are the LDV_ variables in lower case, without LDV_."
        )
    set_up(read_service_settings({**os.environ, **variables}), on_refusal=_or_exit)


def _closest(names: Sequence[str]) -> str:
    import difflib  # as good as never needed

    close = difflib.get_close_matches(names[0], [variable.name for variable in VARIABLES], n=1)
    return f"Was {_option(close[0])} meant? " if close else ""


def _option(name: str) -> str:
    return f"`{name.removeprefix('LDV_').lower()}`"


def _as_text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(int(value)) if isinstance(value, bool) else str(value)


def _inner_sampler(argument: str) -> Sampler:
    name, _, rest = argument.strip().partition(":")
    if not name:
        return DEFAULT_ON
    if name[0].isdigit():
        name, rest = "parentbased_traceidratio", name
    for entry_point in entry_points(group="opentelemetry_traces_sampler", name=name):
        if name != "ldv":
            try:
                made: object = entry_point.load()(float(rest or 1) if name in _RATIO_SAMPLERS else rest or None)
            except ValueError:
                raise _no_sampler(f"what comes after `{name}:` is none of its arguments") from None
            if isinstance(made, Sampler):
                return made
    raise _no_sampler("it names no sampler, such as always_off, parentbased_always_on or traceidratio:0.1")


def _no_sampler(reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"OTEL_TRACES_SAMPLER_ARG cannot be used with OTEL_TRACES_SAMPLER=ldv: {reason}. The service did not start."
    )


def _asks(environ: Mapping[str, str]) -> bool:
    variables = {name: value for name, value in environ.items() if value}
    return (
        any(variable.name in variables for variable in VARIABLES)
        or bool(unknown_variables(variables))
        or is_named(environ)
    )


def _is_own_command() -> bool:
    """Whether this process is `ldv` itself, which may well be run to put the configuration right; or Python's own."""
    return (
        Path(sys.argv[0]).name == "ldv" or "ldv_otel._internal.cli" in sys.orig_argv or only_helps_python(sys.orig_argv)
    )


def _or_exit(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function with every failure of it ending the process."""

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except LdvError as error:
            _stop(str(error))
        except Exception as error:  # whatever failed, the service must not start
            _logger.error("The Logboek could not be set up. %s", type_and_places(error))
            _stop(f"The Logboek could not be set up ({type(error).__name__}). Please report this.")

    return call


def _stop(sentence: str) -> NoReturn:
    """End the process with a sentence."""
    sentence = f"ldv_otel: {sentence}"
    if any(frame.f_globals.get("__name__") == "sitecustomize" for frame, _ in traceback.walk_stack(None)):
        # Python is still starting, and would bury the sentence in a "Fatal Python error" of two screens.
        sys.stderr.write(f"{sentence}\n")
        sys.stderr.flush()
        os._exit(1)
    raise SystemExit(sentence) from None
