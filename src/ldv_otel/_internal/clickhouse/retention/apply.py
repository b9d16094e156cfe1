"""Removing what is past its term: the only place that deletes Logregels (LDV-L3), for the management role.

Each year's rows go by themselves, whole parts at once where nothing else is in them, otherwise by a mutation. What was
removed, when and under which rule is on record in `ldv_removal`, before and after.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.register_versions import VERSION_ROWS
from ldv_otel._internal.clickhouse.retention.dates import remove_past_date
from ldv_otel._internal.clickhouse.retention.evidence import BegunRemoval, finish_evidence, leave_evidence
from ldv_otel._internal.clickhouse.retention.plan import UNFINISHED, ExpiredRecords, RetentionPlan
from ldv_otel._internal.clickhouse.retention.record_terms import remove_past_own_term
from ldv_otel._internal.clickhouse.retention.sql import (
    BY_ACTIVITY,
    END_MS,
    KEPT_FROM,
    PAST_TERM,
    REMOVAL_COLUMNS,
    REMOVAL_DONE,
    TERMS_AT_MOMENT,
    VERSION_FROM,
    deletion,
    term_parameters,
)
from ldv_otel._internal.clickhouse.schema.migrations import schema_status
from ldv_otel._internal.clickhouse.sql_text import Sql, number
from ldv_otel._internal.clickhouse.tables import Table
from ldv_otel._internal.tamper.note import NoteSigner
from ldv_otel.errors import LdvError

#: For each writer also how many sequence numbers go, so that they are not taken for lost Logregels afterwards.
_BEGIN_REMOVAL: Final = Sql(
    """
INSERT INTO ldv_removal ($columns)
WITH $terms
SELECT {removal:UUID}, 'begun', currentUser(), activity,
       if(retention = '', {longest:String}, retention), rule_applied, kept_from, {year:UInt16}, {way:String},
       logregels, first, last, writers, fromUnixTimestamp64Milli(greatest(from_ms, 0), 'UTC'),
       fromUnixTimestamp64Milli(
           transform(concat(activity, '\\n', toString(from_ms)), {versions:Array(String)}, {untils:Array(Int64)},
                     toInt64(0)), 'UTC')
