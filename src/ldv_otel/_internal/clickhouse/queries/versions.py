"""Records that were put right later: each change is a row more, and readers see the last.

The versions of a record in one trace are ordered by `ldv.version`. One that goes to another trace leaves a withdrawn
version behind in the one that it leaves, which names where it went.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.columns import READ_SETTINGS, StoredLogregel
from ldv_otel._internal.clickhouse.queries.projections import hours, prefixes
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.attributes import CONFIDENTIAL, MOVED_TO, VERSION, VERSION_OF, WITHDRAWN

_VERSION: Final = f"toUInt64OrZero(attributes['{VERSION}'])"
#: Of rows past their term too: an older version does not come back because the last has had its time. The trace is
#: compared before attributes are read, which takes a fifth off the question.
_LAST: Final = f"""
SELECT trace_id, attributes['{VERSION_OF}'] AS record, max({_VERSION}) FROM logregel
PREWHERE trace_id IN (SELECT toFixedString(unhex(arrayJoin({{traces:Array(String)}})), 16))
WHERE has({{records:Array(String)}}, attributes['{VERSION_OF}']) AND {hours("trace_id")}
GROUP BY trace_id, record SETTINGS {READ_SETTINGS}
"""  # noqa: S608  (our own text; values are parameters)
_MOVED: Final = f"""
SELECT argMax(attributes['{MOVED_TO}'], {_VERSION}) FROM logregel
WHERE startsWith(trace_id, unhex({{prefix:String}})) AND attributes['{VERSION_OF}'] = {{record:String}}
    AND {hours("trace_id")}
SETTINGS {READ_SETTINGS}
"""  # noqa: S608  (as above)
_WITH: Final = f"""
SELECT any(attributes['{VERSION_OF}']) FROM logregel
WHERE startsWith(trace_id, unhex({{prefix:String}})) AND attributes[{{name:String}}] = {{value:String}}
    AND {hours("trace_id")}
SETTINGS {READ_SETTINGS}
"""  # noqa: S608  (as above)
#: The ids of so many records fit the 64 KiB that a small HTTP server allows for a request line.
_RECORDS_ASKED: Final = 300


def current(
    client: LogboekClient, records: Sequence[StoredLogregel], *, confidential: bool = True
) -> list[StoredLogregel]:
    """Return those of some records that have no later version and are not withdrawn; what has no versions stays.

    Args:
        confidential: Whether to keep records that are confidential by themselves.
    """
    last: dict[tuple[bytes, str], int] = {}
    versioned = list(dict.fromkeys(_versioned(records)))
    for begin in range(0, len(versioned), _RECORDS_ASKED):
        some = versioned[begin : begin + _RECORDS_ASKED]
        parameters = {
            "traces": sorted({trace_id.hex() for trace_id, _ in some}),
            "records": [record for _, record in some],
            "prefixes": prefixes(trace_id for trace_id, _ in some),
        }
        last |= {(bytes(trace_id), record): version for trace_id, record, version in client.rows(_LAST, parameters)}
    return [
        found
        for found in records
        if _is_last(found.logregel, last) and (confidential or CONFIDENTIAL not in found.logregel.attributes)
    ]


def moved_to(client: LogboekClient, trace_prefix: bytes, record: str) -> bytes:
    """Return the trace that a record went to from a trace where it was; empty when it did not.

    Args:
        trace_prefix: At least 4 bytes of the trace where it was.
    """
    return bytes.fromhex(_value(client, _MOVED, trace_prefix, record=record))


def record_with(client: LogboekClient, trace_prefix: bytes, name: str, value: str) -> str:
    """Return the record of which some version has this attribute, in traces with this prefix; empty when none has."""
    return _value(client, _WITH, trace_prefix, name=name, value=value)


def _value(client: LogboekClient, sql: str, trace_prefix: bytes, **parameters: str) -> str:
    found = client.rows(sql, {"prefix": trace_prefix.hex(), "prefixes": prefixes([trace_prefix]), **parameters})
    return str(found[0][0]) if found else ""


def _versioned(records: Sequence[StoredLogregel]) -> Iterator[tuple[bytes, str]]:
    for found in records:
        record = found.logregel.attributes.get(VERSION_OF)
        if record:
            yield found.logregel.trace_id, record


def _is_last(logregel: Logregel, last: dict[tuple[bytes, str], int]) -> bool:
    record = logregel.attributes.get(VERSION_OF)
    if not record:
        return True
    return WITHDRAWN not in logregel.attributes and int(logregel.attributes[VERSION]) == last.get(
        (logregel.trace_id, record), 0
    )
