"""`data_subjects` logs many data subjects at once, each in a child Logregel of the current Actie."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable
from typing import Final

from opentelemetry.sdk.trace import Span

from ldv_otel._internal.record.actie import ChildEncoder
from ldv_otel._internal.record.builder import LogregelBuilder
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.sdk import span_state
from ldv_otel._internal.sdk.span_facts import record_of_resource
from ldv_otel._internal.times.instants import now_ms
from ldv_otel.errors import ConfigurationError

#: Committed with one flush, so that neither the flush nor the memory counts.
_RECORDS_AT_A_TIME: Final = 4_096
_SPAN_ID_BYTES: Final = 8


def data_subjects(
    identifiers: Iterable[object],
    *,
    type: str | None = None,  # noqa: A002  (the public API's word)
    progress: Callable[[int], None] | None = None,
) -> int:
    """Name many data subjects of the current Actie: one child Logregel each (LDV-A4).

    They are logged as the iterator gives them, a few thousand at a time, so a million takes no memory.

    Args:
        identifiers: As for `data_subject`; a generator does.
        type: As for `data_subject`, the same for all.
        progress: Called with the number logged so far, after each few thousand.

    Returns:
        How many Logregels were made.

    Raises:
        ConfigurationError: There is no current Actie.
        LogboekUnavailable: The delivery refused some; those that `progress` has counted are taken over.
    """
    live_span = span_state.current()
    actie = live_span.nearest_actie() if live_span is not None else None
    span = actie() if actie is not None else None
    if actie is None or span is None:
        raise ConfigurationError("data_subjects was called outside a processing. Call it inside the `with` block.")
    parent = _record_so_far(actie, span)
    encode, pseudonymise = ChildEncoder(parent).encode, actie.owner.pseudonymise
    count, remaining = 0, iter(identifiers)
    while chunk := list(itertools.islice(remaining, _RECORDS_AT_A_TIME)):
        span_ids = os.urandom(_SPAN_ID_BYTES * len(chunk))
        offsets = range(0, len(span_ids), _SPAN_ID_BYTES)
        actie.owner.delivery.submit_encoded(
            [
                encode(pseudonymise(identifier, type), span_ids[offset : offset + _SPAN_ID_BYTES])
                for identifier, offset in zip(chunk, offsets, strict=True)
            ],
            actie.record.level,
        )
        count += len(chunk)
        if progress is not None:
            progress(count)
    return count


def _record_so_far(actie: span_state.LiveSpan, span: Span) -> Logregel:
    """Return the record of an Actie that has not ended, from which its children take over."""
    builder = LogregelBuilder()
    enclosing = actie.as_enclosing()
    context = span.get_span_context()
    moment_ms = now_ms()
    extended = actie.owner.extensions.record_attributes(actie.extended(), moment_ms)
    return Logregel(
        trace_id=context.trace_id.to_bytes(16, "big"),
        span_id=context.span_id.to_bytes(8, "big"),
        name=builder.name(span.name),
        start_time_ms=moment_ms,
        end_time_ms=moment_ms,
        processing_activity_id=builder.activity(enclosing.processing_activity_id) if enclosing is not None else "",
        attributes={name: builder.text(value) for name, value in extended.items()},
        resource=record_of_resource(span.resource),
    )
