"""Cells of files that people open in a spreadsheet program, which carries out what begins like a formula."""

from __future__ import annotations

import unicodedata
from typing import Final

#: Also what some programs begin with (`|`, `%`), and the minus signs of typography.
_SIGNS: Final = frozenset("=+-@|%\u2212\u2013\u2014")
#: Categories of characters that show nothing at the beginning: separators, controls and formats, and combining marks.
_INVISIBLE: Final = frozenset("ZCM")
#: A program looks at the beginning only; what hides behind more is no formula for any.
_LOOKED_AT: Final = 64


def guarded_cell(text: str) -> str:
    """Return a cell that no spreadsheet program takes for a formula: an apostrophe comes before what looks like one.

    Full-width signs count as the plain ones, and characters that cannot be seen do not hide a sign. What has an
    apostrophe before a formula already gets one more, so that `unguarded_cell` takes off no other.
    """
    return f"'{text}" if _is_formula(text.lstrip("'")) else text


def unguarded_cell(cell: str) -> str:
    """Return the text of which `guarded_cell` made a cell."""
    return cell[1:] if cell.startswith("'") and _is_formula(cell.lstrip("'")) else cell


def _is_formula(text: str) -> bool:
    beginning = text[:_LOOKED_AT]
    visible = next((sign for sign in beginning if unicodedata.category(sign)[0] not in _INVISIBLE), "")
    is_control = beginning[:1] != "" and unicodedata.category(beginning[0])[0] == "C"
    return is_control or bool(set(unicodedata.normalize("NFKC", visible)[:1]) & _SIGNS)
