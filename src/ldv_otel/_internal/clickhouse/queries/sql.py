"""The SQL of the named queries in `records.py`, and the parts that other queries are made of.

No query shows a Logregel past its term by the Register, whether it was removed or not (LDV-L3), and none shows what is
confidential when asked with `confidential=False` (LDV-L4). A lookup by trace or by data subject goes through a
projection, see `projections.py`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import ldv_otel.attributes as names
from ldv_otel._internal.clickhouse.columns import SELECTED
from ldv_otel._internal.clickhouse.queries.lookups import Lookup
from ldv_otel._internal.clickhouse.queries.projections import in_hours_of, in_hours_of_any
from ldv_otel._internal.clickhouse.queries.row_terms import BY_TERMS, RowTerms
from ldv_otel._internal.clickhouse.read_settings import READ_SETTINGS
from ldv_otel._internal.clickhouse.sql_text import NOTHING, Sql, all_of, attribute, literal
from ldv_otel._internal.config.variables import UNKNOWN_CALLER_URL

#: What makes a row one row, in the order of the table: a row that was stored twice stands beside itself.
ROW_KEY: Final = Sql("start_time, span_id, writer_id, seq")
#: Ends a query so that each row comes once and in order, and so that reading still stops at a limit. DISTINCT or FINAL
#: would keep every key in memory.
ROW_ONCE: Final = Sql("ORDER BY $key LIMIT 1 BY $key", key=ROW_KEY)
#: The same, the newest row first.
ROW_ONCE_NEWEST: Final = Sql(
    "ORDER BY start_time DESC, span_id DESC, writer_id DESC, seq DESC LIMIT 1 BY $key", key=ROW_KEY
)

#: The end of a query for a page.
LIMIT: Final = Sql("LIMIT {limit:UInt32}")


def records_query(
    where: Sql, limit: Sql = NOTHING, order: Sql = ROW_ONCE, *, prewhere: Sql = NOTHING, terms: RowTerms = BY_TERMS
) -> Sql:
    """Return a query for whole records that meet a condition and are within their terms.

    Args:
        prewhere: The condition that is read before any other column of a row. Left to itself, ClickHouse begins with
            the comparison of a cursor and reads three columns of every row for that.
        terms: How it asks for these.
    """
    return Sql(
        """
$terms SELECT $selected FROM logregel $prewhere WHERE $where AND $within_term $order $limit
SETTINGS $settings
""",
        terms=terms.before,
        selected=SELECTED,
        prewhere=Sql("PREWHERE $condition", condition=prewhere) if prewhere.text else NOTHING,
        where=where,
        within_term=terms.condition,
        order=order,
        limit=limit,
        settings=READ_SETTINGS,
    )


_PERIOD: Final = Sql("""
start_time >= fromUnixTimestamp64Milli({since:Int64}) AND start_time < fromUnixTimestamp64Milli({until:Int64})
""")
_CURSOR: Final = Sql("""
(fromUnixTimestamp64Milli({after_time:Int64}), toFixedString(unhex({after_span:String}), 8), {after_writer:String},
 {after_seq:UInt64})
