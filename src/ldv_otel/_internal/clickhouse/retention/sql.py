"""Terms in SQL: from when on the Logregels of each activity are kept at a moment, and the record of a removal."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from ldv_otel._internal.clickhouse.register_versions import version_key, version_moment
from ldv_otel._internal.clickhouse.sql_text import NOTHING, Sql, attribute, literal
from ldv_otel._internal.times.durations import Duration
from ldv_otel._internal.times.instants import ms_from_datetime
from ldv_otel.attributes import KEPT_UNTIL, VERSION_OF


def kept_from_of_terms(moment: Sql, longest: Sql) -> Sql:
    """Return from when on each of `activities` of a row of `ldv_term` is kept at a moment, in ms, as an array."""
    return Sql(
        """arrayMap(
            (m, d, n) -> if(
                arrayElement(in_words, n), toInt64(0),
                if(m + d = 0, $longest, toUnixTimestamp64Milli(
                    subtractDays(subtractMonths(fromUnixTimestamp64Milli($moment, 'UTC'), m), d)))),
            months, days, arrayEnumerate(activities))""",
        moment=moment,
        longest=longest,
    )


#: From when on the Logregels of each activity, and of each version of it, are kept at a moment, in ms, by the terms in
#: force at that time. The calendar is ClickHouse's, as in readers' queries: `subtractMonths` ends a term on the last
#: day of a shorter month. What has no term, such as an activity that is here because it is confidential, is kept for
#: the longest time; what has one in words for ever, until somebody sets its end.
TERMS_AT_MOMENT: Final = Sql(
    """
(
    SELECT
    (
        activities,
        $kept_from,
        versions,
        version_from,
        arrayFilter((a, n) -> arrayElement(in_words, n), activities, arrayEnumerate(activities))
    )
    FROM ldv_term WHERE toUnixTimestamp64Micro(applied) = {terms:Int64}
) AS terms
""",
    kept_from=kept_from_of_terms(Sql("{moment:Int64}"), Sql("{longest_from:Int64}")),
)
_TERMS: Final = Sql("terms")


def kept_from(activity: Sql, start_ms: Sql) -> Sql:
    """Return from when on Logregels of an activity are kept, in ms; needs `WITH $TERMS_AT_MOMENT`.

    Args:
        activity: The expression that names it.
        start_ms: When the Actie began: the version in force then counts (LDV-N12).
    """
    return Sql(
        """if(empty(terms.3), transform(toString($activity), terms.1, terms.2, {longest_from:Int64}),
            transform($version, terms.1, terms.2, {longest_from:Int64}))""",
        activity=activity,
        version=version_key(activity, start_ms, _TERMS),
    )


#: What the term of its activity removes: it has none of its own, and no versions.
BY_ACTIVITY: Final = Sql(
    "$kept_until = '' AND $version_of = ''",
    kept_until=attribute(KEPT_UNTIL),
    version_of=attribute(VERSION_OF),
)

_ACTIVITY: Final = Sql("processing_activity_id")
_START_MS: Final = Sql("toUnixTimestamp64Milli(start_time)")
#: A term counts from the end (LDV-N13).
END_MS: Final = Sql("(toUnixTimestamp64Milli(start_time) + toInt64(duration_ms))")
KEPT_FROM: Final = kept_from(_ACTIVITY, _START_MS)
#: The moment of the version that explains a row, where its activity has several; -1 where it has one.
VERSION_FROM: Final = Sql(
    "if(has(terms.3, $activity), $moment, toInt64(-1))",
    activity=_ACTIVITY,
    moment=version_moment(_ACTIVITY, _START_MS, _TERMS),
)
#: What the terms have for a row.
VERSION: Final = version_key(_ACTIVITY, _START_MS, _TERMS)
#: Whether the term of a row is in words.
IN_WORDS: Final = Sql("has(terms.5, $version)", version=VERSION)
#: What is past the term of its activity. The first bound on start_time is what the primary key can use to leave out
#: all that is younger than any term: what ended before it began before it too.
PAST_TERM: Final = Sql(
    """
start_time < fromUnixTimestamp64Milli(greatest(arrayMax(terms.2), {longest_from:Int64}))
AND $end < $kept_from AND $by_activity
""",
    end=END_MS,
    kept_from=KEPT_FROM,
    by_activity=BY_ACTIVITY,
)

#: A removal is on record before it begins and when it is done (LDV-L3), in columns of this order.
REMOVAL_COLUMNS: Final = Sql(
    "removal_id, state, removed_by, processing_activity_id, retention, rule_applied, kept_from, year, way, logregels, "
    "first_start_time, last_start_time, writers, explains_from, explains_until"
)
#: The record that a removal is done is what was recorded when it began: the rows are not there to be counted any more.
REMOVAL_DONE: Final = Sql(
    """
INSERT INTO ldv_removal ($columns)
SELECT removal_id, 'done', removed_by, processing_activity_id, retention, rule_applied, kept_from, year, way, logregels,
       first_start_time, last_start_time, writers, explains_from, explains_until
FROM ldv_removal
WHERE removal_id = {removal:UUID} AND state = 'begun' AND ({year:UInt16} = 0 OR year = {year:UInt16})
""",
    columns=REMOVAL_COLUMNS,
)


def term_parameters(moment: datetime, terms: int, longest: Duration | None) -> dict[str, Any]:
    """Return the parameters of `TERMS_AT_MOMENT`.

    Args:
        terms: Which terms: the moment at which they came into force, in us.
        longest: For what has no term; None keeps it for ever.
    """
    # Not before 1970: no record is older, and so everything is kept.
    longest_from = max(ms_from_datetime(longest.before(moment)), 0) if longest else 0
    return {"moment": ms_from_datetime(moment), "terms": terms, "longest_from": longest_from}


def deletion(where: Sql, *, cluster: str, partition: Sql = NOTHING) -> Sql:
    """Return the mutation that removes rows, and waits until every replica has done so.

    Its condition holds constants only, because each replica carries it out by itself, and all have to remove the same
    rows.

    Args:
        cluster: Name of the cluster that the tables are on; empty for none.
        partition: `IN PARTITION ...`, so that other parts are not touched.
    """
    return Sql(
        "ALTER TABLE $table DELETE $partition WHERE $where SETTINGS mutations_sync = $replicas",
        # The table in front of a cluster has no parts; only those on the nodes can be changed.
        table=Sql("logregel_local ON CLUSTER $cluster", cluster=literal(cluster)) if cluster else Sql("logregel"),
        partition=partition,
        where=where,
        # 1 waits for this server, 2 for all replicas.
        replicas=Sql("2") if cluster else Sql("1"),
    )
