from __future__ import annotations

import pytest

from ldv_otel._internal.clickhouse.embedded.errors import EngineError
from ldv_otel._internal.clickhouse.embedded.statement import (
    StatementKind,
    find_insert,
    find_values,
    parse_statement,
)


@pytest.mark.parametrize(
    ("sql", "target", "settings", "name", "data"),
    [
        (b"INSERT INTO t FORMAT CSV\n1,2\n", b"INSERT INTO t ", b"", "CSV", b"1,2\n"),
        (b"INSERT INTO t FORMAT Native\n\n \x00", b"INSERT INTO t ", b"", "Native", b"\n \x00"),
        (b"insert into d.t(a, `FORMAT x`) format RowBinary \t\r\n;", b"", b"", "RowBinary", b";"),
        (b'INSERT INTO t FORMAT JSONEachRow {"a":1}', b"", b"", "JSONEachRow", b'{"a":1}'),
        (b"INSERT INTO t SETTINGS x='FORMAT y', z=1 FORMAT CSV\n", b"INSERT INTO t ", b"SETTINGS x", "CSV", b""),
        (b"/* VALUES */ INSERT INTO -- SELECT\n t (values, format) FORMAT CSV\n", b"", b"", "CSV", b""),
        (b"INSERT INTO FUNCTION null('a UInt8') FORMAT CSV\n1", b"", b"", "CSV", b"1"),
        (b"INSERT INTO format FORMAT CSV\n1", b"", b"", "CSV", b"1"),
        (b"INSERT INTO values . select FORMAT CSV\n1", b"", b"", "CSV", b"1"),
        (b"INSERT INTO {t:Identifier} FORMAT Values (1)", b"", b"", "Values", b"(1)"),
    ],
)
def test_an_insert_is_split_where_its_data_begins(
    sql: bytes, target: bytes, settings: bytes, name: str, data: bytes
) -> None:
    """Not a byte of the data is taken for the statement, nor of the statement for data."""
    found = find_insert(sql)
    assert found is not None
    assert found.kind is StatementKind.DATA
    assert found.format == name
    assert sql[found.data_at :] == data
    assert sql.startswith(found.target + found.settings)
    assert found.target.startswith(target)
    assert found.settings.startswith(settings)


@pytest.mark.parametrize(
    "sql",
    [
        b"INSERT INTO t VALUES (1, 'FORMAT CSV\n')",
        b"INSERT INTO t SELECT 1 FORMAT CSV",
        b"INSERT INTO t (SELECT 1) FORMAT CSV",
        b"INSERT INTO t WITH 1 AS x SELECT x",
        b"SELECT 'INSERT INTO t FORMAT CSV'",
        b"CREATE TABLE insert (a String) -- INSERT INTO t FORMAT CSV\n",
        b"",
    ],
)
def test_other_statements_are_not_taken_for_inserts_with_data(sql: bytes) -> None:
    """What has no data behind a FORMAT clause is given to the engine as it is."""
    assert find_insert(sql) is None


def test_a_clause_is_found_wherever_the_first_bytes_end() -> None:
    """A long column list, or a clause that is cut in two, changes nothing but how much has to be read."""
    columns = b", ".join(b"column_%d" % number for number in range(1000))
    sql = b"INSERT INTO t (" + columns + b") FORMAT RowBinary\n"
    data = b"'--/*" * 100
    for head in (sql + data, sql + b"\n"):
        found = find_insert(head)
        assert found is not None
        assert head[found.data_at :] == head[len(sql) :]
    for cut in (sql[:-1], sql[:-4], sql[:-12], sql):
        assert find_insert(cut, complete=False) is None


