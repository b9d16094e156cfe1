"""Whether the Logboek is complete, as far as it can be seen: per service, with silence and Collector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.oversight import CheckedSequences, check_sequences
from ldv_otel._internal.clickhouse.queries.records import count_refused_spans
from ldv_otel._internal.clickhouse.queries.services import ServiceActivity, service_activity
from ldv_otel._internal.clickhouse.schema.migrations import schema_status
from ldv_otel._internal.questions import columns
from ldv_otel._internal.questions.model import (
    Answer,
    AnswerColumn,
    AnswerTable,
    Asked,
    CellKind,
    Parameter,
    Question,
    Said,
    counted,
)

_SERVICE_COLUMNS: Final = (
    columns.SERVICE,
    columns.LAST,
    AnswerColumn("laatste_dag", Said("Laatste 24 uur", "Last 24 hours"), CellKind.NUMBER),
    AnswerColumn("week_eerder", Said("Zelfde uren, een week eerder", "The same hours, a week before"), CellKind.NUMBER),
    AnswerColumn("verwacht", Said("Verwacht", "Expected"), CellKind.YES_NO),
    AnswerColumn("stil", Said("Stil", "Silent"), CellKind.YES_NO),
    AnswerColumn("collector", Said("Via een Collector", "Through a Collector"), CellKind.YES_NO),
    AnswerColumn("geweigerd", Said("Geweigerd door de Collector", "Refused by the Collector"), CellKind.NUMBER),
)
_SEQUENCE_COLUMNS: Final = (
    columns.SERVICE,
    AnswerColumn("reeks", Said("Reeks", "Writer")),
    AnswerColumn("bewaard", Said("Bewaard", "Stored"), CellKind.NUMBER),
    AnswerColumn("ontbreekt", Said("Ontbreekt", "Missing"), CellKind.NUMBER),
    AnswerColumn("dubbel", Said("Dubbel", "Doubled"), CellKind.NUMBER),
    columns.FIRST,
    columns.LAST,
)


_NO_GAPS: Final = Said(
    "In de reeksen die zijn nagekeken, zijn geen gaten.", "There are no gaps in the sequences that were checked."
)
_NOT_CHECKED: Final = Said("Er is niets nagekeken.", "Nothing was checked.")


def _sentences(services: Sequence[ServiceActivity], checked: CheckedSequences, refused: int) -> Iterator[Said]:
    gaps = checked.gaps
    lost = sum(gap.missing for gap in gaps)
    if lost:
        yield Said(
            f"Nee: er ontbreken {lost} regels in {sum(gap.missing > 0 for gap in gaps)} reeksen.",
            f"No: {lost} records are missing, of {sum(gap.missing > 0 for gap in gaps)} writers.",
        )
    elif checked.writers:
        yield Said(
            f"Nagekeken: {counted(checked.writers, 'reeks', 'reeksen')} van deze dagen. Daarin zijn geen gaten.",
            f"Checked: {counted(checked.writers, 'sequence', 'sequences')} of these days. There are no gaps.",
        )
    else:
        yield Said(
            "Van deze dagen zijn er geen reeksen. Er is dus niets nagekeken.",
            "There are no sequences of these days, so nothing was checked.",
        )
    silent = [service.name or "?" for service in services if service.silent]
    if silent:
        yield Said(f"Stil: {', '.join(silent)}.", f"Silent: {', '.join(silent)}.")
    if refused:
        yield Said(
            f"Een Collector weigerde {refused} spans. Daarvan zijn geen regels.",
            f"A Collector refused {refused} spans. There are no records of those.",
        )
    if not any(service.expected for service in services):
        yield Said(
            "Niemand zei welke applicaties er moeten zijn (LDV_EXPECTED_SERVICES). Wie nooit iets zei, valt niet op.",
            "Nobody said which applications there have to be (LDV_EXPECTED_SERVICES). Who never spoke is not missed.",
        )


def _cautions(services: Sequence[ServiceActivity]) -> Iterator[Said]:
    through = [service.name or "?" for service in services if service.through_collector]
    if through:
        yield Said(
            f"Niet te controleren op gaten, want via een Collector: {', '.join(through)}.",
            f"Not checked for gaps, because they come through a Collector: {', '.join(through)}.",
        )


def answer(client: LogboekClient, asked: Asked) -> Answer:
    """Return each service, and the sequences of these days that have gaps."""
    with_collector = schema_status(client).collector
    expected = dict(asked.settings.expected_services)
    services = service_activity(client, asked.now_ms, expected, since_ms=asked.since_ms, with_collector=with_collector)
    checked = check_sequences(client, asked.since_ms, asked.until_ms)
    refused = count_refused_spans(client) if with_collector else 0
    service_rows = [
        (
            each.name,
            each.last_ms,
            each.day,
            each.week_before,
            each.expected,
            each.silent,
            each.through_collector,
            each.refused,
        )
        for each in services
    ]
    gap_rows = [
        (gap.service, gap.writer_id, gap.stored, gap.missing, gap.doubled, gap.first_ms, gap.last_ms)
        for gap in checked.gaps
    ]
    return Answer(
        tuple(_sentences(services, checked, refused)),
        (
            AnswerTable("applicaties", Said("Applicaties", "Applications"), _SERVICE_COLUMNS, service_rows),
            AnswerTable(
                "reeksen",
                Said("Reeksen met gaten", "Sequences with gaps"),
                _SEQUENCE_COLUMNS,
                gap_rows,
                empty=_NO_GAPS if checked.writers else _NOT_CHECKED,
            ),
        ),
        tuple(_cautions(services)),
    )


COMPLETENESS: Final = Question(
    name="completeness",
    address="compleet",
    title=Said("Is het Logboek compleet?", "Is the Logboek complete?"),
    explanation=Said(
        "Per applicatie: wanneer zij voor het laatst iets zei. En of haar nummers gaten hebben.",
        "For each application: when it last spoke, and whether there are gaps in what it numbers.",
    ),
    parameters=(Parameter.PERIOD,),
    about_activities=False,
    limits=(
        Said(
            "Wat aan het eind van een reeks verloren ging, is hier niet te zien: er komt geen nummer na. "
            "Kijk op die machine met `ldv status`.",
            "What was lost at the end of a sequence does not show, as no number follows. `ldv status` on that machine "
            "does.",
        ),
        Said(
            "Een handeling die een applicatie nooit vastlegde, is hier niet te zien.",
            "An action that an application never logged does not show.",
        ),
        Said(
            "Wat via een Collector komt, heeft geen nummers. Daarvan is een gat niet te zien.",
            "What comes through a Collector has no numbers, so a gap in it does not show.",
        ),
    ),
    answer=answer,
)
