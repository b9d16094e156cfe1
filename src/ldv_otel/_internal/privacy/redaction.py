"""Redaction: replaces known identifiers of data subjects inside texts and values by the word `REDACTED`.

An identifier is found as it was given and as it is normalised, in any case of letters; with other separators or leading
zeros when it is a number; and percent-encoded, wholly or in part, once or again. What an application made of it itself
(a hash, base64) is not recognised. An identifier of fewer than five characters is found only where it stands by itself:
elsewhere it says nothing.

`record/builder.py` redacts the texts of records, `sdk/shield.py` those of spans that other processors get.
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict
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
_SEPARATORS: Final = " .\u00a0\u2011-"
_NUMBER: Final = re.compile(rf"\d(?:[{_SEPARATORS}]?\d)*", re.ASCII)
_SEPARATOR: Final = re.compile(rf"(?<=\d)[{_SEPARATORS}](?=\d)", re.ASCII)
_DIGIT: Final = re.compile("[0-9%]")
_ASCII_DIGIT: Final = re.compile("[0-9]")
_NOTHING: Final = re.compile("(?!)")
#: Numbers longer than any that a person has: the prefilter asks for a run of so many digits, and no longer one.
_LONG_RUN: Final = 32
_TOKEN: Final = re.compile(r"[^\s/?&=#;,\"'<>()\[\]{}|:]+")
#: Of more identifiers than this, a text's own parts are looked up among them: a scan for each would take a trace of
#: 10,000 people a second for every text with a number in it.
_SCANNED: Final = 256

#: An identifier of a data subject as an application had it, with its type.
Identifier = tuple[object, object]


class IdentifierForms(msgspec.Struct, frozen=True):
    """The forms in which an identifier is searched for.

    Attributes:
        texts: In small letters, as given and as normalised.
        digits: Of a number, without separators and leading zeros; else empty.
    """

    texts: tuple[str, ...]
    digits: str

    @property
    def empty(self) -> bool:
        """Whether there is nothing to search for."""
        return not self.texts

    def __repr__(self) -> str:
        """Show nothing: representations end up in tracebacks."""
        return "IdentifierForms()"


def forms_of(value: object, type_: object) -> IdentifierForms:
    """Return the forms in which an identifier of any type is searched for."""
    if type(value) is str and value.isascii() and value.isdigit() and len(value) >= SHORT:
        # Nearly always: a number, without anything around it.
        normalised, _ = normalise_identifier(normalise_type(type_)[0], value)
        digits = normalised.lstrip("0")
        return IdentifierForms(
            (value,) if normalised == value else (value, normalised), digits if len(digits) >= SHORT else ""
        )
    decoded, _ = normalise_identifier("", value)
    type_name, _ = normalise_type(type_)
    # Also as it came: normalising composes letters, and a text may hold them decomposed.
    texts: dict[str, None] = {value.strip().lower(): None} if isinstance(value, str) and value.strip() else {}
    digits = ""
    # A caller may have encoded it more often than the service decodes.
    for _ in range(_DECODINGS):
        normalised, _ = normalise_identifier(type_name, decoded)
        texts.update((text.lower(), None) for text in (decoded, normalised) if text)
        bare = _SEPARATOR.sub("", normalised).lstrip("0")
        digits = bare if bare.isascii() and bare.isdigit() and len(bare) >= SHORT else digits
        if "%" not in decoded:
            break
        decoded = unquote(decoded).strip()
    return IdentifierForms(tuple(texts), digits)


def as_text(identifier: Identifier) -> Identifier:
    """Return an identifier of any type as text, and so hashable."""
    value, type_ = identifier
    text = value if type(value) is str else normalise_identifier("", value)[0]
    return text, type_ if isinstance(type_, str) else None


def is_short(identifier: Identifier) -> bool:
    """Return whether an identifier has fewer characters than are searched for inside a text."""
    return len(normalise_identifier("", identifier[0])[0]) < SHORT


@functools.cache
def _run_of_digits(count: int) -> re.Pattern[str]:
    """Return a pattern that matches where a text may hold a number of so many digits, and at anything encoded."""
    return re.compile(rf"[0-9%](?:(?<=%)|(?:[+{_SEPARATORS}]?[0-9]){{{count - 1}}})")


def _prefilter(identifiers: Sequence[Identifier]) -> tuple[Callable[[str], object], bool]:
    """Return a cheap test that is false only for texts without any of these identifiers, and whether all are numbers.

    It reads the identifiers as they were given: most redactors see no text that passes it, so that the forms of their
    identifiers are never made.
    """
    shortest = _LONG_RUN
    beside_digits = True
    for value, _ in identifiers:
        text = value if type(value) is str else normalise_identifier("", value)[0]
        if text.isdigit() and text.isascii() and (digits := len(text.lstrip("0"))) >= SHORT:
            shortest = min(shortest, digits)
        else:
            shortest = 0
            # A digit stays one in all forms, unless it is part of an escape.
            beside_digits = beside_digits and "%" not in text and _ASCII_DIGIT.search(text) is not None
    if not identifiers:
        return _NOTHING.search, True
    if shortest:
        return _run_of_digits(shortest).search, True
    return (_DIGIT.search if beside_digits else bool), False


class Redactor:
    """Searches texts for some identifiers and replaces them by `REDACTED`.

    Args:
        identifiers: As they were given, with their types. Their forms are made when a text passes the prefilter.
        short: Also those of fewer than five characters, where they stand by themselves.

    Attributes:
        may_find: The prefilter: a false result means that a text holds none of the identifiers.
    """

    may_find: Callable[[str], object]

    def __init__(self, identifiers: Iterable[Identifier], *, short: bool = True) -> None:
        self._identifiers = tuple(identifiers)
        self._with_short = short
        self.may_find, only_numbers = _prefilter(self._identifiers)
        self._long_only: Redactor | None = self if only_numbers or not short else None
        self._forms: _Forms | None = None

    def __repr__(self) -> str:
        """Show nothing: representations end up in tracebacks."""
        return f"{type(self).__name__}()"

    @property
    def long_only(self) -> Redactor:
        """The redactor without identifiers of fewer than five characters.

        For texts that name things of an organisation (activities, addresses, versions), in which a `7` is no person.
        """
        if self._long_only is None:
            self._long_only = Redactor(self._identifiers, short=False)
        return self._long_only

    def finds(self, text: str) -> bool:
        """Return whether an identifier stands in a text."""
        if not self.may_find(text):
            return False
        forms = self._prepared()
        decoded = text.lower()
        for _ in range(_DECODINGS):
            if forms.are_in(decoded):
                return True
            if "%" not in decoded and "+" not in decoded:
                return False
            once_more = unquote_plus(decoded).lower()
            if once_more == decoded:
                return False
            decoded = once_more
        return forms.are_in(decoded)

    def text(self, text: str) -> str:
        """Return a text without the identifiers: each is replaced, or the word around it when it is encoded."""
        if not self.finds(text):
            return text
        forms = self._prepared()
        for form in forms.long:
            text = _replaced(text, form)
        if not self.finds(text):
            return text
        if forms.digits:
            text = _NUMBER.sub(lambda number: REDACTED if forms.number_is_in(number[0]) else number[0], text)
        if self.finds(text):
            text = _TOKEN.sub(lambda token: REDACTED if self.finds(token[0]) else token[0], text)
        return REDACTED if self.finds(text) else text

    def attributes(self, attributes: Mapping[str, Any], *, hidden: frozenset[str] = frozenset()) -> dict[str, Any]:
        """Return attributes without the identifiers, in values and names.

        Args:
            hidden: Names of attributes that hold nothing but an identifier.
        """
        names = {name: self.text(name) for name in attributes} if self.finds("\n".join(attributes)) else None
        redacted, may_find = {}, self.may_find
        for name, value in attributes.items():
            if name in hidden:
                shown = REDACTED
            else:
                shown = value if type(value) is str and not may_find(value) else self.value(value)
            redacted[name if names is None else names[name]] = shown
        return redacted

    def value(self, value: Any, depth: int = _MAX_DEPTH) -> Any:
        """Return an attribute value without the identifiers; a value that holds none comes back as it is."""
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float | bytes | bytearray):
            return REDACTED if self.finds_in_scalar(value) else value
        if depth == 0:
            return REDACTED
        return self._inside(value, depth - 1)

    def finds_in_scalar(self, value: float | bytes | bytearray) -> bool:
        """Return whether an identifier stands in bytes or in a number; a short number is a status or a count too."""
        if isinstance(value, bytes | bytearray):
            return self.finds(bytes(value).decode("utf-8", "replace"))
        text = _number_text(value)
        return len(text) >= SHORT and self._prepared().long_are_in(text)

    def _inside(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return {
                self.text(name) if isinstance(name, str) else name: self.value(item, depth)
                for name, item in value.items()
            }
        return tuple(self.value(item, depth) for item in value) if isinstance(value, Sequence) else value

    def _prepared(self) -> _Forms:
        if self._forms is None:
            self._forms = _Forms([forms_of(*identifier) for identifier in self._identifiers], short=self._with_short)
        return self._forms


class _Forms:
    """The forms of all identifiers of a redactor."""

    def __init__(self, identifiers: Sequence[IdentifierForms], *, short: bool) -> None:
        texts = dict.fromkeys([text for forms in identifiers for text in forms.texts])
        self.long = tuple([text for text in texts if len(text) >= SHORT])
        self.digits = tuple(dict.fromkeys([forms.digits for forms in identifiers if forms.digits]))
        self._short = tuple([text for text in texts if len(text) < SHORT]) if short else ()
        self._long_in = _any_of(self.long)
        self._digits_in = _any_of(self.digits)

    def are_in(self, text: str) -> bool:
        """Return whether an identifier stands in a text of small letters, not encoded."""
        if self._long_in(text):
            return True
        if self.digits and self.number_is_in(text):
            return True
        return bool(self._short) and any(_stands_alone(form, text) for form in self._short)

    def long_are_in(self, text: str) -> bool:
        """Return whether an identifier of five characters or more stands in a text, as it is."""
        return self._long_in(text) or self._digits_in(text)

    def number_is_in(self, text: str) -> bool:
        """Return whether one of the numbers stands in a text, with or without separators."""
        return self._digits_in(_SEPARATOR.sub("", text) if _SEPARATOR.search(text) is not None else text)


def _any_of(forms: Sequence[str]) -> Callable[[str], bool]:
    """Return a test whether a text holds one of these forms."""
    if len(forms) <= _SCANNED:

        def scan(text: str) -> bool:
            for form in forms:  # noqa: SIM110  (a generator takes twice the time, and this runs for every text)
                if form in text:
                    return True
            return False

        return scan
    by_length: defaultdict[int, set[str]] = defaultdict(set)
    for form in forms:
        by_length[len(form)].add(form)

    def look_up(text: str) -> bool:
        return any(
            text[start : start + length] in forms_of_length
            for length, forms_of_length in by_length.items()
            for start in range(len(text) - length + 1)
        )

    return look_up


class RedactorPair(Redactor):
    """Searches for the identifiers of two redactors, such as a record's own ones and those of its trace."""

    def __init__(self, own: Redactor, around: Redactor) -> None:
        super().__init__(())
        self._pair = own, around
        self.may_find = lambda text: own.may_find(text) or around.may_find(text)
        self._long_only = None

    @property
    def long_only(self) -> Redactor:
        """The pair without identifiers of fewer than five characters."""
        if self._long_only is None:
            own, around = self._pair
            self._long_only = RedactorPair(own.long_only, around.long_only)
        return self._long_only

    def finds(self, text: str) -> bool:
        """Return whether an identifier of either stands in a text."""
        own, around = self._pair
        return own.finds(text) or around.finds(text)

    def text(self, text: str) -> str:
        """Return a text without the identifiers of both."""
        own, around = self._pair
        return around.text(own.text(text))

    def finds_in_scalar(self, value: float | bytes | bytearray) -> bool:
        """Return whether an identifier of either stands in a number or in bytes."""
        own, around = self._pair
        return own.finds_in_scalar(value) or around.finds_in_scalar(value)


