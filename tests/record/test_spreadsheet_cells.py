from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ldv_otel._internal.record.spreadsheet_cells import guarded_cell, unguarded_cell

HIDDEN = ["", " ", "\t", "\u200b", "\ufeff", "\u00a0", "\u202e", "\u0301", " \u200d\u2060"]


@pytest.mark.parametrize("before", HIDDEN)
@pytest.mark.parametrize("sign", list("=+-@|%\uff1d\uff0b\uff0d\uff20\ufe62\ufe63\u2212"))
def test_no_cell_begins_a_formula(sign: str, before: str) -> None:
    """Whatever the form of its sign, and whatever cannot be seen before it."""
    text = f"{before}{sign}cmd()"
    assert guarded_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "a=b", "Wijzig kenteken", "123456782", " x", "https:a-b", "'s-Hertogenbosch"])
def test_other_cells_stay_as_they_are(text: str) -> None:
    """A sign that stands further on does nothing."""
    assert guarded_cell(text) == text


@given(st.one_of(st.text(), st.text("'=-x ", max_size=6)))
@example("'=")
@example("''=1")
@example("'")
def test_every_text_comes_back(text: str) -> None:
    """Who reads a file of ours again has what was there, also where it looks like a guarded formula."""
    assert unguarded_cell(guarded_cell(text)) == text
    assert guarded_cell(text)[:1] not in tuple("=+-@|%")
