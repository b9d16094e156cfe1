"""Versions of an activity in SQL: which one was in force when an Actie began (LDV-N12).

The last row of `ldv_term` has, beside its terms by activity, those of each version of an activity that has several.
Such a version is called by its activity, a line end, and the moment from which it explains records, in ms.
"""

from __future__ import annotations

from typing import Final

from ldv_otel._internal.clickhouse.sql_text import Sql

#: The rows of all versions: `from_ms` is the moment from which one explains records, 0 for the first one of an
#: activity; `number` says how many the activity has.
VERSION_ROWS: Final = Sql("""
SELECT processing_activity_id AS activity,
       if(row_number() OVER (PARTITION BY processing_activity_id ORDER BY in_force_from) = 1,
          toInt64(0), toUnixTimestamp64Milli(in_force_from)) AS from_ms,
       count() OVER (PARTITION BY processing_activity_id) AS number,
       retention, retention_months, retention_days, retention_text, confidential, applied
FROM verwerkingsactiviteit_versies
""")


def version_moment(activity: Sql, start_ms: Sql, terms: Sql) -> Sql:
    """Return the moment from which the version explains records that were made at a time; 0 for the first version.

    Args:
        terms: A tuple whose third and fourth members are `versions` and `version_from` of `ldv_term`.
    """
    return Sql(
        "arrayMax((name, moment) -> if(name = $activity AND moment <= $start, moment, 0), $terms.3, $terms.4)",
        activity=activity,
        start=start_ms,
        terms=terms,
    )


def version_key(activity: Sql, start_ms: Sql, terms: Sql) -> Sql:
    """Return what `activities` of `ldv_term` has for an activity at a time; arguments as those of `version_moment`."""
    return Sql(
        "if(has($terms.3, $activity), concat($activity, '\\n', toString($moment)), toString($activity))",
        activity=activity,
        moment=version_moment(activity, start_ms, terms),
        terms=terms,
    )
