"""Questions about ids in two steps: in which hours they occur, and then what is in those hours.

One query for both takes the engine twice as long: it plans the search for the hours, and looks up the term of each
activity of the Register for each row. With the hours known, only the terms that end after the first of them matter, and
mostly there are none. The rows are those of the one query, which is asked where the hours or the terms are many.

The moment at which the terms came into force is read with the hours, so that a change of the Register counts at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Self

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.cut_offs import CutOffs
from ldv_otel._internal.clickhouse.queries.projections import hours_of, in_hours_of
from ldv_otel._internal.clickhouse.queries.row_terms import BY_CUT_OFFS, BY_TERMS, NO_TERM_ENDED, RowTerms
from ldv_otel._internal.clickhouse.sql_text import Sql

#: Parameters travel in the request line, of which a small HTTP server takes 64 KiB: so many hours take 20 of them.
MOST_HOURS: Final = 2_000
#: And so many characters of activities, which may be three times as long there.
_MOST_TERM_CHARACTERS: Final = 6_000
_HOUR_MS: Final = 3_600_000

#: By whether confidential activities may be seen. The calendar is the engine's, as in `BY_TERMS`.
_CUT_OFFS: Final = Sql("""
SELECT
    activities,
    arrayMap(
        term -> toUnixTimestamp64Milli(subtractDays(
            subtractMonths(toDateTime64({minute:UInt32}, 3, 'UTC'), intDiv(term, 100000)), term % 100000)),
        if({confidential:Bool}, terms, public_terms)),
    versions
FROM ldv_term WHERE toUnixTimestamp64Micro(applied) = {applied:Int64} LIMIT 1
""")
_IN_HOURS: Final = Sql("toRelativeHourNum(start_time) IN {hours:Array(UInt32)}")


class Lookup(msgspec.Struct, frozen=True):
    """A question about ids that a projection leads to; its parameter `prefixes` has the `id_prefixes` of the ids.

    Attributes:
        hours: The first step: gives the hours, and which terms are in force.
        whole: Both steps in one query.
        by_terms: The second step, with all terms.
        by_cut_offs: The same, with those in parameters.
        no_term_ended: The same, where none can be over.
    """

    hours: Sql
    whole: Sql
    by_terms: Sql
    by_cut_offs: Sql
    no_term_ended: Sql

    @classmethod
    def of(cls, column: str, text: Callable[[Sql, RowTerms], Sql], *hours: Sql) -> Self:
        """Make one.

        Args:
            column: One that has a projection, such as `trace_id`.
            text: Returns the query, with the condition that a row is in an hour, and how it asks for terms.
            hours: Conditions on the hours themselves.
        """
        return cls(
            hours_of(column, *hours),
            text(in_hours_of(column, *hours), BY_TERMS),
            *(text(_IN_HOURS, terms) for terms in (BY_TERMS, BY_CUT_OFFS, NO_TERM_ENDED)),
        )


def lookup_rows(
    client: LogboekClient,
    lookup: Lookup,
    parameters: Mapping[str, Any],
    *,
    confidential: bool,
    bytes_columns: Sequence[str] = (),
) -> list[tuple[Any, ...]]:
    """Return the rows that `lookup.whole` gives.

    Args:
        confidential: Whether to give what is confidential.
    """
    parameters = {**parameters, "confidential": confidential}
    steps = client.rows(lookup.hours, parameters | {"most_hours": MOST_HOURS + 1})
    if not steps and confidential:
        return []
    # Who may not see all rows is asked a second query, whatever the first says: else the time would tell more.
    if not steps or len(steps) > MOST_HOURS:
        return client.rows(lookup.whole, parameters, bytes_columns=bytes_columns)
    hours = sorted({hour for hour, _, _ in steps})
    _, applied_us, minute = steps[0]
    cut_offs = _cut_offs(client, applied_us, minute, confidential=confidential)
    query, more = _second_step(lookup, cut_offs, hours[0] * _HOUR_MS)
    return client.rows(query, parameters | more | {"hours": hours}, bytes_columns=bytes_columns)


def _second_step(lookup: Lookup, cut_offs: CutOffs | None, oldest_ms: int) -> tuple[Sql, dict[str, Any]]:
    """Return the query that asks for the terms that may be over, and these as parameters."""
    if cut_offs is None:
        return lookup.by_terms, {}
    ending = cut_offs.later_than(oldest_ms)
    if not ending:
        return lookup.no_term_ended, {}
    # A line end is in the name of a version of an activity.
    by_version = any("\n" in name or name in cut_offs.versioned for name in ending)
    if by_version or sum(map(len, ending)) > _MOST_TERM_CHARACTERS:
        return lookup.by_terms, {}
    moment_ms = cut_offs.minute * 1_000
    return lookup.by_cut_offs, {"ending": list(ending), "kept_from": list(ending.values()), "moment": moment_ms}


def _cut_offs(client: LogboekClient, applied_us: int, minute: int, *, confidential: bool) -> CutOffs | None:
    """Return what the terms come to; None where there are no terms at all."""
    remembered = client.cut_offs.get(confidential)
    if remembered is not None and (remembered.applied_us, remembered.minute) == (applied_us, minute):
        return remembered
    parameters = {"applied": applied_us, "minute": minute, "confidential": confidential}
    for activities, kept_from, versions in client.rows(_CUT_OFFS, parameters):
        entries = sorted(zip(kept_from, activities, strict=True), reverse=True)
        client.cut_offs[confidential] = CutOffs(applied_us, minute, entries, frozenset(versions))
        return client.cut_offs[confidential]
    return None
