"""Texts of strangers beside our own: what is written from right to left must not turn round what stands beside it.

A name of an Actie comes from an application, or from another party. With a control of Unicode's bidirectional algorithm
in it (`U+202E` and the like) a line could read otherwise than it is ("Trojan Source", CVE-2021-42574).
"""

from __future__ import annotations

import unicodedata
from typing import Final

#: Embeddings, overrides, isolates and their ends: what changes the direction of everything that follows.
_CONTROLS: Final = dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\N{REPLACEMENT CHARACTER}")
_RIGHT_TO_LEFT: Final = frozenset({"R", "AL"})
_FIRST_STRONG_ISOLATE: Final = "\u2068"
_POP_DIRECTIONAL_ISOLATE: Final = "\u2069"


def isolated(text: str) -> str:
    """Return a text that has no say in the direction of what stands around it.

    Controls become visible as U+FFFD; a text with letters that run from right to left is put in an isolate.
    """
    if text.isascii():
        return text
    plain = text.translate(_CONTROLS)
    if any(unicodedata.bidirectional(letter) in _RIGHT_TO_LEFT for letter in plain):
        return f"{_FIRST_STRONG_ISOLATE}{plain}{_POP_DIRECTIONAL_ISOLATE}"
    return plain
