"""Removing what is past its term: the only place that deletes Logregels (LDV-L3), for the management role.

A plan counts first; then each year's rows go, whole parts at once where nothing else is in them, otherwise by a
mutation; and what was removed, when and under which rule is on record in `ldv_removal`, before and after.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.retention.record_terms import count_over, remove_over
from ldv_otel._internal.clickhouse.retention.sql import BY_ACTIVITY, TERMS, kept_from, parameters
from ldv_otel._internal.clickhouse.schema.cluster import LOCAL_TABLE, Cluster
from ldv_otel._internal.clickhouse.schema.migrations import schema_status
from ldv_otel._internal.times.durations import Duration
from ldv_otel.errors import LdvError

_KEPT_FROM: Final = kept_from("processing_activity_id")
#: The bound on start_time alone lets the primary key leave out what is younger than any term.
_PAST_TERM: Final = f"""
start_time < fromUnixTimestamp64Milli(greatest(arrayMax(terms.2), {{longest_from:Int64}}))
AND toUnixTimestamp64Milli(start_time) < {_KEPT_FROM} AND {BY_ACTIVITY}
"""

_LAST_TERMS: Final = "SELECT toUnixTimestamp64Micro(max(applied)) FROM ldv_term HAVING count() > 0"

_PLAN: Final = f"""
WITH {TERMS}
SELECT processing_activity_id, toYear(start_time) AS year, count(), toUnixTimestamp64Milli(min(start_time)),
       toUnixTimestamp64Milli(max(start_time)), any({_KEPT_FROM})
FROM logregel WHERE {_PAST_TERM}
GROUP BY processing_activity_id, year ORDER BY year, processing_activity_id
"""  # noqa: S608  (our own text; values are parameters)

_WITHOUT_TERM: Final = """
SELECT processing_activity_id, count(), toUnixTimestamp64Milli(min(start_time)) FROM logregel
WHERE processing_activity_id NOT IN
    (SELECT processing_activity_id FROM verwerkingsactiviteiten WHERE retention_months + retention_days > 0)
GROUP BY processing_activity_id ORDER BY count() DESC, processing_activity_id
"""

_RECORD: Final = f"""
INSERT INTO ldv_removal (removal_id, state, processing_activity_id, retention, rule_applied, kept_from, year, way,
                         logregels, first_start_time, last_start_time, writers)
WITH {TERMS}
SELECT {{removal:UUID}}, 'begun', processing_activity_id, if(retention = '', {{longest:String}}, retention),
       rule_applied, kept_from, {{year:UInt16}},
       {{way:String}}, logregels, first, last, writers
FROM
(
    SELECT processing_activity_id, any(kept) AS kept_from, sum(rows) AS logregels, min(first) AS first,
           max(last) AS last, mapFromArrays(groupArray(writer_id), groupArray(places)) AS writers
    FROM
    (
        SELECT toString(processing_activity_id) AS processing_activity_id, toString(writer_id) AS writer_id,
               any(fromUnixTimestamp64Milli({_KEPT_FROM}, 'UTC')) AS kept, count() AS rows, uniqExact(seq) AS places,
               min(start_time) AS first, max(start_time) AS last
        FROM logregel WHERE toYear(start_time) = {{year:UInt16}} AND {_PAST_TERM}
        GROUP BY processing_activity_id, writer_id
    )
    GROUP BY processing_activity_id
) AS expired
LEFT JOIN
(
    SELECT processing_activity_id, argMax(retention, applied) AS retention, max(applied) AS rule_applied
    FROM ldv_register WHERE toUnixTimestamp64Micro(applied) <= {{terms:Int64}} GROUP BY processing_activity_id
) AS rule USING processing_activity_id
"""  # noqa: S608  (as above)

_DONE: Final = """
INSERT INTO ldv_removal (removal_id, state, removed_by, processing_activity_id, retention, rule_applied, kept_from,
                         year, way, logregels, first_start_time, last_start_time, writers)
SELECT removal_id, 'done', removed_by, processing_activity_id, retention, rule_applied, kept_from, year,
       way, logregels, first_start_time, last_start_time, writers
FROM ldv_removal WHERE removal_id = {removal:UUID} AND year = {year:UInt16} AND state = 'begun'
"""

_UNFINISHED: Final = """
SELECT toString(removal_id), year, groupArray(processing_activity_id), groupArray(toUnixTimestamp64Milli(kept_from))
FROM ldv_removal WHERE state = 'begun'
    AND (removal_id, year) NOT IN (SELECT removal_id, year FROM ldv_removal WHERE state = 'done')
