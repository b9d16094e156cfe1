"""The rows of a trace or of a person, as manifests list them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.projections import id_prefixes, in_hours_of
from ldv_otel._internal.clickhouse.queries.subject_links import person_of
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.verification.record_sql import NUMBER

_ROWS_OF_TRACE: Final = Sql(
    """
SELECT DISTINCT toString(writer_id), $number AS number, toUnixTimestamp64Milli(start_time) FROM logregel
WHERE trace_id = unhex({trace:String}) AND $hours
""",
    number=NUMBER,
    hours=in_hours_of("trace_id"),
)
_ROWS_OF_SUBJECT: Final = Sql(
    """
SELECT DISTINCT toString(writer_id), $number AS number, toUnixTimestamp64Milli(start_time) FROM logregel
WHERE has(arrayMap(id -> toFixedString(unhex(id), 16), {subjects:Array(String)}), data_subject_id) AND $hours
""",
    number=NUMBER,
    hours=in_hours_of("data_subject_id"),
)


class ListedRow(NamedTuple):
    """A row as a manifest lists it; see `tamper.manifest.number_of`."""

    writer_id: str
    number: int
    start_ms: int


def rows_of_trace(client: LogboekClient, trace_id: bytes) -> list[ListedRow]:
    """Return the rows of a trace, whoever may see them and whatever their term."""
    rows = client.rows(_ROWS_OF_TRACE, {"trace": trace_id.hex(), "prefixes": id_prefixes([trace_id])})
    return [ListedRow(*row) for row in rows]


def rows_of_subject(client: LogboekClient, pseudonyms: Sequence[bytes]) -> list[ListedRow]:
    """Return the rows about a person, under all numbers that are linked as theirs."""
    subjects = person_of(client, pseudonyms).subjects
    parameters = {"subjects": [raw.hex() for raw in subjects], "prefixes": id_prefixes(subjects)}
    return [ListedRow(*row) for row in client.rows(_ROWS_OF_SUBJECT, parameters)]
