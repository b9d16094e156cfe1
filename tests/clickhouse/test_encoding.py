"""Blocks of columns, byte by byte and as the engine reads them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from clickhouse_connect.datatypes.format import clear_write_format, set_write_format
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.columns import columns_of
from ldv_otel._internal.clickhouse.encoding import block
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.delivery.batch import number_batch
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.errors import BatchRefused
from tests.support.chance import examples

RECORD = Logregel(trace_id=b"t" * 16, span_id=b"s" * 8, name="n", start_time_ms=1, end_time_ms=2)


def _uint64(number: int) -> bytes:
    return number.to_bytes(8, "little")


_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


#: A column of each kind with its bytes, as ClickHouse's Native format has them.
KINDS: dict[str, tuple[str, list[Any], bytes]] = {
    "id": ("FixedString(4)", [b"abcd", b"\0\0\0\1", b"efgh"], b"abcd\0\0\0\1efgh"),
    "text": ("String", ["é", "", "x" * 130], b"\x02\xc3\xa9\0\x82\x01" + b"x" * 130),
    "raw": ("String", [b"\xff", b"", b"\0"], b"\x01\xff\0\x01\0"),
    "word": (
        "LowCardinality(String)",
        ["a", "b", "a"],
        _uint64(1) + _uint64(0x600) + _uint64(2) + b"\x01a\x01b" + _uint64(3) + b"\0\1\0",
    ),
    "time": (
        "DateTime64(3, 'UTC')",
        [0, 1_800_000_000_000, -1],
        _uint64(0) + b"\0P\\\x18\xa3\x01\0\0" + b"\xff" * 8,
    ),
    "count": ("UInt64", [0, 1, 2**64 - 1], _uint64(0) + _uint64(1) + b"\xff" * 8),
    "months": ("UInt32", [0, 1, 2**32 - 1], b"\0\0\0\0\1\0\0\0\xff\xff\xff\xff"),
    "hidden": ("Bool", [True, False, True], b"\1\0\1"),
    "status": ("Enum8('Unset' = 0, 'Ok' = 1, 'Error' = 2)", [0, 1, 2], b"\0\1\2"),
    "ids": (
        "Array(FixedString(4))",
        [[b"abcd"], [], [b"efgh", b"ijkl"]],
        _uint64(1) + _uint64(1) + _uint64(3) + b"abcdefghijkl",
    ),
    "pairs": (
        "Map(LowCardinality(String), String)",
        [{}, {"k": "v", "l": ""}, {"k": "w"}],
        _uint64(1) + _uint64(0) + _uint64(2) + _uint64(3)
        + _uint64(0x600) + _uint64(2) + b"\x01k\x01l" + _uint64(3) + b"\0\1\0" + b"\x01v\0\x01w",
    ),
}  # fmt: skip


@pytest.fixture(params=["", "string"])
def formats(request: pytest.FixtureRequest) -> Iterator[str]:
    """Formats of texts that an application made its defaults in the driver: none, or all of them texts."""
    if request.param:
        set_write_format("FixedString", request.param)
    yield request.param
    clear_write_format("*")


@pytest.mark.usefixtures("formats")
@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_column_has_its_bytes(name: str) -> None:
    """A block says its sizes, and a column its name, its type and its values, whatever an application's defaults."""
    type_, values, expected = KINDS[name]
    head = b"\x01\x03" + bytes([len(name)]) + name.encode() + bytes([len(type_)]) + type_.encode()
    assert block({name: (type_, values)}) == head + expected


def test_a_large_block_has_the_bytes_of_before() -> None:
    """70,000 rows are the bytes that the encoder of our own gave before the driver's took its place."""
    numbers = range(70_000)
    ids = [hashlib.sha256(str(number).encode()).digest() for number in numbers]
    columns: dict[str, tuple[str, list[Any]]] = {"id": ("FixedString(32)", ids)}
    for column, words in enumerate((1, 255, 257, 65_535)):
        columns[f"word{column}"] = ("LowCardinality(String)", [str(number % words) for number in numbers])
    columns["ids"] = ("Array(FixedString(32))", [ids[: number % 4] for number in numbers])
    columns["pairs"] = (
        "Map(LowCardinality(String), String)",
        [{str(key): str(number) for key in range(number % 3)} for number in numbers],
    )
    assert hashlib.sha256(block(columns)).hexdigest() == (
        "f3d805e9ea330274d2ebd9d6f93f5fa0749fe621785f598e33e4e4ef7e755823"
    )


def test_what_does_not_fit_is_neither_told_nor_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The error of a value that does not fit names the column; the value itself goes nowhere."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(BatchRefused, match="id: a value is no FixedString") as refused:
        block({"id": ("FixedString(4)", [b"abcd", b"secret"])})
    assert "secret" not in str(refused.value)
    assert b"secret".hex(" ") not in str(refused.value)
    assert refused.value.__cause__ is None
    assert not caplog.records


def test_columns_of_different_lengths_are_no_block() -> None:
    """A column with a value less would shift all rows after it."""
    with pytest.raises(ValueError, match="too many values"):
        block({"a": ("UInt64", [1, 2]), "b": ("UInt64", [1])})


@pytest.fixture
def table(client: LogboekClient) -> str:
    """An empty table with a column of each kind."""
    client.command(
        Sql(
            "CREATE TABLE kinds (place UInt64, text String, word LowCardinality(String), ids Array(FixedString(4)), "
            "pairs Map(LowCardinality(String), String)) ENGINE = MergeTree ORDER BY place"
        )
    )
    return "kinds"


def stored(client: LogboekClient, table: str, rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What the engine made of these rows."""
    client.command(Sql.verbatim(f"ALTER TABLE {table} DROP PARTITION ALL"))
    columns = {
        "place": ("UInt64", range(len(rows))),
        "text": ("String", [row["text"] for row in rows]),
        "word": ("LowCardinality(String)", [row["word"] for row in rows]),
        "ids": ("Array(FixedString(4))", [row["ids"] for row in rows]),
        "pairs": ("Map(LowCardinality(String), String)", [row["pairs"] for row in rows]),
    }
    client.insert(table, columns, {})
    return client.rows(Sql.verbatim(f"SELECT text, word, ids, pairs FROM {table} ORDER BY place"))


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


@hypothesis_settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
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
        block(columns_of(number_batch("w", 0, [RECORD, odd, RECORD])))
    with pytest.raises(BatchRefused):
        sink.send(number_batch("w", 0, [RECORD, odd, RECORD]))
    assert read.totals(client).logregels == 0
