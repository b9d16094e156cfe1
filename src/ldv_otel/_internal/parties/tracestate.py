"""Our member of W3C `tracestate`: the Actie that a call is made from, and the name that the caller claims.

`ldv=a:00f067aa0ba902b7`, with `;c:gemeente-parkeren` for the name, and `;t:0363` for the tenant (`LDV_LOGBOEKEN`),
which only parties see that are named for it. Parts that a later version adds are skipped. It has nothing about the data
subject or the processing activity (LDV-X3).

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
_PARTS: Final = re.compile(
    r"a:([0-9a-f]{16})(?:;c:([A-Za-z0-9._-]{1,64}))?(?:;t:([A-Za-z0-9][A-Za-z0-9._-]{0,63}))?(?:;.*)?"
)
_NO_SPAN: Final = bytes(8)


class CallingActie(msgspec.Struct, frozen=True):
    """The calling Actie, as our member of `tracestate` has it.

    Attributes:
        span_id: 8 bytes: the Actie from which the call was made.
        claim: The name that the caller claims, without proof.
        tenant: Whose Logboek the caller's Actie is in, as it says; empty where it does not.
    """

    span_id: bytes
    claim: str = ""
    tenant: str = ""


def parse_member(value: str) -> CallingActie | None:
    """Return the calling Actie in a member's value; None for a value that is not one of ours, whatever it is."""
    parts = _PARTS.fullmatch(value)
    if parts is None or (span_id := bytes.fromhex(parts[1])) == _NO_SPAN:
        return None
    return CallingActie(span_id, parts[2] or "", parts[3] or "")


def format_member(actie: CallingActie) -> str:
    """Return the value that `parse_member` reads."""
    claim = f";c:{actie.claim}" if actie.claim else ""
    tenant = f";t:{actie.tenant}" if actie.tenant else ""
    return f"a:{actie.span_id.hex()}{claim}{tenant}"


def with_member(actie: CallingActie, members: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the members with ours in front and those of others as they were, in order and within the limits.

    Where there is no room, members of over 128 characters go first, then the right-most; ours stays.
    """
    updated = [(KEY, format_member(actie)), *((key, value) for key, value in members if key != KEY)]
    del updated[MAX_MEMBERS:]
    excess = sum(map(_size, updated)) - 1 - MAX_CHARACTERS
    for smallest_to_go in (_LARGE_MEMBER_CHARACTERS + 1, 0):
        for position in range(len(updated) - 1, 0, -1):
            if excess <= 0:
                return updated
            # The comma is not the member's own.
            if _size(updated[position]) - 1 >= smallest_to_go:
                excess -= _size(updated.pop(position))
    return updated


def _size(member: tuple[str, str]) -> int:
    """Return the characters that a member takes in the header, with `=` and a comma."""
    key, value = member
    return len(key) + len(value) + 2
