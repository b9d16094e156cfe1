"""What an application names as a data subject, as one text for each person (LDV-A4, LDV-A8).

Applications have numbers as texts, integers, floats (pandas makes floats of a column with one gap), secrets and bytes.
Each of them has to be the same person, and what is missing has to be nobody: a pseudonym of `nan` would be one person
in the records of everybody without a number.

| input | outcome |
| --- | --- |
| integers, integral floats and decimals, texts like `12345672.0` | their digits |
| None, NaN, NA, NaT, empty text, a number of zeros, what hides a text (`*****`) | no subject, `subject_empty` |
| something with `get_secret_value`, as pydantic's secrets | the value that it keeps |
| bytes of any kind | their text in UTF-8 |
| digits of other scripts, full-width characters, invisible marks | the digits and letters of ASCII, nothing |
| spaces and dots in a number of a known kind, lost leading zeros | taken out, put back |
| other separators, superfluous leading zeros, an exponent | the same, flag `subject_form`: it was guessed |
| a float beyond what it can count, an exponent with digits left out | no subject, `value_cut`: a part of a number |
| anything else | its text, flag `subject_form` |
"""

from __future__ import annotations

import math
import numbers
import re
import unicodedata
from decimal import Decimal
from typing import Any, Final

from ldv_otel.attributes import Flag

Flags = tuple[Flag, ...]

#: How deep a secret may be wrapped in another, and a value in a list.
_MAX_DEPTH: Final = 4
#: pandas and numpy have objects for a missing value; their text is no one either.
_MISSING_TYPES: Final = frozenset({"NAType", "NaTType", "MaskedConstant"})
_MISSING_TEXTS: Final = frozenset({"<NA>", "NaT", "REDACTED", "[REDACTED]"})
#: Of a number these are missing values as well; elsewhere somebody may be called so, and it is flagged.
_MISSING_NUMBERS: Final = frozenset({"nan", "none", "null", "na", "n/a", "nil", "undefined", "-"})
_HIDDEN: Final = re.compile(r"""(?:\w{1,40}\()?b?['"]?[*\u2022\u25cf\u2588]{3,}['"]?\)?""")
#: Below this a float counts every whole number, by the bytes it takes; Python's own has 8.
_COUNTS_BELOW: Final = {2: 2**11, 4: 2**24}
_COUNTS_BELOW_8: Final = 2**53
_MAX_DIGITS: Final = 40
#: Full-width forms of ASCII, and how far away they are.
_FULL_WIDTH: Final = range(0xFF01, 0xFF5F)
_FULL_WIDTH_AWAY: Final = 0xFEE0
#: Characters that show nothing and have another category than `Cf`: joiners, fillers, variation selectors.
_INVISIBLE: Final = frozenset({0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0xFE00, 0xFE10)})
_REMEMBERED: Final = 4_096

_DECIMAL: Final = re.compile(r"([0-9]+)([.,])([0-9]+)")
_EXPONENT: Final = re.compile(r"([0-9]+)(?:[.,]([0-9]*))?[eE]\+?([0-9]{1,3})")
_SPACES_AND_DOTS: Final = re.compile(r"[\s.]+")
_SEPARATORS: Final = re.compile(r"[\W_]+")
_THOUSANDS: Final = 3


class _Characters(dict[int, str]):
    """What becomes of a character in an identifier, for `str.translate`; made when it is met."""

    def __missing__(self, code: int) -> str:
        if code in _FULL_WIDTH:
            text = chr(code - _FULL_WIDTH_AWAY)
        elif unicodedata.category(chr(code)) == "Cf" or code in _INVISIBLE:
            text = ""
        else:
            digit = unicodedata.decimal(chr(code), None)
            text = chr(code) if digit is None else str(digit)
        if len(self) < _REMEMBERED:  # callers choose the characters
            self[code] = text
        return text


_CHARACTERS: Final = _Characters()


