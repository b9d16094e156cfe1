"""Removing records that have a term of their own, or versions: all versions go when the time of the last one is over.

When the last version has no term of its own, that of its activity counts, as for all other records.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.retention.listed import ListedCount, ListedRecords
from ldv_otel._internal.clickhouse.retention.sql import BY_ACTIVITY, END_MS, TERMS_AT_MOMENT, kept_from
from ldv_otel._internal.clickhouse.sql_text import Sql, attribute
from ldv_otel._internal.tamper.note import NoteSigner
from ldv_otel.attributes import KEPT_UNTIL, MOVED_TO, VERSION, VERSION_OF

#: What identifies a record: what its versions share, or else its own ids.
_RECORD_ID: Final = Sql(
    "if($version_of != '', $version_of, lower(hex(concat(trace_id, span_id))))", version_of=attribute(VERSION_OF)
)
#: Where the rows of some records are: those that the term of their activity does not remove.
_LISTED: Final = ListedRecords(
    "own term",
    Sql("NOT ($by_activity) AND $record_id IN {records:Array(String)}", by_activity=BY_ACTIVITY, record_id=_RECORD_ID),
)

#: `MOVED_TO` settles which is the last of two versions with one number: not the one left behind in another trace.
_PAST_OWN_TERM: Final = Sql(
    """
WITH $terms
SELECT record FROM
(
    SELECT $record_id AS record,
           argMax(($kept_until, toString(processing_activity_id), toUnixTimestamp64Milli(start_time), $end),
                  (toUInt64OrZero($version), $moved_to = '')) AS last
    FROM logregel WHERE NOT ($by_activity)
    GROUP BY record
)
WHERE if(last.1 != '', toInt64OrZero(last.1) <= {moment:Int64}, last.4 < $kept_from)
ORDER BY record
""",
    terms=TERMS_AT_MOMENT,
    record_id=_RECORD_ID,
    kept_until=attribute(KEPT_UNTIL),
    version=attribute(VERSION),
    moved_to=attribute(MOVED_TO),
    by_activity=BY_ACTIVITY,
    kept_from=kept_from(Sql("last.2"), Sql("last.3")),
    end=END_MS,
)


def count_past_own_term(client: LogboekClient, terms: Mapping[str, Any]) -> list[ListedCount]:
    """Return how many Logregels are past a term of their own, by year and activity.

    Args:
        terms: From `sql.term_parameters`.
    """
    return _LISTED.count(client, _past_own_term(client, terms))


def remove_past_own_term(
    client: LogboekClient, terms: Mapping[str, Any], signer: NoteSigner | None, cluster: str
) -> None:
    """Remove what is past a term of its own, with all its versions, and put that on record before and after."""
    _LISTED.remove(client, _past_own_term(client, terms), signer, cluster)


def _past_own_term(client: LogboekClient, terms: Mapping[str, Any]) -> list[str]:
    return [row[0] for row in client.rows(_PAST_OWN_TERM, terms)]
