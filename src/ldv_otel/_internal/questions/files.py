"""An answer as a file: CSV, CSV as a Dutch Excel opens it, and JSON."""

from __future__ import annotations

import csv
import io
from typing import Any, Final

import msgspec

from ldv_otel._internal.questions.cells import AnswerReader, notes, table_texts
from ldv_otel._internal.questions.model import Answer, AnswerTable, Asked, Cell, CellKind, Question, Said
from ldv_otel._internal.record.spreadsheet_cells import guarded_cell
from ldv_otel._internal.times.instants import rfc3339_from_ms

NOT_CONCLUDED: Final = Said("Wat u hieruit niet mag opmaken", "What may not be concluded from this")


def as_csv(question: Question, answer: Answer, reader: AnswerReader, *, excel: bool = False) -> str:
    """Return an answer as CSV: each table below its title, and below them what may not be concluded.

    Args:
        excel: As a Dutch Excel opens it: semicolons, local times, a byte order mark. Otherwise commas.
    """
    text = io.StringIO()
    # Without the mark Excel takes UTF-8 for the code page of the system.
    text.write("\N{ZERO WIDTH NO-BREAK SPACE}" if excel else "")
    lines = csv.writer(text, delimiter=";" if excel else ",", lineterminator="\r\n" if excel else "\n")
    for sentence in answer.sentences:
        lines.writerow([guarded_cell(reader.text(sentence))])
    for table in answer.tables:
        lines.writerow([])
        lines.writerow([reader.text(table.title)])
        lines.writerows([guarded_cell(cell) for cell in row] for row in table_texts(table, reader))
        if not table.rows:
            lines.writerow([reader.text(table.empty)])
    lines.writerow([])
    lines.writerow([reader.text(NOT_CONCLUDED)])
    lines.writerows([guarded_cell(note)] for note in notes(question, answer, reader))
    return text.getvalue()


def as_builtins(question: Question, answer: Answer, asked: Asked, reader: AnswerReader) -> dict[str, Any]:
    """Return an answer as JSON has it."""
    return {
        "question": question.name,
        "title": reader.text(question.title),
        "from": rfc3339_from_ms(asked.since_ms),
        "to": rfc3339_from_ms(asked.until_ms),
        "activity": asked.activity,
        "service": asked.service,
        "confidential": asked.confidential,
        "answer": [reader.text(each) for each in answer.sentences],
        "tables": {table.name: _rows(table) for table in answer.tables},
        "complete": all(table.complete for table in answer.tables),
        "notConcluded": notes(question, answer, reader),
    }


def as_json(question: Question, answer: Answer, asked: Asked, reader: AnswerReader) -> bytes:
    """Return an answer as JSON, indented."""
    content = msgspec.json.encode(as_builtins(question, answer, asked, reader))
    return msgspec.json.format(content, indent=2)


def _rows(table: AnswerTable) -> list[dict[str, Any]]:
    names = [(column.name, column.kind) for column in table.columns]
    return [{name: _value(cell, kind) for cell, (name, kind) in zip(row, names, strict=True)} for row in table.rows]


def _value(cell: Cell, kind: CellKind) -> Any:
    return rfc3339_from_ms(cell) if kind is CellKind.MOMENT and isinstance(cell, int) else cell
