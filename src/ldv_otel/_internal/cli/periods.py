"""`--from` and `--to`: dates, times, and durations."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from ldv_otel._internal.times.durations import Duration
from ldv_otel.errors import QueryError

Since = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="Started then or later: a date, an ISO 8601 time (UTC unless it has an offset), or a duration (30d, P1Y).",
    ),
]
Until = Annotated[
    str | None, typer.Option("--to", help="Started before then; a duration counts from --from, where that is a date.")
]


def parse_period(since: str | None, until: str | None, *, now: datetime) -> tuple[datetime | None, datetime | None]:
    """Return the moments that two options mean.

    A duration counts from the other option where that is a date or time, as in an ISO 8601 interval; otherwise it is
    that long ago.

    Raises:
        QueryError: One of them is neither date, time nor duration, or they are the wrong way round.
    """
    first, last = _parse("--from", since), _parse("--to", until)
    try:
        if isinstance(first, Duration) and isinstance(last, datetime):
            first = first.before(last)
        elif isinstance(first, datetime) and isinstance(last, Duration):
            last = last.after(first)
        begin = first.before(now) if isinstance(first, Duration) else first
        end = last.before(now) if isinstance(last, Duration) else last
    except ValueError as error:
        raise QueryError(f"--from {since} and --to {until}: {error}.") from None
    if begin is not None and end is not None and begin > end:
        raise QueryError(f"--from {since} lies after --to {until}.")
    return begin, end


def day_to_come(text: str | None) -> datetime | None:
    """Return the moment that `--on` means: a date or time, or a duration from now on; None without one.

    Raises:
        QueryError: It is none, or is over.
    """
    now = datetime.now(UTC)
    asked = _parse("--on", text)
    try:
        moment = asked.after(now) if isinstance(asked, Duration) else asked
    except ValueError as error:
        raise QueryError(f"--on {text}: {error}.") from None
    if moment is not None and moment < now:
        raise QueryError("--on is over already. Nothing was asked. Name a day to come.")
    return moment


def _parse(option: str, text: str | None) -> datetime | Duration | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        pass
    else:
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    try:
        return Duration.parse(text)
    except ValueError:
        raise QueryError(
            f"{option} {text!r} is no date like 2026-11-22, no time like 2026-11-22T13:00:00+01:00 and no duration "
            "like 30d or P1Y."
        ) from None
