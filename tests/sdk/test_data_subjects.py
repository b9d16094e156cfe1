from __future__ import annotations

import pytest

import ldv_otel as ldv
from ldv_otel.testing import InMemoryLogboek
from tests.sdk.conftest import ACTIVITY


def test_each_person_is_a_child_of_the_actie(logboek: InMemoryLogboek) -> None:
    """Many Betrokkenen: one child Logregel each, whatever the iterator (LDV-A4)."""
    told: list[int] = []
    with ldv.processing(ACTIVITY, name="Verzend aanslagen") as actie:
        made = ldv.data_subjects((str(number) for number in range(10_000)), type="KVK", progress=told.append)
    *children, parent = logboek.logregels
    assert made == len(children) == told[-1] == 10_000
    assert told == sorted(told)
    assert {child.parent_span_id.hex() for child in children} == {actie.span_id}
    assert len({child.span_id for child in children}) == 10_000
    assert {(child.name, child.processing_activity_id) for child in children} == {("Verzend aanslagen", ACTIVITY)}
    assert children[77].data_subject_id == logboek.pseudonym("77", type="KVK")
    assert parent.data_subject_id == b""
    assert parent.span_id.hex() == actie.span_id


def test_odd_identifiers_are_flagged_one_by_one(logboek: InMemoryLogboek) -> None:
    """One bad value costs its neighbours nothing (LDV-A8)."""
    with ldv.processing(ACTIVITY):
        ldv.data_subjects(["123456782", None, "geen bsn"], type="BSN")
    assert [record.flags for record in logboek.logregels] == [(), ("subject_empty",), ("subject_form",), ()]


def test_outside_an_actie_it_says_so(logboek: InMemoryLogboek) -> None:
    """There is nothing to be a child of."""
    with pytest.raises(ldv.ConfigurationError, match="outside a processing"):
        ldv.data_subjects(["1"], type="KVK")
    assert logboek.logregels == []
