"""The named queries: every reader uses these, so that all of them take paths that do not grow with the table.

Their SQL is in `sql.py`. Of a record with versions they give the last, see `versions.py`; so a page may have fewer
records than it was asked for though more follow.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec

import ldv_otel.attributes as names
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.columns import BYTES_COLUMNS, StoredLogregel, logregel_of_row
from ldv_otel._internal.clickhouse.queries import sql
from ldv_otel._internal.clickhouse.queries.lookups import lookup_rows
from ldv_otel._internal.clickhouse.queries.models import (
    FIRST_PAGE,
    PAGE_RECORDS,
    Cursor,
    Page,
    PageLimits,
    RecordQuery,
    Totals,
    UsedActivity,
    WriterCounts,
    has_moment,
    parse_span_id,
    parse_trace_id,
)
from ldv_otel._internal.clickhouse.queries.projections import id_prefixes
from ldv_otel._internal.clickhouse.queries.shown_records import actie_above, from_the_end, page_of, records_of
from ldv_otel._internal.clickhouse.queries.subject_links import person_of
from ldv_otel._internal.clickhouse.queries.versions import moved_to
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.record.overlooked import OverlookedAttribute, overlooked_names, overlooked_report
from ldv_otel._internal.times.instants import within_query_time

_DAY_MS: Final = 86_400_000


def by_trace(client: LogboekClient, trace_id: str, *, confidential: bool = True) -> list[StoredLogregel]:
    """Return all records of a trace, oldest first.

    Args:
        trace_id: 32 hex digits, or a UUID with dashes.
        confidential: Whether to show records of activities that the Register calls confidential.

    Raises:
        QueryError: That is no trace id.
    """
    return records_of(client, sql.BY_TRACE, _trace_parameters(trace_id), confidential=confidential)


def by_outbound(
    client: LogboekClient, trace_id: str, span_id: str, *, confidential: bool = True
) -> list[StoredLogregel]:
    """Return the Actie behind a span id that another party saw: it, or the one from which that span went out.

    This is how `dpl.core.foreign_operation.span_id` of a called party finds its Logregel at the caller.

    Raises:
        QueryError: That is no trace id or span id.
    """
    trace, span = parse_trace_id(trace_id), parse_span_id(span_id)
    parameters = _trace_parameters(trace_id) | {"span_id": span.hex()}
    records = records_of(client, sql.BY_OUTBOUND, parameters, confidential=confidential)
    # A service that logs through a Collector has no list of outbound spans in its records, but its technical spans.
    if not records and (above := actie_above(client, {(trace, span)}).get((trace, span))):
        parameters |= {"span_id": above.hex()}
        records = records_of(client, sql.BY_OUTBOUND, parameters, confidential=confidential)
    return records


def by_foreign(
    client: LogboekClient, trace_id: str, span_id: str = "", *, confidential: bool = True
) -> list[StoredLogregel]:
    """Return what was done here on behalf of another party's trace, or of one span of it.

    Raises:
        QueryError: That is no trace id or span id.
    """
    span = parse_span_id(span_id).hex() if span_id else ""
    return records_of(
        client, sql.BY_FOREIGN, _trace_parameters(trace_id) | {"span_id": span}, confidential=confidential
    )


def by_record(client: LogboekClient, record_id: str, *, confidential: bool = True) -> list[StoredLogregel]:
    """Return the last version of a record that has versions; nothing when it is withdrawn, or is not in the Logboek.

    Args:
        record_id: What its versions share: `ldv.version_of`, a UUID. It begins with the first 4 bytes of the trace in
            which the record began, so that a projection leads to it.
    """
    trace_prefix = bytes.fromhex(record_id[:8])
    while trace_prefix:
        records = by_attribute(client, trace_prefix, names.VERSION_OF, record_id, confidential=confidential)
        if records:
            return records
        trace_prefix = moved_to(client, trace_prefix, record_id)
    return []


def by_attribute(
    client: LogboekClient, trace_prefix: bytes, name: str, value: str, *, confidential: bool = True
) -> list[StoredLogregel]:
    """Return the records with an attribute, in traces whose id begins with some bytes.

    Args:
        trace_prefix: 4 to 16 bytes.
        value: Empty for records without the attribute.
    """
    # Only 4 bytes are sure to be known, and those are what the projection of traces keeps.
    parameters = {"prefix": trace_prefix.hex(), "name": name, "value": value, "prefixes": id_prefixes([trace_prefix])}
    return records_of(client, sql.BY_ATTRIBUTE, parameters, confidential=confidential)


def by_subject(
    client: LogboekClient,
    pseudonyms: Sequence[bytes],
    limits: PageLimits = FIRST_PAGE,
    *,
    confidential: bool = True,
) -> Page:
    """Return a page of the records about one person, those under linked numbers too.

    Args:
        pseudonyms: The person's pseudonym under each live key.
        limits: Which page.
        confidential: Whether to show records of activities that the Register calls confidential.
    """
    if not pseudonyms:
        return Page([], None)
    parameters = _person_parameters(client, pseudonyms) | {
        "first": max(limits.after.start_time_ms if limits.after else 0, limits.since_ms or 0, 0),
    }
    query = sql.FIRST_BY_SUBJECT if limits.after is None else sql.BY_SUBJECT
    return page_of(client, query, parameters, limits, confidential=confidential)


def latest_by_subject(
    client: LogboekClient,
    pseudonyms: Sequence[bytes],
    limits: PageLimits = FIRST_PAGE,
    *,
    activities: Sequence[str] = (),
    confidential: bool = True,
) -> Page:
    """Return a page of the records about one person, the newest first; see `by_subject`.

    Args:
        activities: The only processing activities to show; none for all.
    """
    if not pseudonyms:
        return Page([], None)
    parameters = _person_parameters(client, pseudonyms) | {"activities": list(activities)}
    query = sql.FIRST_LATEST_BY_SUBJECT if limits.after is None else sql.LATEST_BY_SUBJECT
    return page_of(client, query, parameters, from_the_end(limits), confidential=confidential)


def activities_of_subject(
    client: LogboekClient, pseudonyms: Sequence[bytes], *, confidential: bool = True
) -> list[UsedActivity]:
    """Return the processing activities in the records about one person, the most recent first; see `by_subject`."""
    if not pseudonyms:
        return []
    parameters = _person_parameters(client, pseudonyms)
    rows = lookup_rows(client, sql.ACTIVITIES_OF_SUBJECT, parameters, confidential=confidential)
    used = {activity: UsedActivity(activity, *counts) for activity, *counts, _ in rows if counts[0]}
    # Records with versions are read, because only the last version of each counts. Few people have any.
    if any(others for *_, others in rows):
        for record in records_of(client, sql.OTHERS_OF_SUBJECT, parameters, confidential=confidential):
            _count(used, record.logregel)
    return sorted(used.values(), key=lambda activity: (-activity.last_ms, activity.activity))


def _count(used: dict[str, UsedActivity], logregel: Logregel) -> None:
    activity, time_ms = logregel.processing_activity_id, logregel.start_time_ms
    before = used.get(activity, UsedActivity(activity, 0, time_ms, time_ms))
    first_ms, last_ms = min(before.first_ms, time_ms), max(before.last_ms, time_ms)
    used[activity] = UsedActivity(activity, before.logregels + 1, first_ms, last_ms)


def by_activity(
    client: LogboekClient,
    activity: str,
    limits: PageLimits = FIRST_PAGE,
    *,
    confidential: bool = True,
) -> Page:
    """Return a page of the records under one processing activity; see `by_subject` for the limits."""
    return page_of(client, sql.BY_ACTIVITY, {"activity": activity}, limits, confidential=confidential)


def in_period(
    client: LogboekClient,
    limits: PageLimits = FIRST_PAGE,
    *,
    confidential: bool = True,
) -> Page:
    """Return a page of all records of a period; see `by_subject` for the limits."""
    return page_of(client, sql.IN_PERIOD, {}, limits, confidential=confidential)


def search(
    client: LogboekClient,
    query: RecordQuery,
    *,
    after: Cursor | None = None,
    limit: int = PAGE_RECORDS,
    confidential: bool = True,
) -> Page:
    """Return a page of the records that meet every condition of a query.

    Args:
        after: Cursor of the page before.
        limit: At most so many records.
        confidential: Whether to show records of activities that the Register calls confidential.
    """
    wanted = {field: value for field in sql.CONDITIONS if (value := getattr(query, field)) not in ((), "", b"", None)}
    # The table has zeros where a record has no such id, and nobody asks for all records without one.
    if any(isinstance(value, bytes) and not any(value) for value in wanted.values()):
        return Page([], None)
    linked: tuple[bytes, ...] = ()
    if query.subjects:
        wanted["subjects"] = person_of(client, query.subjects).subjects
        linked = wanted["subjects"][len(query.subjects) :]
    parameters = {field: _as_parameter(value) for field, value in wanted.items()}
    # A type is that of the number in the question; a number that is linked to it may have another one.
    parameters["linked"] = _as_parameter(linked)
    if (field := sql.narrowest(wanted)) is not None:
        ids = wanted[field]
        parameters["prefixes"] = id_prefixes([ids] if isinstance(ids, bytes) else ids)
    query = near_transaction(query)
    # Nothing that ended by a moment started after it, and only the start has an index.
    until_ms = None if query.ended_by_ms is None else query.ended_by_ms + 1
    if query.until_ms is not None:
        until_ms = min(query.until_ms, until_ms if until_ms is not None else query.until_ms)
    limits = PageLimits(since_ms=query.since_ms, until_ms=until_ms, after=after, limit=limit)
    # A query for a person's own records only has nothing in it that this reader may not see, but a trace may.
    restricted = not confidential or "visible" in wanted or {"subjects", "trace_id"} <= wanted.keys()
    statement = sql.search_query(wanted, restricted=restricted)
    return page_of(client, statement, parameters, limits, confidential=confidential)


def near_transaction(query: RecordQuery) -> RecordQuery:
    """Return a query by transaction id with the period that the id itself names: no index leads to an attribute.

    A UUID v7 begins with the moment at which the transport of FSC made it, for a call that begins then; a day on either
    side is more than clocks differ. An id of another kind names no moment, and everything is looked at.
    """
    if not query.transaction_id or not has_moment(query.transaction_id):
        return query
    made_ms = uuid.UUID(query.transaction_id).int >> 80
    since = made_ms - _DAY_MS if query.since_ms is None else max(query.since_ms, made_ms - _DAY_MS)
    return msgspec.structs.replace(query, since_ms=since, until_ms=made_ms + _DAY_MS)


def stored_in_traces(client: LogboekClient, trace_ids: Collection[bytes]) -> dict[tuple[bytes, bytes], list[Logregel]]:
    """Return every record of these traces by trace id and span id; more than one where ids were used again."""
    stored: dict[tuple[bytes, bytes], list[Logregel]] = {}
    if trace_ids:
        parameters = {"traces": [raw.hex() for raw in trace_ids], "prefixes": id_prefixes(trace_ids)}
        for row in client.rows(sql.OF_TRACES, parameters, bytes_columns=BYTES_COLUMNS):
            logregel = logregel_of_row(row).logregel
            stored.setdefault((logregel.trace_id, logregel.span_id), []).append(logregel)
    return stored


def totals(client: LogboekClient) -> Totals:
    """Return what the Logboek holds; reads a few columns of the whole table."""
    count, first, last, errors, flagged, activities = client.rows(sql.TOTALS)[0]
    return Totals(count, first if count else None, last if count else None, errors, flagged, activities)


def flag_counts(client: LogboekClient, *, limit: int = 10) -> dict[str, int]:
    """Return how many Logregels have each flag, the most frequent first."""
    return {str(flag): int(count) for flag, count in client.rows(sql.FLAG_COUNTS, {"limit": limit})}


def writers(client: LogboekClient, *, limit: int = 50) -> list[WriterCounts]:
    """Return what each writer stored and what is missing of it, the most recent writers first."""
    return [WriterCounts(*row) for row in client.rows(sql.WRITERS, {"limit": limit})]


def resource_left_out(client: LogboekClient) -> dict[str, int]:
    """Return the names of resource attributes that records do not keep (LDV-N8), and how many records lack each."""
    return {str(name): int(count) for name, count in client.rows(sql.RESOURCE_LEFT_OUT)}


def count_refused_spans(client: LogboekClient) -> int:
    """Return how many spans of Collectors fit nowhere; `schema_status` says whether there is a table of them."""
    return int(client.rows(sql.REFUSED_SPANS)[0][0])


def overlooked_attributes(client: LogboekClient) -> tuple[OverlookedAttribute, ...]:
    """Return the attributes of the standard on refused spans that are no Acties (LDV-N9); as `count_refused_spans`."""
    spans: Counter[str] = Counter()
    for attribute, count in client.rows(sql.OVERLOOKED):
        for name in overlooked_names([attribute]):
            spans[name] += count
    return overlooked_report(spans)


def _person_parameters(client: LogboekClient, pseudonyms: Sequence[bytes]) -> dict[str, Any]:
    subjects = person_of(client, pseudonyms).subjects
    return {"subjects": [raw.hex() for raw in subjects], "prefixes": id_prefixes(subjects)}


def _trace_parameters(trace_id: str) -> dict[str, Any]:
    raw = parse_trace_id(trace_id)
    return {"trace_id": raw.hex(), "prefixes": id_prefixes([raw])}


def _as_parameter(value: bytes | tuple[bytes | str, ...] | str | int) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [_as_parameter(element) for element in value]
    return within_query_time(value) if isinstance(value, int) else value
