from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldv_otel import attributes as names
from ldv_otel._internal.record.actie import is_actie
from ldv_otel._internal.record.overlooked import (
    MORE_NAMES,
    NOT_SHOWN,
    OverlookedAttribute,
    OverlookedAttributes,
    nearest_known,
    overlooked_names,
)

BSN = "123456782"


@pytest.mark.parametrize(
    ("misspelled", "meant"),
    [
        ("dpl.core.processing_activity", names.PROCESSING_ACTIVITY_ID),
        ("dpl.core.processingActivityId", names.PROCESSING_ACTIVITY_ID),
        ("dpl.core.procesing_activity_id", names.PROCESSING_ACTIVITY_ID),
        ("dpl.processing_activity_id", names.PROCESSING_ACTIVITY_ID),
        ("dpl.core.data_subject", names.DATA_SUBJECT_ID),
        ("dpl.core.data_subjects_id", names.DATA_SUBJECT_ID),
        ("dpl.read.nextLogbookID", names.NEXT_LOGBOOK_ID),
        (names.NEXT_LOGBOOK_ID, ""),
        ("dpl.gbo.belastingjaar", ""),
        (NOT_SHOWN, ""),
    ],
)
def test_the_nearest_known_name(misspelled: str, meant: str) -> None:
    """LDV-N9: what was probably meant is suggested; to a name that is known, or like none, nothing is."""
    assert nearest_known(misspelled) == meant


@given(st.text().map("dpl.core.".__add__))
def test_every_attribute_of_the_standard_is_seen(name: str) -> None:
    """LDV-N9: whatever its name, it makes an Actie or is counted; one that may hold somebody's number is not shown."""
    overlooked = OverlookedAttributes()
    overlooked.add({name: BSN, "http.route": BSN})
    (found,) = overlooked.report()
    assert is_actie({name: ""}) or found.spans == 1
    assert found.name in {name, NOT_SHOWN}
    assert sum(character.isdigit() for character in found.name) < 5


def test_names_are_shown_without_numbers_of_people() -> None:
    """Names made of values are counted together, and others of the application are nothing of ours."""
    given = ["http.url", "dpl.x", f"dpl.{BSN}", "dpl.1234.56.782", "dpl.a b", "dpl.x\n", "dpl." + "x" * 200]
    assert overlooked_names(given) == ("dpl.x", NOT_SHOWN)


def test_the_count_stays_small(caplog: pytest.LogCaptureFixture) -> None:
    """Of what strangers may name without end a hundred names are kept; each is told of once, without a value."""
    overlooked = OverlookedAttributes(logging.getLogger("test"))
    with caplog.at_level(logging.WARNING):
        for number in range(300):
            overlooked.add({f"dpl.{number}": BSN})
            overlooked.add({"dpl.core.processing_activity": BSN})
    report = overlooked.report()
    assert report[0] == OverlookedAttribute("dpl.core.processing_activity", 300, names.PROCESSING_ACTIVITY_ID)
    assert report[1] == OverlookedAttribute(MORE_NAMES, 201)
    assert len(report) == len(caplog.records) == 101
    assert f"Did you mean {names.PROCESSING_ACTIVITY_ID}?" in caplog.text
    assert BSN not in caplog.text
