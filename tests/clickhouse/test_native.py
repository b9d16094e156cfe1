"""Native blocks, read by the engine itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.columns import columns_of
from ldv_otel._internal.clickhouse.native import arrays_of_fixed_strings, low_cardinality, maps, numbers, strings
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.delivery.batch import number_batch
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.errors import BatchRefused

RECORD = Logregel(trace_id=b"t" * 16, span_id=b"s" * 8, name="n", start_time_ms=1, end_time_ms=2)

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@pytest.fixture
def table(client: LogboekClient) -> str:
    """An empty table with a column of each kind."""
    client.command(
        "CREATE TABLE kinds (place UInt64, text String, word LowCardinality(String), ids Array(FixedString(4)), "
        "pairs Map(LowCardinality(String), String)) ENGINE = MergeTree ORDER BY place"
    )
    return "kinds"


def stored(client: LogboekClient, table: str, rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What the engine made of these rows."""
    client.command(f"TRUNCATE TABLE {table}")
    columns = {
        "place": ("UInt64", numbers("Q", range(len(rows)))),
        "text": ("String", strings([row["text"].encode() for row in rows])),
        "word": ("LowCardinality(String)", low_cardinality([row["word"] for row in rows])),
        "ids": ("Array(FixedString(4))", arrays_of_fixed_strings([row["ids"] for row in rows], 4)),
        "pairs": ("Map(LowCardinality(String), String)", maps([row["pairs"] for row in rows])),
    }
    client.insert(table, columns, {}, rows=len(rows))
    return client.rows(f"SELECT text, word, ids, pairs FROM {table} ORDER BY place")  # noqa: S608  (our own table)


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "text": _TEXT,
            "word": _TEXT,
            "ids": st.lists(st.binary(min_size=4, max_size=4), max_size=3),
            "pairs": st.dictionaries(_TEXT, _TEXT, max_size=3),
        }
    ),
    min_size=1,
    max_size=8,
)
LENGTHS = (0, 1, 127, 128, 1_023, 1_024, 16_383, 16_384, 300_000)


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
@example([{"text": "x" * n, "word": "y" * n, "ids": [b"abcd"] * n, "pairs": {"z" * n: "v" * n}} for n in LENGTHS])
@example([{"text": "", "word": "", "ids": [], "pairs": {}}])
def test_the_engine_reads_what_was_written(client: LogboekClient, table: str, rows: list[dict[str, Any]]) -> None:
    """Any text, any length, empty columns."""
    expected = [(row["text"], row["word"], row["ids"], row["pairs"]) for row in rows]
    assert stored(client, table, rows) == expected


@pytest.mark.parametrize("words", [1, 255, 256, 257, 65_535, 65_536, 65_537])
def test_dictionaries_of_any_size(client: LogboekClient, table: str, words: int) -> None:
    """The width of a place in the dictionary grows with it."""
    rows = [{"text": "", "word": str(n), "ids": [], "pairs": {str(n): ""}} for n in range(words)] * 2
    assert stored(client, table, rows) == [("", row["word"], [], row["pairs"]) for row in rows]


@pytest.mark.parametrize(
    "bent",
    [
        {"trace_id": b"short"},
        {"span_id": b""},
        {"end_time_ms": 0},
        {"data_subject_id": b"x" * 15},
        {"start_time_ms": 2**63, "end_time_ms": 2**63},
        {"outbound_span_ids": (b"x" * 7,)},
        {"name": None},
    ],
)
def test_a_record_that_does_not_fit_is_refused_alone(
    sink: ClickHouseSink, client: LogboekClient, bent: dict[str, Any]
) -> None:
    """It must not shift the values of its neighbours, and delivery must learn that no retry will help."""
    odd = Logregel(**{name: getattr(RECORD, name) for name in Logregel.__struct_fields__} | bent)
    with pytest.raises(BatchRefused, match=next(iter({"end_time_ms": "duration_ms"}.get(k, k)[:10] for k in bent))):
        columns_of(number_batch("w", 0, [RECORD, odd, RECORD]))
    with pytest.raises(BatchRefused):
        sink.send(number_batch("w", 0, [RECORD, odd, RECORD]))
    assert read.totals(client).logregels == 0
