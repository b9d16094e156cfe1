"""The questions of who watches over a Logboek: what was done in a period, what failed, what is odd, what is missing.

They are about records, not about people, and see each version of a record that was put right later.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.columns import READ_SETTINGS, ROW_ONCE, ROW_ONCE_NEWEST
from ldv_otel._internal.clickhouse.queries.models import PAGE_RECORDS, Page, PageLimits
from ldv_otel._internal.clickhouse.queries.shown_records import from_the_end, page_of
from ldv_otel._internal.clickhouse.queries.sql import BACK, KEPT, LIMIT, TERMS, query
from ldv_otel.attributes import FLAGS


class OversightKind(StrEnum):
    """Which records."""

    ALL = "alles"
    FAILED = "mislukt"
    FLAGGED = "aangepast"


_FAILED: Final = "status = 'Error'"
_FLAGGED: Final = f"attributes['{FLAGS}'] != ''"
_KINDS: Final = {OversightKind.ALL: "", OversightKind.FAILED: _FAILED, OversightKind.FLAGGED: _FLAGGED}
_ACTIVITY: Final = "processing_activity_id = {activity:String}"

USED_IN_PERIOD: Final = f"""
WITH {TERMS} AS kept
SELECT processing_activity_id, count(), countIf(failed), countIf(flagged), toUnixTimestamp64Milli(min(start_time)),
       toUnixTimestamp64Milli(max(start_time))
FROM
(
    SELECT processing_activity_id, {_FAILED} AS failed, {_FLAGGED} AS flagged, start_time
    FROM logregel
    WHERE start_time >= fromUnixTimestamp64Milli({{since:Int64}})
        AND start_time < fromUnixTimestamp64Milli({{until:Int64}}) AND {KEPT} {ROW_ONCE}
)
GROUP BY processing_activity_id ORDER BY count() DESC, processing_activity_id
SETTINGS {READ_SETTINGS}
"""  # noqa: S608  (our own text; values are parameters)

_GAPS: Final = """
SELECT writer_id, service, stored, missing, doubled, toUnixTimestamp64Milli(first_start_time),
       toUnixTimestamp64Milli(last_start_time)
FROM schrijvers WHERE missing > 0 OR doubled > 0 ORDER BY missing DESC, last_start_time DESC LIMIT {limit:UInt32}
"""


class ActivityCounts(msgspec.Struct, frozen=True):
    """A processing activity in a period; times in ms since 1970-01-01 UTC."""

    activity: str
    logregels: int
    failed: int
    flagged: int
    first_ms: int
    last_ms: int


class SequenceGap(msgspec.Struct, frozen=True):
    """A writer whose sequence is not whole; see `WriterCounts`."""

    writer_id: str
    service: str
    stored: int
    missing: int
    doubled: int
    first_ms: int
    last_ms: int


def used_in_period(
    client: LogboekClient, since_ms: int, until_ms: int, *, confidential: bool = True
) -> list[ActivityCounts]:
    """Return the activities of a period, the most frequent first; reads a few columns of the whole period.

    Args:
        since_ms: Records that started then or later, in ms since 1970-01-01 UTC.
        until_ms: Records that started before then.
        confidential: Whether to count what is confidential.
    """
    parameters = {"since": since_ms, "until": until_ms, "confidential": confidential}
    return [ActivityCounts(*row) for row in client.rows(USED_IN_PERIOD, parameters)]


def latest(
    client: LogboekClient,
    limits: PageLimits,
    *,
    activity: str | None = None,
    kind: OversightKind = OversightKind.ALL,
    confidential: bool = True,
) -> Page:
    """Return a page of the records of a period, the newest first; see `used_in_period`.

    Args:
        limits: The period, and which page of it.
        activity: The only processing activity to show, which may be none at all (empty); None for every one.
        kind: Which records of those.
    """
    parameters: dict[str, Any] = {} if activity is None else {"activity": activity}
    sql = latest_query(kind, of_activity=activity is not None)
    return page_of(client, sql, parameters, from_the_end(limits), confidential=confidential)


def latest_query(kind: OversightKind, *, of_activity: bool) -> str:
    """Return the text of `latest`."""
    conditions = [condition for condition in (_ACTIVITY if of_activity else "", _KINDS[kind], BACK) if condition]
    return query(" AND ".join(conditions), LIMIT, ROW_ONCE_NEWEST)


def gaps(client: LogboekClient, *, limit: int = PAGE_RECORDS) -> list[SequenceGap]:
    """Return the writers with places that no row has, or that two have; reads a few columns of the whole table."""
    return [SequenceGap(*row) for row in client.rows(_GAPS, {"limit": limit})]