@pytest.mark.parametrize(
    ("sql", "shape", "name"),
    [
        (b"SELECT 1", StatementKind.STREAM, ""),
        (b"select 1 format JSONEachRow", StatementKind.STREAM, "JSONEachRow"),
        (b"SELECT 1\n FORMAT Native", StatementKind.STREAM, "Native"),
        (b"SELECT 1 FORMAT CSV SETTINGS max_threads = 1 ;\n", StatementKind.STREAM, "CSV"),
        (b"SELECT 1 FORMAT CSV -- done", StatementKind.STREAM, "CSV"),
        (b"SELECT 1 AS format, format", StatementKind.STREAM, ""),
        (b"SELECT 'x FORMAT CSV'", StatementKind.STREAM, ""),
        (b"WITH 1 AS x SELECT x", StatementKind.STREAM, ""),
        (b"SELECT k, count() FROM t GROUP BY k WITH TOTALS", StatementKind.ROWS, ""),
        (b"SELECT 1 SETTINGS extremes = 1", StatementKind.ROWS, ""),
        (b"SELECT 1 SETTINGS output_format='JSON'", StatementKind.ROWS, ""),
        (b"(SELECT 1) UNION ALL (SELECT 2)", StatementKind.STREAM, ""),
        (b"SHOW TABLES FORMAT JSON", StatementKind.ROWS, "JSON"),
        (b"EXPLAIN SELECT 1", StatementKind.ROWS, ""),
        (b"create table x (a String) ENGINE = Memory", StatementKind.SILENT, ""),
    ],
)
def test_kind_and_format_are_recognised(sql: bytes, shape: StatementKind, name: str) -> None:
    """The server knows which statements answer with rows, in which format, and which of them may be streamed."""
    found = parse_statement(sql)
    assert (found.kind, found.format) == (shape, name)


@pytest.mark.parametrize(
    ("sql", "data"),
    [
        (b"INSERT INTO t VALUES (1, 'FORMAT CSV\n')", b" (1, 'FORMAT CSV\n')"),
        (b"INSERT INTO t (a) VALUES (1, ';'), (2, '\n\n');", b" (1, ';'), (2, '\n\n');"),
        (b"INSERT INTO t VALUES (\xe2\x80\x98;x\xe2\x80\x99) // ; x\n", b" (\xe2\x80\x98;x\xe2\x80\x99) // ; x\n"),
    ],
)
def test_values_are_data(sql: bytes, data: bytes) -> None:
    """Values are handed over as data, which no line in them can end."""
    found = find_values(sql)
    assert found is not None
    assert (found.kind, found.format, sql[found.data_at :]) == (StatementKind.DATA, "Values", data)


def test_a_statement_behind_values_is_refused() -> None:
    """The engine would pass over it without a word."""
    with pytest.raises(EngineError) as refused:
        find_values(b"INSERT INTO t VALUES (1); DROP TABLE t")
    assert refused.value.code == 62


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        (b"INSERT INTO t FROM INFILE '/etc/passwd' FORMAT LineAsString", 78),
        (b"INSERT INTO t FROM/**/INFILE '/etc/passwd' FORMAT LineAsString", 78),
        (b"INSERT INTO t FORMAT CSV;\n1,2\n\n3,4", 62),
    ],
)
def test_an_insert_names_no_file_and_has_its_data_right_behind_the_clause(sql: bytes, code: int) -> None:
    """The server's own files are no source of data, and data that chDB would cut short is not given to it."""
    with pytest.raises(EngineError) as refused:
        find_insert(sql)
    assert refused.value.code == code


def test_an_error_of_the_engine_is_read_down_to_its_own_words() -> None:
    """Neither the wrapping of errors in themselves nor the name of the body's copy reaches the client."""
    text = (
        "Streaming query failed: Code: 27. DB::Exception: Code: 27. DB::Exception: Cannot parse input: (at row 2)\n"
        ": (in file/uri /proc/self/fd/27): While executing ValuesBlockInputFormat: While executing File: data for "
        "INSERT was parsed from file. (CANNOT_PARSE_INPUT_ASSERTION_FAILED) (version 26.9.2.1). (CANNOT_PARSE)"
    )
    error = EngineError.parse(text)
    assert (error.code, error.status) == (27, 400)
    assert error.text.startswith("Code: 27. DB::Exception: Cannot parse input: (at row 2)")
    assert error.text.endswith(": While executing ValuesBlockInputFormat. (CANNOT_PARSE_INPUT_ASSERTION_FAILED)")
    assert EngineError.parse("something else").code == 1002
