"""Columns as one block of ClickHouse's Native format, each encoded by the driver's own type.

The types are used without the driver's `insert` around them, which does three things that a confirmed batch cannot
have: it cuts columns into blocks by their size, while a deduplication token holds block by block; it sends what it
encoded before a value that does not fit; and it logs that value with a traceback.

This module imports the driver, which takes 0.2 s, so it is imported late itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final

from clickhouse_connect.datatypes.base import ClickHouseType
from clickhouse_connect.datatypes.container import Array
from clickhouse_connect.datatypes.registry import get_from_name
from clickhouse_connect.datatypes.string import FixedString
from clickhouse_connect.driver.common import write_array, write_leb128
from clickhouse_connect.driver.exceptions import DataError
from clickhouse_connect.driver.insert import InsertContext

from ldv_otel._internal.clickhouse.columns import Column
from ldv_otel.errors import BatchRefused

#: Formats that the application made its defaults in the driver (`set_write_format`) do not hold for the Logboek.
_FORMATS: Final = {"*": "native"}

#: Integers are written past their types, which look for numpy first, and so import it wherever it is installed: 0.1 s
#: and 12 MB in a service that may have no use for it.
_INTEGERS: Final = {"UInt32": "I", "UInt64": "Q"}


def block(columns: Mapping[str, Column]) -> bytes:
    """Return columns, all of the same length, as one block.

    Raises:
        BatchRefused: A value does not fit its column; no try would change that.
    """
    (rows,) = {len(values) for _, values in columns.values()}
    context = InsertContext("", (), (), query_formats=_FORMATS)
    content = bytearray()
    write_leb128(len(columns), content)
    write_leb128(rows, content)
    for name, (type_name, values) in columns.items():
        for text in (name.encode(), type_name.encode()):
            write_leb128(len(text), content)
            content += text
        try:
            if code := _INTEGERS.get(type_name):
                write_array(code, values, content)
            else:
                type_ = get_from_name(type_name)
                _check_lengths(type_, values)
                type_.write_column(values, content, context)
        except (DataError, ValueError, OverflowError, TypeError, AttributeError) as error:
            # Without the error's text, in which the driver may quote the value.
            raise BatchRefused(
                f"The table cannot hold what a record has as {name}: a value is no {type_name} "
                f"({type(error).__name__}).",
                certain=True,
            ) from None
    return bytes(content)


def _check_lengths(type_: ClickHouseType, values: Sequence[Any]) -> None:
    """Refuse a `FixedString` of another length, also in arrays: the driver would fill up an empty one with zeros."""
    element = type_.element_type if isinstance(type_, Array) else type_
    elements = values if element is type_ else chain.from_iterable(values)
    if isinstance(element, FixedString) and not set(map(len, elements)) <= {element.byte_size}:
        raise ValueError(element.name)