def read_identifier(value: object, width: int | None = None) -> tuple[str, Flags]:
    """Return the identifier in a value of any type as text, and what was odd about it; never raises.

    Args:
        width: How many digits an identifier of this type has; None where it may be any text.
    """
    if type(value) is str:
        return _read_text(value, width)
    try:
        text, flags = _text_of(value, _MAX_DEPTH)
    except Exception:  # a stranger's object may raise anything, and may not stop the application (LDV-A8)
        return "", (Flag.SUBJECT_EMPTY, Flag.SUBJECT_FORM)
    if not text:
        return "", flags or (Flag.SUBJECT_EMPTY,)
    text, more = _read_text(text, width)
    if not text and Flag.SUBJECT_EMPTY in more:
        return "", more
    return text, tuple(dict.fromkeys((*more, *flags)))


def attribute_form(value: object) -> object:
    """Return an identifier as it can be an attribute of a span.

    OpenTelemetry makes a text of what it does not know, which of a secret is `**********`, and a list of numbers of a
    bytearray.
    """
    # One level, which is what attributes can have; deeper ones OpenTelemetry refuses by itself.
    return [_attribute_form(item) for item in value] if isinstance(value, list | tuple) else _attribute_form(value)


def _attribute_form(value: object) -> object:
    kind = type(value)
    odd = isinstance(value, bytearray | memoryview) or kind.__name__ in _MISSING_TYPES
    return read_identifier(value)[0] if odd or hasattr(kind, "get_secret_value") else value


def passes_eleven_test(digits: str) -> bool:
    """Return whether nine digits are what a BSN or RSIN can be (the 11-test); nobody has zeros only."""
    weights = (9, 8, 7, 6, 5, 4, 3, 2, -1)
    total = sum(weight * int(digit) for weight, digit in zip(weights, digits, strict=True))
    return total % 11 == 0 and digits.strip("0") != ""


def _text_of(value: Any, depth: int) -> tuple[str, Flags]:  # noqa: PLR0911  (a case a line)
    if isinstance(value, str):
        return str.__str__(value), ()
    if value is None or isinstance(value, bool) or type(value).__name__ in _MISSING_TYPES:
        return "", ()
    if isinstance(value, numbers.Integral):
        return int.__str__(int(value)), ()
    if isinstance(value, bytes | bytearray | memoryview):
        return _decoded(bytes(value))
    if isinstance(value, Decimal):
        return _text_of_decimal(value)
    if isinstance(value, numbers.Real):
        return _text_of_real(value)
    if callable(getattr(type(value), "get_secret_value", None)) and depth:
        return _text_of(value.get_secret_value(), depth - 1)
    if isinstance(value, list | tuple | set | frozenset) and len(value) <= 1 and depth:
        text, flags = _text_of(next(iter(value), None), depth - 1)
        return text, (*flags, *([Flag.SUBJECT_FORM] if text else []))
    kind: Any = type(value)
    if kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__:
        # The text of such an object is its address: another person each time.
        return "", (Flag.SUBJECT_EMPTY, Flag.SUBJECT_FORM)
    return str(value), () if kind.__module__ == "uuid" else (Flag.SUBJECT_FORM,)


def _text_of_decimal(value: Decimal) -> tuple[str, Flags]:
    if not value.is_finite():
        return "", ()
    if value.adjusted() > _MAX_DIGITS:
        return "", (Flag.SUBJECT_FORM, Flag.VALUE_CUT)
    whole = value == value.to_integral_value()
    return (str(int(value)), ()) if whole else (str(value), (Flag.SUBJECT_FORM,))


def _text_of_real(value: Any) -> tuple[str, Flags]:
    """Return a number that may have a fraction as text."""
    number = float(value)
    if not math.isfinite(number):
        return "", ()
    if not number.is_integer():
        return repr(number), (Flag.SUBJECT_FORM,)
    if abs(number) >= _COUNTS_BELOW.get(getattr(value, "itemsize", 8), _COUNTS_BELOW_8):
        # It stands for several whole numbers: whose it was cannot be known any more.
        return "", (Flag.SUBJECT_FORM, Flag.VALUE_CUT)
    return str(int(number)), ()


