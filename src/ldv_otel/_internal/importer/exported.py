"""Files that `ldv export` wrote, Parquet and CSV: their records as they were, into another Logboek.

What stands there was normalised and redacted when it was made, and people are pseudonyms. So a record that went out and
came in says the same; of a file that somebody edited, texts that no Logboek can hold are normalised and flagged. Its
writer and sequence number do not come along: they are those of the process that stored it first.
"""

from __future__ import annotations

import csv
import importlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ldv_otel._internal.privacy.redaction import Redactor
from ldv_otel._internal.record.builder import redacted
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.record.spreadsheet_cells import unguarded_cell
from ldv_otel._internal.times.instants import ms_from_datetime
from ldv_otel.errors import ConfigurationError, UnreadableInput

_PARQUET_MAGIC: Final = b"PAR1"
_CSV_START: Final = re.compile(rb'"?trace_id"?,"?span_id"?,"?parent_span_id"?,"?status"?,')
#: Rows that are read at a time.
_ROWS: Final = 20_000
_HEX: Final = re.compile(r"[0-9a-f]*")
_TRACE_ID_BYTES: Final = 16
_SPAN_ID_BYTES: Final = 8
_CELL_CHARACTERS: Final = 1 << 30
_NOBODY: Final = Redactor(())


def is_export(path: Path) -> bool:
    """Say whether a file is one that `ldv export` writes, by how it begins; one that cannot be read is not."""
    try:
        with path.open("rb") as file:
            start = file.read(200)
    except OSError:
        return False
    return start.startswith(_PARQUET_MAGIC) or _CSV_START.match(start) is not None


def exported_rows(path: Path) -> Iterator[list[Mapping[str, Any]]]:
    """Give the rows of an export, some thousands at a time; texts are as they were before CSV guarded them.

    Raises:
        UnreadableInput: It is damaged.
        ConfigurationError: The package for Parquet is not installed.
    """
    with path.open("rb") as file:
        parquet = file.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC
    yield from _parquet_rows(path) if parquet else _csv_rows(path)


def exported_record(row: Mapping[str, Any]) -> Logregel:
    """Return the record of a row.

    Raises:
        UnreadableInput: Something in it is not as `ldv export` writes it; its text names the column and no value.
    """
    try:
        start, end = _moment(row, "start_time"), _moment(row, "end_time")
        if end < start:
            raise UnreadableInput("end_time is before start_time")
        record = Logregel(
            trace_id=_id(row, "trace_id", _TRACE_ID_BYTES),
            span_id=_id(row, "span_id", _SPAN_ID_BYTES),
            parent_span_id=_id(row, "parent_span_id", _SPAN_ID_BYTES, absent=True),
            status=_status(row),
            name=_text(row, "name"),
            start_time_ms=start,
            end_time_ms=end,
            processing_activity_id=_text(row, "processing_activity_id"),
            parent_processing_activity_id=_text(row, "parent_processing_activity_id"),
            data_subject_id=_id(row, "data_subject_id", _TRACE_ID_BYTES, absent=True),
            data_subject_id_type=_text(row, "data_subject_id_type"),
            key_id=_text(row, "key_id"),
            data_subject_sealed=_text(row, "data_subject_sealed"),
            foreign_operation_trace_id=_id(row, "foreign_operation_trace_id", _TRACE_ID_BYTES, absent=True),
            foreign_operation_span_id=_id(row, "foreign_operation_span_id", _SPAN_ID_BYTES, absent=True),
            foreign_operation_processor=_text(row, "foreign_operation_processor"),
            external_read_api_id=_text(row, "external_read_api_id"),
            outbound_span_ids=tuple(_raw("outbound_span_ids", each, _SPAN_ID_BYTES) for each in _ids(row)),
            attributes=_texts(row, "attributes"),
            resource=json.dumps(_texts(row, "resource"), ensure_ascii=False, separators=(",", ":")),
        )
        return redacted(record, _NOBODY)
    except KeyError as error:
        raise UnreadableInput(f"the column {error.args[0]} is missing") from None


def _parquet_rows(path: Path) -> Iterator[list[Mapping[str, Any]]]:
    try:  # `Any`, as pyarrow has no types
        arrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ConfigurationError(
            "An export in Parquet needs an extra to be read. Nothing was stored. Run `pip install 'ldv-otel[export]'`."
        ) from error
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_ROWS):
                yield batch.to_pylist()
    except (arrow.ArrowException, OSError) as error:
        raise UnreadableInput("the Parquet file is damaged") from error


def _csv_rows(path: Path) -> Iterator[list[Mapping[str, Any]]]:
    # The limit is of the whole process, so it is put back; without it a cell may have 131,072 characters.
    before = csv.field_size_limit(_CELL_CHARACTERS)
    rows: list[Mapping[str, Any]] = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, strict=True):
                rows.append({name: unguarded_cell(cell) for name, cell in row.items() if isinstance(cell, str)})
                if len(rows) == _ROWS:
                    yield rows
                    rows = []
    except (csv.Error, UnicodeDecodeError) as error:
        raise UnreadableInput("the CSV file is damaged") from error
    finally:
        csv.field_size_limit(before)
    if rows:
        yield rows


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row[column]
    if not isinstance(value, str):
        raise UnreadableInput(f"{column} is no text")
    return value


def _id(row: Mapping[str, Any], column: str, size: int, *, absent: bool = False) -> bytes:
    text = _text(row, column)
    return b"" if absent and not text else _raw(column, text, size)


def _raw(column: str, text: object, size: int) -> bytes:
    if not isinstance(text, str) or len(text) != 2 * size or not _HEX.fullmatch(text):
        raise UnreadableInput(f"{column} is not {2 * size} hexadecimal digits")
    return bytes.fromhex(text)


def _ids(row: Mapping[str, Any]) -> list[object]:
    value = row["outbound_span_ids"]
    return [*value.split()] if isinstance(value, str) else list(value)


def _moment(row: Mapping[str, Any], column: str) -> int:
    value = row[column]
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return ms_from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, AttributeError):
        raise UnreadableInput(f"{column} is no moment") from None


def _status(row: Mapping[str, Any]) -> Status:
    try:
        return Status[_text(row, "status").upper()]
    except KeyError:
        raise UnreadableInput("status is not Unset, Ok or Error") from None


def _texts(row: Mapping[str, Any], column: str) -> dict[str, str]:
    value = row[column]
    try:
        pairs = json.loads(value) if isinstance(value, str) else dict(value)
    except (ValueError, TypeError, RecursionError):
        raise UnreadableInput(f"{column} is no object of texts") from None
    if not isinstance(pairs, dict) or not all(isinstance(part, str) for pair in pairs.items() for part in pair):
        raise UnreadableInput(f"{column} is no object of texts")
    return pairs
