"""Reading all records of a trace from a party that may cut its answers off without a sign (LDV-N7a).

An answer of so many records that it may have been cut is asked again in two windows of time, and so on, until each
window has fewer. Windows are of start *and* end, as the standard has them, so a record that begins in one and ends in
the other is in neither: therefore they overlap by the longest record seen. What is longer than any that was seen can
still be missed, which is why the windows count as complete only when they could be made narrower at all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from ldv_otel._internal.chain.source import SourceAnswer
from ldv_otel._internal.record.identity import content_key
from ldv_otel._internal.record.logregel import Logregel

#: The most questions about one trace of one party.
MAX_WINDOWS: Final = 32


class Window(NamedTuple):
    """The records that start at `since_ms` or later and end at `until_ms` or earlier; None for no such limit."""

    since_ms: int | None = None
    until_ms: int | None = None


class WindowAnswer(NamedTuple):
    """What a party answers for a window.

    Attributes:
        cut: There may be more than it answered, and nothing says how to get at that.
    """

    answer: SourceAnswer
    cut: bool


async def read_windows(ask: Callable[[Window], Awaitable[WindowAnswer]]) -> SourceAnswer:
    """Return the records of all windows together, each once."""
    logregels: dict[bytes, Logregel] = {}
    complete = True
    asked = 0
    left = [Window()]
    while left:
        if asked >= MAX_WINDOWS:
            complete = False
            break
        window = left.pop()
        asked += 1
        answer, cut = await ask(window)
        complete = complete and answer.complete
        logregels |= {content_key(record): record for record in answer.logregels}
        if cut:
            narrower = _halves(window, answer.logregels, max(map(_duration, logregels.values()), default=0))
            complete = complete and bool(narrower)
            left += narrower
    return SourceAnswer(list(logregels.values()), complete=complete)


def _halves(window: Window, records: list[Logregel], longest_ms: int) -> list[Window]:
    """Return two windows that have all of the records of one, but those that take longer; none if neither is narrower.

    Halved where half of the records seen are before: times may be far apart.
    """
    if not records:
        return []
    starts = sorted(record.start_time_ms for record in records)
    middle = starts[len(starts) // 2]
    until_ms, since_ms = middle + longest_ms, middle - longest_ms
    # Each has to leave out a record of the answer; otherwise the same would be asked again and again.
    if until_ms >= max(record.end_time_ms for record in records) or since_ms <= starts[0]:
        return []
    return [Window(window.since_ms, until_ms), Window(since_ms, window.until_ms)]


def _duration(record: Logregel) -> int:
    return record.end_time_ms - record.start_time_ms
