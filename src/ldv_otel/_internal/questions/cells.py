"""Cells as text: dates on the clock of a zone, yes and no in words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from ldv_otel._internal.questions.model import Answer, AnswerTable, Cell, CellKind, Question, Said
from ldv_otel._internal.times.instants import datetime_from_ms, rfc3339_from_ms

_YES: Final = Said("ja", "yes")
NO: Final = Said("nee", "no")
NEVER: Final = Said("nooit", "never")
CUT: Final = Said(
    "Dit is niet alles: er zijn meer regels dan hier passen. Kies een kortere periode.",
    "This is not everything: there are more rows than fit here. Choose a shorter period.",
)


class AnswerReader(msgspec.Struct, frozen=True):
    """For whom cells are written.

    Attributes:
        language: `nl`, or `en`.
        zone: On whose clock times are; None for RFC 3339 in UTC, for programs.
    """

    language: str
    zone: ZoneInfo | None = None

    def text(self, said: Said) -> str:
        """Return a text in the reader's language."""
        return said.in_language(self.language)


def cell_moment(cell: Cell, zone: ZoneInfo | None) -> datetime | None:
    """Return the moment of a cell, on the clock of a zone (default UTC); None for never."""
    if not isinstance(cell, int):
        return None
    moment = datetime_from_ms(cell)
    return moment if zone is None else moment.astimezone(zone)


def cell_text(cell: Cell, kind: CellKind, reader: AnswerReader) -> str:
    """Return a cell for people and for CSV."""
    if kind is CellKind.MOMENT:
        if not isinstance(cell, int):
            return reader.text(NEVER)
        if reader.zone is None:
            return rfc3339_from_ms(cell)
        pattern = "%d-%m-%Y %H:%M:%S" if reader.language == "nl" else "%Y-%m-%d %H:%M:%S"
        return f"{datetime_from_ms(cell).astimezone(reader.zone):{pattern}}"
    if isinstance(cell, bool):
        return reader.text(_YES if cell else NO)
    return "" if cell is None else str(cell)


def table_texts(table: AnswerTable, reader: AnswerReader) -> Iterator[list[str]]:
    """Yield the rows of a table as texts, the captions first."""
    yield [reader.text(column.caption) for column in table.columns]
    for row in table.rows:
        yield [cell_text(cell, column.kind, reader) for cell, column in zip(row, table.columns, strict=True)]


def notes(question: Question, answer: Answer, reader: AnswerReader) -> list[str]:
    """Return what may not be concluded: what is not whole first, then what holds for this answer, then for each."""
    said = [CUT] if any(not table.complete for table in answer.tables) else []
    return [reader.text(each) for each in (*said, *answer.cautions, *question.limits)]
