"""The end of records whose activity has a term in words: somebody sets it, for a trace or a record (LDV-N13).

A term such as "20 years after the decision became final" begins with an event that no Logregel knows, so nothing goes
by itself. What was set is kept for good in `ldv_term_date`, with who set it; for one trace or record the last counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.projections import id_prefixes, in_hours_of
from ldv_otel._internal.clickhouse.retention.listed import ListedCount, ListedRecords
from ldv_otel._internal.clickhouse.retention.sql import BY_ACTIVITY, IN_WORDS, TERMS_AT_MOMENT
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.tamper.note import NoteSigner

_SET: Final = Sql("""
INSERT INTO ldv_term_date (trace_id, span_id, kept_until)
SELECT toFixedString(unhex({trace_id:String}), 16), toFixedString(unhex({span_id:String}), 8),
       fromUnixTimestamp64Milli({until:Int64}, 'UTC')
""")
#: How many records a date is for: one of a trace is not for those that have one of their own. Terms are those in force.
_OF_TRACE: Final = Sql(
    """
WITH $terms
SELECT count(), countIf($in_words) FROM logregel
WHERE trace_id = toFixedString(unhex({trace_id:String}), 16) AND $hours
  AND if({span_id:String} = '',
         span_id NOT IN
         (
             SELECT span_id FROM ldv_term_date
             WHERE trace_id = toFixedString(unhex({trace_id:String}), 16) AND span_id != toFixedString('', 8)
         ),
         span_id = toFixedString(unhex({span_id:String}), 8))
""",
    terms=TERMS_AT_MOMENT,
    in_words=IN_WORDS,
    hours=in_hours_of("trace_id"),
)
#: A date of the record itself goes before that of its trace.
_PAST_DATE: Final = Sql(
    """
WITH $terms,
    (
        SELECT (groupArray(concat(trace_id, span_id)), groupArray(until_ms)) FROM
        (
            SELECT trace_id, span_id, toUnixTimestamp64Milli(argMax(kept_until, applied)) AS until_ms
            FROM ldv_term_date GROUP BY trace_id, span_id
        )
    ) AS dates
SELECT lower(hex(concat(trace_id, span_id)))
FROM logregel
WHERE trace_id IN (SELECT trace_id FROM ldv_term_date) AND $by_activity AND $in_words
  AND transform(concat(trace_id, span_id), dates.1, dates.2,
        transform(concat(trace_id, toFixedString('', 8)), dates.1, dates.2, {moment:Int64} + 1)) <= {moment:Int64}
ORDER BY trace_id, span_id
""",
    terms=TERMS_AT_MOMENT,
    by_activity=BY_ACTIVITY,
    in_words=IN_WORDS,
)
_LISTED: Final = ListedRecords(
    "date",
    Sql("$by_activity AND lower(hex(concat(trace_id, span_id))) IN {records:Array(String)}", by_activity=BY_ACTIVITY),
)


def set_date(client: LogboekClient, trace_id: bytes, span_id: bytes, until_ms: int, terms: Mapping[str, Any]) -> int:
    """Set until when records of a trace, or one record, are kept; return for how many it holds now.

    Args:
        span_id: Empty for all records of the trace, also those that come later.
        until_ms: In ms since 1970-01-01 UTC.
        terms: From `sql.term_parameters`.
    """
    parameters = {"trace_id": trace_id.hex(), "span_id": span_id.hex()}
    client.command(_SET, parameters | {"until": until_ms})
    (row,) = client.rows(_OF_TRACE, {**terms, **parameters, "prefixes": id_prefixes([trace_id])})
    return int(row[1])


def count_past_date(client: LogboekClient, terms: Mapping[str, Any]) -> list[ListedCount]:
    """Return how many Logregels are past the end that was set for them, by year and activity."""
    return _LISTED.count(client, _past_date(client, terms))


def remove_past_date(client: LogboekClient, terms: Mapping[str, Any], signer: NoteSigner | None, cluster: str) -> None:
    """Remove what is past the end that was set for it, and put that on record before and after."""
    _LISTED.remove(client, _past_date(client, terms), signer, cluster)


def _past_date(client: LogboekClient, terms: Mapping[str, Any]) -> list[str]:
    return [row[0] for row in client.rows(_PAST_DATE, terms)]
