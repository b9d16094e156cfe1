"""The Register inside the Logboek: its entries as they came into force, for readers and for retention.

`apply_register` brings them in. Queries then hide what is past its term and, from readers who may not see it, what is
confidential, with no other source than the Logboek itself; see `queries/sql.py` and the view `logregel_shown`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.columns import Column
from ldv_otel._internal.clickhouse.register_versions import VERSION_ROWS
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.tables import Table
from ldv_otel._internal.register.register import Comparison, ProcessingActivity, Register
from ldv_otel._internal.times.durations import Duration
from ldv_otel._internal.times.instants import now_ms, rfc3339_from_ms
from ldv_otel.errors import ConfigurationError

_COLUMNS: Final = (
    "processing_activity_id", "name", "purpose", "legal_ground", "retention", "confidential", "parent", "controller",
    "replaces", "retention_text",
)  # fmt: skip
_SELECTED: Final = Sql("""
processing_activity_id, name, purpose, legal_ground, retention, confidential, parent, controller, replaces,
retention_text, toUnixTimestamp64Milli(valid_from), applied
""")
_IN_FORCE: Final = Sql("SELECT $selected FROM verwerkingsactiviteiten", selected=_SELECTED)
_VERSIONS: Final = Sql(
    """
SELECT toUnixTimestamp64Milli(in_force_from), $selected FROM verwerkingsactiviteit_versies
ORDER BY processing_activity_id, in_force_from
""",
    selected=_SELECTED,
)
#: Each entry as it was applied last, by its URI and `valid_from`.
_ENTRIES: Final = Sql(
    """
SELECT $selected FROM ldv_register
ORDER BY processing_activity_id, valid_from, explains_from DESC, applied DESC
LIMIT 1 BY processing_activity_id, valid_from
""",
    selected=_SELECTED,
)

#: Makes the row of `ldv_term` that readers' queries use from then on. In one statement, so that a reader sees all terms
#: of before or all of now. A term is one number, `months * 100000 + days`; what has none is kept for 1,200 months, and
#: what is confidential counts for others as kept from 3,000 months ahead, which hides it.
_SET_TERMS: Final = Sql(
    """
INSERT INTO ldv_term (activities, months, days, confidential, terms, public_terms, in_words, versions, version_from)
WITH
    of_version AS ($versions),
    (SELECT (groupArray(activity), groupArray(from_ms)) FROM of_version WHERE number > 1) AS versions
SELECT groupArray(activity), groupArray(months), groupArray(days), groupArray(hidden), groupArray(term),
       groupArray(if(hidden, -300000000, term)), groupArray(words), versions.1, versions.2
FROM
(
    SELECT activity, months, days, hidden, words,
           toInt32(if(months + days = 0, 120000000, months * 100000 + days)) AS term
    FROM
    (
        SELECT processing_activity_id AS activity, retention_months AS months, retention_days AS days,
               confidential AS hidden, retention_text != '' AS words
        FROM verwerkingsactiviteiten
        WHERE confidential OR retention_months + retention_days > 0 OR retention_text != ''
        UNION ALL
        SELECT concat(activity, '\n', toString(from_ms)), retention_months, retention_days, confidential,
               retention_text != ''
        FROM of_version WHERE number > 1
        UNION ALL
        SELECT '', toUInt32(0), toUInt32(0), false, false
    )
)
""",
    versions=VERSION_ROWS,
)

#: Also those of which only one of several versions is: what is asked with these asks for an activity as a whole.
_CONFIDENTIAL: Final = Sql("""
SELECT arrayDistinct(arrayMap(
    activity -> splitByChar('\n', activity)[1], arrayFilter((activity, hidden) -> hidden, activities, confidential)))
