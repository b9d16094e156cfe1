"""docs/extension.md: what stands in answers under our extension, in the form of the official guideline."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

import ldv_otel.attributes as names
from ldv_otel._internal.record.read_form import data_processing_operation
from ldv_otel._internal.record.spellings import CANONICAL
from tests.house.test_terms import WHOLE

PAGE = (Path(__file__).parents[2] / "docs" / "extension.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(dpl\.ldvotel\.[\w.]+)` \| `(dpl\.ldvotel\.[\w.]+)` \|", PAGE, re.MULTILINE)
#: The parts that the guideline asks of each extension, in its order; what it is not for comes before the versions.
PARTS = [
    "Naam en beschrijving",
    "Doel en nut",
    "Technische specificatie",
    "Gebruiksscenario's",
    "Beperkingen",
    "Versiebeheer",
]


def paths_in(members: dict[str, Any], above: str) -> set[str]:
    """The whole names of values in nested members."""
    left, found = [(above, members)], set()
    while left:
        prefix, inside = left.pop()
        for name, value in inside.items():
            if isinstance(value, dict):
                left.append((f"{prefix}.{name}", value))
            else:
                found.add(f"{prefix}.{name}")
    return found


def test_every_attribute_of_the_extension_is_on_the_page() -> None:
    """And none that no answer has; each is read under both its names, but for the flags, which nobody reads back."""
    record = msgspec.structs.replace(WHOLE, attributes={names.FLAGS: "name_missing"})
    extension = data_processing_operation(record)["attributes"]["dpl"]["ldvotel"]
    assert {row[1] for row in ROWS} == paths_in(extension, "dpl.ldvotel")
    for written, shown in ROWS:
        if not written.endswith(".flags"):
            assert CANONICAL[written] == CANONICAL[shown]


def test_it_has_the_parts_of_the_guideline() -> None:
    """In their order, and it keeps to the rules for names: no `register`, and no key of the core."""
    assert re.findall(r"^## (.*)$", PAGE, re.MULTILINE) == PARTS
    core = {name.removeprefix("dpl.core.") for name in CANONICAL if name.startswith("dpl.core.")}
    for written, _ in ROWS:
        assert "register" not in written
        key = written.removeprefix("dpl.ldvotel.")
        # Names that left the core, or that it never had, and that are still read there.
        assert key not in core - {"parent_processing_activity_id"} or key.startswith("foreign_operation.")