FROM
(
    SELECT activity, from_ms, any(kept) AS kept_from, sum(rows) AS logregels, min(first) AS first,
           max(last) AS last, mapFromArrays(groupArray(writer_id), groupArray(places)) AS writers
    FROM
    (
        SELECT toString(processing_activity_id) AS activity, $version_from AS from_ms, toString(writer_id) AS writer_id,
               any(fromUnixTimestamp64Milli($kept_from, 'UTC')) AS kept, count() AS rows, uniqExact(seq) AS places,
               min(start_time) AS first, max(start_time) AS last
        FROM logregel WHERE toYear(start_time) = {year:UInt16} AND $past_term
        GROUP BY activity, from_ms, writer_id
    )
    GROUP BY activity, from_ms
) AS expired
LEFT JOIN
(
    SELECT v.activity AS activity, if(v.number = 1, toInt64(-1), v.from_ms) AS from_ms, v.retention AS retention,
           v.applied AS rule_applied
    FROM ($versions) AS v
) AS rule USING (activity, from_ms)
""",
    columns=REMOVAL_COLUMNS,
    terms=TERMS_AT_MOMENT,
    kept_from=KEPT_FROM,
    past_term=PAST_TERM,
    version_from=VERSION_FROM,
    versions=VERSION_ROWS,
)

_PARTS: Final = Sql("""
SELECT name, rows FROM system.parts
WHERE active AND database = currentDatabase() AND table = {table:String} AND partition = {year:String}
""")
_DROP_PART: Final = Sql("ALTER TABLE logregel DROP PART {part:String}")
_ENDED_BEFORE: Final = Sql(
    """$end < transform(processing_activity_id, {activities:Array(String)}, {kept_from:Array(Int64)}, toInt64(0))
    AND $by_activity""",
    end=END_MS,
    by_activity=BY_ACTIVITY,
)
#: The same for one version of an activity that has several.
_OF_VERSION_ENDED_BEFORE: Final = Sql(
    """processing_activity_id = {activity:String} AND $end < {kept_from:Int64}
    AND toUnixTimestamp64Milli(start_time) >= {version_from:Int64}
    AND toUnixTimestamp64Milli(start_time) < {version_until:Int64} AND $by_activity""",
    end=END_MS,
    by_activity=BY_ACTIVITY,
)
#: Parameters travel in the request line: ClickHouse takes 1 MiB of it (`http_max_uri_size`), a proxy before it less.
_MAX_PARAMETER_CHARACTERS: Final = 24_000


class RemovedRecords(msgspec.Struct, frozen=True):
    """What one run removed from one year.

    Attributes:
        way: `parts` when nothing else was there, otherwise `mutation`; `own term` for what has one, and `date` for what
            has an end that somebody set.
    """

    year: int
    way: str
    logregels: int


def apply_retention(
    client: LogboekClient,
    plan: RetentionPlan,
    *,
    signer: NoteSigner | None = None,
    progress: Callable[[RemovedRecords], None] = lambda _: None,
) -> list[RemovedRecords]:
    """Remove what a plan counted, and what has passed the plan's moments since; year by year.

    A run that is cut short is finished by the next: its record was begun, and it is the rows named there that go.

    Args:
        signer: Signs what is left behind of sealed batches; None leaves nothing, and an error says so.
        progress: Called with what was removed of each year.
    """
    cluster = schema_status(client).cluster
    _finish_earlier_runs(client, signer, cluster)
    terms = term_parameters(plan.moment, plan.terms, plan.longest)
    removed = []
    for each in _remove(client, plan, terms, signer, cluster):
        removed.append(each)
        progress(each)
    finish_evidence(client, cluster=cluster)
    return removed


def _finish_earlier_runs(client: LogboekClient, signer: NoteSigner | None, cluster: str) -> None:
    for removal, year, begun in client.rows(UNFINISHED):
        bounds = [_Bound(*bound) for bound in begun]
        _leave_evidence(client, BegunRemoval(signer, removal, _kept_from(bounds)), year, bounds)
        _delete(client, year, bounds, cluster)
        client.command(REMOVAL_DONE, {"removal": removal, "year": year})


def _remove(
    client: LogboekClient, plan: RetentionPlan, terms: Mapping[str, object], signer: NoteSigner | None, cluster: str
) -> Iterator[RemovedRecords]:
    removal = str(uuid.uuid4())
    for year in plan.years:
        expired = [records for records in plan.expired if records.year == year]
        begun = BegunRemoval(signer, removal, _kept_from([_bound(records) for records in expired]))
        yield _remove_year(
            client,
            expired,
            {**terms, "longest": str(plan.longest or ""), "removal": removal, "year": year},
            begun,
            cluster,
        )
    if plan.own:
        remove_past_own_term(client, terms, signer, cluster)
    if plan.dated:
        remove_past_date(client, terms, signer, cluster)
    for way, removed in (("own term", plan.own), ("date", plan.dated)):
        for year in sorted({expired.year for expired in removed}):
            yield RemovedRecords(year, way, sum(expired.logregels for expired in removed if expired.year == year))


def _remove_year(
    client: LogboekClient,
    expired: Sequence[ExpiredRecords],
    parameters: Mapping[str, object],
    begun: BegunRemoval,
    cluster: str,
) -> RemovedRecords:
    year = expired[0].year
    logregels = sum(records.logregels for records in expired)
    # On a cluster each replica has parts of its own.
    parts = [] if cluster else _whole_parts(client, year, logregels)
    way = "parts" if parts else "mutation"
    versions = {
        f"{each.activity}\n{each.version_from_ms}": each.version_until_ms
        for each in expired
        if each.version_until_ms >= 0
    }
    of_versions = {"versions": [*versions], "untils": [*versions.values()]}
    client.command(_BEGIN_REMOVAL, {**parameters, **of_versions, "way": way})
    bounds = [_bound(each) for each in expired]
    _leave_evidence(client, begun, year, bounds)
    if not parts or not _drop(client, parts):
        _delete(client, year, bounds, cluster)
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


class _Bound(NamedTuple):
    """What of an activity goes: what ended before a moment, of one version where it has several (else until is 0)."""

    activity: str
    kept_from_ms: int
    version_from_ms: int
    version_until_ms: int


def _bound(expired: ExpiredRecords) -> _Bound:
    version = max(expired.version_from_ms, 0), max(expired.version_until_ms, 0)
    return _Bound(expired.activity, expired.kept_from_ms, *version)


def _kept_from(bounds: Sequence[_Bound]) -> dict[str, int]:
    """Return by activity from when on its records are kept; of one with several versions the last such moment."""
    kept_from: dict[str, int] = {}
    for bound in bounds:
        kept_from[bound.activity] = max(kept_from.get(bound.activity, 0), bound.kept_from_ms)
    return kept_from


def _going(bounds: Sequence[_Bound]) -> Iterator[tuple[Sql, dict[str, Any]]]:
    """Give conditions, with their parameters, on the rows that go."""
    kept_from = {bound.activity: bound.kept_from_ms for bound in bounds if not bound.version_until_ms}
    for activities in _chunks(kept_from):
        moments = [kept_from[activity] for activity in activities]
        yield _ENDED_BEFORE, {"activities": activities, "kept_from": moments}
    for bound in bounds:
        if bound.version_until_ms:
            version = {"version_from": bound.version_from_ms, "version_until": bound.version_until_ms}
            yield _OF_VERSION_ENDED_BEFORE, {"activity": bound.activity, "kept_from": bound.kept_from_ms, **version}


def _leave_evidence(client: LogboekClient, begun: BegunRemoval, year: int, bounds: Sequence[_Bound]) -> None:
    """Leave behind what shows that the rows of `_delete` went by a term."""
    for condition, parameters in _going(bounds):
        goes = Sql("toYear(start_time) = {year:UInt16} AND $condition", condition=condition)
        leave_evidence(client, begun, goes, {**parameters, "year": year})


def _delete(client: LogboekClient, year: int, bounds: Sequence[_Bound], cluster: str) -> None:
    """Remove what of a year ended before the moment from which its activity is kept."""
    partition = Sql("IN PARTITION $year", year=number(year))
    for condition, parameters in _going(bounds):
        client.command(deletion(condition, cluster=cluster, partition=partition), parameters)


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
