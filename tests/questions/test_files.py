"""Answers as files: a spreadsheet program runs nothing of them."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from typing import Final
from zoneinfo import ZoneInfo

import pytest

from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.questions.catalogue import BY_NAME
from ldv_otel._internal.questions.cells import AnswerReader
from ldv_otel._internal.questions.files import as_csv, as_json
from ldv_otel._internal.questions.model import Answer, AnswerColumn, AnswerTable, Asked, CellKind, Said
from ldv_otel._internal.questions.workbook import as_workbook

QUESTION: Final = BY_NAME["failures"]
DUTCH: Final = AnswerReader("nl", ZoneInfo("Europe/Amsterdam"))
MOMENT_MS: Final = 1_790_000_000_000  # 2026-09-21 16:13:20 there
HOSTILE: Final = ("=HYPERLINK(1)", "+1+1", "-2", "@SUM(A1)", "\t=1", "https://evil.example/", "\x01<&>", "1e5", "007")


def answer_with(*texts: str) -> Answer:
    """An answer with a table of these texts, a number, a moment, and a word."""
    columns = (
        AnswerColumn("tekst", Said("Tekst", "Text")),
        AnswerColumn("aantal", Said("Aantal", "Number"), CellKind.NUMBER),
        AnswerColumn("moment", Said("Moment", "Moment"), CellKind.MOMENT),
        AnswerColumn("ja", Said("Ja", "Yes"), CellKind.YES_NO),
    )
    rows = [(text, 3, MOMENT_MS, True) for text in texts]
    table = AnswerTable("regels", Said("Regels: [alle]/", "Rows"), columns, rows)
    return Answer((Said("=zin", "=sentence"),), (table,))


def sheet_cells(content: bytes, sheet: int) -> dict[str, str]:
    """The cells of a sheet as XML, by their place."""
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        xml = book.read(f"xl/worksheets/sheet{sheet}.xml").decode()
    return {match[1]: match[0] for match in re.finditer(r'<c r="([A-Z]+[0-9]+)"[^>]*>.*?</c>', xml)}


def test_no_cell_of_a_workbook_is_a_formula_or_a_link() -> None:
    """Whatever is in it; texts stay texts, also those that look like numbers."""
    content = as_workbook(QUESTION, answer_with(*HOSTILE), DUTCH)
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        assert not [name for name in book.namelist() if "rels/sheet" in name or "vba" in name]
        shared = book.read("xl/sharedStrings.xml").decode()
    for sheet in (1, 2):
        cells = sheet_cells(content, sheet)
        assert cells
        assert not [cell for cell in cells.values() if "<f" in cell]
    texts = [cell for place, cell in sheet_cells(content, 2).items() if place.startswith("A")]
    assert len(texts) == len(HOSTILE) + 1
    assert all(' t="s"' in cell for cell in texts)
    assert "=HYPERLINK(1)" in shared


def test_a_workbook_has_numbers_and_times_as_such() -> None:
    """So that Excel can add and sort; times are those of the clock here."""
    cells = sheet_cells(as_workbook(QUESTION, answer_with("x"), DUTCH), 2)
    values = {place: re.sub(r"<[^>]+>", "", cell) for place, cell in cells.items()}
    assert values["B2"] == "3"
    assert float(values["C2"]) == pytest.approx(46286 + (16 * 3600 + 13 * 60 + 20) / 86_400)


def test_csv_for_excel_is_guarded_and_local() -> None:
    """Semicolons, a byte order mark, times of here, and an apostrophe before what would be run."""
    text = as_csv(QUESTION, answer_with(*HOSTILE), DUTCH, excel=True)
    assert text.startswith("\N{ZERO WIDTH NO-BREAK SPACE}")
    rows = list(csv.reader(io.StringIO(text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")), delimiter=";"))
    first = next(row for row in rows if "HYPERLINK" in "".join(row))
    assert first == ["'=HYPERLINK(1)", "3", "21-09-2026 16:13:20", "ja"]
    assert not [cell for row in rows for cell in row if cell.lstrip().startswith(("=", "+", "-", "@"))]
    assert [QUESTION.limits[0].nl] in rows


def test_json_says_what_may_not_be_concluded() -> None:
    """With times in RFC 3339."""
    address = LogboekAddress(scheme="chdb", path="/nowhere")
    asked = Asked(settings=Settings(logboek=address), now_ms=0, since_ms=0, until_ms=MOMENT_MS)
    content = json.loads(as_json(QUESTION, answer_with("x"), asked, AnswerReader("en")))
    assert content["tables"]["regels"] == [
        {"tekst": "x", "aantal": 3, "moment": "2026-09-21T14:13:20.000Z", "ja": True}
    ]
    assert content["notConcluded"] == [limit.en for limit in QUESTION.limits]
    assert content["to"] == "2026-09-21T14:13:20.000Z"
