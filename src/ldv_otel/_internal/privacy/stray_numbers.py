"""A stray BSN: one in a text of a record that nobody named as a data subject of it (LDV-N14).

Nine digits that pass the 11-test, alone or in the groups in which people write them, in any script, encoded or not, or
as a number. One number in eleven passes by chance, so that attributes with such numbers (of cases, of organisations)
can be left out by name; identifiers in hexadecimal, as of traces and UUIDs, are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.config.variables import StrayBsn
from ldv_otel._internal.privacy.folding import LETTERS_AND_DIGITS, WHOLE_TEXT, decoded, may_hold_number
from ldv_otel._internal.privacy.identifier_forms import Span, written_out
from ldv_otel._internal.privacy.identifiers import passes_eleven_test
from ldv_otel._internal.privacy.redaction import TOKEN, number_text, replaced

#: What stands in the place of a stray BSN: as many characters as it has.
MASK: Final = "*********"
DIGITS: Final = 9

_SEPARATOR: Final = "[ .,_/-]{1,2}"
_CANDIDATE: Final = re.compile(
    rf"(?<![0-9])(?:[0-9]{{9}}|[0-9]{{3}}({_SEPARATOR})[0-9]{{3}}\1[0-9]{{3}}(?!\1[0-9])"
    rf"|[0-9]{{4}}({_SEPARATOR})[0-9]{{2}}\2[0-9]{{3}}(?!\2[0-9]))(?![0-9])"
)
_GROUP: Final = re.compile(r"(?<![0-9])[0-9]{1,3}\Z")
_GROUP_CHARACTERS: Final = 6
#: An id in hexadecimal, such as a UUID or that of a trace.
_ID_BEFORE: Final = re.compile(r"[0-9a-f-]{0,64}\Z")
_ID_AFTER: Final = re.compile(r"[0-9a-f-]{0,64}")
_ID_CHARACTERS: Final = 16
#: A number with an exponent that stands by itself: within a word it is a part of an id in hexadecimal.
_WITH_EXPONENT: Final = re.compile("(?<![0-9a-z.,_])[0-9][0-9.,_]*e ?[0-9]{1,2}(?![0-9a-z.,_])")
#: Digits before an exponent: one BSN in a thousand ends with more zeros.
_BEFORE_EXPONENT: Final = 7


class StrayNumbers:
    """Finds stray BSNs in the texts of a record.

    Args:
        policy: `redact` replaces them, `flag` keeps them and says so, `refuse` replaces them and sets the record apart.
        exempt: Names of attributes (`name` for the name of a record) in which they are not looked for.

    Attributes:
        may_find: A cheap test; a false result means that a text holds none.
    """

    may_find: Callable[[str], object]

    def __init__(self, policy: StrayBsn = "redact", exempt: Iterable[str] = ()) -> None:
        self.policy: StrayBsn = policy
        self.redacts = policy != "flag"
        self.exempt = frozenset(exempt)
        self.may_find = may_hold_number(DIGITS, exponent=True, cut=False).search

    def finds(self, text: str) -> bool:
        """Return whether one stands in a text, as it is or decoded; also where it is encoded beyond reason."""
        if not self.may_find(text):
            return False
        if text.isascii() and "%" not in text and "\\" not in text and "&" not in text:
            return _holds(text)
        try:
            return any(map(_holds, decoded(text)))
        except ValueError:
            return True

    def finds_in_scalar(self, value: float | bytes | bytearray) -> bool:
        """Return whether a number is one, or bytes hold one."""
        if isinstance(value, bytes | bytearray):
            return self.finds(bytes(value).decode("utf-8", "replace"))
        digits = number_text(value)
        return len(digits) == DIGITS and digits.isdecimal() and passes_eleven_test(digits)

    def text(self, text: str) -> str:
        """Return a text with each replaced, or the word around it when it is encoded."""
        if not self.finds(text):
            return text
        places = WHOLE_TEXT.places(text)
        spans = [(places[start], places[end - 1] + 1) for start, end in _spans(WHOLE_TEXT(text))]
        text = replaced(text, spans, MASK)
        if self.finds(text):
            text = TOKEN.sub(lambda token: MASK if self.finds(token[0]) else token[0], text)
        return MASK if self.finds(text) else text


def stray_numbers(settings: Settings) -> StrayNumbers:
    """Return what the settings say about stray BSNs."""
    return StrayNumbers(settings.stray_bsn, settings.stray_bsn_except)


def _holds(text: str) -> bool:
    whole = WHOLE_TEXT(text)
    if _CANDIDATE.search(whole) is not None and next(_spans(whole), None) is not None:
        return True
    return "e" in whole and any(
        _is_written_out_bsn(digits) for number in _WITH_EXPONENT.findall(whole) for digits in written_out(number)
    )


def _is_written_out_bsn(digits: str) -> bool:
    """Return whether the digits of a number with an exponent are those of a BSN.

    With most of them before the exponent, as programs write a BSN: `41e7`, which passes too, stands in ids of spans.
    """
    return len(digits) == DIGITS and len(digits.rstrip("0")) >= _BEFORE_EXPONENT and passes_eleven_test(digits)


def _spans(whole: str) -> Iterator[Span]:
    """Yield where BSNs stand in a folded text."""
    for candidate in _CANDIDATE.finditer(whole):
        separator = candidate[1] or candidate[2]
        before = whole[max(0, candidate.start() - _GROUP_CHARACTERS) : candidate.start()]
        if separator and before.endswith(separator) and _GROUP.search(before.removesuffix(separator)):
            # A part of a longer number in groups of three.
            continue
        if passes_eleven_test(LETTERS_AND_DIGITS(candidate[0])) and not _in_id(whole, *candidate.span()):
            yield candidate.span()


def _in_id(whole: str, start: int, end: int) -> bool:
    """Return whether digits are part of an id in hexadecimal, which has letters and is longer than any number."""
    before, after = _ID_BEFORE.search(whole[max(0, start - 64) : start]), _ID_AFTER.match(whole, end)
    around = (before[0] if before is not None else "") + (after[0] if after is not None else "")
    around = around.replace("-", "")
    return len(around) + DIGITS >= _ID_CHARACTERS and not around.isdecimal() and around != ""
