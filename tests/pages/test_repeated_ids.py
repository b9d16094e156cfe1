"""Two records with the same ids on the pages: callers choose ids, so both are shown, and both say so."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from ldv_otel import Logregel
from ldv_otel._internal.api.pages.rendering import _environment
from ldv_otel._internal.api.pages.view import DutchTexts

MARK = "Er is nog een regel met hetzelfde nummer"


def test_steps_with_the_same_ids_are_all_shown_and_marked() -> None:
    """The third, with an id of its own, has no mark."""
    texts = DutchTexts({}, {}, ZoneInfo("Europe/Amsterdam"), confidential=False, unknown_caller="")
    records = [
        Logregel(trace_id=b"t" * 16, span_id=span * 8, name=name, start_time_ms=1_767_225_600_000, end_time_ms=0)
        for span, name in ((b"a", "Eerste"), (b"a", "Tweede"), (b"b", "Derde"))
    ]
    steps = [step for day in texts.days(records) for card in day.cards for step in card.steps]
    assert {step.name: step.repeated for step in steps} == {"Eerste": True, "Tweede": True, "Derde": False}
    macro = vars(_environment.get_template("woorden.html").module)["stap"]
    assert [MARK in macro(step) for step in steps] == [step.repeated for step in steps]
