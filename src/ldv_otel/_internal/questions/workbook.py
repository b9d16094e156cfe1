"""An answer as an Excel workbook (.xlsx), with the extra `excel`."""

from __future__ import annotations

import io
import re
from typing import Final
from zoneinfo import ZoneInfo

from ldv_otel._internal.questions.cells import AnswerReader, cell_moment, cell_text, notes
from ldv_otel._internal.questions.files import NOT_CONCLUDED
from ldv_otel._internal.questions.model import Answer, CellKind, Question, Said
from ldv_otel.errors import ConfigurationError

_EXPLANATION: Final = Said("Uitleg", "Explanation")
#: What Excel takes at most.
_SHEET_NAME_CHARACTERS: Final = 31
_CELL_CHARACTERS: Final = 32_767
_NOT_IN_SHEET_NAMES: Final = re.compile(r"[\[\]:*?/\\']")
#: Characters that XML 1.0 does not have, and would make the file unreadable.
_NOT_IN_XML: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_WIDEST: Final = 60


def as_workbook(question: Question, answer: Answer, reader: AnswerReader) -> bytes:
    """Return an answer as a workbook: a sheet with the explanation, and one for each table.

    Texts are written as texts, so that no cell is a formula or a link, whatever is in it.

    Args:
        reader: Its zone is that of the times, which Excel keeps without one.

    Raises:
        ConfigurationError: The extra is missing.
    """
    try:
        import xlsxwriter
    except ImportError:
        raise ConfigurationError(
            "An Excel workbook needs XlsxWriter, which is not installed. No file was made. Install "
            "`ldv-otel[excel]`, or take CSV (`--csv --excel`), which Excel opens too."
        ) from None
    zone = reader.zone or ZoneInfo("UTC")
    content = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(content, options) as book:
        bold = book.add_format({"bold": True, "text_wrap": True, "valign": "top"})
        wrapped = book.add_format({"text_wrap": True, "valign": "top"})
        time = book.add_format({"num_format": "dd-mm-yyyy hh:mm:ss", "valign": "top"})
        sheet = book.add_worksheet(_sheet_name(reader.text(_EXPLANATION)))
        sheet.set_column(0, 0, 2 * _WIDEST)
        lines = [
            (reader.text(question.title), bold),
            (reader.text(question.explanation), wrapped),
            *((reader.text(each), wrapped) for each in answer.sentences),
            (reader.text(NOT_CONCLUDED), bold),
            *((note, wrapped) for note in notes(question, answer, reader)),
        ]
        for row, (text, look) in enumerate(lines):
            sheet.write_string(row, 0, _text(text), look)
        for table in answer.tables:
            sheet = book.add_worksheet(_sheet_name(reader.text(table.title)))
            sheet.freeze_panes(1, 0)
            for column, definition in enumerate(table.columns):
                caption = reader.text(definition.caption)
                sheet.write_string(0, column, caption, bold)
                widths = [len(cell_text(row[column], definition.kind, reader)) for row in table.rows[:200]]
                sheet.set_column(column, column, min(max([len(caption), *widths]) + 2, _WIDEST))
            for number, cells in enumerate(table.rows, 1):
                for column, (cell, definition) in enumerate(zip(cells, table.columns, strict=True)):
                    moment = cell_moment(cell, zone) if definition.kind is CellKind.MOMENT else None
                    if moment is not None:
                        sheet.write_datetime(number, column, moment.replace(tzinfo=None), time)
                    elif (
                        isinstance(cell, int) and not isinstance(cell, bool) and definition.kind is not CellKind.MOMENT
                    ):
                        sheet.write_number(number, column, cell)
                    else:
                        sheet.write_string(number, column, _text(cell_text(cell, definition.kind, reader)))
            if table.rows:
                sheet.autofilter(0, 0, len(table.rows), len(table.columns) - 1)
            else:
                sheet.write_string(1, 0, reader.text(table.empty))
    return content.getvalue()


def _text(text: str) -> str:
    return _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)[:_CELL_CHARACTERS]


def _sheet_name(title: str) -> str:
    return _NOT_IN_SHEET_NAMES.sub(" ", title)[:_SHEET_NAME_CHARACTERS].strip()
