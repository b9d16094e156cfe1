"""Columns in ClickHouse's Native format: what an insert sends.

A batch is a few thousand rows of ids, times and repeated texts. Whole columns go through C-level joins and arrays, a
few microseconds a row in all. Numbers are little-endian, as the format and every supported processor have them.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain
from typing import Final

#: A column's ClickHouse type and its encoded values.
EncodedColumn = tuple[str, bytes]

#: The only version there is of how a dictionary is sent with its values.
_DICTIONARY_VERSION: Final = (1).to_bytes(8, "little")
#: A dictionary of this block alone, sent with it.
_OWN_DICTIONARY: Final = (1 << 9) | (1 << 10)
_PLACE_TYPES: Final = "BHI"
_SWAPPED: Final = sys.byteorder == "big"


def block(columns: Mapping[str, EncodedColumn], rows: int) -> bytes:
    """Return columns as one block."""
    parts = [_varint(len(columns)), _varint(rows)]
    for name, (type_, values) in columns.items():
        parts += (_sized(name.encode()), _sized(type_.encode()), values)
    return b"".join(parts)


def fixed_strings(values: Sequence[bytes], length: int) -> bytes:
    """Return a `FixedString(length)` column.

    Raises:
        ValueError: A value has another length; it would shift all values after it.
    """
    if not set(map(len, values)) <= {length}:
        raise ValueError(f"a value is not {length} bytes long")
    return b"".join(values)


def numbers(typecode: str, values: Iterable[int]) -> bytes:
    """Return a column of integers.

    Args:
        typecode: That of the module `array`: `Q` for UInt64, `q` for DateTime64, `b` for Enum8.

    Raises:
        OverflowError: A value does not fit.
    """
    packed = array(typecode, values)
    if _SWAPPED:
        packed.byteswap()
    return packed.tobytes()


def strings(values: Sequence[bytes]) -> bytes:
    """Return a `String` column."""
    if not any(values):
        return bytes(len(values))
    return b"".join(chain.from_iterable((_varint(len(value)), value) for value in values))


def low_cardinality(values: Sequence[str]) -> bytes:
    """Return a `LowCardinality(String)` column."""
    return _DICTIONARY_VERSION + _dictionary(values)


def arrays_of_fixed_strings(values: Sequence[Sequence[bytes]], length: int) -> bytes:
    """Return an `Array(FixedString(length))` column.

    Raises:
        ValueError: A value has another length.
    """
    return _offsets(values) + fixed_strings(list(chain.from_iterable(values)), length)


def maps(values: Sequence[Mapping[str, str]]) -> bytes:
    """Return a `Map(LowCardinality(String), String)` column."""
    keys = list(chain.from_iterable(values))
    texts = [encoded(text) for value in values for text in value.values()]
    return _DICTIONARY_VERSION + _offsets(values) + _dictionary(keys) + (strings(texts) if texts else b"")


def encoded(text: str) -> bytes:
    """Return text as the UTF-8 that the Logboek holds; what is no Unicode becomes `?`."""
    return text.encode("utf-8", "replace")


def _dictionary(values: Sequence[str]) -> bytes:
    if not values:
        return b""
    places = {text: place for place, text in enumerate(dict.fromkeys(values))}
    width = 0 if len(places) <= 1 << 8 else 1 if len(places) <= 1 << 16 else 2
    return b"".join(
        (
            numbers("Q", (_OWN_DICTIONARY | width, len(places))),
            strings([encoded(text) for text in places]),
            numbers("Q", (len(values),)),
            numbers(_PLACE_TYPES[width], map(places.__getitem__, values)),
        )
    )


def _offsets(values: Iterable[Sequence[bytes] | Mapping[str, str]]) -> bytes:
    return numbers("Q", accumulate(map(len, values)))


def _sized(value: bytes) -> bytes:
    return _varint(len(value)) + value


def _varint(number: int) -> bytes:
    """Return a length as 7 bits a byte, the lowest first."""
    if number < len(_SHORT_VARINTS):
        return _SHORT_VARINTS[number]
    return _long_varint(number)


def _long_varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:  # noqa: PLR2004  (seven bits)
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


_SHORT_VARINTS: Final = tuple(map(_long_varint, range(1_024)))
