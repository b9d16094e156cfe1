"""Which services are in a Logboek, when each was last seen, and how much it says now and said a week ago.

A service is its `service.name`; what plain OpenTelemetry sent through a Collector is named in the same way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.sql_text import Sql

DAY_MS: Final = 86_400_000
#: How far back the two days lie that are compared.
WINDOW_MS: Final = 8 * DAY_MS
#: A clock that is ahead must not make a service look alive for ever.
_AHEAD_MS: Final = 3_600_000
#: Services that are named.
MOST_SERVICES: Final = 1_000

#: A few columns of the period. A row that was stored twice counts twice.
_SERVICES: Final = Sql("""
SELECT JSONExtractString(resource, 'service.name') AS service,
       max(writer_id = 'collector'),
       toUnixTimestamp64Milli(max(start_time)),
       countIf(start_time > fromUnixTimestamp64Milli({now:Int64} - 86400000)),
       countIf(start_time > fromUnixTimestamp64Milli({now:Int64} - 691200000)
               AND start_time <= fromUnixTimestamp64Milli({now:Int64} - 604800000)),
       count()
FROM logregel
WHERE start_time >= fromUnixTimestamp64Milli({since:Int64}) AND start_time <= fromUnixTimestamp64Milli({until:Int64})
GROUP BY service ORDER BY max(start_time), service LIMIT {limit:UInt32}
""")
_REFUSED: Final = Sql("""
SELECT service, count() FROM collector_refused WHERE received > fromUnixTimestamp64Milli({since:Int64})
GROUP BY service ORDER BY count() DESC, service LIMIT {limit:UInt32}
""")


class ServiceActivity(msgspec.Struct, frozen=True, kw_only=True):
    """What one service logs.

    Attributes:
        name: Its `service.name`; empty for records without one.
        last_ms: When its last record started, in ms since 1970-01-01 UTC; None for one that is expected and was never
            seen in the period.
        day: Records of the last 24 hours.
        week_before: Records of the same 24 hours a week before, so that nights and weekends compare with their like.
        logregels: Records of the whole period.
        through_collector: Whether records of plain OpenTelemetry are among them.
        refused: Spans of it that a Collector's rules refused in the last 24 hours.
        expected: Whether somebody said that it has to be there.
        silent: Whether it is expected and said nothing for longer than it may, or is not and stopped since a week ago.
    """

    name: str
    last_ms: int | None = None
    day: int = 0
    week_before: int = 0
    logregels: int = 0
    through_collector: bool = False
    refused: int = 0
    expected: bool = False
    silent: bool = False


def service_activity(
    client: LogboekClient,
    now_ms: int,
    expected: Mapping[str, int],
    *,
    since_ms: int = 0,
    with_collector: bool = False,
) -> list[ServiceActivity]:
    """Return every service, and those that are expected and not there; the silent ones first, then the longest unseen.

    Args:
        expected: Longest silence of a service in ms, by its name.
        since_ms: Only records that started then or later; for less to read.
        with_collector: Whether there are tables of a Collector, which have what was refused.
    """
    parameters = {"now": now_ms, "since": since_ms, "until": now_ms + _AHEAD_MS, "limit": MOST_SERVICES}
    rows = client.rows(_SERVICES, parameters)
    refused: Counter[str] = Counter()
    if with_collector:
        of_a_day = {"since": now_ms - DAY_MS, "limit": MOST_SERVICES}
        refused.update({str(name): int(count) for name, count in client.rows(_REFUSED, of_a_day)})
    services = [
        ServiceActivity(
            name=name,
            through_collector=bool(collector),
            last_ms=last_ms,
            day=day,
            week_before=week_before,
            logregels=logregels,
            refused=refused[name],
            expected=name in expected,
            silent=_is_silent(now_ms - last_ms, expected.get(name), day=day, week_before=week_before),
        )
        for name, collector, last_ms, day, week_before, logregels in rows
    ]
    services += _without_records({service.name for service in services}, expected, refused)
    return sorted(services, key=lambda service: (not service.silent, service.last_ms or 0, service.name))


def _is_silent(unseen_ms: int, longest_ms: int | None, *, day: int, week_before: int) -> bool:
    if longest_ms is not None:
        return unseen_ms > longest_ms
    return week_before > 0 and day == 0


def _without_records(
    seen: Collection[str], expected: Mapping[str, int], refused: Mapping[str, int]
) -> list[ServiceActivity]:
    """Return the services that have no record, but are expected, or of which a Collector refused something."""
    names = sorted((expected.keys() | refused.keys()) - set(seen))
    return [
        ServiceActivity(name=name, expected=name in expected, silent=name in expected, refused=refused.get(name, 0))
        for name in names
    ]
