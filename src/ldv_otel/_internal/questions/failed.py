"""What failed, where and why."""

from __future__ import annotations

from typing import Final

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.breakdowns import MOST_CELLS, failures
from ldv_otel._internal.questions import columns
from ldv_otel._internal.questions.filters import party_name, period_filter
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

_COLUMNS: Final = (
    columns.SERVICE,
    columns.ACTIVITY,
    AnswerColumn("fout", Said("Soort fout", "Type of error")),
    AnswerColumn("koppeling", Said("Koppeling (→ gevraagd aan, ← gevraagd door)", "Link (→ asked, ← asked by)")),
    columns.FAILED,
    columns.LAST,
    AnswerColumn("voorbeeld", Said("Voorbeeld (trace)", "Example (trace)")),
    columns.CONFIDENTIAL,
)


def answer(client: LogboekClient, asked: Asked) -> Answer:
    """Return what failed, the most frequent first."""
    failed = failures(client, period_filter(asked))
    rows = [
        (
            each.service,
            asked.name(each.activity, each.last_ms),
            each.error,
            party_name(asked, each.read_api, each.caller),
            each.acties,
            each.last_ms,
            each.trace_id,
            asked.is_confidential(each.activity, each.last_ms),
        )
        for each in failed
    ]
    count = sum(each.acties for each in failed)
    services = len({each.service for each in failed})
    said = (
        Said(
            f"Niet gelukt: {counted(count, 'handeling', 'handelingen')} "
            f"in {counted(services, 'applicatie', 'applicaties')}.",
            f"Failed: {counted(count, 'action', 'actions')} in {counted(services, 'application', 'applications')}.",
        )
        if failed
        else Said("Hier is geen handeling te zien die niet lukte.", "There is no failed action to see here.")
    )
    complete = len(failed) < MOST_CELLS
    return Answer((said,), (AnswerTable("mislukt", Said("Niet gelukt", "Failed"), _COLUMNS, rows, complete),))


FAILED: Final = Question(
    name="failures",
    address="mislukt",
    title=Said("Wat lukte niet, waar en waarom?", "What failed, where and why?"),
    explanation=Said(
        "Handelingen die niet gelukt zijn, per applicatie, activiteit, soort fout en koppeling.",
        "Actions that failed, by application, activity, type of error and link to another party.",
    ),
    parameters=(Parameter.PERIOD, Parameter.ACTIVITY, Parameter.SERVICE),
    limits=(
        Said(
            "Een fout waarvan een applicatie niets vastlegt, is hier niet te zien.",
            "An error of which an application logs nothing does not show.",
        ),
        Said(
            "Dat een koppeling erbij staat, zegt niet dat de andere partij de fout maakte.",
            "That another party is named does not say that the error was theirs.",
        ),
        columns.VERSIONS_COUNT,
    ),
    answer=answer,
)
