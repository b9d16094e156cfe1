"""Redaction: replaces known identifiers of data subjects inside texts and values by the word `REDACTED`.

In which forms they are found says `identifier_forms.py`. What an application made of an identifier itself (a hash,
base64) is not recognised. An identifier of fewer than five characters is found only where it stands by itself:
elsewhere it says nothing.

`record/builder.py` redacts the texts of records, `sdk/shield.py` those of spans that other processors get.
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from ldv_otel._internal.privacy.folding import (
    BETWEEN_TEXTS,
    CUT_DIGITS,
    LETTERS_AND_DIGITS,
    MAY_HOLD_DIGIT,
    may_hold_number,
)
from ldv_otel._internal.privacy.identifier_forms import SHORT, FormSearch, forms_of
from ldv_otel._internal.privacy.pseudonyms import normalise_identifier

#: The word of OpenTelemetry's semantic conventions.
REDACTED: Final = "REDACTED"

_MAX_DEPTH: Final = 16
_NOTHING: Final = re.compile("(?!)")
#: Numbers longer than any that a person has: the prefilter asks for a run of so many digits, and no longer one.
_LONG_RUN: Final = 32
_BSN_DIGITS: Final = 9
#: So many numbers are looked for one by one before their forms are made.
_FEW: Final = 8
TOKEN: Final = re.compile(r"[^\s/?&=#;,\"'<>()\[\]{}|:]+")

#: An identifier of a data subject as an application had it, with its type.
Identifier = tuple[object, object]


def as_text(identifier: Identifier) -> Identifier:
    """Return an identifier of any type as text, and so hashable."""
    value, type_ = identifier
    text = value if type(value) is str else normalise_identifier("", value)[0]
    return text, type_ if isinstance(type_, str) else None


def is_short(identifier: Identifier) -> bool:
    """Return whether an identifier has fewer characters than are searched for inside a text."""
    return len(normalise_identifier("", identifier[0])[0]) < SHORT


Test = Callable[[str], object]


@functools.cache
def _number_tests(shortest: int, *, zeros_at_end: bool) -> tuple[Test, Test, bool]:
    or_bsn = may_hold_number(min(shortest, _BSN_DIGITS), exponent=True)
    return may_hold_number(shortest, exponent=zeros_at_end).search, or_bsn.search, True


def _prefilter(identifiers: Sequence[Identifier]) -> tuple[Test, Test, bool]:
    """Return cheap tests, which are false only for texts without any of some identifiers, and whether all are numbers.

    The second test is for any BSN as well. Most identifiers are plain numbers, and most redactors see no text that
    passes, so that the forms of their identifiers are never made.
    """
    if not identifiers:
        return _NOTHING.search, _number_tests(_BSN_DIGITS, zeros_at_end=True)[1], True
    if len(identifiers) == 1 and len(digits := _plain_digits(identifiers[0][0])) >= SHORT:
        # One person, as in most traces.
        return _number_tests(min(len(digits), _LONG_RUN), zeros_at_end=digits[-1] == "0")
    shortest = _LONG_RUN
    only_numbers = beside_digits = True
    zeros_at_end = False
    for value, type_ in identifiers:
        if len(digits := _plain_digits(value)) >= SHORT:
            shortest = min(shortest, len(digits))
            zeros_at_end = zeros_at_end or digits.endswith("0")
            continue
        forms = forms_of(value, type_)
        for number in forms.numbers:
            shortest = min(shortest, len(number))
            zeros_at_end = zeros_at_end or number.endswith("0")
        only_numbers = only_numbers and not (forms.codes or forms.texts or forms.short)
        # A digit stays one in all forms.
        beside_digits = beside_digits and all(any(map(str.isdecimal, text)) for text in (*forms.texts, *forms.short))
    if only_numbers:
        return _number_tests(shortest, zeros_at_end=zeros_at_end)
    test: Test = MAY_HOLD_DIGIT.search if beside_digits else bool
    return test, test, False


def _plain_digits(value: object) -> str:
    """Return the digits of an identifier that is a plain number, without leading zeros; empty for others."""
    return value.lstrip("0") if type(value) is str and value.isascii() and value.isdigit() else ""


def _plain_numbers(identifiers: Sequence[Identifier]) -> tuple[str, ...] | None:
    """Return the digits of a few identifiers that are plain numbers; None where one is not."""
    if len(identifiers) > _FEW:
        return None
    numbers = tuple(_plain_digits(value) for value, _ in identifiers)
    return numbers if all(numbers) else None


def _is_encoded(text: str) -> bool:
    """Return whether something in a text may have to be decoded or folded before a number shows."""
    return not text.isascii() or "%" in text or "\\" in text or "&" in text


@functools.lru_cache(maxsize=8)
def _code_of_shared(text: str) -> str | None:
    return None if _is_encoded(text) else LETTERS_AND_DIGITS(text)


@functools.lru_cache(maxsize=16)
def _passes(number_test: Test, text: str) -> bool:
    """Return whether a shared text passes a prefilter for numbers, which knows no number but only how long they are."""
    return bool(number_test(text))


class Redactor:
    """Searches texts for some identifiers and replaces them by `REDACTED`.

    Args:
        identifiers: As they were given, with their types. Their forms are made when a text passes the prefilter.
        short: Also those of fewer than five characters, where they stand by themselves.

    Attributes:
        may_find: The prefilter: a false result means that a text holds none of the identifiers.
        may_find_or_bsn: The prefilter for these and for any BSN, so that a text is tested once for both.
        needs_digit: Each identifier has a digit, in all its forms: a text without any holds none of them.
    """

    may_find: Callable[[str], object]
    may_find_or_bsn: Callable[[str], object]
    needs_digit: bool

    def __init__(self, identifiers: Iterable[Identifier], *, short: bool = True) -> None:
        self._identifiers = tuple(identifiers)
        self._with_short = short
        self.may_find, self.may_find_or_bsn, only_numbers = _prefilter(self._identifiers)
        self._long_only: Redactor | None = self if only_numbers or not short else None
        self._forms: FormSearch | None = None
        self._only_numbers = only_numbers
        self.needs_digit = self.may_find is not bool

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
        if not self.may_find(text) or text == REDACTED:
            return False
        return not self._lacks_numbers(text) and self._prepared().finds(text)

    def _lacks_numbers(self, text: str) -> bool:
        """Return whether plain numbers are missing in a text where nothing is encoded, before their forms are made.

        The number of a case or a date passes the prefilter, and is no reason to make them.
        """
        if not self._only_numbers or _is_encoded(text):
            return False
        return self._lacks_numbers_in_code(LETTERS_AND_DIGITS(text))

    def may_find_in_shared(self, text: str) -> bool:
        """Return what `may_find` does, oftener false, for a text that all records of a process have."""
        if self._only_numbers and not _passes(self.may_find, text):
            return False
        code = _code_of_shared(text) if self._only_numbers else None
        return not (code is not None and self._lacks_numbers_in_code(code)) and bool(self.may_find(text))

    def _lacks_numbers_in_code(self, code: str) -> bool:
        numbers = _plain_numbers(self._identifiers)
        if numbers is None:
            return False
        # Where a number was cut, the last digits of the text are some of its own.
        end = code[-CUT_DIGITS:]
        # With an exponent its zeros at the end are not written.
        return not any(number.rstrip("0") in code or end in number for number in numbers)

    def text(self, text: str) -> str:
        """Return a text without the identifiers: each is replaced, or the word around it when it is encoded."""
        plainly = self._text_of_plain_number(text)
        if plainly is not None:
            return plainly
        if not self.finds(text):
            return text
        text = replaced(text, self._prepared().places(text))
        if self.finds(text):
            text = TOKEN.sub(lambda token: REDACTED if self.finds(token[0]) else token[0], text)
        return REDACTED if self.finds(text) else text

    def _text_of_plain_number(self, text: str) -> str | None:
        """Return a text in which one plain number stood by itself, as URLs quote it; None for all that is less plain.

        Its forms need not be made then, and the text is looked through again to see that none of them is left.
        """
        if not self._only_numbers or len(self._identifiers) != 1 or _is_encoded(text):
            return None
        number = self._identifiers[0][0]
        if type(number) is not str or len(number) < SHORT or number not in text or _plain_digits(number) != number:
            return None
        parts = text.split(number)
        codes = [LETTERS_AND_DIGITS(part) for part in parts]
        # Beside other digits, whatever stands between them, the number may be a part of a longer one, or cover zeros.
        if (
            any(code[-1:].isdigit() for code in codes[:-1])
            or any(code[:1].isdigit() for code in codes[1:])
            or not all(codes[1:-1])
        ):
            return None
        text = REDACTED.join(parts)
        return None if self.may_find(text) and not self._lacks_numbers(text) else text

    def attributes(self, attributes: Mapping[str, Any], *, hidden: frozenset[str] = frozenset()) -> dict[str, Any]:
        """Return attributes without the identifiers, in values and names.

        Args:
            hidden: Names of attributes that hold nothing but an identifier.
        """
        redacted, may_find = {}, self.may_find
        # All names in one look: hardly ever is somebody in one.
        in_names = may_find(BETWEEN_TEXTS.join(attributes)) and any(map(self.finds, attributes))
        names = {name: self.text(name) for name in attributes} if in_names else None
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
        text = number_text(value)
        return len(text) >= SHORT and bool(self.may_find(text)) and self._prepared().finds_digits(text)

    def _inside(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return {
                self.text(name) if isinstance(name, str) else name: self.value(item, depth)
                for name, item in value.items()
            }
        return tuple(self.value(item, depth) for item in value) if isinstance(value, Sequence) else value

    def _prepared(self) -> FormSearch:
        if self._forms is None:
            forms = [forms_of(*identifier) for identifier in self._identifiers]
            self._forms = FormSearch(forms, short=self._with_short)
        return self._forms


class RedactorPair(Redactor):
    """Searches for the identifiers of two redactors, such as a record's own ones and those of its trace."""

    def __init__(self, own: Redactor, around: Redactor) -> None:
        super().__init__(())
        self._pair = own, around
        self.may_find = lambda text: own.may_find(text) or around.may_find(text)
        self.may_find_or_bsn = lambda text: own.may_find_or_bsn(text) or around.may_find_or_bsn(text)
        self.needs_digit = own.needs_digit and around.needs_digit
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

    def may_find_in_shared(self, text: str) -> bool:
        """Return whether an identifier of either may stand in a text that all records have."""
        own, around = self._pair
        return own.may_find_in_shared(text) or around.may_find_in_shared(text)

    def finds_in_scalar(self, value: float | bytes | bytearray) -> bool:
        """Return whether an identifier of either stands in a number or in bytes."""
        own, around = self._pair
        return own.finds_in_scalar(value) or around.finds_in_scalar(value)


class _RedactAll(Redactor):
    """Lets no text through: there are more identifiers than are searched for, or the search failed."""

    def __init__(self) -> None:
        super().__init__((), short=False)
        self.may_find = self.may_find_or_bsn = bool
        self.needs_digit = False

    def finds(self, text: str) -> bool:
        return text not in {"", REDACTED}

    may_find_in_shared = finds

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
    if not may_hold_number(SHORT, exponent=True).search(text):
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


def number_text(value: float) -> str:
    """Return a number as its digits, without an exponent as far as a float has them; empty for what is too long."""
    if not isinstance(value, int):
        return f"{value:.17g}"
    try:
        return int.__str__(value)
    except ValueError:  # Python refuses decimal text of integers over 4,300 digits
        return ""


def replaced(text: str, places: Iterable[tuple[int, int]], word: str = REDACTED) -> str:
    """Return a text with the word in these places, which are in order and apart."""
    parts, position = [], 0
    for start, end in places:
        parts += [text[position:start], word]
        position = end
    return "".join([*parts, text[position:]])
