"""Removing what is past its term: the only place that deletes Logregels (LDV-L3), for the management role.

Each year's rows go by themselves, whole parts at once where nothing else is in them, otherwise by a mutation. What was
removed, when and under which rule is on record in `ldv_removal`, before and after.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import quote

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.retention.plan import UNFINISHED, RetentionPlan
from ldv_otel._internal.clickhouse.retention.record_terms import remove_past_own_term
from ldv_otel._internal.clickhouse.retention.sql import (
    BY_ACTIVITY,
    KEPT_FROM,
    PAST_TERM,
    REMOVAL_COLUMNS,
    REMOVAL_DONE,
    TERMS_AT_MOMENT,
    deletion,
    term_parameters,
)
from ldv_otel._internal.clickhouse.schema.migrations import schema_status
from ldv_otel._internal.clickhouse.sql_text import Sql, number
from ldv_otel._internal.clickhouse.tables import Table
from ldv_otel.errors import LdvError

#: For each writer also how many sequence numbers go, so that they are not taken for lost Logregels afterwards.
_BEGIN_REMOVAL: Final = Sql(
    """
INSERT INTO ldv_removal ($columns)
WITH $terms
SELECT {removal:UUID}, 'begun', currentUser(), processing_activity_id,
       if(retention = '', {longest:String}, retention), rule_applied, kept_from, {year:UInt16}, {way:String},
       logregels, first, last, writers
FROM
(
    SELECT processing_activity_id, any(kept) AS kept_from, sum(rows) AS logregels, min(first) AS first,
           max(last) AS last, mapFromArrays(groupArray(writer_id), groupArray(places)) AS writers
    FROM
    (
        SELECT toString(processing_activity_id) AS processing_activity_id, toString(writer_id) AS writer_id,
               any(fromUnixTimestamp64Milli($kept_from, 'UTC')) AS kept, count() AS rows, uniqExact(seq) AS places,
               min(start_time) AS first, max(start_time) AS last
        FROM logregel WHERE toYear(start_time) = {year:UInt16} AND $past_term
        GROUP BY processing_activity_id, writer_id
    )
    GROUP BY processing_activity_id
) AS expired
LEFT JOIN
(
    SELECT processing_activity_id, argMax(retention, applied) AS retention, max(applied) AS rule_applied
    FROM ldv_register WHERE toUnixTimestamp64Micro(applied) <= {terms:Int64} GROUP BY processing_activity_id
) AS rule USING processing_activity_id
""",
    columns=REMOVAL_COLUMNS,
    terms=TERMS_AT_MOMENT,
    kept_from=KEPT_FROM,
    past_term=PAST_TERM,
)

_PARTS: Final = Sql("""
SELECT name, rows FROM system.parts
WHERE active AND database = currentDatabase() AND table = {table:String} AND partition = {year:String}
""")
_DROP_PART: Final = Sql("ALTER TABLE logregel DROP PART {part:String}")
_STARTED_BEFORE: Final = Sql(
    """toUnixTimestamp64Milli(start_time)
    < transform(processing_activity_id, {activities:Array(String)}, {kept_from:Array(Int64)}, toInt64(0))
    AND $by_activity""",
    by_activity=BY_ACTIVITY,
)
#: Parameters travel in the request line: ClickHouse takes 1 MiB of it (`http_max_uri_size`), a proxy before it less.
_MAX_PARAMETER_CHARACTERS: Final = 24_000


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
    _finish_earlier_runs(client, cluster)
    terms = term_parameters(plan.moment, plan.terms, plan.longest)
    removed = []
    for each in _remove(client, plan, terms, cluster):
        removed.append(each)
        progress(each)
    return removed


def _finish_earlier_runs(client: LogboekClient, cluster: str) -> None:
    for removal, year, activities, kept_from in client.rows(UNFINISHED):
        _delete(client, year, dict(zip(activities, kept_from, strict=True)), cluster)
        client.command(REMOVAL_DONE, {"removal": removal, "year": year})


def _remove(
    client: LogboekClient, plan: RetentionPlan, terms: Mapping[str, object], cluster: str
) -> Iterator[RemovedRecords]:
    removal = str(uuid.uuid4())
    for year in plan.years:
        yield _remove_year(client, plan, year, {**terms, "removal": removal, "year": year}, cluster)
    if plan.own:
        remove_past_own_term(client, terms, cluster)
        for year in sorted({expired.year for expired in plan.own}):
            yield RemovedRecords(
                year, "own term", sum(expired.logregels for expired in plan.own if expired.year == year)
            )


def _remove_year(
    client: LogboekClient, plan: RetentionPlan, year: int, parameters: Mapping[str, object], cluster: str
) -> RemovedRecords:
    expired = [records for records in plan.expired if records.year == year]
    logregels = sum(records.logregels for records in expired)
    # On a cluster each replica has parts of its own.
    parts = [] if cluster else _whole_parts(client, year, logregels)
    way = "parts" if parts else "mutation"
    client.command(_BEGIN_REMOVAL, {**parameters, "way": way, "longest": str(plan.longest or "")})
    if not parts or not _drop(client, parts):
        _delete(client, year, {records.activity: records.kept_from_ms for records in expired}, cluster)
    client.command(REMOVAL_DONE, {"removal": parameters["removal"], "year": year})
    return RemovedRecords(year, way, logregels)


def _whole_parts(client: LogboekClient, year: int, expired: int) -> list[str]:
    """Return the parts of a year when all rows in them are past their term, as counted; otherwise none.

    A part never changes, so dropping it by name removes these rows and no row that came later.
    """
    parts = client.rows(_PARTS, {"table": Table.LOGREGEL.value, "year": str(year)})
    return [name for name, _ in parts] if sum(rows for _, rows in parts) == expired else []


def _drop(client: LogboekClient, parts: Sequence[str]) -> bool:
    """Drop parts; say False when one was merged away meanwhile, and the rest has to go by mutation."""
    for name in parts:
        try:
            client.command(_DROP_PART, {"part": name})
        except LdvError:
            return False
    return True


def _delete(client: LogboekClient, year: int, kept_from: Mapping[str, int], cluster: str) -> None:
    """Remove what of a year started before the moment from which its activity is kept."""
    statement = deletion(_STARTED_BEFORE, cluster=cluster, partition=Sql("IN PARTITION $year", year=number(year)))
    for activities in _chunks(kept_from):
        moments = [kept_from[activity] for activity in activities]
        client.command(statement, {"activities": activities, "kept_from": moments})


def _chunks(activities: Iterable[str]) -> Iterator[list[str]]:
    """Divide activities so that each part fits into the request line."""
    chunk: list[str] = []
    for activity in activities:
        if chunk and sum(len(quote(uri)) + 30 for uri in (*chunk, activity)) > _MAX_PARAMETER_CHARACTERS:
            yield chunk
            chunk = []
        chunk.append(activity)
    if chunk:
        yield chunk
