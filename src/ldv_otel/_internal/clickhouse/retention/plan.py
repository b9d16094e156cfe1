"""Counting what is past its term, for the management role; `apply.py` removes it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.retention.dates import count_past_date, set_date
from ldv_otel._internal.clickhouse.retention.record_terms import count_past_own_term
from ldv_otel._internal.clickhouse.retention.sql import (
    END_MS,
    KEPT_FROM,
    PAST_TERM,
    TERMS_AT_MOMENT,
    VERSION,
    VERSION_FROM,
    kept_from_of_terms,
    term_parameters,
)
from ldv_otel._internal.clickhouse.sql_text import Sql, number
from ldv_otel._internal.times.durations import Duration
from ldv_otel._internal.times.instants import TIME_MAX_MS

_MONTH: Final = Duration(months=1)
_LAST_TERMS: Final = Sql("SELECT toUnixTimestamp64Micro(max(applied)) FROM ldv_term HAVING count() > 0")

_PLAN: Final = Sql(
    """
WITH $terms
SELECT processing_activity_id, toYear(start_time) AS year, count(), toUnixTimestamp64Milli(min(start_time)),
       toUnixTimestamp64Milli(max(start_time)), any($kept_from), $version_from AS from_ms,
       if(from_ms < 0, -1, arrayMin(arrayMap((versioned, moment) ->
           if(versioned = processing_activity_id AND moment > from_ms, moment, $end_of_time), terms.3, terms.4)))
FROM logregel WHERE $past_term
GROUP BY processing_activity_id, from_ms, year ORDER BY year, processing_activity_id, from_ms
""",
    terms=TERMS_AT_MOMENT,
    version_from=VERSION_FROM,
    end_of_time=number(TIME_MAX_MS + 1),
    kept_from=KEPT_FROM,
    past_term=PAST_TERM,
)

#: What the terms take away at a moment, and did not at an earlier one.
_UPCOMING: Final = Sql(
    """
WITH $terms,
    (
        SELECT $kept_from FROM ldv_term WHERE toUnixTimestamp64Micro(applied) = {terms:Int64}
    ) AS kept_now
SELECT processing_activity_id, $version_from AS from_ms, count(), toUnixTimestamp64Milli(min(start_time)),
       toUnixTimestamp64Milli(max(start_time))
FROM logregel
WHERE $past_term AND $end >= transform($version, terms.1, kept_now, {longest_now:Int64})
GROUP BY processing_activity_id, from_ms ORDER BY processing_activity_id, from_ms
""",
    terms=TERMS_AT_MOMENT,
    version_from=VERSION_FROM,
    past_term=PAST_TERM,
    kept_from=kept_from_of_terms(Sql("{now:Int64}"), Sql("{longest_now:Int64}")),
    end=END_MS,
    version=VERSION,
)

_WITHOUT_TERM: Final = Sql("""
SELECT kept.activity, kept.rows, kept.first, register.words FROM
(
    SELECT toString(processing_activity_id) AS activity, count() AS rows,
           toUnixTimestamp64Milli(min(start_time)) AS first
    FROM logregel
    WHERE processing_activity_id NOT IN
        (SELECT processing_activity_id FROM verwerkingsactiviteiten WHERE retention_months + retention_days > 0)
    GROUP BY activity
) AS kept
LEFT JOIN (SELECT processing_activity_id AS activity, retention_text AS words FROM verwerkingsactiviteiten) AS register
    ON register.activity = kept.activity
ORDER BY kept.rows DESC, kept.activity
""")

_RULES: Final = Sql("""
SELECT processing_activity_id, toUnixTimestamp64Milli(in_force_from), retention FROM verwerkingsactiviteit_versies
WHERE retention != '' ORDER BY processing_activity_id, in_force_from
""")

UNFINISHED: Final = Sql("""
SELECT toString(removal_id), year, groupArray((processing_activity_id, toUnixTimestamp64Milli(kept_from),
       toUnixTimestamp64Milli(explains_from), toUnixTimestamp64Milli(explains_until)))
FROM ldv_removal WHERE state = 'begun'
    AND (removal_id, year) NOT IN (SELECT removal_id, year FROM ldv_removal WHERE state = 'done')
