"""What `ldv doctor` asks of a Logboek, on a real one."""

from __future__ import annotations

import pytest

from ldv_otel._internal.clickhouse.checks import check_clock, check_tables
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from tests.clickhouse.conftest import empty_store


def test_tables_and_clock(request: pytest.FixtureRequest) -> None:
    """Without tables it says how to make them; with them all is well, and both clocks are the same one."""
    with empty_store("http", request) as settings:
        with LogboekClient(settings, database="default") as client:
            outcome = check_tables(client)
            assert outcome.state == "wrong"
            assert "ldv schema apply" in outcome.advice
        apply_schema(settings)
        with LogboekClient(settings) as client:
            assert check_tables(client).state == "ok"
            assert check_clock(client).state == "ok"
