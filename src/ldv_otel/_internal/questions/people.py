"""How many people there are behind pseudonyms: over several keys only between two numbers, unless links or seals help.

A pseudonym depends on its key, so one person has another under each key, and nothing but the number itself, or a link
of `ldv subject`, says that two of them are one person's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from ldv_otel._internal.clickhouse.queries.breakdowns import PeopleUnderKey, PseudonymInUse
from ldv_otel._internal.clickhouse.queries.subject_links import SubjectLink


class PeopleCount(msgspec.Struct, frozen=True):
    """How many people with a type of number.

    Attributes:
        least: So many at least: those under the key that has most.
        most: So many at most: under all keys together, as if nobody were under two.
        keys: How many keys their pseudonyms were made with.
    """

    type: str
    least: int
    most: int
    keys: int
    acties: int

    @property
    def exact(self) -> bool:
        """Whether both bounds are the same."""
        return self.least == self.most


def people_counts(
    counted: Iterable[PeopleUnderKey], linked: Iterable[PseudonymInUse], links: Sequence[SubjectLink]
) -> list[PeopleCount]:
    """Return how many people there are by the type of their numbers; those that links make one count once.

    Args:
        counted: Those without a data subject (no key, no type, and no number) are left out.
        linked: The pseudonyms among those counted that are in links.
        links: Those in force.
    """
    under: dict[str, dict[str, int]] = defaultdict(dict)
    acties: dict[str, int] = defaultdict(int)
    for each in counted:
        if each.key_id or each.type:
            under[each.type][each.key_id] = each.numbers
            acties[each.type] += each.acties
    fewer_most: dict[str, int] = defaultdict(int)
    fewer_under: dict[tuple[str, str], int] = defaultdict(int)
    for person in _people(linked, links):
        # Of a person with numbers of two types the first counts; the others are one less each.
        first = min(person, key=lambda each: (each.type, each.key_id, each.pseudonym))
        seen: set[tuple[str, str]] = set()
        for number in person:
            place = (number.type, number.key_id)
            if number is not first:
                fewer_most[number.type] += 1
            if number.type != first.type or place in seen:
                fewer_under[place] += 1
            seen.add(place)
    return [
        PeopleCount(
            type_,
            max(numbers - fewer_under[type_, key_id] for key_id, numbers in by_key.items()),
            sum(by_key.values()) - fewer_most[type_],
            len(by_key),
            acties[type_],
        )
        for type_, by_key in sorted(under.items())
    ]


def _people(linked: Iterable[PseudonymInUse], links: Sequence[SubjectLink]) -> list[list[PseudonymInUse]]:
    """Return the pseudonyms of each person with more than one: what links join, over as many as there are."""
    above: dict[bytes, bytes] = {}

    def top(raw: bytes) -> bytes:
        while above.get(raw, raw) != raw:
            raw = above[raw]
        return raw

    for link in links:
        joined = (*link.former, *link.present)
        for raw in joined[1:]:
            above[top(raw)] = top(joined[0])
    people: dict[bytes, list[PseudonymInUse]] = defaultdict(list)
    for each in linked:
        people[top(each.pseudonym)].append(each)
    return [person for person in people.values() if len(person) > 1]
