"""How people and programs write a number: the forms in which one is told, and those in which it is quoted."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote, quote_plus

from hypothesis import strategies as st
from pydantic import SecretStr

DASHES: Final = [chr(code) for code in range(0x3000) if unicodedata.category(chr(code)) == "Pd"] + ["\u2212", "\u00ad"]
SPACES: Final = [chr(code) for code in range(0x3001) if chr(code).isspace()] + ["\u200b", "\u2060", "\ufeff"]
SEPARATORS: Final = ["", "", ".", ",", "_", "/", ":", "'", "+", *DASHES, *SPACES]


def in_script(zero: int) -> Callable[[str], str]:
    """Return what writes digits in another script."""
    return lambda text: "".join(chr(zero + int(char)) if char in "0123456789" else char for char in text)


def percent(text: str) -> str:
    """Encode each byte."""
    return "".join(f"%{byte:02x}" for byte in text.encode())


def escaped(text: str) -> str:
    """Write each character as JSON may."""
    return "".join(f"\\u{unit:04x}" for unit in memoryview(text.encode("utf-16-le")).cast("H"))


def html(text: str) -> str:
    """Write each character as HTML may."""
    return "".join(f"&#{ord(char)};" if index % 2 else f"&#x{ord(char):x};" for index, char in enumerate(text))


#: Of a whole text; the last ones are for other letters than digits too.
ENCODINGS: Final[dict[str, Callable[[str], str]]] = {
    "as it is": str,
    "percent": percent,
    "percent twice": lambda text: quote(percent(text)),
    "percent five times": lambda text: quote(quote(quote(quote(percent(text))))),
    "percent in part": lambda text: text[:3] + percent(text[3:6]) + text[6:],
    "quoted": quote,
    "quoted for a query": quote_plus,
    "escaped": escaped,
    "escaped in JSON in JSON": lambda text: json.dumps(escaped(text)),
    "escaped and percent": lambda text: quote(escaped(text)),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in JSON": lambda text: json.dumps(json.dumps(text))[3:-3],
    "HTML by names": lambda text: text.replace(" ", "&nbsp;").replace(",", "&comma;").replace("\n", "&amp;NewLine;"),
    "HTML": html,
    "HTML twice": lambda text: html(text).replace("&", "&amp;"),
    "full width": in_script(0xFF10),
    "Arabic": in_script(0x660),
    "Devanagari": in_script(0x966),
    "mathematical": in_script(0x1D7CE),
    "mathematical, escaped": lambda text: escaped(in_script(0x1D7CE)(text)),
    "Arabic, percent": lambda text: percent(in_script(0x660)(text)),
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "composed": lambda text: unicodedata.normalize("NFC", text),
    "upper case": str.upper,
    "lower case": str.lower,
}

#: What an application has of a number, and hands over as the data subject.
TOLD: Final[dict[str, Callable[[str], object]]] = {
    "text": str,
    "with dots": lambda digits: f"{digits[:3]}.{digits[3:6]}.{digits[6:]}",
    "with spaces around": lambda digits: f" {digits} ",
    "without its zeros": lambda digits: digits.lstrip("0"),
    "with more zeros": lambda digits: f"000{digits}",
    "integer": int,
    "float": float,
    "decimal": Decimal,
    "text of a float": lambda digits: f"{float(digits)}",
    "full width": in_script(0xFF10),
    "bytes": str.encode,
    "secret": SecretStr,
    "percent": percent,
}


@st.composite
def separated(draw: st.DrawFn, digits: str) -> str:
    """The digits with one, two or no separators between any of them, and with zeros lost or added."""
    digits = draw(st.sampled_from([digits, digits.lstrip("0"), f"0{digits}", f"000{digits}"]))
    most = draw(st.integers(0, 3))
    gaps = [draw(st.text(st.sampled_from(SEPARATORS[2:]), max_size=most)) for _ in digits[1:]]
    # A `+` before a digit is a space in a query, and a sign elsewhere: it separates in both.
    return "".join(part for pair in zip(digits, [*gaps, ""], strict=True) for part in pair)


@st.composite
def with_exponent(draw: st.DrawFn, digits: str) -> str:
    """The number as a float with an exponent, its point anywhere."""
    significant = digits.lstrip("0")
    short = significant.rstrip("0")
    mantissa = draw(st.sampled_from([significant, short]))
    point = draw(st.integers(1, len(mantissa)))
    power = len(significant) - point
    sign = draw(st.sampled_from(["", "+"])) if power >= 0 else ""
    mark = draw(st.sampled_from(["e", "E"]))
    return f"{mantissa[:point]}.{mantissa[point:]}{mark}{sign}{power:0{draw(st.integers(1, 2))}}"


@st.composite
def quotations(draw: st.DrawFn, digits: str) -> str:
    """The digits as somebody may write them."""
    written = draw(st.one_of(st.just(digits), separated(digits), with_exponent(digits), st.just(f"{float(digits)}")))
    return draw(st.sampled_from(list(ENCODINGS.values())))(written)


def values_that_quote(digits: str) -> list[Any]:
    """The number as a value that is no text, alone and nested."""
    number = int(digits)
    return [
        number,
        float(number),
        digits.encode(),
        [number, "x"],
        {"a": [{"b": float(number)}]},
        {digits: 1},
        [digits[:4], digits[4:]],
    ]
