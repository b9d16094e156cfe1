"""A chain as a citizen sees it: only what belongs to their own records, as a list and as a drawing."""

from __future__ import annotations

from typing import Final

import msgspec

from ldv_otel._internal.api.pages.view import DutchTexts, ShownActivity, ShownStep, host_of
from ldv_otel._internal.chain.model import Chain, ChainLogregel, Party, PartyState, Relation

_HERE: Final = 0
#: In units of the drawing.
_COLUMN: Final = 290
_BOX: Final = 236
_INDENT: Final = 14
_HEAD: Final = 56
_ROW: Final = 76
_BOX_HEIGHT: Final = 52
_MARGIN: Final = 10
_NAME_CHARACTERS: Final = 25


class DiagramNode(msgspec.Struct):
    """A record and what was done because of it."""

    party: int
    organisation: str
    step: ShownStep
    activity: ShownActivity
    children: list[DiagramNode]


class OtherParty(msgspec.Struct, frozen=True):
    """Another organisation of the chain.

    Attributes:
        answered: Whether it told what it did.
        mentions: Whether there is something of it in the chain.
        contact: Address of a page where people can ask; empty when none is known.
        host: Where its records are, for who asks.
    """

    party: int
    name: str
    state: PartyState
    answered: bool
    mentions: bool
    contact: str
    host: str


class DiagramBox(msgspec.Struct, frozen=True):
    """A record in the drawing."""

    x: int
    y: int
    width: int
    height: int
    name: str
    time: str
    other: bool
    failed: bool


class Drawing(msgspec.Struct, frozen=True):
    """What to draw.

    Attributes:
        columns: Middle of each organisation's column, its name, and whether it answered.
        lines: SVG paths.
        silent: Boxes of organisations that told nothing.
    """

    width: int
    height: int
    columns: list[tuple[int, str, bool]]
    boxes: list[DiagramBox]
    lines: list[str]
    silent: list[DiagramBox]


class ChainDiagram(msgspec.Struct, frozen=True):
    """One trace for one citizen."""

    roots: list[DiagramNode]
    others: list[OtherParty]
    drawing: Drawing


def chain_diagram(chain: Chain, words: DutchTexts, organisation: str) -> ChainDiagram:
    """Return what a citizen may see of a chain.

    Args:
        chain: Followed with this citizen's records of this Logboek only. Other parties answer about the whole trace:
            of their records those stay that belong below one of the citizen's, or led to one.
    """
    kept = _kept(chain, words)
    names = [organisation, *(party.name or host_of(party.url) for party in chain.parties[1:])]
    nodes: dict[int, DiagramNode] = {}
    roots: list[DiagramNode] = []
    for place in sorted(kept):
        item = chain.logregels[place]
        nodes[place] = DiagramNode(
            item.party,
            names[item.party],
            words.step(item.logregel),
            words.activity(item.logregel.processing_activity_id),
            [],
        )
    for place, node in nodes.items():
        parent = chain.logregels[place].parent
        (nodes[parent].children if parent in nodes else roots).append(node)
    told = {node.party for node in nodes.values()}
    named = {
        words.party(chain.logregels[place].logregel.external_read_api_id)
        for place in kept
        if chain.logregels[place].logregel.external_read_api_id
    }
    others = [
        _other(number, party, words, mentions=number in told)
        for number, party in enumerate(chain.parties)
        # A party that only records of others named is none of this citizen's business.
        if number != _HERE and (number in told or words.party(party.url) in named)
    ]
    return ChainDiagram(roots, others, _drawing(roots, others, organisation))


def _kept(chain: Chain, words: DutchTexts) -> set[int]:
    def shown(item: ChainLogregel) -> bool:
        return item.logregel.processing_activity_id not in words.hidden

    own = {place for place, item in enumerate(chain.logregels) if item.party == _HERE and shown(item)}
    kept = set(own)
    for start, item in enumerate(chain.logregels):
        path: list[int] = []
        place: int | None = start
        # Down from a record of the citizen's.
        while place is not None and place not in kept and place not in path and _surely_below(chain.logregels[place]):
            path.append(place)
            place = chain.logregels[place].parent
        if place in kept and all(shown(chain.logregels[one]) for one in path):
            kept.update(path)
        # Up from one: what led to it.
        above = item.parent if start in own else None
        while above is not None and above not in kept and shown(chain.logregels[above]):
            kept.add(above)
            above = chain.logregels[above].parent
    return kept


