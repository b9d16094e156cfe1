"""The forms in which identifiers of data subjects are searched for in texts.

| identifier | it is searched for |
| --- | --- |
| a number, however it was given | as its digits without leading zeros, whatever separates them; with an exponent |
| the beginning of a number, six digits or more | at the end of a text, where a limit may have cut it |
| letters and digits | as these, in any case, whatever separates them |
| letters only, such as an address | as a text, in any case; letters composed or not, dashes and spaces of any kind |
| fewer than five characters | where they stand alone |

All of it folded (`folding.py`), in the text as it is and decoded as often as it is encoded.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from ldv_otel._internal.privacy.folding import (
    CUT_DIGITS,
    LETTERS_AND_DIGITS,
    WHOLE_TEXT,
    decoded,
    without_cut_escape,
)
from ldv_otel._internal.privacy.pseudonyms import normalise_identifier, normalise_type

#: Identifiers of fewer characters are found only where they stand by themselves.
SHORT: Final = 5
#: Of more identifiers than this, a text's own parts are looked up among them: a scan for each would take a trace of
#: 10,000 people a second for every text with a number in it.
_SCANNED: Final = 256
#: A number as programs and spreadsheets write it: `1.2345678e 08`, folded. From its beginning on only: linear time.
_EXPONENT: Final = re.compile(
    r"(?<![0-9])(?<![0-9][.,_])([0-9]+(?:[.,_][0-9]+)*)[.,]?e ?([0-9]{1,2})(?![0-9])", re.ASCII
)
_GROUPING: Final = re.compile("[.,_]")
#: What stands before a number may be one too: of so many groups of digits each may be its beginning.
_GROUPS: Final = 5

#: A place in a text: where it begins and where it ends.
Span = tuple[int, int]


class IdentifierForms(msgspec.Struct, frozen=True):
    """The forms of one identifier, folded.

    Attributes:
        numbers: Digits, without leading zeros.
        codes: Letters and digits.
        texts: Texts in which a mark counts.
        short: Texts of fewer than five characters.
    """

    numbers: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    short: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to search for."""
        return not (self.numbers or self.codes or self.texts or self.short)

    def __repr__(self) -> str:
        """Show nothing: representations end up in tracebacks."""
        return "IdentifierForms()"


def forms_of(value: object, type_: object) -> IdentifierForms:
    """Return the forms in which an identifier of any type is searched for."""
    if type(value) is str and value.isascii() and value.isdigit() and len(digits := value.lstrip("0")) >= SHORT:
        # Nearly always: a number, without anything around it.
        return IdentifierForms(numbers=(digits,))
    spellings = [normalise_identifier("", value)[0], normalise_identifier(normalise_type(type_)[0], value)[0]]
    if isinstance(value, str):
        # Also as it came: a caller may have encoded it more often than the service decodes.
        spellings += _decodings(value)
    kinds: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for spelling in dict.fromkeys(spellings):
        kind, form = _form(spelling)
        if form:
            kinds[kind][form] = None
    return IdentifierForms(**{kind: tuple(forms) for kind, forms in kinds.items()})


def _decodings(value: str) -> list[str]:
    try:
        return [spelling for text in decoded(value) for spelling in (text, normalise_identifier("", text)[0])]
    except ValueError:
        return []


def _form(spelling: str) -> tuple[str, str]:
    """Return what kind of form a spelling of an identifier has, and that form."""
    code, text = LETTERS_AND_DIGITS(spelling), WHOLE_TEXT(spelling).strip()
    if code.isdecimal():
        digits = code.lstrip("0")
        if len(digits) >= SHORT:
            return "numbers", digits
    has_digit = any(map(str.isdecimal, code))
    if has_digit and len(code) >= SHORT:
        return "codes", code
    return ("texts" if len(text) >= SHORT else "short"), text


