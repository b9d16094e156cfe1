"""FORMAT Native at the protocol revision that a client asks for.

Over HTTP a client may name its revision (`client_protocol_version`); from 54454 on each block then starts with a block
info, and each column has a byte that says how it is serialised. chDB always writes revision 0. This adds what is
missing, for which it has to find where columns end; types it does not know are refused, not guessed.

Clients that ask for less than 54454 get revision 0. One that does, clickhouse-connect, reads the
answer to a first query, and takes revision 0 from there on.
"""

from __future__ import annotations

import re
import struct
from types import MappingProxyType
from typing import Final

from ldv_otel._internal.clickhouse.embedded.errors import NOT_IMPLEMENTED, EngineError

#: The first revision with a serialisation byte for each column (DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION).
SERIALISATION_REVISION: Final = 54_454

#: Field 1, not an overflow block; field 2, bucket -1; end.
_BLOCK_INFO: Final = struct.pack("<BBBiB", 1, 0, 2, -1, 0)
_DEFAULT_SERIALISATION: Final = b"\0"

_TYPE: Final = re.compile(r"(\w+)(?:\((.*)\))?\Z", re.DOTALL)
_WIDTHS: Final = MappingProxyType(
    {"Bool": 1, "Date": 2, "Date32": 4, "DateTime": 4, "DateTime64": 8, "Enum8": 1, "Enum16": 2, "UUID": 16}
    | {"IPv4": 4, "IPv6": 16, "Nothing": 1, "Float32": 4, "Float64": 8}
    | {f"{sign}Int{bits}": bits // 8 for sign in ("", "U") for bits in (8, 16, 32, 64, 128, 256)}
)


def at_revision(data: bytes) -> bytes:
    """Rewrite Native blocks of revision 0 as blocks with block info and serialisation bytes.

    Raises:
        EngineError: A column's type is not one of those that can be measured here.
    """
    return b"".join(_rewrite(data))


def _rewrite(data: bytes) -> list[bytes]:
    parts: list[bytes] = []
    at = 0
    while at < len(data):
        start = at
        columns, at = _varint(data, at)
        rows, at = _varint(data, at)
        parts += [_BLOCK_INFO, data[start:at]]
        for _ in range(columns):
            start = at
            _, at = _string(data, at)
            type_name, at = _string(data, at)
            parts += [data[start:at], _DEFAULT_SERIALISATION]
            start, at = at, _skip(type_name.decode(), data, at, rows) if rows else at
            parts.append(data[start:at])
    return parts


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while data[at] & 0x80:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
    return value | data[at] << shift, at + 1


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = _varint(data, at)
    return data[at : at + size], at + size


def _skip(type_name: str, data: bytes, at: int, rows: int) -> int:
    """Return where a column of this type and so many rows ends."""
    match = _TYPE.match(type_name)
    name, inner = (match[1], match[2] or "") if match else ("", "")
    if name in _WIDTHS:
        return at + rows * _WIDTHS[name]
    if name == "String":
        for _ in range(rows):
            size, at = _varint(data, at)
            at += size
        return at
    if name == "FixedString":
        return at + rows * int(inner)
    if name == "Nullable":
        return _skip(inner, data, at + rows, rows)
    if name == "Array":
        items: int = struct.unpack_from("<Q", data, at + 8 * (rows - 1))[0]
        return _skip(inner, data, at + 8 * rows, items) if items else at + 8 * rows
    raise EngineError.of(
        NOT_IMPLEMENTED, f"A column of type {type_name} cannot be sent as Native to a client of this protocol version"
    )
