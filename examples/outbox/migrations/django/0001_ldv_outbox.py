"""Makes the tables of the outbox. Copy it to the `migrations` of an app, and let `dependencies` name its last one.

It is not undone while records wait in them: they would be lost.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations

import ldv_otel as ldv

COUNTED = {
    "ldv_outbox": "SELECT count(*) FROM ldv_outbox",
    "ldv_outbox_batch": "SELECT count(*) FROM ldv_outbox_batch",
    "ldv_outbox_refused": "SELECT count(*) FROM ldv_outbox_refused",
}


def make(apps: Any, schema_editor: Any) -> None:
    """Make what is not there yet."""
    del apps
    for statement in ldv.outbox.statements(schema_editor.connection.vendor):
        schema_editor.execute(statement, params=None)


def remove(apps: Any, schema_editor: Any) -> None:
    """Remove the tables, once they are empty."""
    del apps
    for table, statement in COUNTED.items():
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(statement)
            if cursor.fetchone()[0]:
                raise RuntimeError(
                    f"{table} has records that are in no Logboek yet. Let `ldv outbox drain` send them first."
                )
    for table in (*COUNTED, "ldv_outbox_format"):
        schema_editor.execute(f"DROP TABLE {table}", params=None)


class Migration(migrations.Migration):  # type: ignore[misc]  # Django has no types
    """The first version of the tables."""

    dependencies: ClassVar[list[tuple[str, str]]] = []
    operations: ClassVar[list[Any]] = [migrations.RunPython(make, remove)]
