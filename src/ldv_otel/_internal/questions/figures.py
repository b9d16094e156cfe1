"""Figures for management and the yearly report, in which nobody can be recognised.

Small numbers are hidden, and all others are rounded. Months are whole months: so nobody learns of a day by asking for
two periods that differ by it. Each total is rounded by itself, and where one number of a column is hidden another is
hidden with it: so a hidden number is not what is left of a total.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.breakdowns import BreakdownBy, BreakdownCell, PeriodFilter, breakdown
from ldv_otel._internal.questions import columns
from ldv_otel._internal.questions.filters import period_filter
from ldv_otel._internal.questions.model import (
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
from ldv_otel._internal.questions.recipients import ASKED, RECEIVED, caller_name
from ldv_otel._internal.times.instants import datetime_from_ms, ms_from_datetime

#: Fewer Acties, or Acties about fewer people, are not told.
LEAST: Final = 10
#: Other numbers are rounded to this, so that what is left of a total says little of a number below `LEAST`.
ROUNDED_TO: Final = 10
HIDDEN: Final = "*"

_ACTIES: Final = AnswerColumn("handelingen", Said("Handelingen", "Actions"), CellKind.HIDDEN_NUMBER)
_FAILED: Final = AnswerColumn("mislukt", Said("Niet gelukt", "Failed"), CellKind.HIDDEN_NUMBER)
_TOTAL: Final = AnswerColumn("wat", Said("Wat", "What"))
_MONTH: Final = AnswerColumn("maand", Said("Maand", "Month"))


def shown_number(count: int, people: int) -> int | str:
    """Return a number as it may be told: rounded, or hidden where it is small or about few people.

    Args:
        people: How many people it is about at least; 0 for nobody.
    """
    if count == 0:
        return 0
    if count < LEAST or 0 < people < LEAST:
        return HIDDEN
    return (count + ROUNDED_TO // 2) // ROUNDED_TO * ROUNDED_TO


def whole_months(since_ms: int, until_ms: int, zone: ZoneInfo) -> tuple[int, int]:
    """Return the period of whole months that holds a period, in ms since 1970-01-01 UTC."""
    first = datetime_from_ms(since_ms).astimezone(zone)
    last = datetime_from_ms(max(until_ms - 1, since_ms)).astimezone(zone)
    begin = datetime(first.year, first.month, 1, tzinfo=zone)
    end = datetime(last.year + last.month // 12, last.month % 12 + 1, 1, tzinfo=zone)
    return max(ms_from_datetime(begin), 0), ms_from_datetime(end)


def protected(numbers: Sequence[int | str]) -> list[int | str]:
    """Return a column in which no number is hidden alone: the smallest other one is hidden with it."""
    shown = [number for number in numbers if isinstance(number, int) and number]
    if list(numbers).count(HIDDEN) != 1 or not shown:
        return list(numbers)
    guarded = list(numbers)
    guarded[guarded.index(min(shown))] = HIDDEN
    return guarded


def _rows(cells: Sequence[BreakdownCell], names: Sequence[str]) -> Iterator[tuple[Cell, ...]]:
    acties = protected([shown_number(cell.acties, cell.people_least) for cell in cells])
    failed = protected(
        [
            # Of what is hidden the failures are hidden too; that there are none is no secret.
            HIDDEN if count == HIDDEN and cell.failed else shown_number(cell.failed, cell.failed_people_least)
            for count, cell in zip(acties, cells, strict=True)
        ]
    )
    # In the order of names: that of frequency would tell which hidden number is the larger one.
    yield from sorted(zip(names, acties, failed, strict=True), key=lambda row: row[0])


def _total(acties: int | str, failed: int | str, months: int) -> Said:
    if acties == HIDDEN:
        return Said("Het zijn te weinig handelingen of mensen om te noemen.", "Too few actions or people to be told.")
    return Said(
        f"Ongeveer {acties} handelingen, waarvan {failed} niet gelukt, in {counted(months, 'maand', 'maanden')}.",
        f"Some {acties} actions, of which {failed} failed, in {counted(months, 'month', 'months')}.",
    )


def answer(client: LogboekClient, asked: Asked) -> Answer:
    """Return the trend by month, and figures by activity, application and party."""
    zone = ZoneInfo(asked.settings.inzage.timezone)
    since_ms, until_ms = whole_months(asked.since_ms, asked.until_ms, zone)
    of_period = period_filter(asked)
    chosen = PeriodFilter(since_ms=since_ms, until_ms=until_ms, confidential=of_period.confidential)
    cells = {
        by: breakdown(client, chosen, by, zone=zone.key)
        for by in (
            BreakdownBy.MONTH,
            BreakdownBy.ACTIVITY,
            BreakdownBy.SERVICE,
            BreakdownBy.ASKED_BY,
            BreakdownBy.ASKED,
        )
    }
    months = cells[BreakdownBy.MONTH]
    # A total is not about fewer people than its largest month.
    people = max((cell.people_least for cell in months), default=0)
    failed_people = max((cell.failed_people_least for cell in months), default=0)
    acties = shown_number(sum(cell.acties for cell in months), people)
    failed = shown_number(sum(cell.failed for cell in months), failed_people)

    def table(by: BreakdownBy, name: str, title: Said, column: AnswerColumn, names: Sequence[str]) -> AnswerTable:
        return AnswerTable(name, title, (column, _ACTIES, _FAILED), list(_rows(cells[by], names)))

    activities = [asked.name(cell.value, cell.last_ms) for cell in cells[BreakdownBy.ACTIVITY]]
    callers = [caller_name(asked, cell.value) for cell in cells[BreakdownBy.ASKED_BY]]
    called = [asked.parties.of_read_api(cell.value) for cell in cells[BreakdownBy.ASKED]]
    services = [cell.value or "?" for cell in cells[BreakdownBy.SERVICE]]
    return Answer(
        (_total(acties, failed, len(months)),),
        (
            table(BreakdownBy.MONTH, "maanden", Said("Per maand", "By month"), _MONTH, [cell.value for cell in months]),
            table(
                BreakdownBy.ACTIVITY,
                "activiteiten",
                Said("Per activiteit", "By activity"),
                columns.ACTIVITY,
                activities,
            ),
            table(
                BreakdownBy.SERVICE, "applicaties", Said("Per applicatie", "By application"), columns.SERVICE, services
            ),
            table(BreakdownBy.ASKED_BY, "vroegen_ons", RECEIVED, columns.PARTY, callers),
            table(BreakdownBy.ASKED, "door_ons_gevraagd", ASKED, columns.PARTY, called),
        ),
    )


FIGURES: Final = Question(
    name="figures",
    address="cijfers",
    title=Said("Cijfers voor management en jaarverslag", "Figures for management and the yearly report"),
    explanation=Said(
        "Hoeveel er gedaan is, per hele maand, activiteit, applicatie en partij. Niemand is erin te herkennen.",
        "How much was done, by whole month, activity, application and party. Nobody can be recognised in it.",
    ),
    parameters=(Parameter.PERIOD,),
    limits=(
        Said(
            f"Een {HIDDEN} staat voor minder dan {LEAST} handelingen, of voor minder dan {LEAST} mensen. Of dat getal "
            f"zou anders uit te rekenen zijn. De rest is afgerond op {ROUNDED_TO}.",
            f"A {HIDDEN} stands for less than {LEAST} actions, or fewer than {LEAST} people, or for a number by which "
            f"another one could be worked out. The rest is rounded to {ROUNDED_TO}.",
        ),
        Said(
            "Het zijn hele maanden. Een maand die nog loopt, is nog niet compleet.",
            "These are whole months. A month that is not over is not complete.",
        ),
        Said(
            "Door het afronden tellen de regels niet precies op tot het totaal.",
            "As they are rounded, rows do not add up to the total exactly.",
        ),
        Said(
            "Meer handelingen is niet meer werk: een applicatie kan voor één taak meer vastleggen dan een andere.",
            "More actions are not more work: one application may log more for a task than another.",
        ),
        columns.WITHIN_TERM_ONLY,
    ),
    for_officer=False,
    days=365,
    answer=answer,
)