class FormSearch:
    """Searches texts for the forms of many identifiers.

    Args:
        identifiers: Their forms.
        short: Also those of fewer than five characters, where they stand by themselves.
    """

    def __init__(self, identifiers: Sequence[IdentifierForms], *, short: bool) -> None:
        numbers = dict.fromkeys(number for forms in identifiers for number in forms.numbers)
        codes = dict.fromkeys(code for forms in identifiers for code in forms.codes)
        self._numbers = frozenset(numbers)
        self._in_code = _Needles([*numbers, *codes])
        self._in_text = _Needles([*dict.fromkeys(text for forms in identifiers for text in forms.texts)])
        self._short = tuple(dict.fromkeys(text for forms in identifiers for text in forms.short)) if short else ()
        self._exponents = any(number.endswith("0") for number in numbers)
        self._cut: frozenset[str] = frozenset()
        self._cut_lengths: Sequence[int] = ()
        self._set_cut(numbers)

    def _set_cut(self, numbers: dict[str, None]) -> None:
        beginnings = {number[:length] for number in numbers for length in range(CUT_DIGITS, len(number))}
        self._cut = frozenset(beginnings)
        self._cut_lengths = sorted(set(map(len, beginnings)), reverse=True)

    def finds(self, text: str) -> bool:
        """Return whether an identifier stands in a text, as it is or decoded.

        A text that is encoded more often than it is decoded counts as one in which somebody stands.
        """
        try:
            return any(map(self._is_in, decoded(text)))
        except ValueError:
            return True

    def finds_digits(self, text: str) -> bool:
        """Return whether an identifier stands in the text of a number, which nobody has cut or encoded."""
        return self._in_code.any_in(LETTERS_AND_DIGITS(text))

    def places(self, text: str) -> list[Span]:
        """Return where in a text, as it is, identifiers stand; in order, none in another."""
        spans = [*self._places_of_codes(text), *self._places_of_texts(text)]
        spans.sort()
        merged: list[Span] = []
        for start, end in spans:
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return merged

    def _is_in(self, text: str) -> bool:
        code = LETTERS_AND_DIGITS(text)
        if self._in_code.any_in(code):
            return True
        if self._cut_lengths and self._cut_at_end(code, text):
            return True
        if not (self._exponents or self._in_text or self._short):
            return False
        whole = WHOLE_TEXT(text)
        if self._exponents and any(map(self._numbers.__contains__, written_out(whole))):
            return True
        return self._in_text.any_in(whole) or any(True for _ in _standing_alone(self._short, whole))

    def _cut_at_end(self, code: str, text: str) -> int:
        """Return how many digits of a known number a text ends in; 0 for fewer than count."""
        uncut = without_cut_escape(text)
        code = code if uncut == text else LETTERS_AND_DIGITS(uncut)
        return next((length for length in self._cut_lengths if code[-length:] in self._cut and len(code) >= length), 0)

    def _places_of_codes(self, text: str) -> Iterator[Span]:
        code = LETTERS_AND_DIGITS(text)
        spans = self._in_code.spans_in(code)
        if self._cut_lengths and (length := self._cut_at_end(code, text)):
            # What is left of an escape behind it goes too.
            spans.append((len(LETTERS_AND_DIGITS(without_cut_escape(text))) - length, len(code)))
        places = LETTERS_AND_DIGITS.places(text)
        before = 0
        for start, end in sorted(spans):
            first = start
            while first > before and code[first - 1] == "0":
                first -= 1
            before = max(before, end)
            yield places[first], places[end - 1] + 1

    def _places_of_texts(self, text: str) -> Iterator[Span]:
        if not (self._in_text or self._short):
            return
        whole = WHOLE_TEXT(text)
        places = WHOLE_TEXT.places(text)
        for start, end in [*self._in_text.spans_in(whole), *_standing_alone(self._short, whole)]:
            yield places[start], places[end - 1] + 1


class _Needles:
    """Some texts that are searched for in others."""

    def __init__(self, needles: Sequence[str]) -> None:
        self._needles = needles
        self._by_length: defaultdict[int, set[str]] = defaultdict(set)
        if len(needles) > _SCANNED:
            for needle in needles:
                self._by_length[len(needle)].add(needle)

    def __bool__(self) -> bool:
        """Whether there is anything to search for."""
        return bool(self._needles)

    def any_in(self, text: str) -> bool:
        """Return whether one of them stands in a text."""
        if self._by_length:
            return any(True for _ in self._looked_up(text))
        for needle in self._needles:  # noqa: SIM110  (a generator takes twice the time, and this runs for every text)
            if needle in text:
                return True
        return False

    def spans_in(self, text: str) -> list[Span]:
        """Return all places where one of them stands, also where they overlap."""
        if self._by_length:
            return list(self._looked_up(text))
        spans = []
        for needle in self._needles:
            start = text.find(needle)
            while start >= 0:
                spans.append((start, start + len(needle)))
                start = text.find(needle, start + 1)
        return spans

    def _looked_up(self, text: str) -> Iterator[Span]:
        for length, needles in self._by_length.items():
            for start in range(len(text) - length + 1):
                if text[start : start + length] in needles:
                    yield start, start + length


def written_out(text: str) -> Iterator[str]:
    """Yield the whole numbers that a folded text may have with an exponent, in all their digits."""
    for mantissa, power in _EXPONENT.findall(text):
        groups = _GROUPING.split(mantissa)
        for first in range(max(0, len(groups) - _GROUPS), len(groups)):
            whole, fraction = groups[first], "".join(groups[first + 1 :])
            zeros = int(power) - len(fraction)
            digits = whole + fraction
            yield (digits + "0" * zeros if zeros >= 0 else digits[:zeros]).lstrip("0")


def _standing_alone(forms: Sequence[str], text: str) -> Iterator[Span]:
    """Yield where a form stands in a folded text with neither letter nor digit beside it."""
    for form in forms:
        start = text.find(form)
        while start >= 0:
            end = start + len(form)
            if not text[start - 1 : start].isalnum() and not text[end : end + 1].isalnum():
                yield start, end
            start = text.find(form, start + 1)