""")
#: The rows of a period behind a cursor. The tuple alone would do; the bound on start_time beside it is what the primary
#: key can skip granules by.
AFTER_CURSOR: Final = Sql(
    "$period AND start_time >= fromUnixTimestamp64Milli({after_time:Int64}) AND ($key) > $cursor",
    period=_PERIOD,
    key=ROW_KEY,
    cursor=_CURSOR,
)
#: The same for pages that go back in time.
BEFORE_CURSOR: Final = Sql(
    "$period AND start_time <= fromUnixTimestamp64Milli({after_time:Int64}) AND ($key) < $cursor",
    period=_PERIOD,
    key=ROW_KEY,
    cursor=_CURSOR,
)

_OF_TRACE: Final = Sql("trace_id = toFixedString(unhex({trace_id:String}), 16)")
_OF_FOREIGN_TRACE: Final = Sql("foreign_operation_trace_id = toFixedString(unhex({trace_id:String}), 16)")
_OF_SUBJECT: Final = Sql("has(arrayMap(id -> toFixedString(unhex(id), 16), {subjects:Array(String)}), data_subject_id)")
_OF_ACTIVITY: Final = Sql("processing_activity_id = {activity:String}")
_SPAN: Final = Sql("toFixedString(unhex({span_id:String}), 8)")


def _records_lookup(
    column: str, where: Sql, limit: Sql = NOTHING, order: Sql = ROW_ONCE, *hours: Sql, prewhere: Sql = NOTHING
) -> Lookup:
    """Return the question for the records in the hours of some ids that meet a condition; else as `records_query`."""
    return Lookup.of(
        column,
        lambda in_hours, terms: records_query(
            Sql("$hours AND $where", hours=in_hours, where=where), limit, order, prewhere=prewhere, terms=terms
        ),
        *hours,
    )


BY_TRACE: Final = _records_lookup("trace_id", _OF_TRACE)
BY_OUTBOUND: Final = _records_lookup(
    "trace_id", Sql("$trace AND (span_id = $span OR has(outbound_span_ids, $span))", trace=_OF_TRACE, span=_SPAN)
)
BY_FOREIGN: Final = _records_lookup(
    "foreign_operation_trace_id",
    Sql("$trace AND ({span_id:String} = '' OR foreign_operation_span_id = $span)", trace=_OF_FOREIGN_TRACE, span=_SPAN),
)


def _of_subject(page: Sql, order: Sql, *hours: Sql) -> Lookup:
    return _records_lookup("data_subject_id", page, LIMIT, order, *hours, prewhere=_OF_SUBJECT)


BY_SUBJECT: Final = _of_subject(
    AFTER_CURSOR,
    ROW_ONCE,
    # Hours before the page need no look: for a person with records in every hour, most of them.
    Sql("toRelativeHourNum(start_time) >= toRelativeHourNum(fromUnixTimestamp64Milli({first:Int64}, 'UTC'))"),
)
#: The first page has no cursor: to compare rows with one reads three columns more before any row is left out.
FIRST_BY_SUBJECT: Final = _of_subject(_PERIOD, ROW_ONCE)
_WANTED_ACTIVITIES: Final = Sql(
    "(empty({activities:Array(String)}) OR has({activities:Array(String)}, processing_activity_id))"
)
LATEST_BY_SUBJECT: Final = _of_subject(
    Sql("$page AND $wanted", page=BEFORE_CURSOR, wanted=_WANTED_ACTIVITIES), ROW_ONCE_NEWEST
)
FIRST_LATEST_BY_SUBJECT: Final = _of_subject(
    Sql("$page AND $wanted", page=_PERIOD, wanted=_WANTED_ACTIVITIES), ROW_ONCE_NEWEST
)
#: A record without versions, and with nothing of its own that says who may see it: it can be counted where it is.
_PLAIN: Final = Sql(
    "$version_of = '' AND $confidential = ''",
    version_of=attribute(names.VERSION_OF),
    confidential=attribute(names.CONFIDENTIAL),
)


def _activities_of_subject(hours: Sql, terms: RowTerms) -> Sql:
    return Sql(
        """
$terms
SELECT processing_activity_id, uniqExactIf(($key), $plain), toUnixTimestamp64Milli(minIf(start_time, $plain)),
       toUnixTimestamp64Milli(maxIf(start_time, $plain)), countIf(NOT ($plain))