GROUP BY removal_id, year ORDER BY min(at)
""")


class ExpiredRecords(msgspec.Struct, frozen=True):
    """Logregels of one activity and year that are past their term; times in ms since 1970-01-01 UTC.

    Attributes:
        kept_from_ms: What ended before that is past its term.
        version_from_ms: Of an activity with several versions: what began from then on is of this version; -1 for one
            with a single version.
        version_until_ms: What began before then is; -1 as above.
    """

    activity: str
    year: int
    logregels: int
    first_ms: int
    last_ms: int
    kept_from_ms: int
    version_from_ms: int = -1
    version_until_ms: int = -1


class UpcomingRecords(msgspec.Struct, frozen=True):
    """Logregels of one activity that will be past their term at `RetentionPlan.upcoming_on`.

    Attributes:
        retention: The term by which they go, in ISO 8601; that of `--longest` where the activity has none.
        in_force_from_ms: Since when records are explained by the version that has this term; 0 from the beginning.
    """

    activity: str
    logregels: int
    retention: str
    in_force_from_ms: int
    first_ms: int
    last_ms: int


class KeptRecords(msgspec.Struct, frozen=True):
    """Logregels of an activity for which no term is known: they stay.

    Attributes:
        retention_text: A term in words; `ldv retention date` says when such records go.
    """

    activity: str
    logregels: int
    first_ms: int
    retention_text: str = ""


class RetentionPlan(msgspec.Struct, frozen=True):
    """What is past its term at one moment, and what has none.

    Attributes:
        terms: Which terms were in force: the moment at which they came into force, in us; 0 for none.
        longest: How long what has no term is kept; None for ever.
        own: What is over by a term of its own, or has versions of which the last one's time is over.
        dated: What has a term in words, and an end that somebody set for it, which is over.
        next_month: What will be past the term of its activity at `upcoming_on`, and is not at the moment.
        upcoming_on: A month after the moment, or the one that was asked for.
        unfinished: Years that an earlier run recorded and did not finish; `apply_retention` finishes them first.
    """

    moment: datetime
    terms: int
    longest: Duration | None
    own: list[ExpiredRecords]
    dated: list[ExpiredRecords]
    expired: list[ExpiredRecords]
    next_month: list[UpcomingRecords]
    without_term: list[KeptRecords]
    unfinished: int
    upcoming_on: datetime

    @property
    def logregels(self) -> int:
        """How many Logregels would be removed."""
        return sum(expired.logregels for expired in (*self.expired, *self.own, *self.dated))

    @property
    def years(self) -> list[int]:
        """The years that hold them."""
        return sorted({expired.year for expired in self.expired})


def plan_retention(
    client: LogboekClient,
    *,
    now: datetime | None = None,
    longest: Duration | None = None,
    upcoming_on: datetime | None = None,
) -> RetentionPlan:
    """Count what is past its term by the rules in force in the Logboek; nothing changes.

    Args:
        now: The moment to plan for, at most the present.
        longest: How long to keep what has no term; None for ever.
        upcoming_on: A later moment: what will be past its term then is counted too; None for a month later.
    """
    present = datetime.now(UTC)
    # Never for a moment to come: what is past its term only then must not be removed now.
    moment = min(now or present, present)
    later = max(upcoming_on or _MONTH.after(moment), moment)
    last = client.rows(_LAST_TERMS)
    terms = int(last[0][0]) if last else 0
    in_force = term_parameters(moment, terms, longest)
    expired = client.rows(_PLAN, in_force) if last else []
    own = [ExpiredRecords(*row, 0) for row in count_past_own_term(client, in_force)] if last else []
    dated = [ExpiredRecords(*row, 0) for row in count_past_date(client, in_force)] if last else []
    return RetentionPlan(
        moment,
        terms,
        longest,
        own,
        dated,
        [ExpiredRecords(*row) for row in expired],
        _upcoming(client, moment, later, terms, longest) if last else [],
        [KeptRecords(*row) for row in client.rows(_WITHOUT_TERM)],
        len(client.rows(UNFINISHED)),
        later,
    )


def set_end(client: LogboekClient, trace_id: bytes, span_id: bytes, until_ms: int) -> int:
    """Set until when records are kept whose activity has a term in words; see `dates.set_date`."""
    last = client.rows(_LAST_TERMS)
    in_force = term_parameters(datetime.now(UTC), int(last[0][0]) if last else 0, None)
    return set_date(client, trace_id, span_id, until_ms, in_force)


def _upcoming(
    client: LogboekClient, moment: datetime, on: datetime, terms: int, longest: Duration | None
) -> list[UpcomingRecords]:
    """Return what is past its term at a later moment and is not now, with the term by which it goes."""
    now, later = (term_parameters(at, terms, longest) for at in (moment, on))
    rules: dict[str, list[tuple[int, str]]] = {}
    for activity, from_ms, retention in client.rows(_RULES):
        rules.setdefault(activity, []).append((from_ms, retention))
    upcoming = []
    parameters = later | {"now": now["moment"], "longest_now": now["longest_from"]}
    for activity, version_ms, logregels, first_ms, last_ms in client.rows(_UPCOMING, parameters):
        in_force = [rule for rule in rules.get(activity, []) if rule[0] <= max(version_ms, 0)]
        from_ms, retention = (in_force or rules.get(activity, []) or [(0, str(longest or ""))])[-1]
        upcoming.append(UpcomingRecords(activity, logregels, retention, max(from_ms, 0), first_ms, last_ms))
    return upcoming
