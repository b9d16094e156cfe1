"""The builder: makes the values of one Logregel storable, and flags what it changed.

Nothing here raises on odd input: a value that does not fit is bent in one documented way, named in `ldv.flags`, and
where something would be lost the original is kept whole in `ldv.original.<field>` (LDV-A8).

| input | outcome |
| --- | --- |
| empty or missing name | `(naamloos)`, flag `name_missing` |
| name over 1,024, activity over 2,048 characters | cut, whole in `ldv.original.*`, flag `name_cut`, `activity_cut` |
| an activity that is no URI | kept, flag `activity_not_uri` |
| lone surrogates and NUL in any text | U+FFFD, flag `text_repaired` |
| text over 16 Mi characters | cut there, flag `value_cut` |
| booleans, integers, floats | `true`, decimal digits, shortest decimal text (`NaN`, `Infinity`, `-Infinity`) |
| lists and mappings, nested | compact JSON; a NaN inside becomes its text |
| bytes, None, other objects | base64, empty text, `str()`; flag `value_converted` |
| an end before the start | end = start, whole in `ldv.original.end_time`, flag `end_before_start` |
| times before 1970 or after 2261 | moved to that limit, whole in `ldv.original.*`, flag `time_out_of_range` |
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ldv_otel._internal.record.logregel import (
    ACTIVITY_MAX_CHARACTERS,
    NAME_MAX_CHARACTERS,
    NAME_MISSING_TEXT,
    TEXT_MAX_CHARACTERS,
    is_uri,
)
from ldv_otel._internal.times.instants import TIME_MAX_MS, within_record_time
from ldv_otel.attributes import FLAGS, ORIGINAL_PREFIX, Flag

_JSON_MAX_DEPTH: Final = 64
_JSON_MAX_NODES: Final = 1_000_000
#: What names the system. The rest stays out (LDV-A9): `process.owner` is an employee, `process.command_args` may hold
#: anything, and which instance it was is what `writer_id` says.
_RESOURCE_PREFIXES: Final = ("service.", "deployment.", "cmdb.", "dpl.")
_RESOURCE_LEFT_OUT: Final = frozenset({"service.instance.id"})
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


class LogregelBuilder:
    """Makes one record storable, field by field, and remembers what it bent.

    Use: call the methods for the fields at hand, then pass `finish(...)` on as the record's attributes.
    """

    __slots__ = ("_flags", "_originals")

    def __init__(self) -> None:
        self._flags: set[str] = set()
        self._originals: dict[str, str] = {}

    def flag(self, *flags: str) -> None:
        """Note that something was bent."""
        self._flags.update(flags)

    def keep(self, field: str, original: str) -> None:
        """Keep a value whole that its field cannot hold."""
        self._originals[ORIGINAL_PREFIX + field] = original

    def name(self, value: object) -> str:
        """Return a name that is never empty."""
        text = self.text(value).strip()
        if not text:
            self._flags.add(Flag.NAME_MISSING)
            return NAME_MISSING_TEXT
        return text if len(text) <= NAME_MAX_CHARACTERS else self._cut(text, "name", NAME_MAX_CHARACTERS, Flag.NAME_CUT)

    def activity(self, value: object, field: str = "processing_activity_id") -> str:
        """Return a processing activity as given, flagged when it is no URI; empty text stays empty."""
        text = self.text(value).strip()
        if len(text) > ACTIVITY_MAX_CHARACTERS:
            text = self._cut(text, field, ACTIVITY_MAX_CHARACTERS, Flag.ACTIVITY_CUT)
        if text and not is_uri(text):
            self._flags.add(Flag.ACTIVITY_NOT_URI)
        return text

    def times(self, start_time_ms: int, end_time_ms: int) -> tuple[int, int]:
        """Return start and end in ms, inside what can be stored and in order."""
        if 0 <= start_time_ms <= end_time_ms <= TIME_MAX_MS:
            return start_time_ms, end_time_ms
        start = self._time(start_time_ms, "start_time")
        end = self._time(end_time_ms, "end_time")
        if end < start:
            self._flags.add(Flag.END_BEFORE_START)
            self.keep("end_time", str(end_time_ms))
            end = start
        return start, end

    def hex_id(self, value: object, field: str, length: int) -> bytes:
        """Return the bytes of a hexadecimal id, or nothing when it is not one (then flagged and kept whole)."""
        text = self.text(value).strip().removeprefix("0x")
        if not text:
            return b""
        try:
            raw = bytes.fromhex(text)
        except ValueError:
            raw = b""
        if len(raw) == length and any(raw):
            return raw
        self._flags.add(Flag.FOREIGN_ID_MALFORMED)
        self.keep(field, text)
        return b""

    def text(self, value: object) -> str:
        """Return any value as the text it is stored as; see the table at the top of this module."""
        if type(value) is str:
            # The common case costs one C-level scan.
            if value.isascii() and "\x00" not in value and len(value) <= TEXT_MAX_CHARACTERS:
                return value
            return self._repaired(value)
        return self._repaired(self._converted(value))

    def finish(self, attributes: dict[str, str]) -> dict[str, str]:
        """Return the attributes together with the flags and the originals kept."""
        if self._originals:
            attributes |= self._originals
        if self._flags:
            attributes[FLAGS] = ",".join(sorted(self._flags))
        return attributes

    def _cut(self, text: str, field: str, limit: int, flag: Flag) -> str:
        self._flags.add(flag)
        self.keep(field, text)
        return text[:limit]

    def _time(self, time_ms: int, field: str) -> int:
        if 0 <= time_ms <= TIME_MAX_MS:
            return time_ms
        self._flags.add(Flag.TIME_OUT_OF_RANGE)
        self.keep(field, str(time_ms))
        return within_record_time(time_ms)

    def _repaired(self, text: str) -> str:
        if len(text) > TEXT_MAX_CHARACTERS:
            self._flags.add(Flag.VALUE_CUT)
            text = text[:TEXT_MAX_CHARACTERS]
        repaired, count = _UNSTORABLE.subn("\ufffd", text)
        if count:
            self._flags.add(Flag.TEXT_REPAIRED)
        return repaired

    def _converted(self, value: object) -> str:
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int):
            return _digits(value)
        if isinstance(value, float):
            return _float_text(value)
        if isinstance(value, Mapping | Sequence) and not isinstance(value, bytes | bytearray | memoryview):
            return self._json(value)
        self._flags.add(Flag.VALUE_CONVERTED)
        return self._odd(value)

    def _json(self, value: object) -> str:
        try:
            plain = self._plain(value, _JSON_MAX_DEPTH, [_JSON_MAX_NODES])
            return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
        except Exception:  # noqa: BLE001  (a stranger's mapping may raise anything from its own methods)
            self._flags.add(Flag.VALUE_CONVERTED)
            return self._odd(value)

    def _plain(self, value: object, depth: int, budget: list[int]) -> Any:  # noqa: PLR0911  (a case a line)
        """Return the value in JSON's own types; depth and node count are bounded, so a cycle ends too."""
        budget[0] -= 1
        if depth == 0 or budget[0] < 0:
            self._flags.add(Flag.VALUE_CUT)
            return "\u2026"
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, int):
            return int(value) if -(2**63) <= value < 2**64 else _digits(value)
        if isinstance(value, float):
            return value if math.isfinite(value) else _float_text(value)
        if isinstance(value, Mapping):
            return {self.text(key): self._plain(item, depth - 1, budget) for key, item in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
            return [self._plain(item, depth - 1, budget) for item in value]
        self._flags.add(Flag.VALUE_CONVERTED)
        return self._odd(value)

    def _odd(self, value: object) -> str:
        if value is None:
            return ""
        if isinstance(value, bytes | bytearray | memoryview):
            return base64.b64encode(bytes(value)).decode()
        try:
            return self.text(str(value))
        except Exception:  # noqa: BLE001  (a stranger's __str__ may raise anything)
            return f"({type(value).__name__})"


def resource_text(attributes: Mapping[str, object]) -> str:
    """Return the resource attributes that name the system as a JSON object with sorted keys (LDV-A9)."""
    builder = LogregelBuilder()
    kept = {
        builder.text(name): builder.text(value)
        for name, value in attributes.items()
        if name.startswith(_RESOURCE_PREFIXES) and name not in _RESOURCE_LEFT_OUT
    }
    return json.dumps(kept, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _digits(value: int) -> str:
    try:
        return int.__str__(value)
    except ValueError:  # Python refuses decimal text of integers over 4,300 digits
        return hex(value)


def _float_text(value: float) -> str:
    if math.isfinite(value):
        return repr(float(value))
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
