"""The queries for oversight: what was done in a period, what failed, what was changed to be stored, what is missing.

They are about records, not about people, and show each version of a record that was corrected later.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.models import PAGE_RECORDS, Page, PageLimits
from ldv_otel._internal.clickhouse.queries.row_terms import TERMS_IN_FORCE, WITHIN_TERM
from ldv_otel._internal.clickhouse.queries.shown_records import from_the_end, page_of
from ldv_otel._internal.clickhouse.queries.sql import (
    BEFORE_CURSOR,
    LIMIT,
    ROW_ONCE,
    ROW_ONCE_NEWEST,
    records_query,
)
from ldv_otel._internal.clickhouse.read_settings import READ_SETTINGS
from ldv_otel._internal.clickhouse.sql_text import Sql, all_of, attribute
from ldv_otel._internal.times.instants import within_query_time
from ldv_otel.attributes import FLAGS

_DAY_MS: Final = 86_400_000


class OversightKind(StrEnum):
    """Which records of a period an officer asks for."""

    ALL = "alles"
    FAILED = "mislukt"
    FLAGGED = "aangepast"


_FAILED: Final = Sql("status = 'Error'")
_FLAGGED: Final = Sql("$flags != ''", flags=attribute(FLAGS))
_OF_ACTIVITY: Final = Sql("processing_activity_id = {activity:String}")
_OF_KIND: Final = {OversightKind.ALL: (), OversightKind.FAILED: (_FAILED,), OversightKind.FLAGGED: (_FLAGGED,)}

#: Each row once before it is counted: a batch that was stored twice is not twice as much processing.
USED_IN_PERIOD: Final = Sql(
    """
WITH $terms AS kept
SELECT processing_activity_id, count(), countIf(failed), countIf(flagged), toUnixTimestamp64Milli(min(start_time)),
       toUnixTimestamp64Milli(max(start_time))
FROM
(
    SELECT processing_activity_id, $failed AS failed, $flagged AS flagged, start_time
    FROM logregel
    WHERE start_time >= fromUnixTimestamp64Milli({since:Int64})
        AND start_time < fromUnixTimestamp64Milli({until:Int64}) AND $within_term $once
)
GROUP BY processing_activity_id ORDER BY count() DESC, processing_activity_id
SETTINGS $settings
""",
    terms=TERMS_IN_FORCE,
    failed=_FAILED,
    flagged=_FLAGGED,
    within_term=WITHIN_TERM,
    once=ROW_ONCE,
    settings=READ_SETTINGS,
)

#: How many writers a period has, and those whose numbers there are not whole: few, or none. An Actie is stored when it
#: ends, so what began up to a day before has numbers of the period too. A gap without a removal by a term is a lost
#: Logregel (LDV-L2); a double is one that readers do not see.
_WRITERS_OF_PERIOD: Final = Sql("""
SELECT count(), groupArrayIf(1000)(writer_id, suspect) FROM
(
    SELECT writer_id,
           max(seq) + 1 - if(min(start_time) < fromUnixTimestamp64Milli({since:Int64}), min(seq), 0) != uniqExact(seq)
               OR count() != uniqExact(seq) AS suspect
    FROM logregel
    WHERE writer_id != 'collector' AND start_time >= fromUnixTimestamp64Milli({near_since:Int64})
        AND start_time < fromUnixTimestamp64Milli({near_until:Int64})
    GROUP BY writer_id
    HAVING countIf(start_time >= fromUnixTimestamp64Milli({since:Int64})
                   AND start_time < fromUnixTimestamp64Milli({until:Int64})) > 0
)
""")
#: Of those alone the whole sequence, with what was removed by a term.
_SEQUENCE_GAPS: Final = Sql("""
SELECT writer_id, service, stored, missing, doubled, toUnixTimestamp64Milli(first_start_time),
       toUnixTimestamp64Milli(last_start_time)
FROM schrijvers WHERE has({writers:Array(String)}, writer_id) AND (missing > 0 OR doubled > 0)
ORDER BY missing DESC, last_start_time DESC LIMIT {limit:UInt32}
""")


class ActivityCounts(msgspec.Struct, frozen=True):
    """What was stored under a processing activity in a period; times in ms since 1970-01-01 UTC."""

    activity: str
    logregels: int
    failed: int
    flagged: int
    first_ms: int
    last_ms: int


class SequenceGap(msgspec.Struct, frozen=True):
    """A writer with sequence numbers that no row has, or that two rows have; see `WriterCounts`."""

    writer_id: str
    service: str
    stored: int
    missing: int
    doubled: int
    first_ms: int
    last_ms: int


class CheckedSequences(msgspec.Struct, frozen=True):
    """What a look at the sequences of a period came to.

    Attributes:
        writers: How many there are. What came through a Collector has none.
        gaps: Those that are not whole, the most missing first.
    """

    writers: int
    gaps: list[SequenceGap]


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


def latest_in_period(
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
    query = latest_query(kind, of_activity=activity is not None)
    return page_of(client, query, parameters, from_the_end(limits), confidential=confidential)


def latest_query(kind: OversightKind, *, of_activity: bool) -> Sql:
    """Return the query of `latest_in_period`."""
    conditions = (*((_OF_ACTIVITY,) if of_activity else ()), *_OF_KIND[kind], BEFORE_CURSOR)
    return records_query(all_of(conditions), LIMIT, ROW_ONCE_NEWEST)


def check_sequences(
    client: LogboekClient, since_ms: int, until_ms: int, *, limit: int = PAGE_RECORDS
) -> CheckedSequences:
    """Look for writers whose numbers of a period have gaps or doubles; of these, all gaps at any time count.

    Reads two narrow columns of the period, and of a writer whose numbers are not whole there all of its records.

    Args:
        since_ms: Writers of a record that started then or later, in ms since 1970-01-01 UTC.
        until_ms: And before then.
    """
    parameters = {
        "since": within_query_time(since_ms),
        "until": within_query_time(until_ms),
        "near_since": within_query_time(since_ms - _DAY_MS),
        "near_until": within_query_time(until_ms + _DAY_MS),
    }
    ((writers, suspects),) = client.rows(_WRITERS_OF_PERIOD, parameters)
    rows = client.rows(_SEQUENCE_GAPS, {"writers": list(suspects), "limit": limit}) if suspects else []
    return CheckedSequences(writers, [SequenceGap(*row) for row in rows])
