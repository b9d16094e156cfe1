"""Spans that made no Logregel, as a failing test shows them: which there were, and why the nearest is no Actie.

Only names of conventions and of rules are shown, and names of spans without their numbers: many read a test's output.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec
from opentelemetry.sdk.trace import ReadableSpan

from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.record.overlooked import nearest_known, overlooked_names
from ldv_otel._internal.sdk.processor import LdvSpanProcessor
from ldv_otel._internal.sdk.span_state import LiveSpan

_SEEN_MAX: Final = 200
_NUMBER: Final = re.compile(r"\d{4,}")
_NAME_MAX: Final = 100
_SHOWN_MAX: Final = 10


class SeenSpan(msgspec.Struct, frozen=True):
    """A span that is no Actie.

    Attributes:
        name: Without its numbers.
        near: How near it was to an Actie; the highest is the nearest.
        reason: Why it is none, as the end of a sentence.
    """

    name: str
    kind: str
    near: tuple[int, float]
    reason: str


class SeeingProcessor(LdvSpanProcessor):
    """Remembers the last spans that made no Logregel."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # those of the class above
        self._seen: deque[ReadableSpan] = deque(maxlen=_SEEN_MAX)
        self._acties: deque[int] = deque(maxlen=_SEEN_MAX)

    def on_end(self, span: ReadableSpan) -> None:
        """Log the span if it is an Actie, and remember it if not."""
        super().on_end(span)
        context = span.get_span_context()
        if context is not None and context.span_id not in self._acties:
            self._seen.append(span)

    def _hand_over(self, records: Sequence[Logregel], live_span: LiveSpan) -> None:
        self._acties.append(int.from_bytes(records[0].span_id))
        super()._hand_over(records, live_span)

    def seen(self) -> list[SeenSpan]:
        """Return them, in the order of their end."""
        return [self._judged(span) for span in tuple(self._seen)]

    def _judged(self, span: ReadableSpan) -> SeenSpan:
        name = _NUMBER.sub("*", span.name)[:_NAME_MAX]
        kind = span.kind.name.lower()
        attributes = dict(span.attributes or {})
        if overlooked := overlooked_names(attributes):
            meant = nearest_known(overlooked[0])
            question = f" (did you mean `{meant}`?)" if meant else ""
            return SeenSpan(name, kind, (1_000, 0.0), f"its `{overlooked[0]}`{question} names no processing activity")
        if miss := self.mapper.nearest_miss(span, attributes):
            return SeenSpan(name, kind, miss[1].near, f"{miss[0]} does not take it: it {miss[1].reason.rstrip('.')}")
        return SeenSpan(
            name,
            kind,
            (0, 0.0),
            "it has no `dpl.core.processing_activity_id`, and there are no mapping rules (the fixture "
            "`ldv_logboek_settings` or `logboek(rules=...)` names a file of them)",
        )


def sentence_about_seen(spans: Sequence[SeenSpan], asked: str | None) -> str:
    """Return in a few lines which spans there were beside the Logregels, and why the nearest is no Actie.

    Args:
        asked: The name that was looked for; a span of that name is the nearest.
    """
    if not spans:
        return ""
    nearest = max(spans, key=lambda span: (span.name == asked, span.near))
    names = dict.fromkeys(f"{span.name!r} ({span.kind})" for span in spans)
    more = len(names) - _SHOWN_MAX
    shown = ", ".join([*names][:_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")
    return f"\nSpans that are no Actie: {shown}.\nThe nearest is {nearest.name!r}: {nearest.reason}."
