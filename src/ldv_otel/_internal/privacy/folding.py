"""Folding: texts in the one spelling in which identifiers are searched for.

A number may be quoted with separators or none, in digits of another script, full-width, escaped for a URL, JSON or
HTML, once or several times. Both the identifier and the text are folded, and then one stands in the other or not.

Folding goes character by character, so that a place in the folded text can be found back in the text (`Folding.place`).
It only ever brings spellings together: what two texts have in common before folding, they have after it.
"""

from __future__ import annotations

import codecs
import functools
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

#: How often a text is decoded: each time all escapes at once, and `%2525...31` counts as one of them.
_DECODINGS: Final = 8
_REMEMBERED: Final = 8_192
_CHUNK_CHARACTERS: Final = 1_024
_LATIN_1: Final = "ldv_otel.latin_1"
_MAX_CHARACTER: Final = 0x10FFFF

_HEX: Final = "[0-9a-fA-F]"
#: What HTML names that may stand between digits.
_NAMED: Final = "nbsp|ensp|emsp|thinsp|shy|ndash|mdash|hyphen|period|comma|Tab|NewLine"
#: Of JSON, programming languages, JavaScript's `escape`, and HTML. Runs begin at their beginning only: linear time. The
#: last two stand for what separates, so that their letters do not.
_ESCAPES: Final = re.compile(
    rf"(?<!\\)\\+(?:u({_HEX}{{4}})|x({_HEX}{{2}})|U({_HEX}{{8}})|u\{{({_HEX}{{1,6}})\}})"
    rf"|%u({_HEX}{{4}})|&(?:amp;)*#[xX]0*({_HEX}{{1,6}});?|&(?:amp;)*#0*([0-9]{{1,7}});?"
    rf"|(?<!\\)\\+([nrtfbv])|&(?:amp;)*({_NAMED});"
)
_DECIMAL_GROUP: Final = 7
#: A `%` that was escaped itself, any number of times.
_ESCAPED_PERCENT: Final = re.compile("%(?:25)+(?=[0-9a-fA-F]{2})")
#: Where a text that was cut ends inside an escape.
_CUT_ESCAPE: Final = re.compile(
    r"(?:%(?:25)*(?:u[0-9a-fA-F]{0,3}|2|[0-9a-fA-F])?|\\(?:[uUx][0-9a-fA-F]{0,7})?|&#?x?)\Z"
)
_CUT_ESCAPE_CHARACTERS: Final = 64

#: Characters of the Basic Multilingual Plane beside ASCII with a digit in their folded form: all decimal digits, raised
#: and lowered ones, fractions, circled numbers and their like. A test compares it with all characters there are.
ODD_DIGITS: Final = (
    r"\u00b2\u00b3\u00b9\u00bc-\u00be\u0660-\u0669\u06f0-\u06f9\u07c0-\u07c9\u0966-\u0dff\u0e50-\u0e59\u0ed0-\u0ed9"
    r"\u0f20-\u0f33\u1040-\u1099\u1369-\u1371\u17e0-\u17e9\u1810-\u1819\u1946-\u19da\u1a80-\u1a99\u1b50-\u1c59"
    r"\u2070-\u2189\u2460-\u24ff\u2776-\u2793\u3192-\u33ff\ua620-\ua629\ua8d0-\uabf9\uff10-\uff19"
)
#: What stands for the others, which are rare: all planes above.
ABOVE: Final = r"\U00010000-\U0010ffff"


