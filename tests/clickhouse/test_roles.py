"""Roles: every statement is one the engine reads, and the policy's condition shows what it should."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.register_table import apply_register
from ldv_otel._internal.clickhouse.schema.roles import ROLES, apply_roles, role_statements
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.delivery.batch import number_batch
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.register.register import ProcessingActivity, Register
from ldv_otel.errors import ConfigurationError


@pytest.mark.parametrize("cluster", ["", "prod"])
def test_the_engine_reads_every_statement(client: LogboekClient, cluster: str) -> None:
    """An embedded engine has no users to try them on; its parser is that of a server."""
    statements = role_statements("ldv", cluster)
    for statement in statements:
        assert client.rows(Sql("SELECT formatQuery({text:String})"), {"text": statement})
        assert "DATABASE" not in statement.replace("CREATE DATABASE", "")
        assert ("ON CLUSTER 'prod'" in statement) == bool(cluster)
        assert ("logregel_local" in statement) <= bool(cluster)
    made = [found for statement in statements for found in re.findall(r"CREATE ROLE IF NOT EXISTS (\w+)", statement)]
    assert tuple(made) == ROLES


def test_nobody_may_change_and_one_may_remove() -> None:
    """LDV-L3."""
    grants = [text for text in role_statements("ldv") if "\nGRANT" in f"\n{text}"]
    assert not [text for text in grants if re.search(r"UPDATE|TRUNCATE|DROP TABLE|\bALL\b|ALTER ON", text)]
    assert {text.rsplit(" ", 1)[1] for text in grants if "ALTER DELETE" in text} == {"ldv_beheer"}
    writing = [text for text in grants if "INSERT" in text and "ldv_verification" not in text]
    assert {text.rsplit(" ", 1)[1] for text in writing} == {"ldv_writer", "ldv_beheer"}


def test_the_policy_shows_nothing_confidential_and_nothing_past_its_term(
    sink: ClickHouseSink, client: LogboekClient
) -> None:
    """Its condition, as a condition of a query, with and without a Register in force."""
    policy = next(
        text for text in role_statements(client.address.database) if "ROW POLICY OR REPLACE ldv_inzage" in text
    )
    condition = re.search(r"USING (.*)\nTO ldv_inzage", policy, re.DOTALL)
    assert condition
    sql = f"SELECT seq FROM logregel WHERE {condition[1]} ORDER BY seq"
    now = datetime.now(UTC)
    records = [
        Logregel(
            trace_id=b"t" * 16,
            span_id=b"s" * 8,
            name="x",
            start_time_ms=int((now - timedelta(days=days)).timestamp() * 1_000),
            end_time_ms=int((now - timedelta(days=days)).timestamp() * 1_000) + 1,
            processing_activity_id=activity,
        )
        for activity, days in (("urn:a", 1), ("urn:a", 500), ("urn:b", 1), ("urn:c", 500), ("", 500))
    ]
    sink.send(number_batch("w", 0, records))
    assert client.rows(Sql.verbatim(sql)) == [(0,), (1,), (2,), (3,), (4,)]
    register = Register(
        [
            ProcessingActivity(id="urn:a", name="a", retention="P1Y"),
            ProcessingActivity(id="urn:b", name="b", confidential=True),
        ]
    )
    apply_register(client, register)
    assert client.rows(Sql.verbatim(sql)) == [(0,), (3,), (4,)]


def test_an_embedded_logboek_has_no_roles(client: LogboekClient) -> None:
    """It says so; `ldv logboek` knows no users either, and its engine says that."""
    with pytest.raises(
        Exception, match=r"knows no users|CREATE ROLE|ACCESS|refus|not (allowed|possible|supported)"
    ) as caught:
        apply_roles(client)
    if client.address.embedded:
        assert isinstance(caught.value, ConfigurationError)
