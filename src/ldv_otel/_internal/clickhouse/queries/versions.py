"""Corrected and withdrawn records: each change is one more row (LDV-L3), and readers see the last.

The versions of a record in one trace are ordered by `ldv.version`. A version in another trace leaves a withdrawn one
behind, which names that trace.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.columns import StoredLogregel
from ldv_otel._internal.clickhouse.queries.projections import id_prefixes, in_hours_of, in_hours_of_any
from ldv_otel._internal.clickhouse.read_settings import READ_SETTINGS
from ldv_otel._internal.clickhouse.sql_text import Sql, attribute
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.attributes import CONFIDENTIAL, MOVED_TO, VERSION, VERSION_OF, WITHDRAWN

_VERSION: Final = Sql("toUInt64OrZero($version)", version=attribute(VERSION))
#: Rows past their term count too: an older version does not come back because the last has had its time. PREWHERE
#: compares the trace before attributes are read, which takes a fifth off the query.
_LAST_VERSIONS: Final = Sql(
    """
SELECT trace_id, $version_of AS record, max($version) FROM logregel
PREWHERE trace_id IN (SELECT toFixedString(unhex(arrayJoin({traces:Array(String)})), 16))
WHERE has({records:Array(String)}, $version_of) AND $hours
GROUP BY trace_id, record SETTINGS $settings
""",
    version_of=attribute(VERSION_OF),
    version=_VERSION,
    hours=in_hours_of_any("trace_id"),
    settings=READ_SETTINGS,
)
_MOVED_TO: Final = Sql(
    """
SELECT argMax($moved_to, $version) FROM logregel
WHERE startsWith(trace_id, unhex({prefix:String})) AND $version_of = {record:String} AND $hours SETTINGS $settings
""",
    moved_to=attribute(MOVED_TO),
    version=_VERSION,
    version_of=attribute(VERSION_OF),
    hours=in_hours_of("trace_id"),
    settings=READ_SETTINGS,
)
_RECORD_WITH: Final = Sql(
    """
SELECT any($version_of) FROM logregel
WHERE startsWith(trace_id, unhex({prefix:String})) AND attributes[{name:String}] = {value:String} AND $hours
SETTINGS $settings
""",
    version_of=attribute(VERSION_OF),
    hours=in_hours_of("trace_id"),
    settings=READ_SETTINGS,
)
#: In the table zeros are no trace.
_NO_RECORD: Final = (bytes(16), "")
#: Parameters travel in the request line: the ids of so many records fit the 64 KiB that a small HTTP server allows it.
_RECORDS_PER_QUERY: Final = 300


def last_versions(
    client: LogboekClient, records: Sequence[StoredLogregel], *, confidential: bool = True
) -> list[StoredLogregel]:
    """Return those of some records that have no later version and are not withdrawn; what has no versions stays.

    Args:
        confidential: Whether to keep records that are confidential by themselves.
    """
    numbers: dict[tuple[bytes, str], int] = {}
    versioned = list(dict.fromkeys(_versioned(records)))
    if not records:
        # As if there had been one: without this query an answer that shows nothing because the last version of a record
        # may not be seen would take longer than one that shows nothing because there is nothing.
        versioned = [_NO_RECORD]
    for begin in range(0, len(versioned), _RECORDS_PER_QUERY):
        chunk = versioned[begin : begin + _RECORDS_PER_QUERY]
        parameters = {
            "traces": sorted({trace_id.hex() for trace_id, _ in chunk}),
            "records": [record_id for _, record_id in chunk],
            "prefixes": id_prefixes(trace_id for trace_id, _ in chunk),
        }
        rows = client.rows(_LAST_VERSIONS, parameters)
        numbers |= {(bytes(trace_id), record_id): number for trace_id, record_id, number in rows}
    return [
        record
        for record in records
        if _is_last(record.logregel, numbers) and (confidential or CONFIDENTIAL not in record.logregel.attributes)
    ]


def moved_to(client: LogboekClient, trace_prefix: bytes, record_id: str) -> bytes:
    """Return the trace that a record went to from a trace where it was; empty when it did not.

    Args:
        trace_prefix: At least 4 bytes of the trace where it was.
        record_id: `ldv.version_of`.
    """
    return bytes.fromhex(_text(client, _MOVED_TO, trace_prefix, record=record_id))


def record_with(client: LogboekClient, trace_prefix: bytes, name: str, value: str) -> str:
    """Return the record of which some version has this attribute, in traces with this prefix; empty when none has."""
    return _text(client, _RECORD_WITH, trace_prefix, name=name, value=value)


def _text(client: LogboekClient, query: Sql, trace_prefix: bytes, **parameters: str) -> str:
    rows = client.rows(query, {"prefix": trace_prefix.hex(), "prefixes": id_prefixes([trace_prefix]), **parameters})
    return str(rows[0][0]) if rows else ""


def _versioned(records: Sequence[StoredLogregel]) -> Iterator[tuple[bytes, str]]:
    for record in records:
        record_id = record.logregel.attributes.get(VERSION_OF)
        if record_id:
            yield record.logregel.trace_id, record_id


def _is_last(logregel: Logregel, numbers: dict[tuple[bytes, str], int]) -> bool:
    record_id = logregel.attributes.get(VERSION_OF)
    if not record_id:
        return True
    last = numbers.get((logregel.trace_id, record_id), 0)
    return WITHDRAWN not in logregel.attributes and int(logregel.attributes[VERSION]) == last
