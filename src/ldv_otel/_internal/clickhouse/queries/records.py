"""The named questions: every reader asks these, so that they all use the paths that do not grow with the table.

Their SQL is in `questions.py`. Of a record with versions readers see the last, see `versions.py`; so a page may have
fewer records than it was asked for though more follow.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, Self

import msgspec

from ldv_otel import attributes as names
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.columns import BYTES_COLUMNS, StoredLogregel, stored
from ldv_otel._internal.clickhouse.queries import sql as questions
from ldv_otel._internal.clickhouse.queries.projections import prefixes
from ldv_otel._internal.clickhouse.queries.versions import current, moved_to
from ldv_otel._internal.times.instants import QUERY_TIME_MAX_MS, ms_from_datetime, within_query_time
from ldv_otel.errors import QueryError

#: How many records a page has unless the caller asks for fewer or more.
PAGE_RECORDS: Final = 100


class Cursor(msgspec.Struct, frozen=True):
    """Where the next page begins: after this row. Its text can be handed out and taken back."""

    start_time_ms: int = -1
    span_id: bytes = bytes(8)
    writer_id: str = ""
    seq: int = 0

    def __str__(self) -> str:
        """The cursor as one word."""
        return f"{self.start_time_ms}.{self.span_id.hex()}.{self.writer_id}.{self.seq}"

    @classmethod
    def after(cls, record: StoredLogregel) -> Self:
        """Return the cursor of a page that ends with this record."""
        return cls(record.logregel.start_time_ms, record.logregel.span_id, record.writer_id, record.seq)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the cursor that gave this text.

        Raises:
            QueryError: None did.
        """
        found = _CURSOR.fullmatch(text)
        if not found:
            raise QueryError("That is no cursor; take it as it was given with the page before.")
        return cls(int(found[1]), bytes.fromhex(found[2]), found[3], int(found[4]))