def _latin_1(error: UnicodeError) -> tuple[str, int]:
    """Read bytes that are no UTF-8 as the encoding that URLs had before."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error(_LATIN_1, _latin_1)


class _FoldedCharacters(dict[int, str]):
    """What becomes of each character; made when it is met.

    Args:
        marks: Keep what is neither letter nor digit: white space as a space, each dash as `-`.
    """

    def __init__(self, *, marks: bool) -> None:
        super().__init__()
        self._marks = marks

    def __missing__(self, code: int) -> str:
        folded = self._folded(chr(code))
        if len(self) < _REMEMBERED:  # callers choose the characters
            self[code] = folded
        return folded

    def _folded(self, character: str) -> str:
        # Twice: small letters may be composed again.
        letters = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).casefold())
        return "".join(map(self._of_letter, letters))

    def _of_letter(self, letter: str) -> str:
        digit = unicodedata.digit(letter, None)
        if digit is not None:
            return str(digit)
        category = unicodedata.category(letter)
        if category[0] == "M" or category == "Cf":
            return ""
        if letter.isalnum():
            return letter
        if not self._marks:
            return ""
        if letter.isspace() or letter == "+":  # as the queries of URLs write it
            return " "
        return "-" if category == "Pd" or letter == "\u2212" else letter


class Folding:
    """One way to fold texts.

    Args:
        marks: Keep what is neither letter nor digit.
    """

    def __init__(self, *, marks: bool) -> None:
        self._characters = _FoldedCharacters(marks=marks)
        ascii_ = [self._characters[code] for code in range(128)]
        self._ascii = bytes(ord(folded) if folded else 0 for folded in ascii_) + bytes(128)
        self._left_out = bytes(code for code, folded in enumerate(ascii_) if not folded)

    def __call__(self, text: str) -> str:
        """Return a text folded."""
        if text.isascii():
            # Without a look at each character in Python.
            return text.encode().translate(self._ascii, self._left_out).decode()
        return text.translate(self._characters)

    def places(self, text: str) -> Places:
        """Return where the characters of the folded text come from."""
        return Places(self, text)

    def of_character(self, character: str) -> str:
        """Return what one character becomes: none, one or several."""
        return self._characters[ord(character)]


class Places:
    """Finds back where in a text a character of the folded text comes from.

    Only the pieces of the text that are asked for are looked through one by one.
    """

    def __init__(self, folding: Folding, text: str) -> None:
        self._folding, self._text = folding, text
        self._starts = [0]
        for at in range(0, len(text), _CHUNK_CHARACTERS):
            self._starts.append(self._starts[-1] + len(folding(text[at : at + _CHUNK_CHARACTERS])))
        self._chunk, self._origins = -1, [0]

    def __getitem__(self, index: int) -> int:
        """Return the place in the text of a character of the folded text."""
        chunk = bisect_right(self._starts, index) - 1
        if chunk != self._chunk:
            start = chunk * _CHUNK_CHARACTERS
            piece = self._text[start : start + _CHUNK_CHARACTERS]
            of_character = self._folding.of_character
            self._origins = [start + at for at, character in enumerate(piece) for _ in of_character(character)]
            self._chunk = chunk
        return self._origins[index - self._starts[chunk]]


#: Letters and digits alone: numbers are searched for in it, whatever separates their digits.
LETTERS_AND_DIGITS: Final = Folding(marks=False)
#: With marks: a dot may tell two names apart.
WHOLE_TEXT: Final = Folding(marks=True)


def decoded(text: str) -> Iterator[str]:
    """Yield a text as it is, and decoded once, twice and so on, until nothing in it is escaped.

    Raises:
        ValueError: It is encoded more often than anybody does; what it hides is not known.
    """
    yield text
    for _ in range(_DECODINGS):
        if "%" not in text and "\\" not in text and "&" not in text:
            return
        once_more = _decoded_once(text)
        if once_more == text:
            return
        text = once_more
        yield text
    raise ValueError("a text is encoded more often than it is decoded")


def without_cut_escape(text: str) -> str:
    """Return a text without the part of an escape at its end, which a limit on its length may have left."""
    tail = text[-_CUT_ESCAPE_CHARACTERS:]
    cut = _CUT_ESCAPE.search(tail)
    return text if cut is None else text[: len(text) - len(tail) + cut.start()]


def _decoded_once(text: str) -> str:
    if "\\" in text or "&" in text or "%u" in text:
        text = _ESCAPES.sub(_character, text)
        if not text.isascii():
            text = _whole_characters(text)
    if "%" in text:
        text = unquote(_ESCAPED_PERCENT.sub("%", text), errors=_LATIN_1)
    return text


def _character(escape: re.Match[str]) -> str:
    group = escape.lastindex or 0
    if group > _DECIMAL_GROUP:
        return " "
    code = int(escape[group], 10 if group == _DECIMAL_GROUP else 16)
    return chr(code) if code <= _MAX_CHARACTER else "\ufffd"


def _whole_characters(text: str) -> str:
    """Return a text with the two halves of a character, escaped one by one, as that character."""
    if _HALF.search(text) is None:
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_HALF: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")


@functools.cache
def may_hold_number(digits: int, *, exponent: bool, cut: bool = True) -> re.Pattern[str]:
    """Return a pattern that is found in every text whose folded or decoded form may hold such a number.

    It looks for a run of so many digits, whatever stands between them; for six at the end, where the text may have been
    cut; and for anything that is to be decoded or folded first. In texts that `BETWEEN_TEXTS` joins it is found
    wherever it is found in one of them.

    Args:
        digits: How many the number has.
        cut: Also where six of them stand at the end.
        exponent: Also where a number with zeros at its end may be written with an exponent.
    """
    gap = "[^0-9A-Za-z]*"
    runs = [rf"(?:{gap}[0-9]){{{digits - 1}}}"]
    if cut and digits > CUT_DIGITS:
        runs.append(rf"(?:{gap}[0-9]){{{CUT_DIGITS - 1}}}{gap}(?:\Z|\x00)")
    if exponent:
        runs.append(r"[.,_]*(?:[eE]|[^\x00-\x7f])")
    return re.compile(
        rf"[0-9%\\&{ODD_DIGITS}{ABOVE}](?:(?<=[^0-9&])|(?<=&)(?:#|amp;|(?:{_NAMED});)|(?<=[0-9])(?:{'|'.join(runs)}))"
    )


#: Joins texts that are looked through at once: a letter ends each run of digits, and NUL ends a text for `cut`.
BETWEEN_TEXTS: Final = "\x00x"
#: A text that ends in so many first digits of a known number may have been cut there, and counts as that number.
CUT_DIGITS: Final = 6
#: Found in every text whose folded or decoded form has a digit.
MAY_HOLD_DIGIT: Final = re.compile(rf"[0-9%\\&{ODD_DIGITS}{ABOVE}]")
