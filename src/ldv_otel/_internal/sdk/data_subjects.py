"""`data_subjects` logs many data subjects at once, each in a child Logregel of the current Actie."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final

from opentelemetry.sdk.trace import Span

from ldv_otel._internal.privacy.redaction import Identifier, Redactor, RedactorPair, quoted_identifiers
from ldv_otel._internal.record.actie import ChildEncoder
from ldv_otel._internal.record.builder import LogregelBuilder, texts_of
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
    type: str | None = None,  # the public API's word
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
    children = _Children(actie, span, type)
    if isinstance(identifiers, Collection):
        # In memory already: the last of these people may be quoted in what the record of the first shares with theirs.
        for chunk in _chunks(identifiers):
            children.redact(chunk)
    count = 0
    for chunk in _chunks(identifiers):
        children.redact(chunk)
        children.tell(chunk)
        actie.owner.delivery.submit_encoded(children.encode(chunk), actie.record.level)
        count += len(chunk)
        if progress is not None:
            progress(count)
    return count


def _chunks(identifiers: Iterable[object]) -> Iterator[list[object]]:
    remaining = iter(identifiers)
    while chunk := list(itertools.islice(remaining, _RECORDS_AT_A_TIME)):
        yield chunk


class _Children:
    """Makes the child records of an Actie that has not ended; they share its name and attributes of extensions.

    Args:
        type_: Of all identifiers.
    """

    def __init__(self, actie: span_state.LiveSpan, span: Span, type_: str | None) -> None:
        self._actie = actie
        self._span = span
        self._type = type_
        self._quoted: list[Identifier] = []
        self._share()

    def redact(self, identifiers: Sequence[object]) -> None:
        """Redact what the children share, if it quotes one of these people."""
        quoted = quoted_identifiers(self._texts, identifiers, self._type)
        if not quoted:
            return
        self._quoted += quoted
        for value, type_ in quoted:
            # The record of the Actie itself and the privacy shield search for them too.
            self._actie.known_subjects.add(value, type_)
        self._share()

    def tell(self, identifiers: Sequence[object]) -> None:
        """Tell the privacy shield of these people, as far as it searches for so many; beyond that the trace is closed.

        After `redact`: those who are quoted have to be among those who are kept.
        """
        known_subjects = self._actie.known_subjects
        for identifier in identifiers:
            if known_subjects.full:
                return
            known_subjects.add(identifier, self._type)

    def encode(self, identifiers: Sequence[object]) -> list[bytes]:
        """Return the bytes of a child record for each of these people."""
        encode, pseudonymise, type_ = self._encoder.encode, self._actie.owner.pseudonymise, self._type
        span_ids = os.urandom(_SPAN_ID_BYTES * len(identifiers))
        offsets = range(0, len(span_ids), _SPAN_ID_BYTES)
        return [
            encode(pseudonymise(identifier, type_), span_ids[offset : offset + _SPAN_ID_BYTES])
            for identifier, offset in zip(identifiers, offsets, strict=True)
        ]

    def _share(self) -> None:
        quoted = Redactor(self._quoted, short=False)
        parent = _record_so_far(
            self._actie, self._span, RedactorPair(self._actie.known_subjects.known_redactor(), quoted)
        )
        self._texts = texts_of(parent)
        self._encoder = ChildEncoder(parent)


def _record_so_far(actie: span_state.LiveSpan, span: Span, redactor: Redactor) -> Logregel:
    """Return the record of an Actie that has not ended, from which its children take over."""
    context = span.get_span_context()
    builder = LogregelBuilder(
        context.trace_id.to_bytes(16, "big"), context.span_id.to_bytes(8, "big"), redactor, stray=actie.owner.stray
    )
    builder.knows = actie.owner.maker.knows
    moment_ms = now_ms()
    builder.name(span.name, of_code=actie.record.activity is not None)
    builder.period(moment_ms, moment_ms)
    enclosing = actie.as_enclosing()
    builder.activities("", enclosing.processing_activity_id if enclosing is not None else "")
    builder.extended(actie.owner.extensions.record_attributes(actie.extended(), moment_ms))
    builder.resource(record_of_resource(span.resource, actie.owner.maker))
    return builder.build()
