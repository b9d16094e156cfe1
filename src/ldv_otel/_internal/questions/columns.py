"""Columns that several answers have."""

from __future__ import annotations

from typing import Final

from ldv_otel._internal.questions.model import AnswerColumn, CellKind, Said

ACTIVITY: Final = AnswerColumn("verwerkingsactiviteit", Said("Verwerkingsactiviteit", "Processing activity"))
ACTIVITY_URI: Final = AnswerColumn("uri", Said("Kenmerk (URI)", "URI"))
SERVICE: Final = AnswerColumn("applicatie", Said("Applicatie", "Application"))
PARTY: Final = AnswerColumn("partij", Said("Partij", "Party"))
ACTIES: Final = AnswerColumn("handelingen", Said("Handelingen", "Actions"), CellKind.NUMBER)
FAILED: Final = AnswerColumn("mislukt", Said("Niet gelukt", "Failed"), CellKind.NUMBER)
NUMBERS: Final = AnswerColumn("nummers", Said("Verschillende nummers", "Different numbers"), CellKind.NUMBER)
FIRST: Final = AnswerColumn("eerste", Said("Eerste", "First"), CellKind.MOMENT)
LAST: Final = AnswerColumn("laatste", Said("Laatste", "Last"), CellKind.MOMENT)
CONFIDENTIAL: Final = AnswerColumn("vertrouwelijk", Said("Vertrouwelijk", "Confidential"), CellKind.YES_NO)

VERSIONS_COUNT: Final = Said(
    "Van een regel die later is verbeterd, telt elke versie mee.",
    "Of a record that was corrected later, each version counts.",
)
WITHIN_TERM_ONLY: Final = Said(
    "Wat langer geleden is dan de bewaartermijn, is er niet meer bij.",
    "What is past its retention term is not in the answer.",
)
