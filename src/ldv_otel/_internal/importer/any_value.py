"""Attributes and their values: a list of `{key, value}` or a mapping, values typed (`{"intValue": "1"}`) or plain.

Whatever the spelling, the same values come out. Nothing here raises on any JSON value.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from ldv_otel._internal.importer.span_fields import common_fields

#: As deep as a record keeps values; what lies deeper it cuts and flags.
_MAX_DEPTH: Final = 64
#: An integer as it writes itself. `007` is somebody's number, and its zeros are part of it.
_INTEGER: Final = re.compile("0|-?[1-9][0-9]{0,38}")
#: How Go's stdout exporter names the type beside a `Value`.
_GO_TYPES: Final = frozenset(
    {"BOOL", "INT64", "FLOAT64", "STRING", "BOOLSLICE", "INT64SLICE", "FLOAT64SLICE", "STRINGSLICE"}
)


def attributes_of(value: object, prefix: str | tuple[str, ...] = "") -> tuple[dict[str, object], bool]:
    """Return the attributes whose names begin with the prefix, or one of them, and whether any could not be read."""
    if isinstance(value, dict):
        return {name: _attribute(item) for name, item in value.items() if name.startswith(prefix)}, False
    if not isinstance(value, list):
        return {}, value is not None
    kept: dict[str, object] = {}
    unreadable = False
    for entry in value:
        # The usual spelling is tried by itself: files hold more attributes than anything else.
        fields = entry if isinstance(entry, dict) and "key" in entry else common_fields(entry)
        name = fields.get("key")
        if not isinstance(name, str):
            unreadable = True
        elif name.startswith(prefix):
            kept[name] = _attribute(fields.get("value"))
    return kept, unreadable


def _attribute(value: object) -> object:
    plain = _any_value(value, _MAX_DEPTH)
    return "" if plain is None else plain


def _any_value(value: object, depth: int) -> object:
    """Return what stands where OTLP has an `AnyValue`: there, an empty object is no value."""
    return None if value == {} else _plain(value, depth)


def _plain(value: object, depth: int) -> object:
    """Return a value in JSON's own types; what lies too deep stays as it is."""
    if depth == 0:
        return value
    if isinstance(value, list):
        return [_plain(item, depth - 1) for item in value]
    if not isinstance(value, dict):
        return value
    fields = common_fields(value)
    if fields and _TYPED.issuperset(fields):
        return _typed(fields, depth)
    if fields.keys() == {"type", "value"} and isinstance(fields["type"], str) and fields["type"] in _GO_TYPES:
        return _plain(fields["value"], depth)
    return {name: _plain(item, depth - 1) for name, item in value.items()}


def _typed(fields: Mapping[str, Any], depth: int) -> object:
    """Return what an OTLP `AnyValue` holds: the one of its fields that is set, None when none is."""
    kind, value = next(((kind, value) for kind, value in fields.items() if value is not None), ("", None))
    if kind == "arrayvalue":
        return [_any_value(item, depth - 1) for item in _values(value)]
    if kind == "kvlistvalue":
        entries = [common_fields(entry) for entry in _values(value)]
        return {str(entry.get("key", "")): _any_value(entry.get("value"), depth - 1) for entry in entries}
    return _SCALARS[kind](value) if kind in _SCALARS else value


def _values(value: object) -> list[Any]:
    items = value if isinstance(value, list) else common_fields(value).get("values")
    return items if isinstance(items, list) else []


def _text(value: object) -> object:
    return value


def _integer(value: object) -> object:
    return int(value) if isinstance(value, str) and _INTEGER.fullmatch(value) else value


def _double(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return value
    try:
        return float(value)
    except (ValueError, OverflowError):
        return value


def _boolean(value: object) -> object:
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


def _decoded(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return value


_SCALARS: Final[Mapping[str, Callable[[object], object]]] = {
    "stringvalue": _text,
    "intvalue": _integer,
    "doublevalue": _double,
    "boolvalue": _boolean,
    "bytesvalue": _decoded,
}
_TYPED: Final = frozenset({*_SCALARS, "arrayvalue", "kvlistvalue"})
