"""An answer to a question at a terminal, and as a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ldv_otel._internal.cli.listing import cut
from ldv_otel._internal.cli.output import OutputFormat, console, page_out
from ldv_otel._internal.cli.rendering import plain
from ldv_otel._internal.questions.cells import AnswerReader, notes, table_texts
from ldv_otel._internal.questions.files import NOT_CONCLUDED, as_csv, as_json
from ldv_otel._internal.questions.model import Answer, AnswerTable, Asked, CellKind, Question
from ldv_otel._internal.questions.workbook import as_workbook
from ldv_otel.errors import ConfigurationError

#: A column is not made narrower than this; where columns have no room, the last are left out and named.
_NARROWEST: Final = 8
#: People read the first rows; files have all.
_ROWS: Final = 200
_NUMBERS: Final = frozenset({CellKind.NUMBER, CellKind.HIDDEN_NUMBER})


def print_answer(question: Question, answer: Answer, asked: Asked, format_: OutputFormat, reader: AnswerReader) -> None:
    """Print an answer in one of the formats."""
    if format_ is OutputFormat.JSON:
        program = AnswerReader("en")
        sys.stdout.write(as_json(question, answer, asked, program).decode() + "\n")
    elif format_ is OutputFormat.CSV:
        sys.stdout.write(as_csv(question, answer, AnswerReader(reader.language)))
    elif format_ is OutputFormat.EXCEL:
        sys.stdout.write(as_csv(question, answer, reader, excel=True))
    else:
        page_out(Group(*_parts(question, answer, reader, console().width)))


def write_workbook(question: Question, answer: Answer, reader: AnswerReader, path: Path) -> None:
    """Write an answer into a workbook that is not there yet.

    Raises:
        ConfigurationError: The file is there, cannot be written, or the extra is missing.
    """
    write_new_file(path, as_workbook(question, answer, reader), "--xlsx")


def write_new_file(path: Path, content: bytes, option: str) -> None:
    """Write a file that is not there yet, for its owner only: it may be about a person.

    Raises:
        ConfigurationError: It is there, or cannot be written.
    """
    try:
        path.touch(mode=0o600, exist_ok=False)
        path.write_bytes(content)
    except FileExistsError:
        raise ConfigurationError(f"{option}: {path} is there already. Nothing was written. Name a new file.") from None
    except OSError as error:
        raise ConfigurationError(f"{option}: {path} cannot be written ({error.strerror}).") from None


def _parts(question: Question, answer: Answer, reader: AnswerReader, width: int) -> Iterator[RenderableType]:
    yield Text(reader.text(question.title), style="bold")
    yield Text(reader.text(question.explanation), style="dim")
    yield Text()
    for sentence in answer.sentences:
        yield Text(plain(reader.text(sentence)))
    for table in answer.tables:
        if table.rows:
            yield Text()
            yield Text(reader.text(table.title), style="bold")
            yield from _table(table, reader, width)
    yield Text()
    yield Text(reader.text(NOT_CONCLUDED), style="bold")
    for note in notes(question, answer, reader):
        yield Padding(Text(f"- {plain(note)}"), (0, 0, 0, 0))


def _table(table: AnswerTable, reader: AnswerReader, width: int) -> Iterator[RenderableType]:
    """Yield a table that fits: columns without a value are left out, and those that have no room."""
    captions, *rows = table_texts(table, reader)
    used = [n for n in range(len(captions)) if any(row[n] for row in rows)]
    fitting = max((width + 1) // (_NARROWEST + 3), 1)
    shown, left = used[:fitting], used[fitting:]
    widths = _widths([max(len(row[n]) for row in [captions, *rows]) for n in shown], width - 3 * len(shown))
    grid = Table(header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for n, cells in zip(shown, widths, strict=True):
        right = table.columns[n].kind in _NUMBERS
        grid.add_column(cut(captions[n], cells), justify="right" if right else "left", no_wrap=True)
    for row in rows[:_ROWS]:
        grid.add_row(*(Text(cut(plain(row[n]), cells)) for n, cells in zip(shown, widths, strict=True)))
    yield grid
    if left or len(rows) > _ROWS:
        names = ", ".join(captions[n] for n in left)
        yield Text(f"+ {names or len(rows) - _ROWS} (--json, --csv, --xlsx)", style="dim")


def _widths(wanted: list[int], room: int) -> list[int]:
    """Return widths of columns that fit: the widest give way first."""
    widths = list(wanted)
    while sum(widths) > room and max(widths, default=0) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return widths


def reader_of(language: str, timezone: str) -> AnswerReader:
    """Return the reader of a language, on the clock of a zone."""
    return AnswerReader(language, ZoneInfo(timezone))
