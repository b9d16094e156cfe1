"""Our member of W3C `tracestate`: which Actie a call is made from, and under which name the caller presents itself.

`ldv=a:00f067aa0ba902b7` or `ldv=a:00f067aa0ba902b7;c:gemeente-parkeren`; parts that a later version adds are skipped.
It says nothing of the data subject or of what is done (LDV-X3).

Source: W3C Trace Context, level 1, section 3.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

KEY: Final = "ldv"
MAX_MEMBERS: Final = 32
#: What every party has to be able to pass on; more may get lost on the way.
MAX_CHARACTERS: Final = 512
_LARGE_MEMBER_CHARACTERS: Final = 128

CLAIM: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PARTS: Final = re.compile(r"a:([0-9a-f]{16})(?:;c:([A-Za-z0-9._-]{1,64}))?(?:;.*)?")
_NO_SPAN: Final = bytes(8)


class CallingActie(msgspec.Struct, frozen=True):
    """What our member says.

    Attributes:
        span_id: 8 bytes: the Actie from which the call was made.
        claim: Who the caller says it is; nothing proves it.
    """

    span_id: bytes
    claim: str = ""


def parse_member(value: str) -> CallingActie | None:
    """Return what a member's value says; None when it is not one of ours, whatever it is."""
    found = _PARTS.fullmatch(value)
    if found is None or (span_id := bytes.fromhex(found[1])) == _NO_SPAN:
        return None
    return CallingActie(span_id, found[2] or "")


def format_member(actie: CallingActie) -> str:
    """Return the value that `parse_member` reads."""
    claim = f";c:{actie.claim}" if actie.claim else ""
    return f"a:{actie.span_id.hex()}{claim}"


def with_member(actie: CallingActie, others: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the members with ours in front and the others as they were, in order and within the limits.

    Where there is no room, members of over 128 characters go first, then the right-most; ours stays.
    """
    members = [(KEY, format_member(actie)), *((key, value) for key, value in others if key != KEY)]
    del members[MAX_MEMBERS:]
    excess = sum(map(_size, members)) - 1 - MAX_CHARACTERS
    for smallest_to_go in (_LARGE_MEMBER_CHARACTERS + 1, 0):
        for position in range(len(members) - 1, 0, -1):
            if excess <= 0:
                return members
            # The comma is not the member's own.
            if _size(members[position]) - 1 >= smallest_to_go:
                excess -= _size(members.pop(position))
    return members


def _size(member: tuple[str, str]) -> int:
    """Return the characters that a member takes in the header, with `=` and a comma."""
    key, value = member
    return len(key) + len(value) + 2
