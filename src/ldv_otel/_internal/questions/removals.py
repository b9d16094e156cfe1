"""What will be removed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.retention.plan import plan_retention
from ldv_otel._internal.questions import columns
from ldv_otel._internal.questions.model import (
    Answer,
    AnswerColumn,
    AnswerTable,
    Asked,
    Parameter,
    Question,
    Said,
    counted,
)
from ldv_otel._internal.times.instants import datetime_from_ms

_TERM: Final = AnswerColumn("termijn", Said("Termijn", "Term"))
_REMOVED_COLUMNS: Final = (
    columns.ACTIVITY,
    columns.ACTIVITY_URI,
    _TERM,
    columns.ACTIES,
    columns.FIRST,
    columns.LAST,
    columns.CONFIDENTIAL,
)
_PAST_COLUMNS: Final = (columns.ACTIVITY, columns.ACTIVITY_URI, columns.ACTIES, columns.FIRST, columns.LAST)
_KEPT_COLUMNS: Final = (columns.ACTIVITY, columns.ACTIVITY_URI, _TERM, columns.ACTIES, columns.FIRST)


def answer(client: LogboekClient, asked: Asked) -> Answer:
    """Return what is past its term now, what will be on the day, and what nothing removes."""
    plan = plan_retention(client, now=datetime_from_ms(asked.now_ms).astimezone(UTC), upcoming_on=asked.on)
    day = plan.upcoming_on.date()
    upcoming = [each for each in plan.next_month if not asked.hidden(each.activity)]
    past = [each for each in (*plan.expired, *plan.own, *plan.dated) if not asked.hidden(each.activity)]
    kept = [each for each in plan.without_term if not asked.hidden(each.activity)]
    count = sum(each.logregels for each in upcoming)
    sentences = [
        Said(
            f"Op {_day(plan.upcoming_on)} is de termijn voorbij van nog {counted(count, 'regel', 'regels')}.",
            f"On {day.isoformat()} the term is over of another {counted(count, 'record', 'records')}.",
        )
    ]
    if now_past := sum(each.logregels for each in past):
        sentences.append(
            Said(
                f"Van {counted(now_past, 'regel', 'regels')} is de termijn nu al voorbij. Dat kan worden weggehaald.",
                f"The term is over already of {counted(now_past, 'record', 'records')}, which can be removed.",
            )
        )
    if without := sum(each.logregels for each in kept):
        sentences.append(
            Said(
                f"Zonder termijn die vanzelf afloopt: {counted(without, 'regel', 'regels')}.",
                f"Without a term that ends by itself: {counted(without, 'record', 'records')}.",
            )
        )
    upcoming_rows = [
        (
            asked.name(each.activity, each.last_ms),
            each.activity,
            each.retention,
            each.logregels,
            each.first_ms,
            each.last_ms,
            asked.is_confidential(each.activity, each.last_ms),
        )
        for each in upcoming
    ]
    past_rows = [
        (asked.name(each.activity, each.last_ms), each.activity, each.logregels, each.first_ms, each.last_ms)
        for each in past
    ]
    kept_rows = [
        (asked.name(each.activity, each.first_ms), each.activity, each.retention_text, each.logregels, each.first_ms)
        for each in kept
    ]
    return Answer(
        tuple(sentences),
        (
            AnswerTable("straks", Said("Straks voorbij", "Past its term then"), _REMOVED_COLUMNS, upcoming_rows),
            AnswerTable("nu", Said("Nu al voorbij", "Past its term now"), _PAST_COLUMNS, past_rows),
            AnswerTable("blijft", Said("Zonder termijn die afloopt", "Without a term"), _KEPT_COLUMNS, kept_rows),
        ),
    )


def _day(moment: datetime) -> str:
    from ldv_otel._internal.times.dutch import date_words

    return date_words(moment.date())


REMOVALS: Final = Question(
    name="removals",
    address="verwijderen",
    title=Said("Wat wordt volgende maand weggehaald?", "What will be removed next month?"),
    explanation=Said(
        "De regels waarvan de bewaartermijn dan voorbij is, per activiteit.",
        "The records that are past their term then, by activity.",
    ),
    parameters=(Parameter.ON,),
    limits=(
        Said(
            "Er gaat niets vanzelf weg. Iemand voert `ldv retention apply` uit, of een klok doet dat.",
            "Nothing goes by itself. Somebody runs `ldv retention apply`, or a timer does.",
        ),
        Said(
            "Geteld is met het Register van nu. Een termijn die nog verandert, telt niet mee.",
            "It is counted by the Register of now. A term that changes until then does not count.",
        ),
        Said(
            "Regels met een eigen einddatum staan er pas bij als die voorbij is.",
            "Records with an end of their own are there only when that is over.",
        ),
    ),
    answer=answer,
)
