"""Takes known identifiers of data subjects out of texts and values that are for others: names, attributes, events.

An identifier is found as it was given and as it is normalised, in any case of letters; with other separators or leading
zeros when it is a number; and percent-encoded, wholly or in part, once or again. What an application made of it itself
(a hash, base64) is not recognised. An identifier of fewer than five characters is found only where it stands by itself:
elsewhere it says nothing.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote, unquote_plus

import msgspec

from ldv_otel._internal.privacy.pseudonyms import normalise_identifier, normalise_type

#: The word of OpenTelemetry's semantic conventions.
REDACTED: Final = "REDACTED"

#: Identifiers of fewer characters are found only where they stand by themselves.
SHORT: Final = 5
_DECODINGS: Final = 4
_MAX_DEPTH: Final = 16
_NUMBER: Final = re.compile(r"\d(?:[ .\u00a0\u2011-]?\d)*", re.ASCII)
_SEPARATOR: Final = re.compile(r"(?<=\d)[ .\u00a0\u2011-](?=\d)", re.ASCII)
_DIGIT: Final = re.compile("[0-9%]")
_NOTHING: Final = re.compile("(?!)")
#: Of numbers longer than any that a person has, these first digits are looked for at a glance.
_LONG_RUN: Final = 32
_TOKEN: Final = re.compile(r"[^\s/?&=#;,\"'<>()\[\]{}|:]+")


class Identifier(msgspec.Struct, frozen=True):
    """An identifier in the forms it is looked for.

    Attributes:
        texts: In small letters, as given and as normalised.
        digits: Of a number, without separators and leading zeros; else empty.
    """

    texts: tuple[str, ...]
    digits: str

    @property
    def empty(self) -> bool:
        """Whether there is nothing to look for."""
        return not self.texts

    def __repr__(self) -> str:
        """Show nothing: this is what may not be shown."""
        return "Identifier()"


def identifier(value: object, type_: object) -> Identifier:
    """Return an identifier ready to be looked for."""
    if type(value) is str and value.isascii() and value.isdigit() and len(value) >= SHORT:
        # As good as always: a number, without anything around it.
        normal, _ = normalise_identifier(normalise_type(type_)[0], value)
        return Identifier((value,) if normal == value else (value, normal), _enough(normal.lstrip("0")))
    given, _ = normalise_identifier("", value)
    type_name, _ = normalise_type(type_)
    # As it came too: normalising composes letters, and the text to look through may hold them apart.
    texts: dict[str, None] = {value.strip().lower(): None} if isinstance(value, str) and value.strip() else {}
    digits = ""
    # A caller may have encoded it more often than the service decodes.
    for _ in range(_DECODINGS):
        normal, _ = normalise_identifier(type_name, given)
        texts.update((text.lower(), None) for text in (given, normal) if text)
        bare = _SEPARATOR.sub("", normal).lstrip("0")
        digits = bare if bare.isascii() and bare.isdigit() and len(bare) >= SHORT else digits
        if "%" not in given:
            break
        given = unquote(given).strip()
    return Identifier(tuple(texts), digits)


def _enough(digits: str) -> str:
    return digits if len(digits) >= SHORT else ""


def only_beside_digits(text: str) -> bool:
    """Say whether an identifier, as given, can only stand in a text that `has_digits`."""
    return text.isascii() and text.isalnum() and not text.isalpha()


def has_digits(value: object) -> bool:
    """Say whether a value may hold digits, as they are or percent-encoded; cheaper than a search."""
    return type(value) is not str or _DIGIT.search(value) is not None


@functools.cache
def _run_of_digits(count: int) -> re.Pattern[str]:
    """Return what matches a text that may hold a number of so many digits, however written; or anything encoded."""
    return re.compile(rf"[0-9%](?:(?<=%)|(?:[ .+\u00a0\u2011-]?[0-9]){{{count - 1}}})")


def _glance(identifiers: Sequence[Identifier], texts: Iterable[str]) -> Callable[[str], object]:
    """Return what says at little cost that a text holds none of these; else it takes a closer look."""
    if not any(texts):
        return _NOTHING.search
    if all(one.digits and all(map(_is_number, one.texts)) for one in identifiers):
        return _run_of_digits(min(_LONG_RUN, *(len(one.digits) for one in identifiers))).search
    return _DIGIT.search if all(map(only_beside_digits, texts)) else bool


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


class Redactor:
    """Looks for some identifiers and puts `REDACTED` in their place."""

    def __init__(self, identifiers: Iterable[Identifier]) -> None:
        found = tuple(identifiers)
        texts = dict.fromkeys([text for one in found for text in one.texts])
        self._long = tuple([text for text in texts if len(text) >= SHORT])
        self._short = tuple([text for text in texts if len(text) < SHORT])
        self._digits = tuple(dict.fromkeys([one.digits for one in found if one.digits]))
        self._may_stand_in = _glance(found, texts)

    def finds(self, text: str) -> bool:
        """Say whether an identifier stands in a text."""
        if not self._may_stand_in(text):
            return False
        seen = text.lower()
        for _ in range(_DECODINGS):
            if self._in(seen):
                return True
            if "%" not in seen and "+" not in seen:
                return False
            decoded = unquote_plus(seen).lower()
            if decoded == seen:
                return False
            seen = decoded
        return self._in(seen)

    def text(self, text: str) -> str:
        """Return a text without the identifiers: each is replaced, or what it stands in when it is encoded."""
        if not self.finds(text):
            return text
        for one in self._long:
            text = _replaced(text, one)
        if not self.finds(text):
            return text
        if self._digits:
            text = _NUMBER.sub(self._number, text)
        if self.finds(text):
            text = _TOKEN.sub(lambda token: REDACTED if self.finds(token[0]) else token[0], text)
        return REDACTED if self.finds(text) else text

    def attributes(self, attributes: Mapping[str, Any], *, hidden: frozenset[str] = frozenset()) -> dict[str, Any]:
        """Return attributes without the identifiers, in values and names.

        Args:
            hidden: Names of attributes that hold nothing but an identifier.
        """
        names = {name: self.text(name) for name in attributes} if self.finds("\n".join(attributes)) else None
        kept, may_stand_in = {}, self._may_stand_in
        for name, value in attributes.items():
            if name in hidden:
                shown = REDACTED
            else:
                shown = value if type(value) is str and not may_stand_in(value) else self.value(value)
            kept[name if names is None else names[name]] = shown
        return kept

    def value(self, value: Any, depth: int = _MAX_DEPTH) -> Any:
        """Return an attribute value without the identifiers; what holds none comes back as it is."""
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float | bytes | bytearray):
            return REDACTED if self._finds_in_scalar(value) else value
        if depth == 0:
            return REDACTED
        return self._inside(value, depth - 1)

    def _inside(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return {
                self.text(name) if isinstance(name, str) else name: self.value(item, depth)
                for name, item in value.items()
            }
        return tuple(self.value(item, depth) for item in value) if isinstance(value, Sequence) else value

    def _finds_in_scalar(self, value: float | bytes | bytearray) -> bool:
        if isinstance(value, bytes | bytearray):
            return self.finds(bytes(value).decode("utf-8", "replace"))
        # A short number is a status, a port or a count as well.
        text = f"{value:.17g}"
        return len(text) >= SHORT and any(one in text for one in (*self._long, *self._digits))

    def _in(self, seen: str) -> bool:
        """Say whether an identifier stands in a text of small letters, as it is."""
        text = seen
        for one in self._long:
            if one in text:
                return True
        if self._digits:
            if _SEPARATOR.search(text) is not None:
                text = _SEPARATOR.sub("", text)
            for digits in self._digits:
                if digits in text:
                    return True
        return bool(self._short) and any(_stands_alone(one, seen) for one in self._short)

    def _number(self, number: re.Match[str]) -> str:
        bare = _SEPARATOR.sub("", number[0])
        return REDACTED if any(digits in bare for digits in self._digits) else number[0]


class _RedactAll(Redactor):
    """Lets no text through: what there is to look for is too much, or could not be looked for."""

    def __init__(self) -> None:
        super().__init__(())

    def finds(self, text: str) -> bool:
        return text not in {"", REDACTED}

    def text(self, text: str) -> str:
        return REDACTED if text else text

    def attributes(self, attributes: Mapping[str, Any], *, hidden: frozenset[str] = frozenset()) -> dict[str, Any]:
        del attributes, hidden
        return {}

    def value(self, value: Any, depth: int = _MAX_DEPTH) -> Any:
        del depth
        return value if isinstance(value, bool) else REDACTED


REDACT_ALL: Final[Redactor] = _RedactAll()


def _replaced(text: str, one: str) -> str:
    lower = text.lower()
    if len(lower) != len(text):
        # A few letters become two when small, and places no longer agree; the caller looks once more.
        return text
    parts, position = [], 0
    while (found := lower.find(one, position)) >= 0:
        parts += [text[position:found], REDACTED]
        position = found + len(one)
    return "".join([*parts, text[position:]])


def _stands_alone(one: str, text: str) -> bool:
    position = text.find(one)
    while position >= 0:
        end = position + len(one)
        before = text[position - 1 : position]
        if not before.isalnum() and not text[end : end + 1].isalnum():
            return True
        position = text.find(one, position + 1)
    return False
