"""Programs that use `ldv logboek` through ClickHouse's drivers of several languages, as a report or a BI tool would.

Each gets the port and the secret, and prints what came of it as one object of JSON; `tests/clickhouse/test_drivers.py`.
"""
