"""Templates and their texts, without a web server: for pages, and for letters that a command makes."""

from __future__ import annotations

from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from ldv_otel._internal.record.bidirectional import isolated


def _without_direction(value: object) -> object:
    """Isolate the texts that come into a page; what is HTML already (`__html__`) was made of such."""
    return isolated(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


_environment: Final = Environment(
    loader=PackageLoader("ldv_otel._internal.api.pages"),
    # Names of Acties come from applications and from other parties.
    autoescape=True,
    finalize=_without_direction,
    # A misspelt name is an error and not an empty text, which might be a reason or a term that is missing.
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **context: Any) -> str:
    """Return a template with values in it; those that are no HTML are escaped."""
    return _environment.get_template(template).render(context)
