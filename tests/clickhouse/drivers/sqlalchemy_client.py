"""SQLAlchemy with both dialects for ClickHouse over HTTP, as Superset and pandas use it.

A program of its own, because importing both dialects warns that each has a claim on one scheme.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Any

VIEWS = ("logregels", "schrijvers", "verwerkingsactiviteiten", "verwerkingsactiviteit_versies", "verwijderingen")


def charts(sqlalchemy: Any, engine: Any, columns: list[Any]) -> dict[str, int]:
    """Return how many rows the statements have that Superset makes: a preview, a chart by day, a data set of SQL.

    As Superset does, each is compiled to text with its values in it, and run over a cursor of the driver itself.
    """
    sql, function = sqlalchemy.sql, sqlalchemy.func
    fields = [sqlalchemy.column(column["name"], column["type"]) for column in columns]
    table = sqlalchemy.table("logregels", *fields, schema="ldv")
    day = function.toStartOfDay(table.c.start_time).label("__timestamp")
    own = sqlalchemy.text("(SELECT name, count() AS n FROM logregels GROUP BY name) AS virtual_table")
    statements = {
        "preview": sqlalchemy.select(*fields).select_from(table).limit(101),
        "chart": sqlalchemy.select(day, function.count().label("count"))
        .where(table.c.start_time >= sql.literal_column("toDateTime('2020-01-01 00:00:00')"))
        .group_by(day)
        .order_by(sqlalchemy.desc("count"))
        .limit(10_000),
        "choices": sqlalchemy.select(table.c.name).distinct().limit(1_000),
        "data set": sqlalchemy.select(sqlalchemy.column("n")).select_from(own).limit(1_001),
    }
    counts = {}
    connection = engine.raw_connection()
    try:
        for name, statement in statements.items():
            cursor = connection.cursor()
            cursor.execute(str(statement.compile(engine, compile_kwargs={"literal_binds": True})))
            assert len(cursor.description) == len(statement.selected_columns), name
            counts[name] = len(cursor.fetchall())
            cursor.close()
    finally:
        connection.close()
    return counts


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
        columns = inspector.get_columns("logregels", schema="ldv")
        return {
            **found,
            "inserted": counted.scalar(),
            "schemas": inspector.get_schema_names(),
            "there": inspector.has_table("logregels", schema="ldv"),
            "charts": charts(sqlalchemy, engine, columns),
        }


if __name__ == "__main__":
    port, secret = sys.argv[1:]
    place = f"default:{secret}@127.0.0.1:{port}/ldv"
    results = {
        scheme: result(f"{scheme}://{place}", f"of_{scheme.partition('+')[2]}")
        for scheme in ("clickhousedb+connect", "clickhouse+http")
    }
    print(json.dumps(results))