GROUP BY removal_id, year ORDER BY min(at)
"""

_MAX_PARAMETER_CHARACTERS: Final = 24_000

_PARTS: Final = """
SELECT name, rows FROM system.parts
WHERE active AND database = currentDatabase() AND table = 'logregel' AND partition = {year:String}
"""


class Expired(msgspec.Struct, frozen=True):
    """Logregels of one activity and year that are past their term; times in ms since 1970-01-01 UTC."""

    activity: str
    year: int
    logregels: int
    first_ms: int
    last_ms: int
    kept_from_ms: int


class Kept(msgspec.Struct, frozen=True):
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
    own: list[Expired]
    expired: list[Expired]
    without_term: list[Kept]
    unfinished: int

    @property
    def logregels(self) -> int:
        """How many Logregels would be removed."""
        return sum(expired.logregels for expired in (*self.expired, *self.own))

    @property
    def years(self) -> list[int]:
        """The years that hold them."""
        return sorted({expired.year for expired in self.expired})


class Removed(msgspec.Struct, frozen=True):
    """What one run removed from one year.

    Attributes:
        way: `parts` when nothing else was there, otherwise `mutation`; `own term` for what has one.
    """

    year: int
    way: str
    logregels: int


def plan_retention(
    client: LogboekClient, *, now: datetime | None = None, longest: Duration | None = None
) -> RetentionPlan:
    """Count what is past its term by the rules in force in the Logboek; nothing changes.

    Args:
        now: The moment to plan for, at most the present.
        longest: How long to keep what has no term; None for ever.
    """
    present = datetime.now(UTC)
    moment = min(now or present, present)
    last = client.rows(_LAST_TERMS)
    terms = int(last[0][0]) if last else 0
    in_force = parameters(moment, terms, longest)
    expired = client.rows(_PLAN, in_force) if last else []
    own = [Expired(*row, 0) for row in count_over(client, in_force)] if last else []
    without = client.rows(_WITHOUT_TERM)
    unfinished = client.rows(_UNFINISHED)
    return RetentionPlan(
        moment,
        terms,
        longest,
        own,
        [Expired(*row) for row in expired],
        [Kept(*row) for row in without],
        len(unfinished),
    )


def apply_retention(
    client: LogboekClient, plan: RetentionPlan, *, progress: Callable[[Removed], None] = lambda _: None
) -> list[Removed]:
    """Remove what a plan counted, and what has passed the plan's moments since; year by year.

    A run that is cut short is finished by the next: its record was begun, and it is the rows named there that go.
    """
    cluster = schema_status(client).cluster
    for removal, year, activities, moments in client.rows(_UNFINISHED):
        _delete(client, year, dict(zip(activities, moments, strict=True)), cluster)
        client.command(_DONE, {"removal": removal, "year": year})
    removal = str(uuid.uuid4())
    in_force = parameters(plan.moment, plan.terms, plan.longest)
    done = []
    for year in plan.years:
        expired = [found for found in plan.expired if found.year == year]
        logregels = sum(found.logregels for found in expired)
        parts = [] if cluster else _whole_parts(client, year, logregels)
        way = "parts" if parts else "mutation"
        named = {"removal": removal, "year": year}
        client.command(_RECORD, in_force | named | {"way": way, "longest": str(plan.longest or "")})
        if not parts or not _drop(client, parts):
            _delete(client, year, {found.activity: found.kept_from_ms for found in expired}, cluster)
        client.command(_DONE, named)
        done.append(Removed(year, way, logregels))
        progress(done[-1])
    if plan.own:
        remove_over(client, in_force, cluster)
        for year in sorted({found.year for found in plan.own}):
            logregels = sum(found.logregels for found in plan.own if found.year == year)
            done.append(Removed(year, "own term", logregels))
            progress(done[-1])
    return done


def _whole_parts(client: LogboekClient, year: int, expired: int) -> list[str]:
    """Return the parts of a year when all rows in them are past their term, as counted; otherwise none.

    A part never changes, so dropping it by name removes these rows and no row that came later.
    """
    parts = client.rows(_PARTS, {"year": str(year)})
    return [name for name, _ in parts] if sum(rows for _, rows in parts) == expired else []


def _drop(client: LogboekClient, parts: Sequence[str]) -> bool:
    """Drop parts; say False when one was merged away meanwhile, and the rest has to go by mutation."""
    for name in parts:
        try:
            client.command("ALTER TABLE logregel DROP PART {part:String}", {"part": name})
        except LdvError:
            return False
    return True


def _delete(client: LogboekClient, year: int, kept_from: Mapping[str, int], cluster: str) -> None:
    """Remove what of a year started before these moments. A mutation takes constants only: replicas repeat it."""
    table = f"{LOCAL_TABLE} {Cluster(cluster).everywhere}" if cluster else "logregel"
    statement = (
        f"ALTER TABLE {table} DELETE IN PARTITION {int(year)} WHERE toUnixTimestamp64Milli(start_time) < "
        "transform(processing_activity_id, {activities:Array(String)}, {kept_from:Array(Int64)}, toInt64(0)) "
        f"AND {BY_ACTIVITY} "
        f"SETTINGS mutations_sync = {2 if cluster else 1}"
    )
    for activities in _chunks(kept_from):
        moments = [kept_from[activity] for activity in activities]
        client.command(statement, {"activities": activities, "kept_from": moments})


def _chunks(activities: Iterable[str]) -> Iterator[list[str]]:
    """Divide activities so that each part fits into the address of a request, where parameters go."""
    chunk: list[str] = []
    for activity in activities:
        if chunk and sum(len(quote(known)) + 30 for known in (*chunk, activity)) > _MAX_PARAMETER_CHARACTERS:
            yield chunk
            chunk = []
        chunk.append(activity)
    if chunk:
        yield chunk