class _RedactAll(Redactor):
    """Lets no text through: there are more identifiers than are searched for, or the search failed."""

    def __init__(self) -> None:
        super().__init__((), short=False)
        self.may_find = bool

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

    def finds_in_scalar(self, value: float | bytes | bytearray) -> bool:
        del value
        return True


REDACT_ALL: Final[Redactor] = _RedactAll()


class TraceIdentifiers:
    """The identifiers of data subjects of many traces, for ways in that know all records of a trace before the first.

    A record's own identifiers are searched for in it whole, those of its trace with five characters or more.
    """

    def __init__(self) -> None:
        self._identifiers: defaultdict[bytes, dict[Identifier, None]] = defaultdict(dict)
        self._redactors: dict[bytes, Redactor] = {}

    def add(self, trace_id: bytes, identifiers: Iterable[Identifier]) -> None:
        """Add identifiers of a trace, before the first `redactor` for it."""
        self._identifiers[trace_id].update((as_text(identifier), None) for identifier in identifiers)

    def redactor(self, trace_id: bytes, own: Sequence[Identifier]) -> Redactor | None:
        """Return the redactor for a record; None when nobody is known in its trace.

        Args:
            own: The record's, which were added as well.
        """
        identifiers = self._identifiers.get(trace_id)
        if not identifiers:
            return None
        around = self._redactors.get(trace_id)
        if around is None:
            around = self._redactors[trace_id] = Redactor(identifiers, short=False)
        return RedactorPair(Redactor(own), around) if any(map(is_short, own)) else around


