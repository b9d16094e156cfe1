"""Which parties received data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.breakdowns import BreakdownBy, BreakdownCell, breakdown
from ldv_otel._internal.questions import columns
from ldv_otel._internal.questions.filters import period_filter
from ldv_otel._internal.questions.model import (
    Answer,
    AnswerColumn,
    AnswerTable,
    Asked,
    Cell,
    Parameter,
    Question,
    Said,
    counted,
)
from ldv_otel._internal.record.callers import is_unknown_caller

_COLUMNS: Final = (
    columns.PARTY,
    AnswerColumn("adres", Said("Adres in het Logboek", "Address in the Logboek")),
    columns.ACTIES,
    columns.FAILED,
    columns.NUMBERS,
    columns.FIRST,
    columns.LAST,
)
#: What the two tables are called, wherever they are.
RECEIVED: Final = Said("Vroegen ons iets, en kregen antwoord", "Asked us, and were answered")
ASKED: Final = Said("Vroegen wij iets", "Were asked by us")
UNKNOWN_CALLER: Final = "?"


def _rows(cells: Sequence[BreakdownCell], names: Sequence[str]) -> Iterator[tuple[Cell, ...]]:
    for cell, name in zip(cells, names, strict=True):
        yield name, cell.value, cell.acties, cell.failed, cell.numbers, cell.first_ms, cell.last_ms


def caller_name(asked: Asked, url: str) -> str:
    """Return the name of a caller; a question mark for one that nobody knows."""
    unknown = is_unknown_caller(url, asked.settings.unknown_caller_url)
    return UNKNOWN_CALLER if unknown else asked.parties.of_processor(url)


def party_tables(client: LogboekClient, asked: Asked) -> tuple[AnswerTable, AnswerTable]:
    """Return the parties that asked us, and those that we asked."""
    chosen, zone = period_filter(asked), asked.settings.inzage.timezone
    callers = breakdown(client, chosen, BreakdownBy.ASKED_BY, zone=zone)
    called = breakdown(client, chosen, BreakdownBy.ASKED, zone=zone)
    caller_names = [caller_name(asked, cell.value) for cell in callers]
    called_names = [asked.parties.of_read_api(cell.value) for cell in called]
    return (
        AnswerTable("vroegen_ons", RECEIVED, _COLUMNS, list(_rows(callers, caller_names))),
        AnswerTable("door_ons_gevraagd", ASKED, _COLUMNS, list(_rows(called, called_names))),
    )


def answer(client: LogboekClient, asked: Asked) -> Answer:
    """Return the parties by name, those that got an answer apart from those that got a question."""
    received, called = party_tables(client, asked)
    sentences = (
        Said(
            f"Het Logboek noemt {counted(len(received.rows), 'partij', 'partijen')} die ons iets vroegen, en "
            f"{counted(len(called.rows), 'partij', 'partijen')} die wij iets vroegen.",
            f"The Logboek names {counted(len(received.rows), 'party', 'parties')} that asked us something, and "
            f"{counted(len(called.rows), 'party', 'parties')} that we asked.",
        ),
    )
    return Answer(sentences, (received, called))


RECIPIENTS: Final = Question(
    name="parties",
    address="partijen",
    title=Said("Welke partijen kregen gegevens?", "Which parties received data?"),
    explanation=Said(
        "Wie ons iets vroeg kreeg ons antwoord. Wie wij iets vroegen kreeg onze vraag. Dat zijn twee lijsten.",
        "Who asked us got our answer. Whom we asked got our question. Those are two lists.",
    ),
    parameters=(Parameter.PERIOD, Parameter.ACTIVITY, Parameter.SERVICE),
    limits=(
        Said(
            "Wat er in een vraag of antwoord stond, bewaart het Logboek niet.",
            "What was in a question or an answer is not in the Logboek.",
        ),
        Said(
            "Een partij die anders gegevens kreeg (bestand, brief, e-mail) staat hier niet.",
            "A party that got data in another way (file, letter, e-mail) is not here.",
        ),
        Said(
            "Een vraag die niet lukte, kan toch zijn aangekomen.",
            "A question that failed may have arrived all the same.",
        ),
        columns.VERSIONS_COUNT,
    ),
    answer=answer,
)