FROM ldv_term ORDER BY applied DESC LIMIT 1
""")

_USED: Final = Sql("SELECT processing_activity_id, count() FROM logregels GROUP BY processing_activity_id")

_MOMENT: Final = "DateTime64(3, 'UTC')"
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
    """An entry in force, when it was applied, and from when on it explains records (ms since 1970-01-01 UTC)."""

    activity: ProcessingActivity
    applied: datetime
    explains_from_ms: int = 0


#: All versions of each activity, by its URI, the oldest first.
StoredVersions = Mapping[str, Sequence[StoredActivity]]


def stored_activities(client: LogboekClient) -> dict[str, StoredActivity]:
    """Return the entries in force in the Logboek, by their URI, those that have left the Register included."""
    entries = (StoredActivity(*_entry(row)) for row in client.rows(_IN_FORCE))
    return {entry.activity.id: entry for entry in entries}


def stored_versions(client: LogboekClient) -> StoredVersions:
    """Return every version in the Logboek as it explains records (LDV-N12)."""
    versions: dict[str, list[StoredActivity]] = {}
    for from_ms, *row in client.rows(_VERSIONS):
        entry = StoredActivity(*_entry(row), int(from_ms))
        versions.setdefault(entry.activity.id, []).append(entry)
    return versions


def version_at(versions: Sequence[StoredActivity], time_ms: int) -> StoredActivity | None:
    """Return the version that explains what began at a time; the first one before all, and None without any."""
    in_force = [version for version in versions if version.explains_from_ms <= time_ms] or versions[:1]
    return in_force[-1] if in_force else None


def _entry(row: Sequence[Any]) -> tuple[ProcessingActivity, datetime]:
    *values, valid_from_ms, applied = row
    fields = dict(zip(("id", *_COLUMNS[1:]), values, strict=True))
    valid_from = rfc3339_from_ms(valid_from_ms) if valid_from_ms else ""
    return ProcessingActivity(**fields, valid_from=valid_from), applied


def confidential_activities(client: LogboekClient) -> frozenset[str]:
    """Return the activities that the Register calls confidential (LDV-L4)."""
    rows = client.rows(_CONFIDENTIAL)
    return frozenset(rows[0][0]) if rows else frozenset()


def register_changes(client: LogboekClient, register: Register) -> list[RegisterChange]:
    """Return what `apply_register` would bring in."""
    entries = (_entry(row)[0] for row in client.rows(_ENTRIES))
    stored = {(entry.id, entry.valid_from_ms): entry for entry in entries}
    changes = []
    for activity in register:
        entry = stored.get((activity.id, activity.valid_from_ms))
        if entry is None:
            changes.append(RegisterChange(activity))
            continue
        fields = [name for name in ProcessingActivity.__struct_fields__ if name != "valid_from"]
        differing = tuple(name for name in fields if getattr(activity, name) != getattr(entry, name))
        if differing:
            changes.append(RegisterChange(activity, differing))
    return changes


def apply_register(client: LogboekClient, register: Register, *, amend: bool = False) -> list[RegisterChange]:
    """Bring the Register's entries into force in the Logboek; return what is new or differs.

    Args:
        amend: Take entries that differ under the same URI too, to correct a slip. Their texts explain records from now
            on, and how older ones are explained stays as it was (LDV-N12); a term and confidentiality hold for all. A
            changed activity is a new version, with a `valid_from` or a URI of its own.

    Raises:
        ConfigurationError: An entry differs and `amend` is not set; nothing was applied.
    """
    changes = register_changes(client, register)
    amended = [change for change in changes if change.differs]
    if amended and not amend:
        raise ConfigurationError(
            f"{register.source}: {_described(amended)}. A changed activity is a new version: add an entry with a "
            "`valid_from`, or with an id of its own that `replaces` the old one, and keep the old entry, to which "
            "Logregels refer. If it only corrects a slip, use --amend: its texts hold from now on. Nothing was applied."
        )
    if changes:
        # Waited for, because the terms that follow are made of these rows: `async_insert` is on by default since 26.2.
        client.insert(Table.LDV_REGISTER, _columns(changes, register.source, now_ms()), {"async_insert": 0})
        client.command(_SET_TERMS)
    return changes


def compare(client: LogboekClient, register: Register) -> Comparison:
    """Return what the Logboek uses and the Register lacks, and the reverse; reads one column of the whole table."""
    return register.compare(dict(client.rows(_USED)))


def _described(amended: Sequence[RegisterChange]) -> str:
    shown = "; ".join(f"{change.activity.id} has another {', '.join(change.differs)}" for change in amended[:_NAMED])
    return shown + (f"; and {len(amended) - _NAMED} more" if len(amended) > _NAMED else "")


def _columns(changes: Sequence[RegisterChange], source: str, moment_ms: int) -> dict[str, Column]:
    activities = [change.activity for change in changes]
    columns: dict[str, Column] = {}
    for name, field in zip(_COLUMNS, ("id", *_COLUMNS[1:]), strict=True):
        values = [getattr(activity, field) for activity in activities]
        columns[name] = ("Bool", values) if field == "confidential" else ("String", list(map(_utf8, values)))
    terms = [activity.term or Duration() for activity in activities]
    columns["retention_months"] = ("UInt32", [term.months for term in terms])
    columns["retention_days"] = ("UInt32", [term.days for term in terms])
    columns["valid_from"] = (_MOMENT, [activity.valid_from_ms for activity in activities])
    # What is new explains the records since its own moment; what was amended those that begin from now on.
    explains_from = [
        max(change.activity.valid_from_ms, moment_ms) if change.differs else change.activity.valid_from_ms
        for change in changes
    ]
    columns["explains_from"] = (_MOMENT, explains_from)
    columns["source"] = ("String", [_utf8(source)] * len(activities))
    return columns


def _utf8(text: str) -> bytes:
    """Return a text as the Logboek holds it; what is no Unicode, as in the name of a file, becomes `?`."""
    return text.encode("utf-8", "replace")
