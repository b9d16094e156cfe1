"""Terms in SQL: from when on each activity's Logregels are kept at a moment, and which have a term of their own."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from ldv_otel._internal.times.durations import Duration
from ldv_otel._internal.times.instants import ms_from_datetime
from ldv_otel.attributes import KEPT_UNTIL, VERSION_OF

#: From when on each activity's Logregels are kept at the plan's moment, in ms, by the terms that were in force then.
#: What has no term, such as an activity that is there because it is confidential, is kept for the longest time.
TERMS: Final = """
(
    SELECT
    (
        activities,
        arrayMap(
            (m, d) -> if(m + d = 0, {longest_from:Int64}, toUnixTimestamp64Milli(
                subtractDays(subtractMonths(fromUnixTimestamp64Milli({moment:Int64}, 'UTC'), m), d))),
            months, days)
    )
    FROM ldv_term WHERE toUnixTimestamp64Micro(applied) = {terms:Int64}
) AS terms
"""


def kept_from(activity: str) -> str:
    """Return from when on Logregels of an activity are kept, given the column that names it; needs `TERMS`."""
    return f"transform({activity}, terms.1, terms.2, {{longest_from:Int64}})"


#: What is removed by the term of its activity: it has none of its own, and was not put right later.
BY_ACTIVITY: Final = f"attributes['{KEPT_UNTIL}'] = '' AND attributes['{VERSION_OF}'] = ''"

KEPT_FROM: Final = kept_from("processing_activity_id")
#: The bound on start_time alone lets the primary key leave out what is younger than any term.
PAST_TERM: Final = f"""
start_time < fromUnixTimestamp64Milli(greatest(arrayMax(terms.2), {{longest_from:Int64}}))
AND toUnixTimestamp64Milli(start_time) < {KEPT_FROM} AND {BY_ACTIVITY}
"""


def parameters(moment: datetime, terms: int, longest: Duration | None) -> dict[str, Any]:
    """Return the parameters of `TERMS`.

    Args:
        terms: Which terms: the moment at which they came into force, in us.
        longest: For what has no term; None keeps it for ever.
    """
    longest_from = max(ms_from_datetime(longest.before(moment)), 0) if longest else 0
    return {"moment": ms_from_datetime(moment), "terms": terms, "longest_from": longest_from}