_CURSOR: Final = re.compile(r"(-?\d{1,15})\.([0-9a-f]{16})\.([^.]*)\.(\d{1,19})")


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What `search` looks for: records that meet everything that is given here.

    Attributes:
        trace_id: 16 bytes.
        foreign_trace_id: 16 bytes: the trace of another party on whose behalf something was done here.
        foreign_span_id: 8 bytes.
        subjects: Pseudonyms of 16 bytes; a record is about one of them.
        processor: `dpl.core.foreign_operation.processor`.
        read_api: `dpl.read.externalReadAPI_id`.
        visible: Beginnings of the only processing activities to show; none for all.
        since_ms: Started then or later; ms since 1970-01-01 UTC.
        ended_by_ms: Ended then or earlier; ms since 1970-01-01 UTC.
    """

    trace_id: bytes = b""
    foreign_trace_id: bytes = b""
    foreign_span_id: bytes = b""
    subjects: tuple[bytes, ...] = ()
    subject_type: str = ""
    activity: str = ""
    processor: str = ""
    read_api: str = ""
    visible: tuple[str, ...] = ()
    since_ms: int | None = None
    ended_by_ms: int | None = None


class Page(msgspec.Struct, frozen=True):
    """Some records, oldest first; `following` is None on the last page."""

    records: list[StoredLogregel]
    following: Cursor | None


class UsedActivity(msgspec.Struct, frozen=True):
    """A processing activity in the records about one person; times in ms since 1970-01-01 UTC."""

    activity: str
    logregels: int
    first_ms: int
    last_ms: int


class Totals(msgspec.Struct, frozen=True):
    """What a Logboek holds; times in ms since 1970-01-01 UTC, None when it is empty."""

    logregels: int
    first_ms: int | None
    last_ms: int | None
    errors: int
    flagged: int
    activities: int


class Writer(msgspec.Struct, frozen=True):
    """What one writer stored.

    Attributes:
        stored: Rows.
        removed: Places in its sequence that are empty since `ldv retention apply` removed what was past its term.
        missing: Other places in its sequence, up to the highest seen, that no row has: Logregels that were lost.
        doubled: Rows beyond the first of a place in its sequence.
    """

    writer_id: str
    resource: str
    stored: int
    removed: int
    missing: int
    doubled: int
    first_ms: int
    last_ms: int


def by_trace(client: LogboekClient, trace_id: str, *, confidential: bool = True) -> list[StoredLogregel]:
    """Return all records of a trace, oldest first.

    Args:
        trace_id: 32 hex digits, or a UUID with dashes.
        confidential: Whether to show records of activities that the Register calls confidential.

    Raises:
        QueryError: That is no trace id.
    """
    return _records(client, questions.BY_TRACE, _trace(trace_id), confidential=confidential)


def by_outbound(
    client: LogboekClient, trace_id: str, span_id: str, *, confidential: bool = True
) -> list[StoredLogregel]:
    """Return the Actie behind a span id that another party saw: it, or the one from which that span went out.

    This is how `dpl.core.foreign_operation.span_id` of a called party finds its Logregel at the caller.

    Raises:
        QueryError: That is no trace id or span id.
    """
    trace, span = parse_trace_id(trace_id), parse_span_id(span_id)
    parameters = _trace(trace_id) | {"span_id": span.hex()}
    found = _records(client, questions.BY_OUTBOUND, parameters, confidential=confidential)
    if not found and (above := _above(client, {(trace, span)}).get((trace, span))):
        parameters |= {"span_id": above.hex()}
        found = _records(client, questions.BY_OUTBOUND, parameters, confidential=confidential)
    return found


def by_foreign(
    client: LogboekClient, trace_id: str, span_id: str = "", *, confidential: bool = True
) -> list[StoredLogregel]:
    """Return what was done here on behalf of another party's trace, or of one span of it.

    Raises:
        QueryError: That is no trace id or span id.
    """
    span = parse_span_id(span_id).hex() if span_id else ""
    return _records(client, questions.BY_FOREIGN, _trace(trace_id) | {"span_id": span}, confidential=confidential)


def by_record(client: LogboekClient, record: str, *, confidential: bool = True) -> list[StoredLogregel]:
    """Return the last version of a record that has versions; nothing when it is withdrawn, or nobody knows it.

    Args:
        record: What its versions share: `ldv.version_of`, a UUID.
    """
    trace_prefix = bytes.fromhex(record[:8])
    while trace_prefix:
        found = by_attribute(client, trace_prefix, names.VERSION_OF, record, confidential=confidential)
        if found:
            return found
        trace_prefix = moved_to(client, trace_prefix, record)
    return []


def by_attribute(
    client: LogboekClient, trace_prefix: bytes, name: str, value: str, *, confidential: bool = True
) -> list[StoredLogregel]:
    """Return the records with an attribute, in traces whose id begins with some bytes.

    Args:
        trace_prefix: 4 to 16 bytes.
        value: Empty for records without the attribute.
    """
    parameters = {"prefix": trace_prefix.hex(), "name": name, "value": value, "prefixes": prefixes([trace_prefix])}
    return _records(client, questions.BY_ATTRIBUTE, parameters, confidential=confidential)


def by_subject(  # noqa: PLR0913  (a question with its limits)
    client: LogboekClient,
    pseudonyms: Sequence[bytes],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    after: Cursor | None = None,
    limit: int = PAGE_RECORDS,
    confidential: bool = True,
) -> Page:
    """Return a page of the records about one person.

    Args:
        pseudonyms: The person's pseudonym under each live key.
        since: Records that started then or later.
        until: Records that started before then.
        after: Cursor of the page before.
        limit: At most so many records.
        confidential: Whether to show records of activities that the Register calls confidential.
    """
    if not pseudonyms:
        return Page([], None)
    parameters = {
        "subjects": [raw.hex() for raw in pseudonyms],
        "prefixes": prefixes(pseudonyms),
        "first": max(after.start_time_ms if after else 0, time_ms(since) or 0, 0),
    }
    limits = Limits(time_ms(since), time_ms(until), after, limit)
    return page_of(client, questions.BY_SUBJECT, parameters, limits, confidential=confidential)


def latest_by_subject(  # noqa: PLR0913  (a question with its limits)
    client: LogboekClient,
    pseudonyms: Sequence[bytes],
    *,
    activities: Sequence[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
    after: Cursor | None = None,
    limit: int = PAGE_RECORDS,
    confidential: bool = True,
) -> Page:
    """Return a page of the records about one person, the newest first; see `by_subject`.

    Args:
        activities: The only processing activities to show; none for all.
    """
    if not pseudonyms:
        return Page([], None)
    parameters = {
        "subjects": [raw.hex() for raw in pseudonyms],
        "prefixes": prefixes(pseudonyms),
        "activities": list(activities),
    }
    limits = Limits(time_ms(since), time_ms(until), after or Cursor(QUERY_TIME_MAX_MS), limit)
    return page_of(client, questions.LATEST_BY_SUBJECT, parameters, limits, confidential=confidential)


def activities_of_subject(
    client: LogboekClient, pseudonyms: Sequence[bytes], *, confidential: bool = True
) -> list[UsedActivity]:
    """Return the processing activities in the records about one person, the most recent first; see `by_subject`."""
    if not pseudonyms:
        return []
    parameters = {
        "subjects": [raw.hex() for raw in pseudonyms],
        "prefixes": prefixes(pseudonyms),
        "confidential": confidential,
    }
    rows = client.rows(questions.ACTIVITIES_OF_SUBJECT, parameters)
    used = {activity: UsedActivity(activity, *figures) for activity, *figures, _ in rows if figures[0]}
    if any(others for *_, others in rows):
        for found in _records(client, questions.OTHERS_OF_SUBJECT, parameters, confidential=confidential):
            activity, moment = found.logregel.processing_activity_id, found.logregel.start_time_ms
            before = used.get(activity, UsedActivity(activity, 0, moment, moment))
            first, last = min(before.first_ms, moment), max(before.last_ms, moment)
            used[activity] = UsedActivity(activity, before.logregels + 1, first, last)
    return sorted(used.values(), key=lambda found: (-found.last_ms, found.activity))


def by_activity(  # noqa: PLR0913  (a question with its limits)
    client: LogboekClient,
    activity: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    after: Cursor | None = None,
    limit: int = PAGE_RECORDS,
    confidential: bool = True,
) -> Page:
    """Return a page of the records under one processing activity; see `by_subject` for the limits."""
    limits = Limits(time_ms(since), time_ms(until), after, limit)
    return page_of(client, questions.BY_ACTIVITY, {"activity": activity}, limits, confidential=confidential)


def in_period(  # noqa: PLR0913  (a question with its limits)
    client: LogboekClient,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    after: Cursor | None = None,
    limit: int = PAGE_RECORDS,
    confidential: bool = True,
) -> Page:
    """Return a page of all records of a period; see `by_subject` for the limits."""
    limits = Limits(time_ms(since), time_ms(until), after, limit)
    return page_of(client, questions.IN_PERIOD, {}, limits, confidential=confidential)


def search(
    client: LogboekClient,
    question: Question,
    *,
    after: Cursor | None = None,
    limit: int = PAGE_RECORDS,
    confidential: bool = True,
) -> Page:
    """Return a page of the records that meet every condition of a question.

    Args:
        after: Cursor of the page before.
        limit: At most so many records.
        confidential: Whether to show records of activities that the Register calls confidential.
    """
    given = {
        name: value for name in questions.CONDITIONS if (value := getattr(question, name)) not in ((), "", b"", None)
    }
    if any(isinstance(value, bytes) and not any(value) for value in given.values()):
        return Page([], None)  # zeros stand for an id that is not there, and nobody asks for all of those
    parameters = {name: _as_parameter(value) for name, value in given.items()}
    if (name := questions.sharpest(given)) is not None:
        ids = given[name]
        parameters["prefixes"] = prefixes([ids] if isinstance(ids, bytes) else ids)
    # Nothing that ended by a moment started after it, and only the start has an index.
    until_ms = None if question.ended_by_ms is None else question.ended_by_ms + 1
    limits = Limits(question.since_ms, until_ms, after, limit)
    return page_of(client, questions.matching(given), parameters, limits, confidential=confidential)


def spans_of_traces(client: LogboekClient, trace_ids: Collection[bytes]) -> set[tuple[bytes, bytes]]:
    """Return trace and span id of every record of these traces."""
    if not trace_ids:
        return set()
    parameters = {"traces": [raw.hex() for raw in trace_ids], "prefixes": prefixes(trace_ids)}
    rows = client.rows(questions.SPANS_OF_TRACES, parameters)
    return {(bytes(trace_id), bytes(span_id)) for trace_id, span_id in rows}


def totals(client: LogboekClient) -> Totals:
    """Return what the Logboek holds; reads a few columns of the whole table."""
    count, first, last, errors, flagged, activities = client.rows(questions.TOTALS)[0]
    return Totals(count, first if count else None, last if count else None, errors, flagged, activities)


def writers(client: LogboekClient, *, limit: int = 50) -> list[Writer]:
    """Return what each writer stored and what is missing of it, the most recent writers first."""
    return [Writer(*row) for row in client.rows(questions.WRITERS, {"limit": limit})]


def refused(client: LogboekClient) -> int:
    """Return how many spans of Collectors fit nowhere; `schema_status` says whether there is a table of them."""
    return int(client.rows("SELECT count() FROM collector_refused")[0][0])


def parse_trace_id(text: str) -> bytes:
    """Return the 16 bytes of a trace id given as 32 hex digits or as a dashed UUID.

    Raises:
        QueryError: That is no trace id.
    """
    try:
        raw = bytes.fromhex(text.strip().replace("-", ""))
    except ValueError:
        raw = b""
    if len(raw) != 16 or not any(raw):  # noqa: PLR2004  (W3C Trace Context)
        raise QueryError("A trace id has 32 hexadecimal digits, not all 0, with or without the dashes of a UUID.")
    return raw


def parse_span_id(text: str) -> bytes:
    """Return the 8 bytes of a span id given as 16 hex digits.

    Raises:
        QueryError: That is no span id.
    """
    try:
        raw = bytes.fromhex(text.strip())
    except ValueError:
        raw = b""
    if len(raw) != 8 or not any(raw):  # noqa: PLR2004  (W3C Trace Context)
        raise QueryError("A span id has 16 hexadecimal digits, not all 0.")
    return raw


def _trace(trace_id: str) -> dict[str, Any]:
    raw = parse_trace_id(trace_id)
    return {"trace_id": raw.hex(), "prefixes": prefixes([raw])}


def _records(
    client: LogboekClient, sql: str, parameters: dict[str, Any], *, confidential: bool
) -> list[StoredLogregel]:
    """Return the records of a query as readers see them."""
    return _seen(client, _rows(client, sql, parameters, confidential=confidential), confidential=confidential)


def _rows(client: LogboekClient, sql: str, parameters: dict[str, Any], *, confidential: bool) -> list[StoredLogregel]:
    parameters |= {"confidential": confidential}
    return [stored(row) for row in client.rows(sql, parameters, bytes_columns=BYTES_COLUMNS)]


def _seen(client: LogboekClient, rows: Sequence[StoredLogregel], *, confidential: bool) -> list[StoredLogregel]:
    """Return the last version of each record, with the nearest Actie as its parent (LDV-A2)."""
    records = current(client, rows, confidential=confidential)
    known = {(found.logregel.trace_id, found.logregel.span_id) for found in records}
    parents = {(found.logregel.trace_id, found.logregel.parent_span_id) for found in records}
    above = _above(client, {(trace, parent) for trace, parent in parents - known if parent})
    return [_below(found, above) for found in records] if above else records


def _below(found: StoredLogregel, above: Mapping[tuple[bytes, bytes], bytes]) -> StoredLogregel:
    record = found.logregel
    parent = above.get((record.trace_id, record.parent_span_id))
    if parent is None:
        return found
    return msgspec.structs.replace(found, logregel=msgspec.structs.replace(record, parent_span_id=parent))


def _above(client: LogboekClient, spans: Collection[tuple[bytes, bytes]]) -> dict[tuple[bytes, bytes], bytes]:
    """Return for those of these spans that are technical the first span above that is not; nothing above a root.

    Technical spans are known of services that log through a Collector.
    """
    if not spans:
        return {}
    parameters = {"traces": [trace.hex() for trace, _ in spans], "spans": [span.hex() for _, span in spans]}
    if not client.rows(questions.ANY_TECHNICAL, parameters):
        return {}
    rows = client.rows(questions.ABOVE, parameters)
    return {(bytes(trace), bytes(span)): bytes(above) if any(above) else b"" for trace, span, above in rows}


class Limits(NamedTuple):
    """What of a question's answer is wanted; times in ms since 1970-01-01 UTC."""

    since_ms: int | None
    until_ms: int | None
    after: Cursor | None
    limit: int


