"""An answer as a file of an officer's page."""

from __future__ import annotations

from enum import StrEnum
from importlib.util import find_spec
from typing import Final
from zoneinfo import ZoneInfo

from starlette.responses import Response

from ldv_otel._internal.api.pages.page import PAGE_HEADERS
from ldv_otel._internal.questions.cells import AnswerReader
from ldv_otel._internal.questions.files import as_csv, as_json
from ldv_otel._internal.questions.model import Answer, Asked, Question
from ldv_otel._internal.questions.workbook import as_workbook


class FileForm(StrEnum):
    """The files of an answer, by how their names end."""

    CSV = "csv"
    XLSX = "xlsx"
    JSON = "json"


_MEDIA_TYPES: Final = {
    FileForm.CSV: "text/csv; charset=utf-8",
    FileForm.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    FileForm.JSON: "application/json",
}
_WORDS: Final = {FileForm.CSV: "Tabel voor Excel (CSV)", FileForm.XLSX: "Excel-bestand", FileForm.JSON: "JSON"}


def offered_forms() -> dict[FileForm, str]:
    """Return the files that there are, in words; a workbook only where the extra `excel` is installed."""
    has_excel = find_spec("xlsxwriter") is not None
    return {form: words for form, words in _WORDS.items() if form is not FileForm.XLSX or has_excel}


def answer_file(form: FileForm, question: Question, answer: Answer, asked: Asked) -> Response:
    """Return an answer as a file to keep.

    Raises:
        ConfigurationError: The extra `excel` is missing.
    """
    reader = AnswerReader("nl", ZoneInfo(asked.settings.inzage.timezone))
    if form is FileForm.CSV:
        content = as_csv(question, answer, reader, excel=True).encode()
    elif form is FileForm.XLSX:
        content = as_workbook(question, answer, reader)
    else:
        content = as_json(question, answer, asked, reader)
    name = f"{question.address}.{form}"
    headers = PAGE_HEADERS | {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, headers=headers, media_type=_MEDIA_TYPES[form])
