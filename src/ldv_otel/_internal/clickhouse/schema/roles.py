"""Makes the roles on a server: one to write, one to audit, one to show data subjects their records, one to manage.

An embedded Logboek has no users. There the same statements are only read by ClickHouse's parser, in the tests.
"""

from __future__ import annotations

import re
from typing import Final

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.cluster import Cluster
from ldv_otel._internal.clickhouse.schema.migrations import schema_status, statements_in
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.tables import Table
from ldv_otel.errors import ConfigurationError

ROLES: Final = ("ldv_writer", "ldv_auditor", "ldv_inzage", "ldv_beheer")

_POLICY: Final = re.compile(r"(CREATE ROW POLICY OR REPLACE \w+ .*?ON \w+\.)logregel\b", re.DOTALL)


def role_statements(database: str, cluster: str = "") -> list[str]:
    """Return the statements that make the roles for a database.

    Args:
        database: A plain identifier, as settings let nothing else through.
        cluster: Name of the cluster that the tables are on; empty for a single server.
    """
    on_cluster = f" {Cluster(cluster).everywhere}" if cluster else ""
    statements = []
    for template in statements_in("roles.sql"):
        statement = re.sub(r" ON_CLUSTER\b", on_cluster, template.replace("DATABASE.", f"{database}."))
        if f".{Table.LOGREGEL_LOCAL}" in statement and not cluster:
            continue
        statements.append(statement)
        if cluster and _POLICY.search(statement):
            # A shard reads its own table, which policies on the one in front do not reach.
            statements.append(_POLICY.sub(rf"\1{Table.LOGREGEL_LOCAL}", statement, count=1))
    return statements


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
        client.command(Sql.verbatim(statement))
    return list(ROLES)
