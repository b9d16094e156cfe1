"""Which activities have no purpose, legal ground or term."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.oversight import ActivityCounts, used_in_period
from ldv_otel._internal.questions import columns
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

_COLUMNS: Final = (
    columns.ACTIVITY,
    columns.ACTIVITY_URI,
    AnswerColumn("geen_doel", Said("Geen doel", "No purpose"), CellKind.YES_NO),
    AnswerColumn("geen_grondslag", Said("Geen grondslag", "No legal ground"), CellKind.YES_NO),
    AnswerColumn("geen_termijn", Said("Geen termijn", "No term"), CellKind.YES_NO),
    AnswerColumn("niet_in_register", Said("Niet in het Register", "Not in the Register"), CellKind.YES_NO),
    columns.ACTIES,
    columns.LAST,
)


def _row(uri: str, used: ActivityCounts | None, asked: Asked) -> tuple[Cell, ...] | None:
    """Return what an activity lacks; None when it lacks nothing."""
    moment_ms = asked.now_ms if used is None else used.last_ms
    entry = asked.entry(uri, moment_ms)
    lacks = (
        entry is None or not entry.purpose,
        entry is None or not entry.legal_ground,
        entry is None or (entry.term is None and not entry.retention_text),
    )
    if entry is not None and not any(lacks):
        return None
    acties = (0, None) if used is None else (used.logregels, used.last_ms)
    return (asked.name(uri, moment_ms), uri, *lacks, entry is None, *acties)


def _rows(used: dict[str, ActivityCounts], asked: Asked) -> Iterator[tuple[Cell, ...]]:
    for uri, counts in used.items():
        if (row := _row(uri, counts, asked)) is not None:
            yield row
    for uri in asked.register:
        if uri not in used and not asked.hidden(uri) and (row := _row(uri, None, asked)) is not None:
            yield row


def answer(client: LogboekClient, asked: Asked) -> Answer:
    """Return the activities that lack something, those that were used first."""
    activities = used_in_period(client, asked.since_ms, asked.until_ms, confidential=asked.confidential)
    used = {each.activity: each for each in activities}
    rows = list(_rows(used, asked))
    lacking = sum(1 for row in rows if row[6])
    acties = sum(each.logregels for each in activities if any(row[1] == each.activity for row in rows))
    if not activities:
        said = Said("Van deze periode is hier niets te zien.", "There is nothing to see here of this period.")
    elif lacking:
        said = Said(
            f"Bij {lacking} van de {len(used)} gebruikte activiteiten ontbreekt iets. Dat raakt {acties} handelingen.",
            f"{lacking} of the {len(used)} activities in use lack something. That touches {acties} actions.",
        )
    else:
        said = Said(
            f"Alle {len(used)} gebruikte activiteiten hebben een doel, een grondslag en een termijn.",
            f"All {len(used)} activities in use have a purpose, a legal ground and a term.",
        )
    sentences = [said]
    if unused := sum(1 for row in rows if not row[6]):
        sentences.append(
            Said(
                f"In het Register ontbreekt ook iets bij {counted(unused, 'activiteit', 'activiteiten')}, waarvan hier "
                "niets te zien is.",
                f"Something is lacking too of {counted(unused, 'activity', 'activities')} in the Register, of which "
                "there is nothing to see here.",
            )
        )
    table = AnswerTable("activiteiten", Said("Wat er ontbreekt", "What is lacking"), _COLUMNS, rows)
    return Answer(tuple(sentences), (table,))


REGISTER_GAPS: Final = Question(
    name="register",
    address="register",
    title=Said(
        "Welke activiteiten missen een doel, grondslag of termijn?",
        "Which activities lack a purpose, a legal ground or a term?",
    ),
    explanation=Said(
        "De activiteiten die gebruikt zijn of in het Register staan. En wat er nog niet is opgeschreven.",
        "The activities that were used or are in the Register, and what of them was not written down yet.",
    ),
    parameters=(Parameter.PERIOD,),
    limits=(
        Said(
            "Of een doel of grondslag klopt, is hier niet te zien. Alleen of er iets staat.",
            "Whether a purpose or legal ground is right does not show. Only whether there is one.",
        ),
        Said(
            "Dit is het Register zoals `ldv register apply` het in het Logboek zette.",
            "This is the Register as `ldv register apply` put it into the Logboek.",
        ),
    ),
    answer=answer,
)
