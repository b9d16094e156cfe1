"""An answer to a question at a terminal, and as a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ldv_otel._internal.cli.listing import cut
from ldv_otel._internal.cli.output import OutputFormat, console, page_out
from ldv_otel._internal.cli.rendering import plain
from ldv_otel._internal.questions.cells import NO, AnswerReader, notes, table_texts
from ldv_otel._internal.questions.files import NOT_CONCLUDED, as_csv, as_json
from ldv_otel._internal.questions.model import Answer, AnswerTable, Asked, CellKind, Question
from ldv_otel._internal.questions.workbook import as_workbook
from ldv_otel.errors import ConfigurationError

#: What is longer is cut down to this, and where that has no room each row has lines of its own.
_NARROWEST: Final = 20
#: Between two columns.
_GAP: Final = 3
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
    """Yield a table where it fits without cutting words, and otherwise a few lines for each row.

    Columns that say nothing of any row are left out: empty ones, and those in which each row says no.
    """
    captions, *rows = table_texts(table, reader)
    empty = {"", reader.text(NO)}
    used = [n for n in range(len(captions)) if n == 0 or any(row[n] not in empty for row in rows)]
    widest = [max(cell_len(captions[n]), *(cell_len(row[n]) for row in rows)) for n in used]
    least = [max(_longest_word(captions[n]), min(cells, _NARROWEST)) for n, cells in zip(used, widest, strict=True)]
    room = width - _GAP * len(used)
    if sum(least) <= room:
        yield _grid(table, [captions, *rows[:_ROWS]], used, _widths(widest, least, room))
    else:
        for row in rows[:_ROWS]:
            yield Text(plain(row[used[0]]) or "-", style="bold")
            for n in used[1:]:
                if row[n] not in empty:
                    yield Padding(Text.assemble((f"{captions[n]}: ", "dim"), plain(row[n])), (0, 0, 0, 2))
    if len(rows) > _ROWS:
        yield Text(f"+ {len(rows) - _ROWS} (--json, --csv, --xlsx)", style="dim")


def _grid(table: AnswerTable, texts: list[list[str]], used: list[int], widths: list[int]) -> Table:
    captions, *rows = texts
    grid = Table(header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for n, cells in zip(used, widths, strict=True):
        right = table.columns[n].kind in _NUMBERS
        grid.add_column(captions[n], justify="right" if right else "left", width=cells, vertical="bottom")
    for row in rows:
        grid.add_row(*(Text(cut(plain(row[n]), cells), no_wrap=True) for n, cells in zip(used, widths, strict=True)))
    return grid


def _longest_word(text: str) -> int:
    return max((cell_len(word) for word in text.split()), default=0)


def _widths(wanted: list[int], least: list[int], room: int) -> list[int]:
    """Return widths of columns that fit: the widest give way first, none below its least."""
    widths = list(wanted)
    while sum(widths) > room:
        widest = max((n for n in range(len(widths)) if widths[n] > least[n]), key=lambda n: widths[n])
        widths[widest] -= 1
    return widths


def reader_of(language: str, timezone: str) -> AnswerReader:
    """Return the reader of a language, on the clock of a zone."""
    return AnswerReader(language, ZoneInfo(timezone))