def page_of(client: LogboekClient, sql: str, parameters: dict[str, Any], limits: Limits, *, confidential: bool) -> Page:
    """Return a page of a `questions.query` that has the conditions of a period and `LIMIT`."""
    since_ms, until_ms, after, limit = limits
    after = after or Cursor()
    parameters |= {
        "since": within_query_time(0 if since_ms is None else since_ms),
        "until": within_query_time(QUERY_TIME_MAX_MS if until_ms is None else until_ms),
        "after_time": min(after.start_time_ms, QUERY_TIME_MAX_MS),
        "after_span": after.span_id.hex(),
        "after_writer": after.writer_id,
        "after_seq": after.seq,
        "limit": limit + 1,
    }
    rows = _rows(client, sql, parameters, confidential=confidential)
    following = Cursor.after(rows[limit - 1]) if len(rows) > limit else None
    return Page(_seen(client, rows[:limit], confidential=confidential), following)


def _as_parameter(value: bytes | tuple[bytes | str, ...] | str | int) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [_as_parameter(one) for one in value]
    return within_query_time(value) if isinstance(value, int) else value


def time_ms(moment: datetime | None) -> int | None:
    """Return a moment in ms since 1970-01-01 UTC."""
    return None if moment is None else ms_from_datetime(moment)
