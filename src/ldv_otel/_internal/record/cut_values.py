"""Values that a length limit may have cut (`OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT`): a part of a number is somebody else's.

OpenTelemetry cuts a value to the limit and does not say so. A text exactly that long may therefore be the beginning of
a longer one, also inside a list, and so may what a mapping rule finds at its end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import unquote, unquote_plus

from ldv_otel._internal.privacy.identifiers import passes_eleven_test
from ldv_otel._internal.privacy.pseudonyms import DataSubject, normalise_identifier, normalise_type
from ldv_otel.attributes import Flag

_MAX_DEPTH: Final = 16
#: Numbers that prove by themselves that they are whole, and how many digits they have.
_PROVABLE: Final = frozenset({"BSN", "RSIN"})
_PROVABLE_DIGITS: Final = 9


def cut_texts(value: object, limit: int | None) -> Iterator[str]:
    """Yield the texts in an attribute's value, lists and mappings included, that may have been cut."""
    if limit is None:
        return
    inside = [value]
    for _ in range(_MAX_DEPTH):
        deeper: list[object] = []
        for item in inside:
            if isinstance(item, str):
                if len(item) == limit:
                    yield item
            elif isinstance(item, Mapping):
                deeper.extend(item.values())
            elif isinstance(item, list | tuple):
                deeper.extend(item)
        if not deeper:
            return
        inside = deeper


def may_be_cut(identifier: object, type_: object, attributes: Mapping[str, object], limit: int | None) -> bool:
    """Return whether an identifier that stands in a span's attributes may be a part of a longer one.

    Args:
        attributes: Those in which it stands.
        limit: None for no limit.
    """
    if limit is None or not isinstance(identifier, str) or not identifier:
        return False
    ends = [text for value in attributes.values() for text in cut_texts(value, limit)]
    at_an_end = any(
        text.endswith(identifier) for end in ends for text in (end, unquote(end), unquote_plus(end), end.rstrip())
    )
    return at_an_end and not _proves_itself(identifier, normalise_type(type_)[0])


def of_nobody(type_: object) -> DataSubject:
    """Return what is logged of an identifier of which a part is missing."""
    return DataSubject(b"", normalise_type(type_)[0], "", flags=(Flag.VALUE_CUT,))


def _proves_itself(identifier: str, type_: str) -> bool:
    """Return whether a number is whole as it stands, with no zero that was put back."""
    if type_ not in _PROVABLE or sum(map(str.isdecimal, identifier)) < _PROVABLE_DIGITS:
        return False
    digits, _ = normalise_identifier(type_, identifier)
    return len(digits) == _PROVABLE_DIGITS and digits.isdecimal() and passes_eleven_test(digits)
