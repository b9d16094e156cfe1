"""The Register inside the Logboek: its entries as they came into force, for readers and for retention.

`apply_register` brings them in. Queries then hide what is past its term and, from readers who may not see it, what is
confidential, with no other source than the Logboek itself; see `queries/sql.py` and the view `logregel_shown`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.columns import Column
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.tables import Table
from ldv_otel._internal.register.register import Comparison, ProcessingActivity, Register
from ldv_otel._internal.times.durations import Duration
from ldv_otel.errors import ConfigurationError

_IN_FORCE: Final = Sql("""
SELECT processing_activity_id, name, purpose, legal_ground, retention, confidential, parent, controller, replaces,
       retention_months, retention_days, applied
FROM verwerkingsactiviteiten
""")

_COLUMNS: Final = (
    "processing_activity_id", "name", "purpose", "legal_ground", "retention", "confidential", "parent", "controller",
    "replaces",
)  # fmt: skip

#: Makes the row of `ldv_term` that readers' queries use from then on. In one statement, so that a reader sees all terms
#: of before or all of now. A term is one number, `months * 100000 + days`; what has none is kept for 1,200 months, and
#: what is confidential counts for others as kept from 3,000 months ahead, which hides it.
_SET_TERMS: Final = Sql("""
INSERT INTO ldv_term (activities, months, days, confidential, terms, public_terms)
SELECT groupArray(activity), groupArray(months), groupArray(days), groupArray(hidden), groupArray(term),
       groupArray(if(hidden, -300000000, term))
FROM
(
    SELECT processing_activity_id AS activity, retention_months AS months, retention_days AS days,
           confidential AS hidden, toInt32(if(months + days = 0, 120000000, months * 100000 + days)) AS term
    FROM verwerkingsactiviteiten WHERE confidential OR retention_months + retention_days > 0
    UNION ALL
    SELECT '', toUInt32(0), toUInt32(0), false, toInt32(120000000)
)
""")

_CONFIDENTIAL: Final = Sql("""
SELECT arrayFilter((activity, hidden) -> hidden, activities, confidential) FROM ldv_term ORDER BY applied DESC LIMIT 1
""")

_USED: Final = Sql("SELECT processing_activity_id, count() FROM logregels GROUP BY processing_activity_id")

#: How many entries a message names.
_NAMED: Final = 3


class RegisterChange(msgspec.Struct, frozen=True):
    """An entry that is new in the Logboek, or differs from the one in force there.

    Attributes:
        differs: Fields that differ; empty for a new entry.
    """

    activity: ProcessingActivity
    differs: tuple[str, ...] = ()


class StoredActivity(msgspec.Struct, frozen=True):
    """An entry in force, and when it was applied."""

    activity: ProcessingActivity
    applied: datetime


def stored_activities(client: LogboekClient) -> dict[str, StoredActivity]:
    """Return the entries in force in the Logboek, by their URI, those that have left the Register included."""
    activities = {}
    for *values, _, _, applied in client.rows(_IN_FORCE):
        fields = dict(zip(("id", *_COLUMNS[1:]), values, strict=True))
        activities[fields["id"]] = StoredActivity(ProcessingActivity(**fields), applied)
    return activities


def confidential_activities(client: LogboekClient) -> frozenset[str]:
    """Return the activities that the Register calls confidential (LDV-L4)."""
    rows = client.rows(_CONFIDENTIAL)
    return frozenset(rows[0][0]) if rows else frozenset()


def register_changes(client: LogboekClient, register: Register) -> list[RegisterChange]:
    """Return what `apply_register` would bring in."""
    stored = stored_activities(client)
    changes = []
    for activity in register:
        entry = stored.get(activity.id)
        if entry is None:
            changes.append(RegisterChange(activity))
        elif entry.activity != activity:
            fields = ProcessingActivity.__struct_fields__
            differing = tuple(name for name in fields if getattr(activity, name) != getattr(entry.activity, name))
            changes.append(RegisterChange(activity, differing))
    return changes


def apply_register(client: LogboekClient, register: Register, *, amend: bool = False) -> list[RegisterChange]:
    """Bring the Register's entries into force in the Logboek; return what is new or differs.

    Args:
        amend: Take entries that differ under the same URI too, to correct a slip. A changed activity is a new version
            with a URI of its own.

    Raises:
        ConfigurationError: An entry differs and `amend` is not set; nothing was applied.
    """
    changes = register_changes(client, register)
    amended = [change for change in changes if change.differs]
    if amended and not amend:
        raise ConfigurationError(
            f"{register.source}: {_described(amended)}. A changed activity is a new version: give it an id of its own "
            "that `replaces` the old one, and keep the old entry, to which Logregels refer. If it only corrects a "
            "slip, use --amend. Nothing was applied."
        )
    if changes:
        activities = [change.activity for change in changes]
        # Waited for, because the terms that follow are made of these rows: `async_insert` is on by default since 26.2.
        client.insert(Table.LDV_REGISTER, _columns(activities, register.source), {"async_insert": 0})
        client.command(_SET_TERMS)
    return changes


def compare(client: LogboekClient, register: Register) -> Comparison:
    """Return what the Logboek uses and the Register lacks, and the reverse; reads one column of the whole table."""
    return register.compare(dict(client.rows(_USED)))


def _described(amended: Sequence[RegisterChange]) -> str:
    shown = "; ".join(f"{change.activity.id} has another {', '.join(change.differs)}" for change in amended[:_NAMED])
    return shown + (f"; and {len(amended) - _NAMED} more" if len(amended) > _NAMED else "")


def _columns(activities: Sequence[ProcessingActivity], source: str) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    for name, field in zip(_COLUMNS, ("id", *_COLUMNS[1:]), strict=True):
        values = [getattr(activity, field) for activity in activities]
        columns[name] = ("Bool", values) if field == "confidential" else ("String", list(map(_utf8, values)))
    terms = [activity.term or Duration() for activity in activities]
    columns["retention_months"] = ("UInt32", [term.months for term in terms])
    columns["retention_days"] = ("UInt32", [term.days for term in terms])
    columns["source"] = ("String", [_utf8(source)] * len(activities))
    return columns


def _utf8(text: str) -> bytes:
    """Return a text as the Logboek holds it; what is no Unicode, as in the name of a file, becomes `?`."""
    return text.encode("utf-8", "replace")
