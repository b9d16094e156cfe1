"""What was done in a period, broken down: failures, people, parties and figures. Each row counts once.

A filter that is empty is none. Each version of a record that was corrected later counts, as in `oversight.py`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.row_terms import TERMS_IN_FORCE, WITHIN_TERM
from ldv_otel._internal.clickhouse.queries.sql import ROW_ONCE
from ldv_otel._internal.clickhouse.read_settings import READ_SETTINGS
from ldv_otel._internal.clickhouse.sql_text import Sql, attribute, literal
from ldv_otel._internal.config.variables import UNKNOWN_CALLER_URL
from ldv_otel.attributes import EXCEPTION_TYPE

#: The most rows of one breakdown.
MOST_CELLS: Final = 10_000

_SERVICE: Final = Sql("JSONExtractString(resource, 'service.name')")
_NOBODY: Final = Sql("toFixedString('', 16)")
_FAILED: Final = Sql("status = 'Error'")
#: As `callers.processor_of` has it, also of records from before LDV-N10.
_CALLER: Final = Sql(
    """multiIf(foreign_operation_processor != '', toString(foreign_operation_processor),
        foreign_operation_trace_id = toFixedString('', 16) AND foreign_operation_span_id = toFixedString('', 8), '',
        $unknown)""",
    unknown=literal(UNKNOWN_CALLER_URL),
)


def _once(columns: Sql) -> Sql:
    return Sql(
        """
SELECT $columns FROM logregel
WHERE start_time >= fromUnixTimestamp64Milli({since:Int64}) AND start_time < fromUnixTimestamp64Milli({until:Int64})
    AND ({activity:String} = '' OR processing_activity_id = {activity:String})
    AND ({service:String} = '' OR $service = {service:String}) AND $within_term $once
""",
        columns=columns,
        service=_SERVICE,
        within_term=WITHIN_TERM,
        once=ROW_ONCE,
    )


_FAILURES: Final = Sql(
    """
WITH $terms AS kept
SELECT activity, service, error, read_api, caller, count(), toUnixTimestamp64Milli(max(start_time)),
       lower(hex(argMax(trace_id, start_time)))
FROM ($rows) WHERE failed
GROUP BY activity, service, error, read_api, caller ORDER BY count() DESC, activity, service, error, read_api, caller
LIMIT {limit:UInt32} SETTINGS $settings
""",
    terms=TERMS_IN_FORCE,
    rows=_once(
        Sql(
            """toString(processing_activity_id) AS activity, $service AS service, $error AS error,
            toString(external_read_api_id) AS read_api, $caller AS caller, $failed AS failed, start_time, trace_id""",
            service=_SERVICE,
            error=attribute(EXCEPTION_TYPE),
            caller=_CALLER,
            failed=_FAILED,
        )
    ),
    settings=READ_SETTINGS,
)
_PEOPLE: Final = Sql(
    """
WITH $terms AS kept
SELECT type, key_id, uniqExact(data_subject_id), count(), uniqExactIf(data_subject_id, sealed) FROM ($rows)
GROUP BY type, key_id ORDER BY type, key_id SETTINGS $settings
""",
    terms=TERMS_IN_FORCE,
    rows=_once(
        Sql(
            """data_subject_id, if(data_subject_id = $nobody, '', toString(data_subject_id_type)) AS type,
            if(data_subject_id = $nobody, '', toString(key_id)) AS key_id, data_subject_sealed != '' AS sealed""",
            nobody=_NOBODY,
        )
    ),
    settings=READ_SETTINGS,
)
#: Those that a link names: few, whatever the period.
_LINKED_PEOPLE: Final = Sql(
    """
WITH $terms AS kept
SELECT DISTINCT hex(data_subject_id), type, key FROM ($rows)
WHERE data_subject_id IN (SELECT subject FROM ldv_subject_link) SETTINGS $settings
""",
    terms=TERMS_IN_FORCE,
    rows=_once(Sql("data_subject_id, toString(data_subject_id_type) AS type, toString(key_id) AS key")),
    settings=READ_SETTINGS,
)
_SEALED_PEOPLE: Final = Sql(
    """
WITH $terms AS kept
SELECT hex(data_subject_id), type, key, max(sealed) FROM ($rows)
WHERE data_subject_id != $nobody
GROUP BY data_subject_id, type, key ORDER BY data_subject_id, type, key LIMIT {limit:UInt32} SETTINGS $settings
""",
    terms=TERMS_IN_FORCE,
    rows=_once(
        Sql(
            """data_subject_id, toString(data_subject_id_type) AS type, toString(key_id) AS key,
            data_subject_sealed AS sealed"""
        )
    ),
    nobody=_NOBODY,
    settings=READ_SETTINGS,
)


class BreakdownBy(StrEnum):
    """By what a period is broken down."""

    MONTH = "month"
    ACTIVITY = "activity"
    SERVICE = "service"
    ACTIVITY_AND_SERVICE = "activity and service"
    ASKED = "asked"
    ASKED_BY = "asked by"


def _breakdown(cell: Sql, *, where: Sql) -> Sql:
    return Sql(
        """
