"""SQLAlchemy with both dialects for ClickHouse over HTTP, as Superset and pandas use it.

A program of its own, because importing both dialects warns that each has a claim on one scheme.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Any

VIEWS = ("logregels", "schrijvers", "verwerkingsactiviteiten", "verwerkingsactiviteit_versies", "verwijderingen")


def result(url: str, table: str) -> dict[str, Any]:
    """Return what came of everything."""
    # By name: not everybody who checks the types of this tree has it installed.
    sqlalchemy: Any = import_module("sqlalchemy")
    engine = sqlalchemy.create_engine(url)
    inspector = sqlalchemy.inspect(engine)
    text = sqlalchemy.text
    # One of the dialects has errors of its own.
    own: Any = import_module("clickhouse_sqlalchemy.exceptions")
    failures: tuple[type[Exception], ...] = (sqlalchemy.exc.SQLAlchemyError, own.DatabaseException)
    with engine.connect() as connection:

        def rows(sql: str) -> int:
            return len(connection.execute(text(sql)).fetchall())

        def error(sql: str) -> str:
            try:
                return f"no error after {rows(sql)} rows"
            except failures as caught:
                return str(caught)

        found = {
            "version": connection.execute(text("SELECT version()")).scalar(),
            "tables": [*inspector.get_view_names(schema="ldv"), *inspector.get_table_names(schema="ldv")],
            "columns": [column["name"] for column in inspector.get_columns("logregels", schema="ldv")],
            "rows": {view: rows(f"SELECT * FROM {view}") for view in (*VIEWS, "koppelingen")},
            "large": rows("SELECT number FROM numbers(300000)"),
            "unknown": error("SELECT * FROM nothing"),
            "midway": error("SELECT throwIf(number = 900000) FROM numbers(1000000)"),
            "temporary": error("CREATE TEMPORARY TABLE x (a UInt8)"),
        }
        connection.execute(text(f"CREATE TABLE {table} (a UInt64, b String) ENGINE = MergeTree ORDER BY a"))
        insert = text(f"INSERT INTO {table} (a, b) VALUES (:a, :b)")
        connection.execute(insert, [{"a": 1, "b": "x'"}, {"a": 2, "b": "\n\n"}])
        counted = connection.execute(text(f"SELECT count() FROM {table} WHERE a >= :least"), {"least": 2})
        return {**found, "inserted": counted.scalar()}


if __name__ == "__main__":
    port, secret = sys.argv[1:]
    place = f"default:{secret}@127.0.0.1:{port}/ldv"
    results = {
        scheme: result(f"{scheme}://{place}", f"of_{scheme.partition('+')[2]}")
        for scheme in ("clickhousedb+connect", "clickhouse+http")
    }
    print(json.dumps(results))
