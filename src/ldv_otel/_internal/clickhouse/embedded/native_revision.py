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
from collections.abc import Iterator
from types import MappingProxyType
from typing import Final, NamedTuple

from ldv_otel._internal.clickhouse.embedded.errors import NOT_IMPLEMENTED, EngineError

#: The first revision with a serialisation byte for each column (DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION).
SERIALISATION_REVISION: Final = 54_454

#: Field 1, not an overflow block; field 2, bucket -1; end.
_BLOCK_INFO: Final = struct.pack("<BBBiB", 1, 0, 2, -1, 0)
_DEFAULT_SERIALISATION: Final = b"\0"

_TYPE: Final = re.compile(r"(\w+)(?:\((.*)\))?\Z", re.DOTALL)
_WIDTHS: Final = MappingProxyType(
    {"Bool": 1, "Date": 2, "Date32": 4, "DateTime": 4, "DateTime64": 8, "Enum8": 1, "Enum16": 2, "UUID": 16}
    | {"IPv4": 4, "IPv6": 16, "Nothing": 1, "BFloat16": 2, "Float32": 4, "Float64": 8, "Time": 4, "Time64": 8}
    | {f"Interval{unit}": 8 for unit in ("Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour")}
    | {f"Interval{unit}": 8 for unit in ("Day", "Week", "Month", "Quarter", "Year")}
    | {f"{sign}Int{bits}": bits // 8 for sign in ("", "U") for bits in (8, 16, 32, 64, 128, 256)}
)
#: Types that are made of columns of others.
_WITH_PARTS: Final = frozenset(
    {"Array", "Map", "Nested", "Tuple", "Nullable", "LowCardinality", "SimpleAggregateFunction"}
)
#: Bytes of a decimal number, and the most digits that fit.
_DECIMALS: Final = ((4, 9), (8, 18), (16, 38), (32, 76))
#: A client names the type, and may nest it as deep as it likes.
_MAX_DEPTH: Final = 32
#: In the brackets of a type: quoted texts, which may hold anything, brackets and commas.
_TOKEN: Final = re.compile(r"'(?:[^'\\]|\\.?)*+(?:'|\Z)|`(?:[^`\\]|\\.?)*+(?:`|\Z)|[(),]", re.DOTALL)
#: What may stand before the type of an element of a tuple.
_ELEMENT_NAME: Final = re.compile(r"(?:`(?:[^`\\]|\\.)*+`|[A-Za-z_]\w*+)\s++(?=[A-Z])", re.DOTALL)


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


class _Column(NamedTuple):
    """A type with its parts: those of a tuple, the one within an array, the words of the others.

    Attributes:
        words: What stands in its brackets, for a type that has no parts.
    """

    name: str
    parts: tuple[_Column, ...] = ()
    words: tuple[str, ...] = ()


def _column(type_name: str, depth: int = 0) -> _Column:
    """Read the name of a type.

    Raises:
        EngineError: It is nested deeper than any that a client has a use for, or is none.
    """
    match = _TYPE.match(type_name)
    if match is None or depth > _MAX_DEPTH:
        raise _unmeasured(type_name)
    name, words = match[1], tuple(_split(match[2] or ""))
    if name not in _WITH_PARTS:
        return _Column(name, (), words)
    # A function and its argument: the argument's type is what is stored.
    inner = words[1:2] if name == "SimpleAggregateFunction" else words
    return _Column(name, tuple(_column(_without_name(word), depth + 1) for word in inner))


def _without_name(element: str) -> str:
    named = _ELEMENT_NAME.match(element)
    return element[named.end() :] if named else element


def _split(text: str) -> Iterator[str]:
    """Give the parts between commas that stand in no brackets and no quotes."""
    depth, start = 0, 0
    for token in _TOKEN.finditer(text):
        if token[0] == ",":
            if not depth:
                yield text[start : token.start()].strip()
                start = token.end()
        else:
            depth += {"(": 1, ")": -1}.get(token[0], 0)
    if text:
        yield text[start:].strip()


def _skip(type_name: str, data: bytes, at: int, rows: int) -> int:
    """Return where a column of this type and so many rows ends."""
    column = _column(type_name)
    # What dictionaries inside say about themselves comes before all data.
    return _end(column, data, at + 8 * _dictionaries(column), rows)


def _dictionaries(column: _Column) -> int:
    return (column.name == "LowCardinality") + sum(map(_dictionaries, column.parts))


def _end(column: _Column, data: bytes, at: int, rows: int) -> int:
    name = column.name
    if name in _WITH_PARTS and name != "LowCardinality":
        return _end_of_parts(column, data, at, rows)
    if name == "LowCardinality":
        return _end_of_dictionary(column, data, at)
    if name == "String":
        for _ in range(rows):
            size, at = _varint(data, at)
            at += size
        return at
    return at + rows * _width(column)


def _end_of_parts(column: _Column, data: bytes, at: int, rows: int) -> int:
    if column.name == "Nullable":
        at += rows
    elif column.name in {"Array", "Map", "Nested"}:
        items: int = struct.unpack_from("<Q", data, at + 8 * (rows - 1))[0]
        at, rows = at + 8 * rows, items
    for part in column.parts:
        at = _end(part, data, at, rows) if rows else at
    return at


def _width(column: _Column) -> int:
    name = column.name
    if name == "FixedString":
        return int(column.words[0])
    if name.startswith("Decimal"):
        return _decimal_width(column)
    if name not in _WIDTHS:
        raise _unmeasured(name)
    return _WIDTHS[name]


def _end_of_dictionary(column: _Column, data: bytes, at: int) -> int:
    flags, keys = struct.unpack_from("<QQ", data, at)
    # A value that may be NULL is so by its place in the dictionary, which holds no NULL itself.
    (inner,) = column.parts
    inner = inner.parts[0] if inner.name == "Nullable" else inner
    at = _end(inner, data, at + 16, keys)
    (rows,) = struct.unpack_from("<Q", data, at)
    return int(at + 8 + (rows << (flags & 0xFF)))


def _decimal_width(column: _Column) -> int:
    if bits := column.name.removeprefix("Decimal"):
        return int(bits) // 8
    return next(width for width, digits in _DECIMALS if int(column.words[0]) <= digits)


def _unmeasured(type_name: str) -> EngineError:
    return EngineError.of(
        NOT_IMPLEMENTED,
        f"A column of type {type_name[:200]} cannot be sent as Native to a client of this protocol version",
    )
