"""Answers of read APIs: records of other parties, in either form of *lezen* or a mixture of both (LDV-N7).

What stands in them was written elsewhere, so every value is checked, and a record that cannot be read is left out and
said to be missing, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

import ldv_otel.attributes as names
from ldv_otel._internal.record.builder import LogregelBuilder, resource_of
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.record.spellings import CANONICAL, OUTBOUND_SPAN_IDS, flat_members
from ldv_otel._internal.times.instants import ms_from_rfc3339, within_record_time

_MAX_TEXT: Final = 4_096
_MAX_OUTBOUND: Final = 1_000
#: The members of an answer that hold its records: of the form of 2026, of that of 2025, and as some spell them.
_RECORDS: Final = (
    "dataProcessingOperations",
    "data_processing_operations",
    "processingActivities",
    "processing_activities",
)


class PartyAnswer(msgspec.Struct, frozen=True):
    """One answer of a read API.

    Attributes:
        logregels: Those that could be read.
        count: How many records it had.
    """

    logregels: list[Logregel]
    count: int

    @property
    def all_read(self) -> bool:
        """Whether every record of the answer could be read."""
        return len(self.logregels) == self.count


def read_answer(content: bytes) -> PartyAnswer:
    """Return the records in an answer.

    Raises:
        ValueError: It is not the answer of a read API.
    """
    try:
        answer = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("no JSON") from None
    if not isinstance(answer, dict):
        raise ValueError("no JSON object")  # noqa: TRY004  (what a stranger sent, not a mistake of the caller)
    lists = [answer[name] for name in _RECORDS if name in answer]
    if not lists or not all(isinstance(records, list) for records in lists):
        raise ValueError("no list of records")
    records = [record for each in lists for record in each]
    return PartyAnswer([logregel for record in records if (logregel := _logregel(record)) is not None], len(records))


def _logregel(record: object) -> Logregel | None:
    """Return a record of another party, or None when it cannot be read."""
    if not isinstance(record, dict):
        return None
    try:
        attributes = _Attributes(_object(record, "attributes"))
        parent_span_id = _text_of(record, "parentSpanId", "parent_span_id")
        builder = LogregelBuilder(
            _id(_text_of(record, "traceId", "trace_id").replace("-", ""), 16),
            _id(_text_of(record, "spanId", "span_id"), 8),
        )
        # Some write zeros where there is no parent.
        builder.parent(_id(parent_span_id, 8) if parent_span_id.strip("0") else b"")
        builder.status(Status[_text_of(record, "status").upper()])
        builder.name(_text_of(record, "name"))
        builder.period(_moment(record, "startTime", "start_time"), _moment(record, "endTime", "end_time"))
        builder.activity(attributes.text(names.PROCESSING_ACTIVITY_ID))
        builder.activity(attributes.text(names.PARENT_PROCESSING_ACTIVITY_ID), "parent_processing_activity_id")
        builder.foreign_operation(
            attributes.id(names.FOREIGN_OPERATION_TRACE_ID, 16),
            attributes.id(names.FOREIGN_OPERATION_SPAN_ID, 8),
            attributes.text(names.FOREIGN_OPERATION_PROCESSOR),
        )
        builder.read_apis([attributes.text(names.NEXT_LOGBOOK_ID)])
        builder.outbound(attributes.span_ids(OUTBOUND_SPAN_IDS))
        builder.resource(resource_of(_texts(_object(_object(record, "resource"), "attributes")), None))
    except (ValueError, KeyError, OverflowError):
        return None
    return builder.build()


class _Attributes:
    """The attributes of a record, by the names that this package writes.

    Raises:
        ValueError: One of them stands there twice with different values: then it says nothing.
    """

    def __init__(self, attributes: Mapping[str, object]) -> None:
        self._values: dict[str, object] = {}
        for spelling, _, value in flat_members(attributes):
            name = CANONICAL.get(spelling)
            if name is not None and self._values.setdefault(name, value) != value:
                raise ValueError("two values for one attribute")

    def text(self, name: str) -> str:
        value = self._values.get(name, "")
        return value[:_MAX_TEXT] if isinstance(value, str) else ""

    def id(self, name: str, length: int) -> bytes:
        text = self.text(name).replace("-", "")
        return _id(text, length) if text else b""

    def span_ids(self, name: str) -> tuple[bytes, ...]:
        value = self._values.get(name, [])
        texts: Iterable[object] = value[:_MAX_OUTBOUND] if isinstance(value, list) else ()
        return tuple(_id(text, 8) for text in texts if isinstance(text, str))


def _object(members: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = members.get(name)
    return value if isinstance(value, dict) else {}


def _text_of(record: Mapping[str, Any], *spellings: str) -> str:
    """Return the first of these members that is there, cut to what a record needs; empty without any."""
    for name in spellings:
        value = record.get(name)
        if value is not None:
            if not isinstance(value, str):
                raise ValueError("no text")
            return value[:_MAX_TEXT]
    return ""


def _moment(record: Mapping[str, Any], *spellings: str) -> int:
    """Return a moment in ms, inside what a Logregel can have: RFC 3339, or whole ms."""
    for name in spellings:
        value = record.get(name)
        if isinstance(value, str):
            return within_record_time(ms_from_rfc3339(value))
        if isinstance(value, int) and not isinstance(value, bool):
            return within_record_time(value)
    raise ValueError("no moment")


def _id(text: str, length: int) -> bytes:
    raw = bytes.fromhex(text)
    if len(raw) != length or not any(raw):
        raise ValueError("no id")
    return raw


def _texts(attributes: Mapping[str, Any]) -> dict[str, str]:
    return {name[:_MAX_TEXT]: value[:_MAX_TEXT] for name, value in attributes.items() if isinstance(value, str)}