FROM logregel PREWHERE $subject WHERE $hours AND $within_term
GROUP BY processing_activity_id ORDER BY max(start_time) DESC, processing_activity_id
SETTINGS $settings
""",
        terms=terms.before,
        key=ROW_KEY,
        plain=_PLAIN,
        subject=_OF_SUBJECT,
        hours=hours,
        within_term=terms.condition,
        settings=READ_SETTINGS,
    )


ACTIVITIES_OF_SUBJECT: Final = Lookup.of("data_subject_id", _activities_of_subject)
#: The records that `ACTIVITIES_OF_SUBJECT` cannot count.
OTHERS_OF_SUBJECT: Final = _records_lookup("data_subject_id", Sql("NOT ($plain)", plain=_PLAIN), prewhere=_OF_SUBJECT)
BY_ATTRIBUTE: Final = _records_lookup(
    "trace_id", Sql("startsWith(trace_id, unhex({prefix:String})) AND attributes[{name:String}] = {value:String}")
)
BY_ACTIVITY: Final = records_query(Sql("$activity AND $page", activity=_OF_ACTIVITY, page=AFTER_CURSOR), LIMIT)
IN_PERIOD: Final = records_query(AFTER_CURSOR, LIMIT)

#: The conditions of `records.search`, by the field of `RecordQuery` that has the value.
CONDITIONS: Final = {
    "trace_id": _OF_TRACE,
    "foreign_trace_id": Sql("foreign_operation_trace_id = toFixedString(unhex({foreign_trace_id:String}), 16)"),
    "foreign_span_id": Sql("foreign_operation_span_id = toFixedString(unhex({foreign_span_id:String}), 8)"),
    "subjects": _OF_SUBJECT,
    "subject_type": Sql(
        "data_subject_id_type = {subject_type:String} OR has({linked:Array(String)}, lower(hex(data_subject_id)))"
    ),
    "activity": _OF_ACTIVITY,
    # Records of before LDV-N10 have the ids alone of a caller that nobody knew; `callers.processor_of` shows them so.
    "processor": Sql(
        """(foreign_operation_processor = {processor:String} OR {processor:String} = $unknown
            AND foreign_operation_processor = '' AND (foreign_operation_trace_id != toFixedString('', 16)
            OR foreign_operation_span_id != toFixedString('', 8)))""",
        unknown=literal(UNKNOWN_CALLER_URL),
    ),
    "read_api": Sql("external_read_api_id = {read_api:String}"),
    # The prewhere of the page's period goes first: of a UUID v7 that is a day around the moment in it.
    "transaction_id": Sql("$name = {transaction_id:String}", name=attribute(names.FSC_TRANSACTION_ID)),
    # A beginning ends where a part of the address ends: `.../open` is not that of `.../open-ander`.
    "visible": Sql("""arrayExists(prefix -> startsWith(processing_activity_id, prefix) AND (
        length(processing_activity_id) = length(prefix) OR endsWith(prefix, '/') OR endsWith(prefix, ':')
        OR substring(processing_activity_id, length(prefix) + 1, 1) IN ('/', '?', '#', ':')),
        {visible:Array(String)})"""),
    "ended_by_ms": Sql(
        "start_time + toIntervalMillisecond(duration_ms) <= fromUnixTimestamp64Milli({ended_by_ms:Int64})"
    ),
}
#: Which of them name ids that have a projection, by its column; the one with the fewest hours first.
_PROJECTED: Final = {
    "trace_id": "trace_id",
    "foreign_trace_id": "foreign_operation_trace_id",
    "subjects": "data_subject_id",
}


def narrowest(fields: Collection[str]) -> str | None:
    """Return the field whose ids leave the fewest hours to look in; None when none of them has a projection."""
    return next((field for field in _PROJECTED if field in fields), None)


def search_query(fields: Collection[str], *, restricted: bool) -> Sql:
    """Return a query for a page of the records that meet the `CONDITIONS` of all these fields.

    Its parameter `prefixes` has the `id_prefixes` of the `narrowest` field, where there is one.

    Args:
        restricted: Whether there may be records that the reader may not see, and that its work must not tell of.
    """
    conditions = [CONDITIONS[field] for field in fields]
    if (field := narrowest(fields)) is not None:
        conditions.append((in_hours_of_any if restricted else in_hours_of)(_PROJECTED[field]))
    return records_query(all_of([*conditions, AFTER_CURSOR]), LIMIT)


#: Whole rows, past their terms and of any activity too: whether ids are taken does not depend on who may see it.
OF_TRACES: Final = Sql(
    """
