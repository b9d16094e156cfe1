"""The parameters and the answers of the named queries."""

from __future__ import annotations

import re
import uuid
from typing import Annotated, Final, Self

import msgspec

from ldv_otel._internal.clickhouse.columns import StoredLogregel
from ldv_otel.errors import QueryError

#: How many records a page has unless the caller asks for fewer or more.
PAGE_RECORDS: Final = 100

#: The version of UUIDs that begin with a moment.
_WITH_MOMENT: Final = 7
#: W3C Trace Context.
_TRACE_ID_BYTES: Final = 16
_SPAN_ID_BYTES: Final = 8


class Cursor(msgspec.Struct, frozen=True):
    """Where the next page begins: after this row.

    Its text is for addresses and command lines: letters, digits and hyphens. The document of the read API has the same
    pattern for its parameter `cursor`.
    """

    start_time_ms: int = -1
    span_id: bytes = bytes(8)
    writer_id: str = ""
    seq: int = 0

    def __str__(self) -> str:
        """The cursor as one word."""
        return f"{self.start_time_ms}-{self.span_id.hex()}-{self.seq}-{self.writer_id.encode().hex()}"

    @classmethod
    def after(cls, record: StoredLogregel) -> Self:
        """Return the cursor of a page that ends with this record."""
        return cls(record.logregel.start_time_ms, record.logregel.span_id, record.writer_id, record.seq)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the cursor that gave this text.

        Raises:
            QueryError: None did.
        """
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise QueryError("That is no cursor; take it as it was given with the page before.")
        start_time_ms, span_id, seq, writer_id = match.groups()
        return cls(
            int(start_time_ms), bytes.fromhex(span_id), bytes.fromhex(writer_id).decode("utf-8", "replace"), int(seq)
        )


_CURSOR: Final = re.compile(r"^([0-9]{1,15})-([0-9a-f]{16})-([0-9]{1,19})-((?:[0-9a-f]{2}){0,100})\Z")
#: The text of a cursor, as a type for checks of requests and their documents.
CursorText = Annotated[str, msgspec.Meta(pattern=_CURSOR.pattern)]


class RecordQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What `search` looks for: records that meet every condition that has a value.

    Attributes:
        trace_id: 16 bytes.
        foreign_trace_id: 16 bytes: the trace of another party on whose behalf something was done here.
        foreign_span_id: 8 bytes.
        subjects: Pseudonyms of 16 bytes, each once; a record is about one of them, or about one that is linked to them.
        subject_type: Type of the number behind `subjects`.
        processor: `dpl.core.foreign_operation.processor`.
        read_api: `dpl.read.nextLogbookId`.
        transaction_id: `dpl.fsc.transaction_id`, in small letters and with dashes.
        visible: Beginnings of the only processing activities to show; none for all.
        since_ms: Started then or later; ms since 1970-01-01 UTC.
        until_ms: Started before then.
        ended_by_ms: Ended then or earlier; ms since 1970-01-01 UTC.
    """

    trace_id: bytes = b""
    foreign_trace_id: bytes = b""
    foreign_span_id: bytes = b""
    subjects: tuple[bytes, ...] = ()
    subject_type: str = ""
    activity: str = ""
    processor: str = ""
    read_api: str = ""
    transaction_id: str = ""
    visible: tuple[str, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    ended_by_ms: int | None = None


class Page(msgspec.Struct, frozen=True):
    """Some records, oldest first; `following` is None on the last page."""

    records: list[StoredLogregel]
    following: Cursor | None


class UsedActivity(msgspec.Struct, frozen=True):
    """A processing activity in the records about one person; times in ms since 1970-01-01 UTC."""

    activity: str
    logregels: int
    first_ms: int
    last_ms: int


class Totals(msgspec.Struct, frozen=True):
    """What a Logboek holds; times in ms since 1970-01-01 UTC, None when it is empty."""

    logregels: int
    first_ms: int | None
    last_ms: int | None
    errors: int
    flagged: int
    activities: int


class WriterCounts(msgspec.Struct, frozen=True):
    """What one writer stored.

    Attributes:
        stored: Rows.
        removed: Sequence numbers without a row since `ldv retention apply` removed what was past its term.
        missing: Other sequence numbers, up to the highest stored, that no row has: Logregels that were lost.
        doubled: Rows beyond the first with the same sequence number.
    """

    writer_id: str
    resource: str
    stored: int
    removed: int
    missing: int
    doubled: int
    first_ms: int
    last_ms: int


class PageLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Which of the records that a query finds are on the page.

    Attributes:
        since_ms: Started then or later, in ms since 1970-01-01 UTC; None for the first.
        until_ms: Started before then; None for the last.
        after: Cursor of the page before; None for the first page.
        limit: At most so many records.
    """

    since_ms: int | None = None
    until_ms: int | None = None
    after: Cursor | None = None
    limit: int = PAGE_RECORDS


#: A first page of everything.
FIRST_PAGE: Final = PageLimits()


def parse_trace_id(text: str) -> bytes:
    """Return the 16 bytes of a trace id given as 32 hex digits or as a dashed UUID.

    Raises:
        QueryError: That is no trace id.
    """
    raw = _from_hex(text.replace("-", ""))
    if len(raw) != _TRACE_ID_BYTES or not any(raw):
        raise QueryError("A trace id has 32 hexadecimal digits, not all 0, with or without the dashes of a UUID.")
    return raw


def parse_transaction_id(text: str) -> str:
    """Return a UUID as records have it in `dpl.fsc.transaction_id`.

    Raises:
        QueryError: That is no UUID.
    """
    return str(uuid.UUID(bytes=parse_trace_id(text)))


def has_moment(transaction_id: str) -> bool:
    """Return whether a UUID begins with a moment, in ms since 1970-01-01 UTC: version 7, as those of FSC."""
    return uuid.UUID(transaction_id.strip()).version == _WITH_MOMENT


def parse_span_id(text: str) -> bytes:
    """Return the 8 bytes of a span id given as 16 hex digits.

    Raises:
        QueryError: That is no span id.
    """
    raw = _from_hex(text)
    if len(raw) != _SPAN_ID_BYTES or not any(raw):
        raise QueryError("A span id has 16 hexadecimal digits, not all 0.")
    return raw


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text.strip())
    except ValueError:
        return b""