def _decoded(raw: bytes) -> tuple[str, Flags]:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", "replace"), ()
    try:
        return raw.decode(), ()
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace"), (Flag.SUBJECT_FORM,)


def _read_text(text: str, width: int | None) -> tuple[str, Flags]:
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.translate(_CHARACTERS))
    text = text.strip()
    flags: Flags = ()
    if not text or text in _MISSING_TEXTS or _HIDDEN.fullmatch(text):
        return "", (Flag.SUBJECT_EMPTY,)
    if not text.isprintable() and not text.isspace():
        shown = "".join(character for character in text if unicodedata.category(character) != "Cc").strip()
        if shown != text:
            text, flags = shown, (Flag.SUBJECT_FORM,)
    if not text or (width is not None and text.casefold() in _MISSING_NUMBERS):
        return "", (Flag.SUBJECT_EMPTY,)
    if width is None:
        return _read_any(text, flags)
    number, more = _read_number(text, width)
    if number and not number.strip("0"):
        # A gap that was filled with zero; nobody has this number.
        return "", (Flag.SUBJECT_EMPTY,)
    return number, (*flags, *more)


def _read_any(text: str, flags: Flags) -> tuple[str, Flags]:
    """Return an identifier of a type that may be any text; a dot may well tell two people apart here."""
    decimal = _DECIMAL.fullmatch(text)
    if decimal is not None and decimal[2] == "." and not decimal[3].strip("0"):
        return decimal[1], flags
    return text, (*flags, Flag.SUBJECT_FORM) if text.casefold() in _MISSING_NUMBERS else flags


def _read_number(text: str, width: int) -> tuple[str, Flags]:
    """Return a number of a known kind with all its digits, or the text as it is where it cannot be one."""
    if text.isdecimal():
        return _of_width(text, width, text, ())
    if (decimal := _DECIMAL.fullmatch(text)) is not None:
        return _read_decimal(decimal, width, text)
    if (exponent := _EXPONENT.fullmatch(text)) is not None:
        return _read_exponent(exponent, width, text)
    digits = _SPACES_AND_DOTS.sub("", text)
    if digits.isdecimal():
        return _of_width(digits, width, text, ())
    digits = _SEPARATORS.sub("", text)
    # A minus sign is no separator.
    guess = digits if digits.isdecimal() and text[0].isdecimal() else ""
    return _of_width(guess, width, text, (Flag.SUBJECT_FORM,)) if guess else (text, (Flag.SUBJECT_FORM,))


def _read_decimal(decimal: re.Match[str], width: int, text: str) -> tuple[str, Flags]:
    """Return the number in digits with one dot or comma, which stands for decimals or for thousands."""
    whole, mark, fraction = decimal.groups()
    zeros = not fraction.strip("0")
    if len(fraction) >= _THOUSANDS and (not zeros or len(whole) + len(fraction) == width):
        return _of_width(whole + fraction, width, text, (Flag.SUBJECT_FORM,))
    if not zeros:
        return text, (Flag.SUBJECT_FORM,)
    return _of_width(whole, width, text, () if mark == "." else (Flag.SUBJECT_FORM,))


def _read_exponent(exponent: re.Match[str], width: int, text: str) -> tuple[str, Flags]:
    whole, fraction, power = exponent[1], exponent[2] or "", int(exponent[3])
    if power > len(fraction):
        # A spreadsheet left digits out: `1.23E+08` is nobody's number.
        return "", (Flag.SUBJECT_FORM, Flag.VALUE_CUT)
    if fraction[power:].strip("0"):
        return text, (Flag.SUBJECT_FORM,)
    return _of_width(whole + fraction[:power], width, text, (Flag.SUBJECT_FORM,))


def _of_width(digits: str, width: int, text: str, flags: Flags) -> tuple[str, Flags]:
    """Return digits with the leading zeros that a number of this kind has; what is longer is no such number."""
    if len(digits) > width:
        digits, flags = digits.lstrip("0"), (Flag.SUBJECT_FORM,)
        if len(digits) > width:
            return text, flags
    return digits.zfill(width), flags
