"""Who looked at this person's data, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.columns import StoredLogregel
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.models import PageLimits
from ldv_otel._internal.questions import columns
from ldv_otel._internal.questions.model import (
    MOST_ROWS,
    Answer,
    AnswerColumn,
    AnswerTable,
    Asked,
    Cell,
    CellKind,
    Parameter,
    Question,
    Said,
    counted,
)
from ldv_otel._internal.record.callers import is_unknown_caller, processor_of
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel.attributes import OFFICER, REASON

COLUMNS: Final = (
    AnswerColumn("wanneer", Said("Wanneer", "When"), CellKind.MOMENT),
    AnswerColumn("handeling", Said("Handeling", "Action")),
    columns.ACTIVITY,
    AnswerColumn("doel", Said("Waarom (doel)", "Purpose")),
    AnswerColumn("grondslag", Said("Grondslag", "Legal ground")),
    columns.SERVICE,
    AnswerColumn("gevraagd_aan", Said("Gevraagd aan", "Asked")),
    AnswerColumn("gevraagd_door", Said("Gevraagd door", "Asked by")),
    AnswerColumn("reden", Said("Reden die erbij staat", "Reason on record")),
    AnswerColumn("medewerker", Said("Privacyofficer (pseudoniem)", "Privacy officer (pseudonym)")),
    AnswerColumn("mislukt", Said("Niet gelukt", "Failed"), CellKind.YES_NO),
    columns.CONFIDENTIAL,
    AnswerColumn("kenmerk", Said("Kenmerk (trace)", "Trace")),
)
LIMITS: Final = (
    Said(
        "Het Logboek noemt geen medewerkers. Zoek wie het deed op in de applicatie, met het kenmerk.",
        "The Logboek names no employees. Look in the application who it was, by the trace.",
    ),
    Said(
        "Wat een applicatie niet vastlegt, staat hier niet. Kijk bij 'Is het Logboek compleet?'.",
        "What an application does not log is not here. See whether the Logboek is complete.",
    ),
    columns.WITHIN_TERM_ONLY,
)


def person_records(client: LogboekClient, asked: Asked) -> tuple[list[StoredLogregel], bool]:
    """Return the records about the person, the newest first, and whether these are all."""
    limits = PageLimits(since_ms=asked.since_ms, until_ms=asked.until_ms, limit=MOST_ROWS)
    page = read.latest_by_subject(client, asked.pseudonyms, limits, confidential=asked.confidential)
    return page.records, page.following is None


def row_of(record: Logregel, asked: Asked) -> tuple[Cell, ...]:
    """Return a record in the columns of `COLUMNS`."""
    entry = asked.entry(record.processing_activity_id, record.start_time_ms)
    caller = processor_of(record)
    if caller and is_unknown_caller(caller, asked.settings.unknown_caller_url):
        caller = "?"
    return (
        record.start_time_ms,
        record.name,
        record.processing_activity_id if entry is None else entry.name,
        "" if entry is None else entry.purpose,
        "" if entry is None else entry.legal_ground,
        service_name(record),
        asked.parties.of_read_api(record.external_read_api_id) if record.external_read_api_id else "",
        asked.parties.of_processor(caller) if caller else "",
        record.attributes.get(REASON, ""),
        record.attributes.get(OFFICER, "")[:12],
        record.status is Status.ERROR,
        asked.is_confidential(record.processing_activity_id, record.start_time_ms),
        record.trace_id.hex(),
    )


def service_name(record: Logregel) -> str:
    """Return the `service.name` of a record; empty for none."""
    return str(msgspec.json.decode(record.resource).get("service.name", ""))


def counts(records: Sequence[StoredLogregel]) -> Said:
    """Return how much there is, in words."""
    services = len({service_name(record.logregel) for record in records})
    return Said(
        f"{counted(len(records), 'handeling', 'handelingen')} door {counted(services, 'applicatie', 'applicaties')}.",
        f"{counted(len(records), 'action', 'actions')} by {counted(services, 'application', 'applications')}.",
    )


def _sentences(records: list[StoredLogregel]) -> Iterator[Said]:
    if not records:
        yield Said("Over deze persoon is hier niets te zien.", "There is nothing to see here about this person.")
        return
    yield counts(records)
    looked = sum(OFFICER in record.logregel.attributes for record in records)
    if looked:
        yield Said(
            f"{looked} keer keek een privacyofficer, met een reden.",
            f"A privacy officer looked {looked} times, with a reason.",
        )
    failed = sum(record.logregel.status is Status.ERROR for record in records)
    if failed:
        yield Said(f"{failed} zijn niet gelukt.", f"{failed} failed.")


def answer(client: LogboekClient, asked: Asked) -> Answer:
    """Return each record about the person, with purpose and legal ground."""
    records, complete = person_records(client, asked)
    rows = [row_of(record.logregel, asked) for record in records]
    title = Said("Handelingen", "Actions")
    return Answer(tuple(_sentences(records)), (AnswerTable("handelingen", title, COLUMNS, rows, complete),))


PERSON: Final = Question(
    name="person",
    address="persoon",
    title=Said("Wie gebruikte de gegevens van deze persoon, en waarom?", "Who used this person's data, and why?"),
    explanation=Said(
        "Alle handelingen over één persoon, met doel, grondslag, applicatie en andere partijen.",
        "All actions about a person, with purpose, legal ground, application and other parties.",
    ),
    parameters=(Parameter.PERSON, Parameter.PERIOD),
    days=None,
    limits=LIMITS,
    answer=answer,
)
