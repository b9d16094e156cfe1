"""Leaving a context that was made current, wherever the code goes on meanwhile.

Frameworks run the parts of one generator in several threads or tasks, each with a copy of what is current: what is left
in another one than it was entered in cannot be reset there. OpenTelemetry would log an error with a traceback for it;
the Actie has ended all the same, and nothing of it is to stay current.
"""

from __future__ import annotations

from contextvars import Token

from opentelemetry import context as otel_context
from opentelemetry.context import Context


def leave(token: Token[Context], context: Context) -> None:
    """Make current what was so before a context was attached, also where this is a copy of where that was."""
    try:
        token.var.reset(token)
    except ValueError:
        leave_elsewhere(token, context)


def leave_elsewhere(token: Token[Context], context: Context) -> None:
    """Leave a context where it was not entered; where it is not current there is nothing to leave."""
    if token.var.get(None) is context:
        before = token.old_value
        otel_context.attach(before if isinstance(before, Context) else Context())
