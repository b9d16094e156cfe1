"""From the bytes of a file to the JSON values in it, each with the line it begins on.

One value, an array around values, one value per line, or values written one after another: all are read the same way,
value by value. What is not JSON is reported with its line, and reading goes on at the next line that can begin a value,
so a line that a crash cut short costs that line and no more.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from ldv_otel._internal.importer.packing import unpacked

#: UTF-32 first: its little-endian mark begins with that of UTF-16.
_BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
#: What may stand between values: white space, the commas of an array, byte order marks of files that were joined, and
#: the record separator of JSON text sequences.
_BETWEEN: Final = re.compile("[ \t\r\n,\ufeff\x1e]*")
_ARRAY_OF_OBJECTS: Final = re.compile(r"\[\s*(?=\{)")
#: Python refuses longer integers, and none of that length is an id, a time or a number of a person.
_INTEGER_MAX_CHARACTERS: Final = 40
#: A value that fails is read up to its error, and what follows is read again: this bounds how often, as a multiple of
#: the text, so that a hostile file costs seconds and not hours.
_REREADING_FACTOR: Final = 10
_REREADING_FREE_CHARACTERS: Final = 10_000_000
_DEEP_NESTING_CHARACTERS: Final = 100_000
_INDENTATION_MAX_CHARACTERS: Final = 200
_WINDOW_CHARACTERS: Final = 1 << 16
_WINDOW_GROWTH: Final = 8
#: A window may end inside `-Infinity` or an escape; the error is then that far before its end.
_TOKEN_MAX_CHARACTERS: Final = 16


class JsonValue(msgspec.Struct, frozen=True):
    """One JSON value; `line` counts from 1."""

    line: int
    value: object


class MalformedJson(msgspec.Struct, frozen=True):
    """A stretch that is not JSON, with the line it begins on; the reason quotes nothing of it."""

    line: int
    reason: str


def file_text(content: bytes) -> tuple[str, str]:
    """Return a file's text, unpacked if it is packed, and what is wrong with its packing (normally empty).

    Bytes that are no UTF-8 become lone surrogates, which a record flags as `text_repaired`.

    Raises:
        UnreadableInput: It is too large, or in a form that cannot be read here.
    """
    content, reason = unpacked(content)
    for mark, encoding in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            errors = "surrogateescape" if encoding == "utf-8" else "replace"
            return content[len(mark) :].decode(encoding, errors), reason
    return content.decode("utf-8", "surrogateescape"), reason


def json_values(text: str) -> Iterator[JsonValue | MalformedJson]:
    """Yield the objects and arrays of a text in their order, and the malformed stretches between them."""
    lines = _Lines(text)
    decoder = _Decoder(text)
    position = 0
    opened = 0  # the line of an array that could not be read whole and whose objects are read one by one, else 0
    failed = False
    while (position := _BETWEEN.match(text, position).end()) < len(text):  # type: ignore[union-attr]  # matches anywhere
        if opened and text[position] == "]":
            opened, position = 0, position + 1
            continue
        line = lines.at(position)
        decoded = decoder.decode(position, line)
        if isinstance(decoded, tuple):
            value, position = decoded
            yield JsonValue(line, value)
        elif not opened and (array := _ARRAY_OF_OBJECTS.match(text, position)):
            opened, failed, position = line, False, array.end()
        elif decoder.exhausted:
            yield MalformedJson(line, "too much of the file is not JSON; from here on it was not read")
            return
        else:
            failed = True
            yield MalformedJson(line, decoded)
            position = _resumption(text, position)
    if opened and not failed:
        yield MalformedJson(opened, "cut off: the file ends before the array does")


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= _INTEGER_MAX_CHARACTERS else digits


class _Decoder:
    """Decodes the value at a position, with its end or the reason why it cannot be read.

    It reads one line first and then at more and more, so that what an error costs depends on the value that is
    broken and not on the size of the file: an error of `json` counts all lines before it.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._json = json.JSONDecoder(parse_int=_integer)
        self._budget = _REREADING_FREE_CHARACTERS + _REREADING_FACTOR * len(text)

    @property
    def exhausted(self) -> bool:
        """Whether too much was read in vain."""
        return self._budget <= 0

    def decode(self, position: int, line: int) -> tuple[object, int] | str:
        """Return the object or array at this position with its end, or a reason, which quotes nothing of it."""
        if self._text[position] not in "[{":
            return "not a JSON object"
        end = self._text.find("\n", position)
        end = len(self._text) if end < 0 else end
        while True:
            window = self._text[position:end]
            try:
                value, length = self._json.raw_decode(window)
            except RecursionError:
                self._budget -= _DEEP_NESTING_CHARACTERS
                return "nested too deep"
            except json.JSONDecodeError as error:
                self._budget -= error.pos
                incomplete = error.pos >= len(window) - _TOKEN_MAX_CHARACTERS or error.msg.startswith("Unterminated")
                if not incomplete or end == len(self._text):
                    return self._reason(error, position, line)
            else:
                return value, position + length
            end = min(position + max(_WINDOW_CHARACTERS, _WINDOW_GROWTH * len(window)), len(self._text))

    def _reason(self, error: json.JSONDecodeError, position: int, line: int) -> str:
        if error.msg.startswith("Unterminated") or _BETWEEN.fullmatch(error.doc, error.pos):
            return "cut off: the file ends inside this value"
        column = error.colno
        if error.lineno == 1:
            column += position - (self._text.rfind("\n", 0, position) + 1)
        # What the message quotes comes after its colon, and may be about a person.
        message = error.msg.partition(": ")[0].removesuffix(" at")
        return f"not JSON ({message}, line {line + error.lineno - 1}, column {column})"


class _Lines:
    """Counts lines from where it counted last, so that going through a file costs one pass."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._line = 1

    def at(self, position: int) -> int:
        """Return the line of a position, from 1."""
        if position >= self._position:
            self._line += self._text.count("\n", self._position, position)
        else:
            self._line -= self._text.count("\n", position, self._position)
        self._position = position
        return self._line


def _resumption(text: str, position: int) -> int:
    """Return where the next value may begin: a line with an opening bracket at this value's indentation, or at none.

    Deeper brackets are parts of the value that failed: to read those as values of their own would invent spans.
    """
    before = text[text.rfind("\n", 0, position) + 1 : position]
    indentation = before if not before.strip() and len(before) <= _INDENTATION_MAX_CHARACTERS else ""
    next_value = re.compile(rf"\n(?:{indentation})?(?=[\[{{])").search(text, position)
    return next_value.end() if next_value is not None else len(text)
