"""Content types of `ldv logboek`'s answers, by format."""

from __future__ import annotations

import pytest

from ldv_otel._internal.clickhouse.embedded.content_types import content_type_of
from tests.support.logboek import LogboekProcess, ask

TYPES = {
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TabSeparatedWithNamesAndTypes": "text/tab-separated-values; charset=UTF-8",
    "TSVRaw": "text/tab-separated-values; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "CSVWithNamesAndTypes": "text/csv; charset=UTF-8; header=present",
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONColumnsWithMetadata": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "JSONCompactEachRowWithNamesAndTypes": "application/x-ndjson; charset=UTF-8",
    "XML": "application/xml; charset=UTF-8",
    "Native": "application/octet-stream",
    "RowBinaryWithNamesAndTypes": "application/octet-stream",
    "Parquet": "application/octet-stream",
    "ArrowStream": "application/octet-stream",
    "PrettyCompact": "text/plain; charset=UTF-8",
    "Vertical": "text/plain; charset=UTF-8",
    "Markdown": "text/plain; charset=UTF-8",
}


@pytest.mark.parametrize("format_", TYPES)
def test_each_format_has_its_content_type(logboek_process: LogboekProcess, format_: str) -> None:
    """Whether the format stands in the statement or beside it; a tool opens what it got by that."""
    for got in (
        ask(logboek_process, f"SELECT 1 AS a FORMAT {format_}".encode()),
        ask(logboek_process, b"SELECT 1 AS a", default_format=format_),
        ask(logboek_process, method="GET", query="SELECT 1 AS a", default_format=format_),
    ):
        assert (got.status, got.headers["content-type"]) == (200, TYPES[format_])


def test_every_output_format_of_this_engine_has_one(logboek_process: LogboekProcess) -> None:
    """Nothing that is binary is called text."""
    names = (
        ask(logboek_process, b"SELECT name FROM system.formats WHERE is_output ORDER BY name").content.decode().split()
    )
    text = {name for name in names if content_type_of(name).startswith("text/plain")}
    pretty = {name for name in names if name.startswith("Pretty")}
    assert text - pretty <= TEXTS


#: What is made for people, or is text of another kind.
TEXTS = {"CustomSeparated", "CustomSeparatedIgnoreSpaces", "CustomSeparatedIgnoreSpacesWithNames", "Markdown", "Null"}
TEXTS |= {
    "CustomSeparatedIgnoreSpacesWithNamesAndTypes",
    "CustomSeparatedWithNames",
    "CustomSeparatedWithNamesAndTypes",
}
TEXTS |= {"ODBCDriver2", "SQLInsert", "Template", "Values", "Vertical", "LineAsString", "RawBLOB", "MySQLWire", "Hash"}
TEXTS |= {
    "PostgreSQLWire",
    "MD",
    "HiveText",
    "One",
    "Prometheus",
    "LineAsStringWithNames",
    "LineAsStringWithNamesAndTypes",
    "TSKV",
}


def test_head_is_get_without_a_body(logboek_process: LogboekProcess) -> None:
    """The same head; and like GET it changes nothing."""
    whole, head = (ask(logboek_process, method=method, query="SELECT 1") for method in ("GET", "HEAD"))
    assert (head.status, head.content) == (200, b"")
    assert head.headers["content-length"] == whole.headers["content-length"] == "2"
    assert head.headers["content-type"] == whole.headers["content-type"]
    assert ask(logboek_process, method="HEAD", query="CREATE DATABASE e").status >= 400
