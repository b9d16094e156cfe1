"""Removing what is past its term: the only place that deletes Logregels (LDV-L3), for the management role.

Each year's rows go by themselves, whole parts at once where nothing else is in them, otherwise by a mutation; and what
was removed, when and under which rule is on record in `ldv_removal`, before and after.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import quote

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.retention.plan import UNFINISHED, RetentionPlan
from ldv_otel._internal.clickhouse.retention.record_terms import remove_over
from ldv_otel._internal.clickhouse.retention.sql import BY_ACTIVITY, KEPT_FROM, PAST_TERM, TERMS, parameters
from ldv_otel._internal.clickhouse.schema.cluster import LOCAL_TABLE, Cluster
from ldv_otel._internal.clickhouse.schema.migrations import schema_status
from ldv_otel.errors import LdvError

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
               any(fromUnixTimestamp64Milli({KEPT_FROM}, 'UTC')) AS kept, count() AS rows, uniqExact(seq) AS places,
               min(start_time) AS first, max(start_time) AS last
        FROM logregel WHERE toYear(start_time) = {{year:UInt16}} AND {PAST_TERM}
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

_MAX_PARAMETER_CHARACTERS: Final = 24_000

_PARTS: Final = """
SELECT name, rows FROM system.parts
WHERE active AND database = currentDatabase() AND table = 'logregel' AND partition = {year:String}
"""


class RemovedRecords(msgspec.Struct, frozen=True):
    """What one run removed from one year.

    Attributes:
        way: `parts` when nothing else was there, otherwise `mutation`; `own term` for what has one.
    """

    year: int
    way: str
    logregels: int


def apply_retention(
    client: LogboekClient, plan: RetentionPlan, *, progress: Callable[[RemovedRecords], None] = lambda _: None
) -> list[RemovedRecords]:
    """Remove what a plan counted, and what has passed the plan's moments since; year by year.

    A run that is cut short is finished by the next: its record was begun, and it is the rows named there that go.
    """
    cluster = schema_status(client).cluster
    for removal, year, activities, moments in client.rows(UNFINISHED):
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
        done.append(RemovedRecords(year, way, logregels))
        progress(done[-1])
    if plan.own:
        remove_over(client, in_force, cluster)
        for year in sorted({found.year for found in plan.own}):
            logregels = sum(found.logregels for found in plan.own if found.year == year)
            done.append(RemovedRecords(year, "own term", logregels))
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