WITH $terms AS kept
SELECT cell.1, cell.2, sum(n), sum(f), sum(people), max(people), max(failed_people), min(first_ms), max(last_ms) FROM
(
    SELECT cell, key, count() AS n, countIf(failed) AS f, uniqExactIf(subject, subject != $nobody) AS people,
           uniqExactIf(subject, failed AND subject != $nobody) AS failed_people,
           toUnixTimestamp64Milli(min(began)) AS first_ms, toUnixTimestamp64Milli(max(began)) AS last_ms
    FROM ($rows) WHERE $where GROUP BY cell, key
)
GROUP BY cell ORDER BY sum(n) DESC, cell LIMIT {limit:UInt32} SETTINGS $settings
""",
        terms=TERMS_IN_FORCE,
        nobody=_NOBODY,
        rows=_once(
            Sql(
                """$cell AS cell, toString(key_id) AS key, data_subject_id AS subject, $failed AS failed,
                start_time AS began""",
                cell=cell,
                failed=_FAILED,
            )
        ),
        where=where,
        settings=READ_SETTINGS,
    )


_NAMED: Final = Sql("cell.1 != ''")
_ALL: Final = Sql("1")
_BREAKDOWNS: Final = {
    BreakdownBy.MONTH: _breakdown(
        Sql("(formatDateTime(toTimeZone(start_time, {zone:String}), '%Y-%m'), '')"), where=_ALL
    ),
    BreakdownBy.ACTIVITY: _breakdown(Sql("(toString(processing_activity_id), '')"), where=_ALL),
    BreakdownBy.SERVICE: _breakdown(Sql("($service, '')", service=_SERVICE), where=_ALL),
    BreakdownBy.ACTIVITY_AND_SERVICE: _breakdown(
        Sql("(toString(processing_activity_id), $service)", service=_SERVICE), where=_ALL
    ),
    BreakdownBy.ASKED: _breakdown(Sql("(toString(external_read_api_id), '')"), where=_NAMED),
    BreakdownBy.ASKED_BY: _breakdown(Sql("($caller, '')", caller=_CALLER), where=_NAMED),
}


class PeriodFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What is counted.

    Attributes:
        since_ms: Acties that started then or later, in ms since 1970-01-01 UTC.
        until_ms: Acties that started before then.
        activity: The only processing activity; empty for all.
        service: The only `service.name`; empty for all.
        confidential: Whether to count what is confidential.
    """

    since_ms: int
    until_ms: int
    activity: str = ""
    service: str = ""
    confidential: bool = True

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the queries here."""
        return {
            "since": self.since_ms,
            "until": self.until_ms,
            "activity": self.activity,
            "service": self.service,
            "confidential": self.confidential,
            "limit": MOST_CELLS,
        }


class FailureCounts(msgspec.Struct, frozen=True):
    """Acties that failed in one way.

    Attributes:
        error: Type of the exception; empty where it is not known.
        read_api: Of the party that was asked; empty for none.
        caller: Of the party on whose behalf it was; empty for none.
        trace_id: Of the last of them, 32 hexadecimal digits.
    """

    activity: str
    service: str
    error: str
    read_api: str
    caller: str
    acties: int
    last_ms: int
    trace_id: str


class PeopleUnderKey(msgspec.Struct, frozen=True):
    """Numbers of one type under one key; both are empty for Acties without a data subject.

    Attributes:
        sealed: Of how many the number itself is on record too, sealed, so that a key can open it.
    """

    type: str
    key_id: str
    numbers: int
    acties: int
    sealed: int = 0


class PseudonymInUse(msgspec.Struct, frozen=True):
    """A pseudonym (16 bytes), and the sealed form of its number, where it has one."""

    pseudonym: bytes
    type: str
    key_id: str
    sealed: str = ""


class BreakdownCell(msgspec.Struct, frozen=True):
    """What was done under one value of a breakdown.

    Attributes:
        also: The second value, where a breakdown has two.
        numbers: Different pseudonyms; a person under several keys counts more than once.
        people_least: Different people at least: those under the key that has most.
        failed_people_least: The same of what failed.
    """

    value: str
    also: str
    acties: int
    failed: int
    numbers: int
    people_least: int
    failed_people_least: int
    first_ms: int
    last_ms: int


def failures(client: LogboekClient, chosen: PeriodFilter) -> list[FailureCounts]:
    """Return what failed, by activity, application, type of error, and party; the most frequent first."""
    return [FailureCounts(*row) for row in client.rows(_FAILURES, chosen.parameters)]


def people_by_key(client: LogboekClient, chosen: PeriodFilter) -> list[PeopleUnderKey]:
    """Return how many different numbers there are, by their type and key."""
    return [PeopleUnderKey(*row) for row in client.rows(_PEOPLE, chosen.parameters)]


def linked_people(client: LogboekClient, chosen: PeriodFilter) -> list[PseudonymInUse]:
    """Return those of the pseudonyms that a link names."""
    return [PseudonymInUse(bytes.fromhex(raw), *more) for raw, *more in client.rows(_LINKED_PEOPLE, chosen.parameters)]


def people_with_seals(client: LogboekClient, chosen: PeriodFilter, *, limit: int) -> list[PseudonymInUse]:
    """Return each pseudonym, with the sealed form of its number where there is one.

    Args:
        limit: At most so many.
    """
    rows = client.rows(_SEALED_PEOPLE, chosen.parameters | {"limit": limit})
    return [PseudonymInUse(bytes.fromhex(raw), *more) for raw, *more in rows]


def breakdown(client: LogboekClient, chosen: PeriodFilter, by: BreakdownBy, *, zone: str) -> list[BreakdownCell]:
    """Return a period broken down, the most frequent first; of parties only those that are named.

    Args:
        zone: On whose clock a month begins.
    """
    return [BreakdownCell(*row) for row in client.rows(_BREAKDOWNS[by], chosen.parameters | {"zone": zone})]
