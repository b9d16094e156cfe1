"""Where to look for ids: the projections of the table map a prefix of each id to the hours in which it occurs.

An index on whole ids would cost 9 bytes a row, a projection costs 1 to 2. ClickHouse uses a projection only for an
expression that equals its own, so the ones here are those of `schema/0001_logregel.sql`, to the letter;
`tests/clickhouse/test_access_paths.py` reads the query plans.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ldv_otel._internal.clickhouse.sql_text import NOTHING, Sql, all_of, identifier


def in_hours_of(column: str, *hours: Sql) -> Sql:
    """Return the condition that a row lies in an hour in which the wanted ids occur, by the projection of a column.

    Its parameter `prefixes` has the `id_prefixes` of the wanted ids.

    Args:
        column: One that has a projection, such as `trace_id`.
        hours: Conditions on the hours themselves.
    """
    return Sql("toRelativeHourNum(start_time) IN ($hours)", hours=_hours(column, *hours))


def in_hours_of_any(column: str) -> Sql:
    """Return the same condition for a reader who may not see all rows: some hour is looked in, whatever the ids are.

    Ids that occur nowhere would be answered sooner than those whose rows the reader may not see, and so tell which are
    there. The hour is one between the first row and the last, by the ids, so that asking again tells no more.
    """
    return Sql(
        """toRelativeHourNum(start_time) IN (
            SELECT arrayJoin(if(empty(hours), [toUInt32($some_hour)], hours))
            FROM (SELECT groupArray(`toRelativeHourNum(start_time)`) AS hours FROM ($hours)))""",
        some_hour=_SOME_HOUR,
        hours=_hours(column),
    )


#: The first and the last moment are kept beside each part, so that this reads no rows.
_SOME_HOUR: Final = Sql("""(
    SELECT toRelativeHourNum(min(start_time)) + cityHash64({prefixes:Array(UInt32)})
        % (1 + toRelativeHourNum(max(start_time)) - toRelativeHourNum(min(start_time))) FROM logregel)""")


def hours_of(column: str, *hours: Sql) -> Sql:
    """Return the query for these hours, at most `most_hours` of them, arguments as those of `in_hours_of`.

    Each comes with the moment at which the terms in force were applied, in us, and with the end of the minute, in s.
    """
    return _hours(
        column,
        *hours,
        more=Sql(
            """, toUnixTimestamp64Micro((SELECT max(applied) FROM ldv_term)),
                toUnixTimestamp(toStartOfMinute(now())) + 60"""
        ),
        limit=Sql(" LIMIT {most_hours:UInt32}"),
    )


def _hours(column: str, *hours: Sql, more: Sql = NOTHING, limit: Sql = NOTHING) -> Sql:
    # With GROUP BY the answer comes from the projection alone. Without, the engine would read the ids of every row.
    return Sql(
        """SELECT toRelativeHourNum(start_time)$more FROM logregel
            WHERE $wanted GROUP BY $prefix, toRelativeHourNum(start_time)$limit""",
        more=more,
        wanted=all_of([Sql("$prefix IN {prefixes:Array(UInt32)}", prefix=_id_prefix(column)), *hours]),
        prefix=_id_prefix(column),
        limit=limit,
    )


def id_prefixes(ids: Iterable[bytes]) -> list[int]:
    """Return what the projections keep of some ids: the first 4 bytes, little-endian, without the low 4 bits."""
    return sorted({int.from_bytes(raw[:4], "little") >> 4 for raw in ids})


def _id_prefix(column: str) -> Sql:
    return Sql("bitShiftRight(reinterpretAsUInt32(substring($column, 1, 4)), 4)", column=identifier(column))
