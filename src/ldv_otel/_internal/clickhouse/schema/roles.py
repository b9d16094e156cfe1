"""Roles on a server, as SQL: who writes, who audits, who shows data subjects their records, who manages.

An embedded Logboek knows no users. There the same statements are only read by the engine's parser, in the tests.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Final

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.cluster import LOCAL_TABLE, Cluster
from ldv_otel._internal.clickhouse.schema.migrations import schema_status, statements_of
from ldv_otel.errors import ConfigurationError

ROLES: Final = ("ldv_writer", "ldv_auditor", "ldv_inzage", "ldv_beheer")

_POLICY: Final = re.compile(r"(CREATE ROW POLICY OR REPLACE \w+ .*?ON \w+\.)logregel\b", re.DOTALL)


def role_statements(database: str, cluster: str = "") -> list[str]:
    """Return the statements that make the roles for a database.

    Args:
        database: A plain identifier, as settings let nothing else through.
        cluster: Name of the cluster that the tables are on; empty for a single server.
    """
    text = files("ldv_otel._internal.clickhouse").joinpath("schema", "roles.sql").read_text(encoding="utf-8")
    found = []
    for written in statements_of(text):
        statement = written.replace("DATABASE.", f"{database}.")
        everywhere = Cluster(cluster).everywhere if cluster else ""
        statement = re.sub(r" ON_CLUSTER\b", f" {everywhere}" if cluster else "", statement)
        if f".{LOCAL_TABLE}" in statement and not cluster:
            continue
        found.append(statement)
        if cluster and _POLICY.search(statement):
            # A shard reads its own table, which policies on the one in front do not reach.
            found.append(_POLICY.sub(rf"\1{LOCAL_TABLE}", statement, count=1))
    return found


def apply_roles(client: LogboekClient) -> list[str]:
    """Make the roles; return their names. Running it again brings them up to date.

    Raises:
        ConfigurationError: The Logboek is embedded, and has no users, or this account may not make roles.
    """
    if client.address.embedded:
        raise ConfigurationError(
            f"The Logboek {client.address} is embedded and knows no users, so it has no roles; who may read its "
            "directory reads everything. Nothing was changed."
        )
    for statement in role_statements(client.address.database, schema_status(client).cluster):
        client.command(statement)
    return list(ROLES)