def _surely_below(item: ChainLogregel) -> bool:
    """Say whether a record belongs below its parent by the ids of both, or names nothing else that it could belong to.

    In a trace about many people one that names the record of somebody else would else be taken for this citizen's.
    """
    record = item.logregel
    return item.relation != Relation.ASKED or not (record.parent_span_id or record.foreign_operation_span_id)


def _other(number: int, party: Party, words: DutchTexts, *, mentions: bool) -> OtherParty:
    return OtherParty(
        party=number,
        name=party.name or host_of(party.url),
        state=party.state,
        answered=party.state == PartyState.REACHED,
        mentions=mentions,
        contact=words.contact(party.url),
        host=host_of(party.url),
    )


def _drawing(roots: list[DiagramNode], others: list[OtherParty], organisation: str) -> Drawing:
    columns = {_HERE: 0} | {other.party: place for place, other in enumerate(others, 1)}
    boxes: list[DiagramBox] = []
    lines: list[str] = []
    asked: dict[str, DiagramBox] = {}

    def draw(node: DiagramNode, depth: int, parent: DiagramBox | None) -> None:
        column = columns[node.party]
        x = _MARGIN + column * _COLUMN + min(depth, 2) * _INDENT
        y = _HEAD + len(boxes) * _ROW
        box = DiagramBox(
            x, y, _BOX, _BOX_HEIGHT, _shortened(node.step.name), node.step.time, node.party != _HERE, node.step.failed
        )
        boxes.append(box)
        if parent is not None:
            lines.append(_line(parent, box))
        if node.step.asked:
            asked.setdefault(node.step.asked, box)
        for child in node.children:
            draw(child, depth + 1 if child.party == node.party else 0, box)

    for root in roots:
        draw(root, 0, None)
    silent: list[DiagramBox] = []
    for other in others:
        if not other.mentions:
            x = _MARGIN + columns[other.party] * _COLUMN
            y = _HEAD + (len(boxes) + len(silent)) * _ROW
            text = "heeft niets gemeld" if other.answered else "geen antwoord"
            box = DiagramBox(x, y, _BOX, _BOX_HEIGHT, text, "", other=True, failed=False)
            silent.append(box)
            if other.name in asked:
                lines.append(_line(asked[other.name], box))
    return Drawing(
        width=2 * _MARGIN + len(columns) * _COLUMN,
        height=_HEAD + max(1, len(boxes) + len(silent)) * _ROW,
        columns=[
            (_MARGIN + _BOX // 2, organisation, True),
            *(
                (_MARGIN + place * _COLUMN + _BOX // 2, other.name, other.answered)
                for place, other in enumerate(others, 1)
            ),
        ],
        boxes=boxes,
        lines=lines,
        silent=silent,
    )


def _line(above: DiagramBox, below: DiagramBox) -> str:
    """Return the way of an arrow from one box to a later one."""
    middle = below.y + below.height // 2
    if below.x // _COLUMN == above.x // _COLUMN:
        return f"M{above.x + 7} {above.y + above.height}V{middle}H{below.x - 2}"
    if below.x > above.x:
        turn = below.x + below.width // 2
        return f"M{above.x + above.width} {above.y + above.height // 2}H{turn}V{below.y - 2}"
    turn = below.x + below.width // 2
    return f"M{above.x} {above.y + above.height // 2}H{turn}V{below.y - 2}"


def _shortened(text: str) -> str:
    return text if len(text) <= _NAME_CHARACTERS else f"{text[: _NAME_CHARACTERS - 1]}\N{HORIZONTAL ELLIPSIS}"
