"""The SQL of the named questions that `read.py` asks, and the parts that others build theirs of.

No question shows a Logregel past its term by the Register, whether it was removed or not, and none shows what is
confidential when asked with `confidential=False`.

A lookup by trace or by data subject goes through a projection, see `hours.py`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from ldv_otel import attributes as names
from ldv_otel._internal.clickhouse.columns import READ_SETTINGS, ROW_KEY, ROW_ONCE, ROW_ONCE_NEWEST, SELECTED
from ldv_otel._internal.clickhouse.queries.projections import hours

#: How long each activity's Logregels are kept, and from when on that is; see the table ldv_term, and the view
#: logregel_shown, which has the same. For who may not see it, what is confidential is kept from beyond the end of time,
#: and what is confidential by itself is left out here too: a page that misses it, or a cursor at it, would tell of it.
TERMS: Final = """
(SELECT activities, if({confidential:Bool}, terms, public_terms) FROM ldv_term ORDER BY applied DESC LIMIT 1)
"""
_TERM: Final = "transform(processing_activity_id, kept.1, kept.2, 120000000)"
_OWN_TERM: Final = f"attributes['{names.KEPT_UNTIL}']"
KEPT: Final = f"""
(start_time >= subtractDays(
    subtractMonths(toDateTime64(toStartOfMinute(now64(3, 'UTC')) + 60, 3, 'UTC'), intDiv({_TERM}, 100000)),
    {_TERM} % 100000)
 OR ({_OWN_TERM} != '' AND {_TERM} >= 0))
AND ({_OWN_TERM} = '' OR toInt64OrZero({_OWN_TERM}) > toUnixTimestamp64Milli(now64(3)))
AND ({{confidential:Bool}} OR attributes['{names.CONFIDENTIAL}'] = '')
"""


def query(where: str, limit: str = "", order: str = ROW_ONCE, *, first: str = "") -> str:
    """Return a query for whole records; our own text, values are parameters.

    Args:
        first: What the engine looks at before anything else of a row: left to itself it begins with the tuple of a
            cursor, and reads three columns of every row for that.
    """
    select = f"WITH {TERMS} AS kept SELECT {SELECTED} FROM logregel"  # noqa: S608
    prewhere = f"PREWHERE {first}" if first else ""
    return f"{select} {prewhere} WHERE {where} AND {KEPT} {order} {limit} SETTINGS {READ_SETTINGS}"


_TRACE: Final = "trace_id = toFixedString(unhex({trace_id:String}), 16) AND " + hours("trace_id")
_SPAN: Final = "toFixedString(unhex({span_id:String}), 8)"
#: The bound on start_time alone lets the index skip what lies before the cursor; the tuple settles the rest.
_PERIOD: Final = """
start_time >= fromUnixTimestamp64Milli({since:Int64}) AND start_time < fromUnixTimestamp64Milli({until:Int64})
AND start_time >= fromUnixTimestamp64Milli({after_time:Int64}) AND (start_time, span_id, writer_id, seq) >
    (fromUnixTimestamp64Milli({after_time:Int64}), toFixedString(unhex({after_span:String}), 8), {after_writer:String},
     {after_seq:UInt64})
"""
#: The same for pages that go back in time: what lies before the cursor.
BACK: Final = _PERIOD.replace(
    "start_time >= fromUnixTimestamp64Milli({after_time", "start_time <= fromUnixTimestamp64Milli({after_time"
).replace("seq) >", "seq) <")
LIMIT: Final = "LIMIT {limit:UInt32}"

BY_TRACE: Final = query(_TRACE)
BY_OUTBOUND: Final = query(f"{_TRACE} AND (span_id = {_SPAN} OR has(outbound_span_ids, {_SPAN}))")
BY_FOREIGN: Final = query(
    "foreign_operation_trace_id = toFixedString(unhex({trace_id:String}), 16) AND "
    "({span_id:String} = '' OR foreign_operation_span_id = toFixedString(unhex({span_id:String}), 8)) AND "
    + hours("foreign_operation_trace_id")
)
_SUBJECT: Final = "has(arrayMap(id -> toFixedString(unhex(id), 16), {subjects:Array(String)}), data_subject_id)"
BY_SUBJECT: Final = query(
    hours(
        "data_subject_id",
        "AND toRelativeHourNum(start_time) >= toRelativeHourNum(fromUnixTimestamp64Milli({first:Int64}, 'UTC'))",
    )
    + f" AND {_PERIOD}",
    LIMIT,
    first=_SUBJECT,
)
LATEST_BY_SUBJECT: Final = query(
    f"{hours('data_subject_id')} AND {BACK} AND "
    "(empty({activities:Array(String)}) OR has({activities:Array(String)}, processing_activity_id))",
    LIMIT,
    ROW_ONCE_NEWEST,
    first=_SUBJECT,
)
#: Without versions, and with nothing of its own that says who may see it.
_PLAIN: Final = f"attributes['{names.VERSION_OF}'] = '' AND attributes['{names.CONFIDENTIAL}'] = ''"
ACTIVITIES_OF_SUBJECT: Final = f"""
WITH {TERMS} AS kept
SELECT processing_activity_id, uniqExactIf(({ROW_KEY}), {_PLAIN}),
       toUnixTimestamp64Milli(minIf(start_time, {_PLAIN})),
       toUnixTimestamp64Milli(maxIf(start_time, {_PLAIN})), countIf(NOT ({_PLAIN}))
