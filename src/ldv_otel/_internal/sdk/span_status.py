"""The status of a span's record: what the application said, what ended the span, and what stands on it, in that order.

OpenTelemetry calls every exception that leaves a span an error, its instrumentation of gRPC none, and neither looks at
`sys.exit(1)`. What ends a span is still on its way at that moment, so that it can be judged as it is in `processing`.
"""

from __future__ import annotations

import inspect
import sys
import traceback
from typing import Final

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from ldv_otel._internal.record.builder import storable_text
from ldv_otel._internal.record.error_status import class_name
from ldv_otel._internal.record.logregel import Status
from ldv_otel._internal.record.span_facts import ExceptionFacts
from ldv_otel._internal.sdk.span_state import LiveSpan

STATUS: Final = {StatusCode.UNSET: Status.UNSET, StatusCode.OK: Status.OK, StatusCode.ERROR: Status.ERROR}
#: An exception that passes a span has come through here when the span ends.
_USE_SPAN: Final = inspect.unwrap(trace.use_span).__code__


def status_of(span: ReadableSpan, live_span: LiveSpan) -> tuple[Status, ExceptionFacts | None]:
    """Return the status of a span, with the exception where that ended it and is not on the span."""
    status, said = STATUS[span.status.status_code], live_span.record.said
    if said is not None:
        return said, None
    # Nothing has ended a span that runs.
    if status is Status.OK or span.end_time is None:
        return status, None
    error = _ended_by(span)
    if error is None:
        return status, None
    judged = live_span.owner.statuses.of(error)
    return judged, exception_facts(error) if judged is Status.ERROR and status is not Status.ERROR else None


def exception_facts(error: BaseException) -> ExceptionFacts:
    """Return what a record may keep of an exception."""
    return ExceptionFacts(
        type=class_name(type(error)),
        stacktrace="".join(traceback.format_exception(error)),
        message=storable_text(error),
    )


def _ended_by(span: ReadableSpan) -> BaseException | None:
    """Return the exception that ends a span just now: it passes the span, or the SDK took the span's status from it."""
    error = sys.exception()
    if error is None:
        return None
    passes = error.__traceback__ is not None and error.__traceback__.tb_frame.f_code is _USE_SPAN
    reason = span.status.description or ""
    return error if passes or reason.startswith(f"{type(error).__name__}: ") else None
