"""Removing records that have a term of their own, or versions: all versions go when the time of the last one is over.

When the last version has no term of its own, that of its activity counts, as for all other records.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.retention.sql import (
    BY_ACTIVITY,
    REMOVAL_COLUMNS,
    REMOVAL_DONE,
    TERMS_AT_MOMENT,
    deletion,
    kept_from,
)
from ldv_otel._internal.clickhouse.sql_text import Sql, attribute
from ldv_otel.attributes import KEPT_UNTIL, MOVED_TO, VERSION, VERSION_OF

#: What identifies a record: what its versions share, or else its own ids.
_RECORD_ID: Final = Sql(
    "if($version_of != '', $version_of, lower(hex(concat(trace_id, span_id))))", version_of=attribute(VERSION_OF)
)
#: Where the rows of some records are: those that the term of their activity does not remove.
_OF_RECORDS: Final = Sql(
    "NOT ($by_activity) AND $record_id IN {records:Array(String)}", by_activity=BY_ACTIVITY, record_id=_RECORD_ID
)

#: `MOVED_TO` settles which is the last of two versions with one number: not the one left behind in another trace.
_PAST_OWN_TERM: Final = Sql(
    """
WITH $terms
SELECT record FROM
(
    SELECT $record_id AS record,
           argMax(($kept_until, toString(processing_activity_id), toUnixTimestamp64Milli(start_time)),
                  (toUInt64OrZero($version), $moved_to = '')) AS last
    FROM logregel WHERE NOT ($by_activity)
    GROUP BY record
)
WHERE if(last.1 != '', toInt64OrZero(last.1) <= {moment:Int64}, last.3 < $kept_from)
ORDER BY record
""",
    terms=TERMS_AT_MOMENT,
    record_id=_RECORD_ID,
    kept_until=attribute(KEPT_UNTIL),
    version=attribute(VERSION),
    moved_to=attribute(MOVED_TO),
    by_activity=BY_ACTIVITY,
    kept_from=kept_from(Sql("last.2")),
)

_COUNT: Final = Sql(
    """
SELECT processing_activity_id, toYear(start_time) AS year, count(), toUnixTimestamp64Milli(min(start_time)),
       toUnixTimestamp64Milli(max(start_time))
FROM logregel WHERE $of_records
GROUP BY processing_activity_id, year ORDER BY year, processing_activity_id
""",
    of_records=_OF_RECORDS,
)

#: `kept_from` is the beginning of time: a run that finishes this one does not find these rows by their activity.
_BEGIN_REMOVAL: Final = Sql(
    """
INSERT INTO ldv_removal ($columns)
SELECT {removal:UUID}, 'begun', currentUser(), activity, 'own term', toDateTime64(0, 6, 'UTC'),
       toDateTime64(0, 3, 'UTC'), year, 'mutation', sum(rows), min(first), max(last),
       mapFromArrays(groupArray(writer), groupArray(places))
FROM
(
    SELECT toString(processing_activity_id) AS activity, toYear(start_time) AS year, toString(writer_id) AS writer,
           count() AS rows, uniqExact(seq) AS places, min(start_time) AS first, max(start_time) AS last
    FROM logregel WHERE $of_records
    GROUP BY activity, year, writer
)
GROUP BY activity, year
""",
    columns=REMOVAL_COLUMNS,
    of_records=_OF_RECORDS,
)

#: Parameters travel in the request line: so many ids fit into it.
_RECORDS_PER_STATEMENT: Final = 500

#: Activity, year, Logregels, first and last start time in ms.
OwnTermCount = tuple[str, int, int, int, int]


def count_past_own_term(client: LogboekClient, terms: Mapping[str, Any]) -> list[OwnTermCount]:
    """Return how many Logregels are past a term of their own, by year and activity.

    Args:
        terms: From `sql.term_parameters`.
    """
    counts: dict[tuple[str, int], OwnTermCount] = {}
    for records in _past_own_term(client, terms):
        for activity, year, rows, first, last in client.rows(_COUNT, {"records": records}):
            before = counts.get((activity, year), (activity, year, 0, first, last))
            total = (activity, year, before[2] + rows, min(before[3], first), max(before[4], last))
            counts[activity, year] = total
    return [counts[key] for key in sorted(counts, key=lambda key: (key[1], key[0]))]


def remove_past_own_term(client: LogboekClient, terms: Mapping[str, Any], cluster: str) -> None:
    """Remove what is past a term of its own, with all its versions, and put that on record before and after."""
    delete = deletion(_OF_RECORDS, cluster=cluster)
    for records in _past_own_term(client, terms):
        removal = str(uuid.uuid4())
        client.command(_BEGIN_REMOVAL, {"records": records, "removal": removal})
        client.command(delete, {"records": records})
        client.command(REMOVAL_DONE, {"removal": removal, "year": 0})


def _past_own_term(client: LogboekClient, terms: Mapping[str, Any]) -> list[list[str]]:
    records = [row[0] for row in client.rows(_PAST_OWN_TERM, terms)]
    return [records[begin : begin + _RECORDS_PER_STATEMENT] for begin in range(0, len(records), _RECORDS_PER_STATEMENT)]