FROM logregel PREWHERE {_SUBJECT} WHERE {hours("data_subject_id")} AND {KEPT}
GROUP BY processing_activity_id ORDER BY max(start_time) DESC, processing_activity_id
SETTINGS {READ_SETTINGS}
"""  # noqa: S608  (our own text; values are parameters)
OTHERS_OF_SUBJECT: Final = query(f"{hours('data_subject_id')} AND NOT ({_PLAIN})", first=_SUBJECT)
BY_ATTRIBUTE: Final = query(
    "startsWith(trace_id, unhex({prefix:String})) AND attributes[{name:String}] = {value:String} AND "
    + hours("trace_id")
)
BY_ACTIVITY: Final = query("processing_activity_id = {activity:String} AND " + _PERIOD, LIMIT)
IN_PERIOD: Final = query(_PERIOD, LIMIT)

#: The conditions of `read.search`, by the field of `RecordQuery` that gives the value.
CONDITIONS: Final = {
    "trace_id": "trace_id = toFixedString(unhex({trace_id:String}), 16)",
    "foreign_trace_id": "foreign_operation_trace_id = toFixedString(unhex({foreign_trace_id:String}), 16)",
    "foreign_span_id": "foreign_operation_span_id = toFixedString(unhex({foreign_span_id:String}), 8)",
    "subjects": _SUBJECT,
    "subject_type": "data_subject_id_type = {subject_type:String}",
    "activity": "processing_activity_id = {activity:String}",
    "processor": "foreign_operation_processor = {processor:String}",
    "read_api": "external_read_api_id = {read_api:String}",
    "visible": "arrayExists(prefix -> startsWith(processing_activity_id, prefix), {visible:Array(String)})",
    "ended_by_ms": "start_time + toIntervalMillisecond(duration_ms) <= fromUnixTimestamp64Milli({ended_by_ms:Int64})",
}
#: Which of them find the hours to look in, the sharpest first, and the column whose projection has those.
_HOURS_OF: Final = {
    "trace_id": hours("trace_id"),
    "foreign_trace_id": hours("foreign_operation_trace_id"),
    "subjects": hours("data_subject_id"),
}


def sharpest(given: Collection[str]) -> str | None:
    """Return which of these `CONDITIONS` finds the hours to look in, from the `prefixes` of its value; None if none."""
    return next((name for name in _HOURS_OF if name in given), None)


def matching(given: Collection[str]) -> str:
    """Return a query for a page of the records that meet all of these `CONDITIONS`."""
    conditions = [CONDITIONS[name] for name in given]
    if (name := sharpest(given)) is not None:
        conditions.append(_HOURS_OF[name])
    return query(" AND ".join([*conditions, _PERIOD]), LIMIT)


SPANS_OF_TRACES: Final = f"""
SELECT trace_id, span_id FROM logregel
WHERE trace_id IN (SELECT toFixedString(unhex(arrayJoin({{traces:Array(String)}})), 16))
  AND {hours("trace_id")}
SETTINGS {READ_SETTINGS}
"""  # noqa: S608  (our own text; values are parameters)

_TECHNICAL: Final = """
FROM technical_span
WHERE (trace_id, span_id) IN (
    SELECT toFixedString(unhex(pair.1), 16), toFixedString(unhex(pair.2), 8)
    FROM (SELECT arrayJoin(arrayZip({traces:Array(String)}, {spans:Array(String)})) AS pair))
"""
#: Whether there is any at all: asked first, because it takes a fifth of the time of looking above them.
ANY_TECHNICAL: Final = f"SELECT 1 {_TECHNICAL} LIMIT 1"
#: The first span above a technical one that is not technical itself; zeros where there is none.
ABOVE: Final = f"""
WITH RECURSIVE way AS
(
    SELECT trace_id AS trace, span_id AS technical, parent_span_id AS above, 1 AS steps
    {_TECHNICAL}
    UNION ALL
    SELECT w.trace AS trace, w.technical AS technical, t.parent_span_id AS above, w.steps + 1 AS steps
    FROM way AS w INNER JOIN technical_span AS t ON t.trace_id = w.trace AND t.span_id = w.above
    WHERE t.trace_id IN (SELECT toFixedString(unhex(arrayJoin({{traces:Array(String)}})), 16)) AND w.steps < 64
)
SELECT trace, technical, argMax(above, steps) FROM way GROUP BY trace, technical
"""  # noqa: S608  (our own text; values are parameters)

TOTALS: Final = """
SELECT count(), toUnixTimestamp64Milli(min(start_time)), toUnixTimestamp64Milli(max(start_time)),
       countIf(status = 'Error'), countIf(attributes['ldv.flags'] != ''), uniqExact(processing_activity_id)
FROM logregel
"""

WRITERS: Final = """
SELECT writer_id, resource, stored, removed, missing, doubled,
       toUnixTimestamp64Milli(first_start_time), toUnixTimestamp64Milli(last_start_time)
FROM schrijvers ORDER BY last_start_time DESC LIMIT {limit:UInt32}
"""
