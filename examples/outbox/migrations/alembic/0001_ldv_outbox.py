"""Makes the tables of the outbox. Copy it to `versions`, and let `down_revision` name your last migration.

It is not undone while records wait in them: they would be lost.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import func, select, table

import ldv_otel as ldv

revision = "ldv_outbox_1"
down_revision = None

TABLES = ("ldv_outbox", "ldv_outbox_batch", "ldv_outbox_refused", "ldv_outbox_format")


def upgrade() -> None:
    """Make what is not there yet."""
    connection = op.get_bind()
    for statement in ldv.outbox.statements(connection.dialect.name):
        connection.exec_driver_sql(statement)


def downgrade() -> None:
    """Remove the tables, once they are empty."""
    connection = op.get_bind()
    for name in TABLES[:-1]:
        if connection.execute(select(func.count()).select_from(table(name))).scalar():
            raise RuntimeError(
                f"{name} has records that are in no Logboek yet. Let `ldv outbox drain` send them first."
            )
    for name in TABLES:
        op.drop_table(name)