SELECT $selected FROM logregel
WHERE trace_id IN (SELECT toFixedString(unhex(arrayJoin({traces:Array(String)})), 16)) AND $hours
SETTINGS $settings
""",
    selected=SELECTED,
    hours=in_hours_of("trace_id"),
    settings=READ_SETTINGS,
)

_TECHNICAL: Final = Sql("""
FROM technical_span
WHERE (trace_id, span_id) IN (
    SELECT toFixedString(unhex(pair.1), 16), toFixedString(unhex(pair.2), 8)
    FROM (SELECT arrayJoin(arrayZip({traces:Array(String)}, {spans:Array(String)})) AS pair))
""")
#: How many there are: none where no service logs through a Collector. It is known without a look at the rows.
TECHNICAL_SPANS: Final = Sql("SELECT count() FROM technical_span")
#: Whether any of these spans is technical: asked first, because it takes a fifth of the time of `ACTIE_ABOVE`.
ANY_TECHNICAL: Final = Sql("SELECT 1 $technical LIMIT 1", technical=_TECHNICAL)
#: The first span above a technical one that is not technical itself; zeros where there is none. 64 steps end a circle,
#: which a sender's ids can have. The trace is named in the second part too, so that the join reads no other.
ACTIE_ABOVE: Final = Sql(
    """
WITH RECURSIVE way AS
(
    SELECT trace_id AS trace, span_id AS technical, parent_span_id AS above, 1 AS steps
    $technical
    UNION ALL
    SELECT w.trace AS trace, w.technical AS technical, t.parent_span_id AS above, w.steps + 1 AS steps
    FROM way AS w INNER JOIN technical_span AS t ON t.trace_id = w.trace AND t.span_id = w.above
    WHERE t.trace_id IN (SELECT toFixedString(unhex(arrayJoin({traces:Array(String)})), 16)) AND w.steps < 64
)
SELECT trace, technical, argMax(above, steps) FROM way GROUP BY trace, technical
""",
    technical=_TECHNICAL,
)

TOTALS: Final = Sql(
    """
SELECT count(), toUnixTimestamp64Milli(min(start_time)), toUnixTimestamp64Milli(max(start_time)),
       countIf(status = 'Error'), countIf($flags != ''), uniqExact(processing_activity_id)
FROM logregel
""",
    flags=attribute(names.FLAGS),
)

FLAG_COUNTS: Final = Sql(
    """
SELECT arrayJoin(splitByChar(',', $flags)) AS flag, count()
FROM logregel WHERE $flags != '' GROUP BY flag ORDER BY count() DESC, flag LIMIT {limit:UInt32}
""",
    flags=attribute(names.FLAGS),
)

WRITERS: Final = Sql("""
SELECT writer_id, resource, stored, removed, missing, doubled,
       toUnixTimestamp64Milli(first_start_time), toUnixTimestamp64Milli(last_start_time)
FROM schrijvers ORDER BY last_start_time DESC LIMIT {limit:UInt32}
""")

#: The names of resource attributes that records do not keep, the hundred most frequent (LDV-N8).
RESOURCE_LEFT_OUT: Final = Sql(
    """
SELECT arrayJoin(splitByChar(',', JSONExtractString(resource, $left_out))) AS name, count() AS logregels FROM logregel
WHERE position(resource, $left_out) > 0 GROUP BY name HAVING name != '' ORDER BY logregels DESC, name LIMIT 100
""",
    left_out=literal(names.LEFT_OUT),
)

REFUSED_SPANS: Final = Sql("SELECT count() FROM collector_refused")
#: The names on spans that are no Acties, the hundred most frequent.
OVERLOOKED: Final = Sql("""
SELECT arrayJoin(mapKeys(attributes)) AS name, count() AS spans FROM collector_refused
WHERE startsWith(reason, 'no processing activity') GROUP BY name ORDER BY spans DESC, name LIMIT 100
""")
