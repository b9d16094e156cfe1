"""Removing records that have a term of their own, or versions: all versions go when the time of the last one is over.

When the last version has no term of its own, that of its activity counts, as for all other records.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.retention.sql import BY_ACTIVITY, TERMS, kept_from
from ldv_otel._internal.clickhouse.schema.cluster import LOCAL_TABLE, Cluster
from ldv_otel.attributes import KEPT_UNTIL, MOVED_TO, VERSION, VERSION_OF

#: What a record is known by: what its versions share, or else itself.
_RECORD: Final = (
    f"if(attributes['{VERSION_OF}'] != '', attributes['{VERSION_OF}'], lower(hex(concat(trace_id, span_id))))"
)

_OVER: Final = f"""
WITH {TERMS}
SELECT record FROM
(
    SELECT {_RECORD} AS record,
           argMax((attributes['{KEPT_UNTIL}'], toString(processing_activity_id), toUnixTimestamp64Milli(start_time)),
                  (toUInt64OrZero(attributes['{VERSION}']), attributes['{MOVED_TO}'] = '')) AS last
    FROM logregel WHERE NOT ({BY_ACTIVITY})
    GROUP BY record
)
WHERE if(last.1 != '', toInt64OrZero(last.1) <= {{moment:Int64}}, last.3 < {kept_from("last.2")})
ORDER BY record
"""  # noqa: S608  (our own text; values are parameters)

_COUNTED: Final = f"""
SELECT processing_activity_id, toYear(start_time) AS year, count(), toUnixTimestamp64Milli(min(start_time)),
       toUnixTimestamp64Milli(max(start_time))
FROM logregel WHERE NOT ({BY_ACTIVITY}) AND {_RECORD} IN {{records:Array(String)}}
GROUP BY processing_activity_id, year ORDER BY year, processing_activity_id
"""  # noqa: S608  (as above)

#: `kept_from` is the beginning of time: these rows are not found again by their activity.
_BEGUN: Final = f"""
INSERT INTO ldv_removal (removal_id, state, processing_activity_id, retention, rule_applied, kept_from, year, way,
                         logregels, first_start_time, last_start_time, writers)
SELECT {{removal:UUID}}, 'begun', activity, 'own term', toDateTime64(0, 6, 'UTC'), toDateTime64(0, 3, 'UTC'), year,
       'mutation', sum(rows), min(first), max(last), mapFromArrays(groupArray(writer), groupArray(places))
FROM
(
    SELECT toString(processing_activity_id) AS activity, toYear(start_time) AS year, toString(writer_id) AS writer,
           count() AS rows, uniqExact(seq) AS places, min(start_time) AS first, max(start_time) AS last
    FROM logregel WHERE NOT ({BY_ACTIVITY}) AND {_RECORD} IN {{records:Array(String)}}
    GROUP BY activity, year, writer
)
GROUP BY activity, year
"""  # noqa: S608  (as above)

_DONE: Final = """
INSERT INTO ldv_removal (removal_id, state, removed_by, processing_activity_id, retention, rule_applied, kept_from,
                         year, way, logregels, first_start_time, last_start_time, writers)
SELECT removal_id, 'done', removed_by, processing_activity_id, retention, rule_applied, kept_from, year,
       way, logregels, first_start_time, last_start_time, writers
FROM ldv_removal WHERE removal_id = {removal:UUID} AND state = 'begun'
"""

#: So many ids fit into the address of a request.
_RECORDS_AT_ONCE: Final = 500

Counted = tuple[str, int, int, int, int]


def count_over(client: LogboekClient, terms: Mapping[str, Any]) -> list[Counted]:
    """Return activity, year, Logregels, first and last start time of what is over; see `terms.parameters`."""
    found: dict[tuple[str, int], Counted] = {}
    for records in _over(client, terms):
        for activity, year, rows, first, last in client.rows(_COUNTED, {"records": records}):
            before = found.get((activity, year), (activity, year, 0, first, last))
            counted = (activity, year, before[2] + rows, min(before[3], first), max(before[4], last))
            found[activity, year] = counted
    return [found[key] for key in sorted(found, key=lambda key: (key[1], key[0]))]


def remove_over(client: LogboekClient, terms: Mapping[str, Any], cluster: str) -> None:
    """Remove what is over, with all its versions, and put that on record before and after."""
    table = f"{LOCAL_TABLE} {Cluster(cluster).everywhere}" if cluster else "logregel"
    delete = (
        f"ALTER TABLE {table} DELETE WHERE NOT ({BY_ACTIVITY}) AND {_RECORD} IN {{records:Array(String)}} "
        f"SETTINGS mutations_sync = {2 if cluster else 1}"
    )
    for records in _over(client, terms):
        named = {"records": records, "removal": str(uuid.uuid4())}
        client.command(_BEGUN, named)
        client.command(delete, {"records": records})
        client.command(_DONE, {"removal": named["removal"]})


def _over(client: LogboekClient, terms: Mapping[str, Any]) -> list[list[str]]:
    records = [row[0] for row in client.rows(_OVER, terms)]
    return [records[begin : begin + _RECORDS_AT_ONCE] for begin in range(0, len(records), _RECORDS_AT_ONCE)]
