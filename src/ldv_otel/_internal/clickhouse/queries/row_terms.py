"""Which rows a query may show by their terms, and by whether the reader sees what is confidential (LDV-L3, LDV-L4)."""

from __future__ import annotations

from typing import Final

import msgspec

import ldv_otel.attributes as names
from ldv_otel._internal.clickhouse.register_versions import version_key
from ldv_otel._internal.clickhouse.sql_text import NOTHING, Sql, attribute

#: How long the Logregels of each activity are kept. Who may not see what is confidential gets terms (`public_terms`)
#: by which that is kept from beyond the end of time on, so that one comparison hides both.
TERMS_IN_FORCE: Final = Sql("""
(
    SELECT activities, if({confidential:Bool}, terms, public_terms), versions, version_from
    FROM ldv_term ORDER BY applied DESC LIMIT 1
)
""")
#: That of the version in force when the Actie began; most Registers have one version of each activity, and then the
#: first part is all that ClickHouse sees of this.
_TERM: Final = Sql(
    """
if(empty(kept.3), transform(processing_activity_id, kept.1, kept.2, 120000000),
   transform($version, kept.1, kept.2, 120000000))
""",
    version=version_key(Sql("processing_activity_id"), Sql("toUnixTimestamp64Milli(start_time)"), Sql("kept")),
)
_OWN_TERM: Final = attribute(names.KEPT_UNTIL)
#: Whether a row may be shown as far as it says itself: by a term of its own, and by whether it is confidential.
_BY_ITSELF: Final = Sql(
    """
($own_term = '' OR toInt64OrZero($own_term) > toUnixTimestamp64Milli(now64(3)))
AND ({confidential:Bool} OR $confidential = '')
""",
    own_term=_OWN_TERM,
    confidential=attribute(names.CONFIDENTIAL),
)
#: Whether a row is within its term; needs `WITH $TERMS_IN_FORCE AS kept`. The view `logregel_shown` has the same.
#:
#: A term of the record itself (`ldv.kept_until`) goes before that of its activity. Rows that are confidential by
#: themselves are left out here and not afterwards: a page that misses a row, or a cursor at it, would disclose it.
#: The moment is the end of this minute, so that it stays the same for a minute and ClickHouse's cache of conditions
#: can be used.
WITHIN_TERM: Final = Sql(
    """
(start_time + toIntervalMillisecond(duration_ms) >= subtractDays(
    subtractMonths(toDateTime64(toStartOfMinute(now64(3, 'UTC')) + 60, 3, 'UTC'), intDiv($term, 100000)),
    $term % 100000)
 OR ($own_term != '' AND $term >= 0))
AND $own
""",
    term=_TERM,
    own_term=_OWN_TERM,
    own=_BY_ITSELF,
)

#: The same by what `CutOffs` came to for the activities of which some row may be over; what is hidden from a reader is
#: kept from later than the moment on.
_WITHIN_CUT_OFF: Final = Sql(
    """
(start_time + toIntervalMillisecond(duration_ms) >= fromUnixTimestamp64Milli($kept_from, 'UTC')
 OR ($own_term != '' AND $kept_from <= {moment:Int64}))
AND $own
""",
    kept_from=Sql(
        "transform(toString(processing_activity_id), {ending:Array(String)}, {kept_from:Array(Int64)}, toInt64(0))"
    ),
    own_term=_OWN_TERM,
    own=_BY_ITSELF,
)


class RowTerms(msgspec.Struct, frozen=True):
    """How a query asks for terms.

    Attributes:
        before: What goes before its SELECT.
        condition: Whether a row may be shown.
    """

    before: Sql
    condition: Sql


#: By all terms in force.
BY_TERMS: Final = RowTerms(Sql("WITH $terms AS kept", terms=TERMS_IN_FORCE), WITHIN_TERM)
#: By those of some activities, in parameters.
BY_CUT_OFFS: Final = RowTerms(NOTHING, _WITHIN_CUT_OFF)
#: Where no activity's term is over for any row.
NO_TERM_ENDED: Final = RowTerms(NOTHING, _BY_ITSELF)
