"""Whether an exception is that of a gRPC call which its servicer refused, with a status of the caller's doing.

`abort` raises an exception that does not say with which code: a bare `Exception` in a synchronous server, `AbortError`
in one of asyncio. The context that was aborted does, and it is a variable of a frame that the exception came through.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from typing import Any, Final

#: The codes that OpenTelemetry's conventions count as errors of a server; all others are of the caller's doing.
SERVER_CODES: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
_SYNCHRONOUS: Final = "grpc._server"
#: The modules of contexts; the instrumentation has a wrapper around them.
_CONTEXTS: Final = ("grpc.", "opentelemetry.instrumentation.grpc.")


def is_refusal(error: BaseException) -> bool:
    """Return whether a servicer aborted its call with a code that is no error of the server."""
    if "grpc" not in sys.modules:
        return False
    for context in _aborted_contexts(error):
        return context.code().name not in SERVER_CODES
    return False


def _aborted_contexts(error: BaseException) -> Iterator[Any]:
    """Return the contexts of gRPC in the frames that the exception of an abort came through, innermost first."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    aio = sys.modules.get("grpc.aio")
    if not (aio is not None and isinstance(error, aio.AbortError)):
        abort = type(error) is Exception and frames and frames[-1].f_globals.get("__name__") == _SYNCHRONOUS
        frames = frames[-1:] if abort else []
    for frame in reversed(frames):
        for value in frame.f_locals.values():
            # By its class alone: what else is a variable there may do anything when it is looked at.
            if type(value).__module__.startswith(_CONTEXTS) and hasattr(value, "abort"):
                yield value
