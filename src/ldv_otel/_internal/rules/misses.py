"""Why a mapping rule does not take a span, in words that hold nothing of a data subject."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

_NAMES_SHOWN: Final = 12
#: Names of attributes that instrumentations choose themselves, not a caller.
_CONVENTIONAL: Final = re.compile(
    r"(?:http|url|server|client|net|network|rpc|messaging|db|code|faas|user_agent|celery|django)[a-z_.]{0,60}"
)


class Miss(msgspec.Struct, frozen=True):
    """Why a rule does not take a span.

    Attributes:
        held: How many of its conditions hold; the span with the most is the nearest.
        reason: The first condition that does not, as the end of a sentence that begins with the span.
        likeness: How like what that condition wants the span has it, from 0 for not at all to 1: of spans with as many
            conditions it says which is the nearest.
    """

    held: int
    reason: str
    likeness: float = 0.0

    @property
    def near(self) -> tuple[int, float]:
        """The highest is that of the nearest span."""
        return self.held, self.likeness


class UnmatchedRule(msgspec.Struct, frozen=True):
    """A rule that took no span.

    Attributes:
        number: Its place in the file, from 1.
        rule: Its name; may be empty.
        reason: What the nearest span lacked, as a sentence; says so where there was no span at all.
    """

    number: int
    rule: str
    reason: str

    def sentence(self) -> str:
        """Return the rule with the reason."""
        return f"Rule {self.number}{f' ({self.rule})' if self.rule else ''} took no span so far. {self.reason}"


def likeness(text: str, wanted: str) -> float:
    """Return how like another a text is, by how they begin and end: as a slip of the pen leaves them."""
    shortest, longest = sorted((len(text), len(wanted)))
    if not shortest:
        return 0.0
    begin = _alike(text, wanted)
    return (begin + _alike(text[begin:][::-1], wanted[begin:][::-1])) / longest


def _alike(text: str, other: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    return next(
        (at for at, (left, right) in enumerate(zip(text, other, strict=False)) if left != right),
        min(len(text), len(other)),
    )


def names_of(attributes: Iterable[str]) -> str:
    """Return the conventional names among a span's attributes, for a person to compare with those of a rule."""
    names = sorted(name for name in attributes if _CONVENTIONAL.fullmatch(name))
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "") if names else "none of its kind"
