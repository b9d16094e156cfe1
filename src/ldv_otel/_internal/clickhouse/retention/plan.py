"""Counting what is past its term, for the management role; `apply.py` removes it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.retention.record_terms import count_past_own_term
from ldv_otel._internal.clickhouse.retention.sql import KEPT_FROM, PAST_TERM, TERMS_AT_MOMENT, term_parameters
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.times.durations import Duration

_LAST_TERMS: Final = Sql("SELECT toUnixTimestamp64Micro(max(applied)) FROM ldv_term HAVING count() > 0")

_PLAN: Final = Sql(
    """
WITH $terms
SELECT processing_activity_id, toYear(start_time) AS year, count(), toUnixTimestamp64Milli(min(start_time)),
       toUnixTimestamp64Milli(max(start_time)), any($kept_from)
FROM logregel WHERE $past_term
GROUP BY processing_activity_id, year ORDER BY year, processing_activity_id
""",
    terms=TERMS_AT_MOMENT,
    kept_from=KEPT_FROM,
    past_term=PAST_TERM,
)

_WITHOUT_TERM: Final = Sql("""
SELECT processing_activity_id, count(), toUnixTimestamp64Milli(min(start_time)) FROM logregel
WHERE processing_activity_id NOT IN
    (SELECT processing_activity_id FROM verwerkingsactiviteiten WHERE retention_months + retention_days > 0)
GROUP BY processing_activity_id ORDER BY count() DESC, processing_activity_id
""")

UNFINISHED: Final = Sql("""
SELECT toString(removal_id), year, groupArray(processing_activity_id), groupArray(toUnixTimestamp64Milli(kept_from))
FROM ldv_removal WHERE state = 'begun'
    AND (removal_id, year) NOT IN (SELECT removal_id, year FROM ldv_removal WHERE state = 'done')
GROUP BY removal_id, year ORDER BY min(at)
""")


class ExpiredRecords(msgspec.Struct, frozen=True):
    """Logregels of one activity and year that are past their term; times in ms since 1970-01-01 UTC."""

    activity: str
    year: int
    logregels: int
    first_ms: int
    last_ms: int
    kept_from_ms: int


class KeptRecords(msgspec.Struct, frozen=True):
    """Logregels of an activity for which no term is known: they stay."""

    activity: str
    logregels: int
    first_ms: int


class RetentionPlan(msgspec.Struct, frozen=True):
    """What is past its term at one moment, and what has none.

    Attributes:
        terms: Which terms were in force: the moment at which they came into force, in us; 0 for none.
        longest: How long what has no term is kept; None for ever.
        own: What is over by a term of its own, or has versions of which the last one's time is over.
        unfinished: Years that an earlier run recorded and did not finish; `apply_retention` finishes them first.
    """

    moment: datetime
    terms: int
    longest: Duration | None
    own: list[ExpiredRecords]
    expired: list[ExpiredRecords]
    without_term: list[KeptRecords]
    unfinished: int

    @property
    def logregels(self) -> int:
        """How many Logregels would be removed."""
        return sum(expired.logregels for expired in (*self.expired, *self.own))

    @property
    def years(self) -> list[int]:
        """The years that hold them."""
        return sorted({expired.year for expired in self.expired})


def plan_retention(
    client: LogboekClient, *, now: datetime | None = None, longest: Duration | None = None
) -> RetentionPlan:
    """Count what is past its term by the rules in force in the Logboek; nothing changes.

    Args:
        now: The moment to plan for, at most the present.
        longest: How long to keep what has no term; None for ever.
    """
    present = datetime.now(UTC)
    # Never for a moment to come: what is past its term only then must not be removed now.
    moment = min(now or present, present)
    last = client.rows(_LAST_TERMS)
    terms = int(last[0][0]) if last else 0
    in_force = term_parameters(moment, terms, longest)
    expired = client.rows(_PLAN, in_force) if last else []
    own = [ExpiredRecords(*row, 0) for row in count_past_own_term(client, in_force)] if last else []
    return RetentionPlan(
        moment,
        terms,
        longest,
        own,
        [ExpiredRecords(*row) for row in expired],
        [KeptRecords(*row) for row in client.rows(_WITHOUT_TERM)],
        len(client.rows(UNFINISHED)),
    )
