"""The fields of a span as implementers really write them: names, ids and enums, one at a time (times: `span_times.py`).

| field | accepted |
| --- | --- |
| names | camelCase, snake_case, PascalCase: `traceId`, `trace_id`, `TraceID` |
| ids | hexadecimal of any case, with or without `0x`; base64; a UUID or 16 digits as trace id; else replaced |
| enums | number or name: `2`, `"STATUS_CODE_ERROR"`, `"Error"`, `"SpanKind.CLIENT"` |

Nothing here raises on any JSON value.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from ldv_otel._internal.record.logregel import Status

TRACE_ID_BYTES: Final = 16
SPAN_ID_BYTES: Final = 8

_NAME_MAX_CHARACTERS: Final = 64
_HEX: Final = re.compile("[0-9a-fA-F]+")
_UUID_CHARACTERS: Final = 36
_SHORT_TRACE_ID_DIGITS: Final = 16

_STATUS_PREFIX: Final = re.compile(r"STATUS_?CODE[._]")
_OUTBOUND: Final = frozenset({"3", "4", "CLIENT", "PRODUCER"})


class Id(msgspec.Struct, frozen=True):
    """An id as it is stored, and the text of the file where that had to be replaced.

    Attributes:
        raw: 16 or 8 bytes; empty when there is none.
        original: Empty unless `raw` stands in for it.
    """

    raw: bytes = b""
    original: str = ""


@lru_cache(maxsize=4096)
def common_name(name: str) -> str:
    """Return a field name as all its spellings have it: without underscores, in small letters."""
    return name.replace("_", "").lower() if len(name) <= _NAME_MAX_CHARACTERS else ""


def common_fields(value: object) -> dict[str, Any]:
    """Return an object's fields by their common names; none when it is no object."""
    return {common_name(name): item for name, item in value.items()} if isinstance(value, dict) else {}


def first(fields: Mapping[str, Any], *names: str) -> Any:
    """Return the first of these fields that has a value, else None."""
    return next((fields[name] for name in names if fields.get(name) not in (None, "")), None)


def read_id(value: object, length: int) -> Id:
    """Return an id of so many bytes; one of another form gets a replacement that is the same each time.

    The replacement is the beginning of the SHA-256 of the text, so whatever refers to it finds it.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        return Id()
    original = str(value).strip()
    text = original[2:] if original[:2] in ("0x", "0X") else original
    if length == TRACE_ID_BYTES and len(text) == _UUID_CHARACTERS:
        text = text.replace("-", "")
    if not text.strip("0"):
        return Id()
    if _HEX.fullmatch(text):
        if length == TRACE_ID_BYTES and len(text) == _SHORT_TRACE_ID_DIGITS:
            text = text.rjust(2 * TRACE_ID_BYTES, "0")
        if len(text) == 2 * length:
            return Id(bytes.fromhex(text))
    decoded = _from_base64(original, length)
    if decoded is not None:
        return Id(decoded if any(decoded) else b"")
    return Id(hashlib.sha256(original.encode("utf-8", "surrogatepass")).digest()[:length], original)


def read_status(value: object) -> Status | None:
    """Return the status, `UNSET` when there is none, or None when it is not one of the three."""
    if isinstance(value, dict):
        value = first(common_fields(value), "code", "statuscode")
    if value is None:
        return Status.UNSET
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    text = _STATUS_PREFIX.sub("", str(value).strip().upper(), count=1)
    if text in ("", "0", "1", "2"):
        return Status(int(text or 0))
    return Status.__members__.get(text)


def is_outbound(kind: object) -> bool:
    """Say whether a span kind is `CLIENT` or `PRODUCER`, as OTLP's number or by any spelling of its name."""
    return isinstance(kind, int | str) and re.split("[._]", str(kind).strip().upper())[-1] in _OUTBOUND


def _from_base64(text: str, length: int) -> bytes | None:
    if len(text) != -(-length // 3) * 4:
        return None
    try:
        raw = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == length else None
