"""A data breach: how many people, which activities, which parties."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.breakdowns import (
    BreakdownBy,
    PeopleUnderKey,
    breakdown,
    linked_people,
    people_by_key,
)
from ldv_otel._internal.clickhouse.queries.subject_links import all_links
from ldv_otel._internal.questions import columns
from ldv_otel._internal.questions.filters import period_filter
from ldv_otel._internal.questions.model import (
    Answer,
    AnswerColumn,
    AnswerTable,
    Asked,
    CellKind,
    Parameter,
    Question,
    Said,
)
from ldv_otel._internal.questions.people import PeopleCount, people_counts
from ldv_otel._internal.questions.recipients import party_tables

_PEOPLE_COLUMNS: Final = (
    AnswerColumn("soort", Said("Soort nummer", "Type of number")),
    AnswerColumn("ten_minste", Said("Ten minste zo veel mensen", "People, at least"), CellKind.NUMBER),
    AnswerColumn("ten_hoogste", Said("Ten hoogste zo veel mensen", "People, at most"), CellKind.NUMBER),
    AnswerColumn("sleutels", Said("Sleutels", "Keys"), CellKind.NUMBER),
    columns.ACTIES,
)
_ACTIVITY_COLUMNS: Final = (
    columns.ACTIVITY,
    columns.SERVICE,
    columns.ACTIES,
    columns.FAILED,
    columns.NUMBERS,
    columns.FIRST,
    columns.LAST,
    columns.CONFIDENTIAL,
)


def _sentences(people: Sequence[PeopleCount], counted: Sequence[PeopleUnderKey]) -> Iterator[Said]:
    acties = sum(each.acties for each in counted)
    if not acties:
        yield Said("Hier is niets te zien dat hierbij past.", "There is nothing to see here that fits this.")
        return
    least, most = sum(each.least for each in people), sum(each.most for each in people)
    if least == most:
        yield (
            Said("Het gaat om 1 mens of organisatie.", "It is about 1 person or organisation.")
            if most == 1
            else Said(f"Het gaat om {most} mensen of organisaties.", f"It is about {most} people or organisations.")
        )
    else:
        yield Said(
            f"Het gaat om {least} tot {most} mensen of organisaties. Precies is dat niet te zeggen: hun "
            "pseudoniemen zijn met meer dan één sleutel gemaakt.",
            f"It is about {least} to {most} people or organisations. It cannot be said exactly: their pseudonyms were "
            "made with more than one key.",
        )
    nobody = sum(each.acties for each in counted if not each.key_id and not each.type)
    without = Said(f", waarvan {nobody} zonder betrokkene", f", {nobody} of them without a data subject")
    yield Said(
        f"Er zijn {acties} handelingen{without.nl if nobody else ''}.",
        f"There are {acties} actions{without.en if nobody else ''}.",
    )
    yield from _who_they_are(counted)


def _who_they_are(counted: Sequence[PeopleUnderKey]) -> Iterator[Said]:
    """Yield whether a list of whom to notify can be made, and if not, why."""
    numbers = sum(each.numbers for each in counted if each.key_id or each.type)
    sealed = sum(each.sealed for each in counted if each.key_id or each.type)
    if not numbers:
        yield Said(
            "Wie u moet waarschuwen, staat niet in het Logboek: geen van deze handelingen noemt iemand.",
            "Whom to notify is not in the Logboek: none of these actions names anybody.",
        )
        return
    if sealed:
        yield Said(
            f"Van {sealed} van de {numbers} nummers is te vinden van wie ze zijn, met de sleutel die ze verzegelde. Zo "
            "maakt u een lijst om mensen te waarschuwen: `ldv question breach --notify`.",
            f"Of {sealed} of the {numbers} numbers it can be learnt whose they are, with the key that sealed them: "
            "`ldv question breach --notify` makes the list of whom to notify.",
        )
    if sealed < numbers:
        some = f"{numbers - sealed}"
        which = Said(f"{some} van de {numbers}", f"{some} of the {numbers}") if sealed else Said("deze", "these")
        yield Said(
            f"Van wie {which.nl} nummers zijn, kan het Logboek niet zeggen. Zij staan er "
            "zonder verzegeld nummer. Daarvan is geen lijst te maken. Zoek in de applicatie op om wie het gaat. "
            "Voor later helpt een sleutel die verzegelt (`ldv key new --seal`).",
            f"Whose {which.en} numbers are, the Logboek cannot say: they were logged without "
            "a sealed number, so there is no list of them. Look in the application. A key that seals helps from now on "
            "(`ldv key new --seal`).",
        )


def answer(client: LogboekClient, asked: Asked) -> Answer:
    """Return how many people it is about, and the activities and parties."""
    chosen = period_filter(asked)
    counted = people_by_key(client, chosen)
    links = [link for link in all_links(client) if link.ended_ms is None]
    people = people_counts(counted, linked_people(client, chosen) if links else [], links)
    cells = breakdown(client, chosen, BreakdownBy.ACTIVITY_AND_SERVICE, zone=asked.settings.inzage.timezone)
    activity_rows = [
        (
            asked.name(cell.value, cell.last_ms),
            cell.also,
            cell.acties,
            cell.failed,
            cell.numbers,
            cell.first_ms,
            cell.last_ms,
            asked.is_confidential(cell.value, cell.last_ms),
        )
        for cell in cells
    ]
    people_rows = [(each.type or "?", each.least, each.most, each.keys, each.acties) for each in people]
    return Answer(
        tuple(_sentences(people, counted)),
        (
            AnswerTable("mensen", Said("Om hoeveel mensen gaat het", "How many people"), _PEOPLE_COLUMNS, people_rows),
            AnswerTable("activiteiten", Said("Activiteiten", "Activities"), _ACTIVITY_COLUMNS, activity_rows),
            *party_tables(client, asked),
        ),
    )


BREACH: Final = Question(
    name="breach",
    address="datalek",
    title=Said("Datalek: om hoeveel mensen gaat het?", "Data breach: how many people is it about?"),
    explanation=Said(
        "Wat een applicatie deed, of wat er gebeurde binnen een activiteit, tussen twee momenten.",
        "What an application did, or what was done under an activity, between two moments.",
    ),
    parameters=(Parameter.PERIOD, Parameter.ACTIVITY, Parameter.SERVICE),
    by_the_minute=True,
    limits=(
        Said(
            "Dit telt wie in het Logboek staat. Iemand die buiten de applicatie om gegevens las, staat er niet in.",
            "This counts who is in the Logboek. Who read data past the application is not in it.",
        ),
        Said(
            "Wie twee soorten nummers heeft die niet gekoppeld zijn, telt twee keer.",
            "Who has numbers of two types that are not linked counts twice.",
        ),
        Said(
            "Is een nummer met twee sleutels vastgelegd, dan zijn dat twee pseudoniemen. Daarom staan er twee grenzen.",
            "A number that was logged with two keys has two pseudonyms. That is why there are two bounds.",
        ),
        columns.WITHIN_TERM_ONLY,
    ),
    answer=answer,
)
