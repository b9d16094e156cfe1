"""Cursors as they stand in addresses: nothing but letters, digits and hyphens."""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec

from ldv_otel._internal.clickhouse.queries.models import Cursor

_CURSOR: Final = re.compile(r"^([0-9]{1,15})-([0-9a-f]{16})-([0-9]{1,19})-((?:[0-9a-f]{2}){0,100})\Z")

Word = Annotated[str, msgspec.Meta(pattern=_CURSOR.pattern)]


def encode_cursor(cursor: Cursor) -> str:
    """Return a cursor as one word."""
    return f"{cursor.start_time_ms}-{cursor.span_id.hex()}-{cursor.seq}-{cursor.writer_id.encode().hex()}"


def decode_cursor(text: str) -> Cursor | None:
    """Return the cursor that a word stands for; None when it stands for none."""
    found = _CURSOR.search(text)
    if found is None:
        return None
    writer_id = bytes.fromhex(found[4]).decode("utf-8", "replace")
    return Cursor(int(found[1]), bytes.fromhex(found[2]), writer_id, int(found[3]))
