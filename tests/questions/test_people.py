"""How many people a data breach is about, over keys and links."""

from __future__ import annotations

import uuid
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ldv_otel._internal.clickhouse.queries.breakdowns import PeopleUnderKey, PseudonymInUse
from ldv_otel._internal.clickhouse.queries.subject_links import SubjectLink, store_link
from ldv_otel._internal.privacy.pseudonyms import KeyRing, Pseudonymiser
from ldv_otel._internal.questions.people import people_counts
from ldv_otel._internal.times.instants import now_ms
from tests.questions.conftest import BSN, OTHER_BSN, Store, ring
from tests.questions.test_answers import PERIOD, ask


def people(store: Store, **choices: Any) -> list[tuple[str, int, int]]:
    """Type of number, at least, at most."""
    rows = ask(store, "breach", **PERIOD, **choices)["tables"]["mensen"]
    return [(row["soort"], row["ten_minste"], row["ten_hoogste"]) for row in rows]


def rotated(keys: KeyRing) -> KeyRing:
    """The same keys, the first of them active."""
    return KeyRing(keys.keys.values(), active=next(iter(keys.keys)))


def test_one_key_is_counted_exactly(store: Store) -> None:
    """However often somebody is in it; what is about nobody is counted apart."""
    keys = ring(False)
    store.write(store.actie(BSN, keys), store.actie(BSN, keys), store.actie(OTHER_BSN, keys), store.actie())
    assert people(store) == [("BSN", 2, 2)]
    answer = ask(store, "breach", **PERIOD)
    assert answer["answer"][:2] == [
        "It is about 2 people or organisations.",
        "There are 4 actions, 1 of them without a data subject.",
    ]


def test_over_two_keys_there_are_two_bounds(store: Store) -> None:
    """One person under each key may be one or two people: that is said."""
    keys = ring(False, False)
    store.write(store.actie(BSN, keys), store.actie(BSN, rotated(keys)), store.actie(OTHER_BSN, keys))
    assert people(store) == [("BSN", 2, 3)]
    assert "It cannot be said exactly" in ask(store, "breach", **PERIOD)["answer"][0]


def test_a_link_makes_two_numbers_one_person(store: Store) -> None:
    """Also over keys: it names the pseudonyms of both numbers under each."""
    keys = ring(False, False)
    store.write(
        store.actie(BSN, keys),
        store.actie(BSN, rotated(keys)),
        store.actie("1234567890", keys, type="A-nummer"),
        store.actie(OTHER_BSN, keys),
    )
    assert people(store) == [("A-nummer", 1, 1), ("BSN", 2, 3)]
    pseudonymiser = Pseudonymiser(keys)
    store_link(
        store.client,
        SubjectLink(
            id=str(uuid.UUID(int=1)),
            holds_from_ms=now_ms() - 1_000,
            former=tuple(pseudonymiser.candidates("1234567890", "A-nummer")),
            present=tuple(pseudonymiser.candidates(BSN, "BSN")),
            former_type="A-nummer",
            present_type="BSN",
            keys=tuple(keys.keys),
            linked_ms=now_ms(),
        ),
    )
    assert people(store) == [("A-nummer", 1, 1), ("BSN", 1, 1)]


@given(
    rows=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=12),
    linked=st.sets(st.integers(0, 5)),
)
def test_the_truth_lies_between_the_bounds(rows: list[tuple[int, int]], linked: set[int]) -> None:
    """Whoever is under whatever keys; who is linked, over all keys, counts once."""
    pseudonyms = {
        (person, key): PseudonymInUse(bytes([person, key]) * 8, "BSN", f"key-{key}") for person, key in set(rows)
    }
    counted = [
        PeopleUnderKey("BSN", f"key-{key}", sum(each == key for _, each in pseudonyms), 1)
        for key in sorted({key for _, key in pseudonyms})
    ]
    links = [
        SubjectLink(
            id="",
            holds_from_ms=0,
            former=tuple(bytes([person, key]) * 8 for key in range(3)),
            present=tuple(bytes([person + 100, key]) * 8 for key in range(3)),
            former_type="BSN",
            present_type="BSN",
            keys=("key-0", "key-1", "key-2"),
            linked_ms=0,
        )
        for person in linked
    ]
    in_links = [each for (person, _), each in pseudonyms.items() if person in linked]
    truth = len({person for person, _ in rows})
    if not truth:
        assert people_counts(counted, in_links, links) == []
        return
    (count,) = people_counts(counted, in_links, links)
    assert count.least <= truth <= count.most
    if {person for person, _ in rows} <= linked:
        assert count.most == truth
