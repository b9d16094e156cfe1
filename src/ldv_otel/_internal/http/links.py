"""The `Link` header of answers that come in pages (RFC 8288)."""

from __future__ import annotations

import re
from typing import Final

_TARGET: Final = re.compile(r"[ \t,]*<([^<>]*)>")
_PARAMETER: Final = re.compile(
    r"[ \t]*;[ \t]*([\w!#$%&'*+.^`|~-]*)[ \t]*(?:=[ \t]*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;,\"]*)))?"
)
_BETWEEN: Final = re.compile(r"[ \t]*(?:,|\Z)")
_MAX_CHARACTERS: Final = 16_384


def next_link(header: str) -> str | None:
    """Return the address of the next page, None without one.

    Raises:
        ValueError: The header is none: whether there is a next page cannot be told.
    """
    if len(header) > _MAX_CHARACTERS:
        raise ValueError("a Link header without end")
    following, at = None, 0
    while header[at:].strip(" \t,"):
        target = _TARGET.match(header, at)
        if target is None:
            raise ValueError("no Link header")
        relations, at = _relations(header, target.end())
        if "next" in relations and following is None:
            following = target[1].strip()
        between = _BETWEEN.match(header, at)
        if between is None:
            raise ValueError("no Link header")
        at = between.end()
    return following


def _relations(header: str, at: int) -> tuple[list[str], int]:
    relations: list[str] | None = None
    while (parameter := _PARAMETER.match(header, at)) is not None:
        at = parameter.end()
        if parameter[1].lower() == "rel" and relations is None:  # only the first counts
            relations = (parameter[2] or parameter[3] or "").lower().split()
    return relations or [], at
