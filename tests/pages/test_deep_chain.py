"""A chain as deep as other parties like is shown whole."""

from __future__ import annotations

import html.parser
from zoneinfo import ZoneInfo

import pytest

from ldv_otel._internal.api.pages.citizen.chain_diagram import chain_diagram
from ldv_otel._internal.api.pages.rendering import _environment
from ldv_otel._internal.api.pages.view import DutchTexts
from ldv_otel._internal.chain.model import Chain, ChainLogregel, Party, PartyState, Relation
from ldv_otel._internal.record.logregel import Logregel

VOID = {"path", "rect", "br", "img", "meta", "link", "input"}


class Balance(html.parser.HTMLParser):
    """Counts the steps of a page, and whether each element that begins also ends, in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.steps = 0
        self.deepest = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        if tag not in VOID:
            self.open.append(tag)
            self.deepest = max(self.deepest, len(self.open))
        self.steps += tag == "p" and ("class", "node") in attrs

    def handle_endtag(self, tag: str) -> None:
        """An element ends."""
        if tag not in VOID:
            assert self.open.pop() == tag


def chain_of(parents: list[int | None]) -> Chain:
    """A chain of records, each below the one that stands in the list."""
    logregels = [
        ChainLogregel(
            party=0,
            logregel=Logregel(
                trace_id=b"\x01" * 16,
                span_id=(number + 1).to_bytes(8, "big"),
                name=f"Stap {number}",
                start_time_ms=1_767_225_600_000 + number,
                end_time_ms=1_767_225_600_000 + number,
            ),
            parent=parent,
            relation=Relation.PARENT if parent is not None else None,
        )
        for number, parent in enumerate(parents)
    ]
    return Chain(
        trace_id=b"\x01" * 16,
        parties=[Party(url="", state=PartyState.THIS_LOGBOEK)],
        logregels=logregels,
        complete=True,
    )


@pytest.mark.parametrize(
    "parents",
    [
        [None],
        [None, 0, 0, 2, 2, 0, None],
        [None, *range(5_000)],
        [None, *range(1_000), 0, 500, 999],
    ],
    ids=["one", "tree", "deep", "deep and back"],
)
def test_every_step_is_in_the_page(parents: list[int | None]) -> None:
    """Each once, in order, as lists in lists that a browser can hold."""
    diagram = chain_diagram(chain_of(parents), DutchTexts({}, {}, ZoneInfo("Europe/Amsterdam")), "Gemeente")
    assert diagram.listed[0].node.step.name == "Stap 0"
    assert len(diagram.drawing.boxes) == len(parents)
    page = Balance()
    page.feed(_environment.get_template("anderen.html").render(diagram=diagram))
    page.close()
    assert page.open == []
    assert page.steps == len(parents)
    assert page.deepest < 60