def quoted_identifiers(text: str, values: Sequence[object], type_: object) -> list[Identifier]:
    """Return those of many identifiers of one type that stand in a text, of five characters or more."""
    if not _run_of_digits(SHORT).search(text):
        try:
            joined = "".join(values)  # type: ignore[arg-type]  # texts nearly always, and a TypeError for others
        except TypeError:
            pass
        else:
            # Only numbers, and nowhere in the text is one: decided without a look at each.
            if joined.isascii() and joined.isdigit():
                return []
    if not Redactor([(value, type_) for value in values], short=False).finds(text):
        return []
    return [(value, type_) for value in values if Redactor([(value, type_)], short=False).finds(text)]


def _number_text(value: float) -> str:
    if not isinstance(value, int):
        return f"{value:.17g}"
    try:
        return int.__str__(value)
    except ValueError:  # Python refuses decimal text of integers over 4,300 digits
        return ""


def _replaced(text: str, form: str) -> str:
    lower = text.lower()
    if len(lower) != len(text):
        # A few letters become two when small, and positions no longer agree; the caller searches once more.
        return text
    parts, position = [], 0
    while (start := lower.find(form, position)) >= 0:
        parts += [text[position:start], REDACTED]
        position = start + len(form)
    return "".join([*parts, text[position:]])


def _stands_alone(form: str, text: str) -> bool:
    position = text.find(form)
    while position >= 0:
        end = position + len(form)
        before = text[position - 1 : position]
        if not before.isalnum() and not text[end : end + 1].isalnum():
            return True
        position = text.find(form, position + 1)
    return False
