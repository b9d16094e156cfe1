"""What OpenTelemetry's auto-instrumentation leaves out: from what makes no spans, no mapping rule can make Acties.

OpenTelemetry says so at its level DEBUG, or not at all. For a Logboek it is a line that an operator has to see.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from ldv_otel._internal.config.error_places import type_and_places

_logger = logging.getLogger(__name__)

_DISABLED: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
#: Regular expressions of addresses, or names of services, that an instrumentation makes no spans of.
_EXCLUDED: Final = re.compile(r"OTEL_PYTHON_(?:\w+_)?EXCLUDED_(?:URLS|SERVICES|SPANS)")
_DJANGO: Final = "OTEL_PYTHON_DJANGO_INSTRUMENT"
_CONSEQUENCE: Final = "It makes no spans, so that no mapping rule can make Acties of them, and callers are not known."


def say_what_is_left_out(environ: Mapping[str, str]) -> None:
    """Log a line for each instrumentation and each kind of request that is left out, with the reason; never raises."""
    try:
        for sentence in left_out(environ):
            _logger.warning(sentence)
    except Exception as error:  # it is another package's, and the Logboek does not rest on it
        _logger.warning("What OpenTelemetry leaves out could not be found out. %s", type_and_places(error))


def left_out(environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for each instrumentation and each kind of request that is left out, with the reason."""
    return [*_excluded(environ), *_skipped(environ)]


def _excluded(environ: Mapping[str, str]) -> Iterator[str]:
    for name, value in sorted(environ.items()):
        if _EXCLUDED.fullmatch(name) and value.strip():
            yield (
                f"{name}={value} leaves requests out of OpenTelemetry: they make no spans, so that none of them is an "
                "Actie by a mapping rule. Make sure that none of them processes personal data."
            )
    if environ.get(_DJANGO, "").strip().lower() == "false":
        yield f"{_DJANGO}=False switches the instrumentation of Django off. {_CONSEQUENCE}"


def _skipped(environ: Mapping[str, str]) -> Iterator[str]:
    disabled = {word.strip() for word in environ.get(_DISABLED, "").split(",")}
    for point in entry_points(group="opentelemetry_instrumentor"):
        if conflict := _conflict(point):
            yield f"The instrumentation `{point.name}` is skipped: {conflict}. {_CONSEQUENCE}"
        elif conflict is not None and not disabled.isdisjoint({"*", point.name}):
            yield f"{_DISABLED} switches the instrumentation `{point.name}` off. {_CONSEQUENCE}"


def _conflict(point: EntryPoint) -> str | None:
    """Return why an instrumentation does not fit the library that is installed, empty where it does; None for none."""
    from opentelemetry.instrumentation.dependencies import get_dist_dependency_conflicts  # another package

    conflict = get_dist_dependency_conflicts(point.dist) if point.dist is not None else None
    if conflict is None:
        return ""
    # Of several libraries that it is for, `found_any` has those that are installed.
    versions = getattr(conflict, "found", None) or getattr(conflict, "found_any", None)
    return str(conflict) if versions else None
