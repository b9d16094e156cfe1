"""Evidence for a complaint as one file: the records, their explanation, proofs, what checks them, and a print."""

from __future__ import annotations

import io
import zipfile
from typing import Final

from ldv_otel._internal.api.pages.citizen.download import as_json, file_rows, with_proofs
from ldv_otel._internal.api.pages.letter import LetterContent, letter
from ldv_otel._internal.api.pages.view import DutchTexts
from ldv_otel._internal.config.house_style import HouseStyle
from ldv_otel._internal.questions.cells import AnswerReader
from ldv_otel._internal.questions.complaint import COMPLAINT, answer_with
from ldv_otel._internal.questions.files import as_csv
from ldv_otel._internal.tamper.proof import RecordProof
from ldv_otel._internal.tamper.verifier_page import verifier_page

_EXPLANATION: Final = """\
Bewijs voor een klacht
======================

handelingen.html         om te lezen en te printen
handelingen.csv          dezelfde handelingen als tabel, voor Excel
handelingen.json         dezelfde handelingen, elk met een bewijs (of zonder, als dat er niet is)
bewijs-controleren.html  open dit bestand in een browser en kies handelingen.json: het controleert de bewijzen,
                         zonder internet. Met het programma kan het ook: ldv verify --proof handelingen.json

Wat u hieruit niet mag opmaken
------------------------------
"""


def evidence_file(
    content: LetterContent, texts: DutchTexts, proofs: list[RecordProof | None], house: HouseStyle
) -> bytes:
    """Return the file: a zip archive, for its reader and nobody else.

    Args:
        proofs: Of each record, in their order.
    """
    asked, settings = content.asked, content.asked.settings
    answer = answer_with(content.records, proofs, asked, complete=content.complete)
    rows = file_rows((stored.logregel for stored in content.records), texts, settings.organisation)
    explanation = _EXPLANATION + "".join(f"- {limit.nl}\n" for limit in COMPLAINT.limits)
    files = {
        "LEESMIJ.txt": explanation.encode(),
        "handelingen.html": letter(content, settings, house).encode(),
        "handelingen.csv": as_csv(COMPLAINT, answer, AnswerReader("nl", texts.zone), excel=True).encode(),
        "handelingen.json": as_json(with_proofs(rows, proofs), complete=content.complete),
        "bewijs-controleren.html": verifier_page(),
    }
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return archive.getvalue()
