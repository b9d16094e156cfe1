"""Removing records that are listed one by one, because not all of their activity go.

Which they are says who asks: a term of their own (`record_terms.py`), or an end that somebody set (`dates.py`).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import Final

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.retention.evidence import BegunRemoval, leave_evidence
from ldv_otel._internal.clickhouse.retention.sql import REMOVAL_COLUMNS, REMOVAL_DONE, deletion
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.tamper.note import NoteSigner

#: Parameters travel in the request line: so many ids fit into it.
_RECORDS_PER_STATEMENT: Final = 400

#: Activity, year, Logregels, first and last start time in ms.
ListedCount = tuple[str, int, int, int, int]


class ListedRecords:
    """A way to count and remove records by their ids.

    Args:
        ground: What `ldv_removal` says instead of a term.
        of_records: The condition on rows; its parameter `records` has the ids.
    """

    def __init__(self, ground: str, of_records: Sql) -> None:
        self._ground = ground
        self._of_records = of_records
        self._count = Sql(
            """
SELECT processing_activity_id, toYear(start_time) AS year, count(), toUnixTimestamp64Milli(min(start_time)),
       toUnixTimestamp64Milli(max(start_time))
FROM logregel WHERE $of_records
GROUP BY processing_activity_id, year ORDER BY year, processing_activity_id
""",
            of_records=of_records,
        )
        #: `kept_from` is the beginning of time: a run that finishes this one finds these rows not by their activity.
        self._begin_removal = Sql(
            """
INSERT INTO ldv_removal ($columns)
SELECT {removal:UUID}, 'begun', currentUser(), activity, {ground:String}, toDateTime64(0, 6, 'UTC'),
       toDateTime64(0, 3, 'UTC'), year, 'mutation', sum(rows), min(first), max(last),
       mapFromArrays(groupArray(writer), groupArray(places)), toDateTime64(0, 3, 'UTC'), toDateTime64(0, 3, 'UTC')
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
            of_records=of_records,
        )
        self._activities = Sql(
            "SELECT DISTINCT toString(processing_activity_id) FROM logregel WHERE $of_records", of_records=of_records
        )

    def count(self, client: LogboekClient, ids: Iterable[str]) -> list[ListedCount]:
        """Return how many Logregels these are, by year and activity."""
        counts: dict[tuple[str, int], ListedCount] = {}
        for records in _chunks(ids):
            for activity, year, rows, first, last in client.rows(self._count, {"records": records}):
                before = counts.get((activity, year), (activity, year, 0, first, last))
                counts[activity, year] = (activity, year, before[2] + rows, min(before[3], first), max(before[4], last))
        return [counts[key] for key in sorted(counts, key=lambda key: (key[1], key[0]))]

    def remove(self, client: LogboekClient, ids: Iterable[str], signer: NoteSigner | None, cluster: str) -> None:
        """Remove these, and put that on record before and after."""
        delete = deletion(self._of_records, cluster=cluster)
        for records in _chunks(ids):
            removal = str(uuid.uuid4())
            client.command(self._begin_removal, {"records": records, "removal": removal, "ground": self._ground})
            activities = [activity for (activity,) in client.rows(self._activities, {"records": records})]
            begun = BegunRemoval(signer, removal, dict.fromkeys(activities, 0))
            leave_evidence(client, begun, self._of_records, {"records": records})
            client.command(delete, {"records": records})
            client.command(REMOVAL_DONE, {"removal": removal, "year": 0})


def _chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    each_once = list(dict.fromkeys(ids))
    for begin in range(0, len(each_once), _RECORDS_PER_STATEMENT):
        yield each_once[begin : begin + _RECORDS_PER_STATEMENT]
