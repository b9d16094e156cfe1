"""A chain as a citizen sees it: only the records that belong to their own, as a list and as a drawing."""

from __future__ import annotations

from typing import Final

import msgspec

from ldv_otel._internal.api.pages.view import DutchTexts, ShownActivity, ShownStep
from ldv_otel._internal.chain.model import Chain, ChainLogregel, Party, PartyState, Relation
from ldv_otel._internal.parties.party_names import host_of

#: The index of this organisation among the parties of a chain.
_THIS_ORGANISATION: Final = 0
#: In units of the drawing.
_COLUMN: Final = 290
_BOX: Final = 236
_INDENT: Final = 14
_HEAD: Final = 56
_ROW: Final = 76
_BOX_HEIGHT: Final = 52
_MARGIN: Final = 10
_NAME_CHARACTERS: Final = 25
#: How deep the list goes.
_LIST_LEVELS: Final = 12


class DiagramNode(msgspec.Struct):
    """A record, and below it the records of what was done because of it."""

    party: int
    organisation: str
    step: ShownStep
    activity: ShownActivity
    children: list[DiagramNode]


class OtherParty(msgspec.Struct, frozen=True):
    """Another organisation of the chain.

    Attributes:
        answered: Whether its read API answered.
        mentions: Whether the chain has records of it.
        contact: Address of a page where people can ask; empty when the file of parties has none.
        host: The host of its read API, which people can name when they ask.
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
    """The boxes and arrows of a chain, in units of the drawing.

    Attributes:
        columns: Middle of each organisation's column, its name, and whether it answered.
        lines: SVG paths.
        silent: Boxes of organisations of which the chain has no records.
    """

    width: int
    height: int
    columns: list[tuple[int, str, bool]]
    boxes: list[DiagramBox]
    lines: list[str]
    silent: list[DiagramBox]


class ListedStep(msgspec.Struct, frozen=True):
    """A step in the list, in which what was done because of it stands below it.

    Attributes:
        opens: Whether a list of steps below this one follows.
        closes: How many lists end after it.
    """

    node: DiagramNode
    opens: bool
    closes: int


class ChainDiagram(msgspec.Struct, frozen=True):
    """One trace for one citizen."""

    roots: list[DiagramNode]
    others: list[OtherParty]
    drawing: Drawing

    @property
    def listed(self) -> list[ListedStep]:
        """The steps in their order, as a list of lists that goes no deeper than people can read.

        Deeper ones stand below one another on the last level: other parties decide how deep a chain is.
        """
        ordered: list[tuple[int, DiagramNode]] = []
        left = [(0, root) for root in reversed(self.roots)]
        while left:
            depth, node = left.pop()
            ordered.append((depth, node))
            left += [(min(depth + 1, _LIST_LEVELS), child) for child in reversed(node.children)]
        depths = [depth for depth, _ in ordered[1:]] + [0]
        return [
            ListedStep(node, opens=following > depth, closes=max(depth - following, 0))
            for (depth, node), following in zip(ordered, depths, strict=True)
        ]


def chain_diagram(chain: Chain, texts: DutchTexts, organisation: str) -> ChainDiagram:
    """Return the part of a chain that a citizen may see.

    Args:
        chain: Followed with this citizen's records of this Logboek only. Other parties answer about the whole trace: of
            their records only those are shown that belong below one of the citizen's, or that led to one.
    """
    shown = _shown_indexes(chain, texts)
    names = [organisation, *(party.name or host_of(party.url) for party in chain.parties[1:])]
    nodes: dict[int, DiagramNode] = {}
    roots: list[DiagramNode] = []
    for index in sorted(shown):
        item = chain.logregels[index]
        nodes[index] = DiagramNode(
            item.party,
            names[item.party],
            texts.step(item.logregel, repeated=item.repeated),
            texts.activity(item.logregel.processing_activity_id, item.logregel.start_time_ms),
            [],
        )
    for index, node in nodes.items():
        parent = chain.logregels[index].parent
        (nodes[parent].children if parent in nodes else roots).append(node)
    with_records = {node.party for node in nodes.values()}
    asked = {
        texts.party(chain.logregels[index].logregel.external_read_api_id)
        for index in shown
        if chain.logregels[index].logregel.external_read_api_id
    }
    others = [
        _other_party(number, party, texts, mentions=number in with_records)
        for number, party in enumerate(chain.parties)
        # A party that only records about other people name is none of this citizen's business.
        if number != _THIS_ORGANISATION and (number in with_records or texts.party(party.url) in asked)
    ]
    return ChainDiagram(roots, others, _drawing(roots, others, organisation))


def _shown_indexes(chain: Chain, texts: DutchTexts) -> set[int]:
    """Return the indexes of the records that a citizen may see: their own, those below and those that led to them."""

    def may_be_shown(item: ChainLogregel) -> bool:
        return item.logregel.processing_activity_id not in texts.hidden

    own = {
        index for index, item in enumerate(chain.logregels) if item.party == _THIS_ORGANISATION and may_be_shown(item)
    }
    shown = set(own)
    for start, item in enumerate(chain.logregels):
        # From a record up to one that is shown: then all on the way are below a record of the citizen's. It ends at
        # a record that is on it already, because other parties may answer with a circle of parents.
        way: list[int] = []
        index: int | None = start
        while index is not None and index not in shown and index not in way and _surely_below(chain.logregels[index]):
            way.append(index)
            index = chain.logregels[index].parent
        if index in shown and all(may_be_shown(chain.logregels[each]) for each in way):
            shown.update(way)
        # And from one of the citizen's own up to the record that led to it.
        above = item.parent if start in own else None
        while above is not None and above not in shown and may_be_shown(chain.logregels[above]):
            shown.add(above)
            above = chain.logregels[above].parent
    return shown


def _surely_below(item: ChainLogregel) -> bool:
    """Say whether a record belongs below its parent by the ids of both, or names no other record as its parent.

    In a trace about many people, a record below that of somebody else would otherwise be taken for this citizen's.
    """
    record = item.logregel
    return item.relation != Relation.ASKED or not (record.parent_span_id or record.foreign_operation_span_id)


def _other_party(number: int, party: Party, texts: DutchTexts, *, mentions: bool) -> OtherParty:
    return OtherParty(
        party=number,
        name=party.name or host_of(party.url),
        state=party.state,
        answered=party.state == PartyState.REACHED,
        mentions=mentions,
        contact=texts.contact(party.url),
        host=host_of(party.url),
    )


def _drawing(roots: list[DiagramNode], others: list[OtherParty], organisation: str) -> Drawing:
    columns = {_THIS_ORGANISATION: 0} | {other.party: column for column, other in enumerate(others, 1)}
    boxes: list[DiagramBox] = []
    lines: list[str] = []
    asked: dict[str, DiagramBox] = {}

    # In a loop and not by a function that calls itself: other parties decide how deep a chain is (LDV-R6).
    left: list[tuple[DiagramNode, int, DiagramBox | None]] = [(root, 0, None) for root in reversed(roots)]
    while left:
        node, depth, parent = left.pop()
        column = columns[node.party]
        x = _MARGIN + column * _COLUMN + min(depth, 2) * _INDENT
        y = _HEAD + len(boxes) * _ROW
        box = DiagramBox(
            x,
            y,
            _BOX,
            _BOX_HEIGHT,
            _shortened(node.step.name),
            node.step.time,
            node.party != _THIS_ORGANISATION,
            node.step.failed,
        )
        boxes.append(box)
        if parent is not None:
            lines.append(_line(parent, box))
        if node.step.asked:
            asked.setdefault(node.step.asked, box)
        left += [(child, depth + 1 if child.party == node.party else 0, box) for child in reversed(node.children)]
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
                (_MARGIN + column * _COLUMN + _BOX // 2, other.name, other.answered)
                for column, other in enumerate(others, 1)
            ),
        ],
        boxes=boxes,
        lines=lines,
        silent=silent,
    )


def _line(above: DiagramBox, below: DiagramBox) -> str:
    """Return the path of an arrow from a box to a later one: down within a column, else across and then down."""
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
