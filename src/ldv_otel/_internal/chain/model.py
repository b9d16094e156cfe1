"""A chain: the parties, their records, and what called what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

import msgspec

from ldv_otel._internal.record.logregel import Logregel


class PartyState(StrEnum):
    """What came of asking a party."""

    HERE = "here"
    REACHED = "reached"
    #: Nobody answers at its address, or not in time.
    UNREACHABLE = "unreachable"
    #: It does not let us in, with the credentials that we have.
    REFUSED = "refused"
    #: What it answers is no answer of a read API.
    UNREADABLE = "unreadable"
    #: A Logregel names it, and it is not in LDV_PARTIES; it was not asked.
    NOT_CONFIGURED = "not_configured"
    #: It has no read API (yet); its address is where to ask.
    NO_API = "no_api"


class Party(msgspec.Struct, kw_only=True):
    """One party of a chain.

    Attributes:
        url: Its read API as Logregels name it; empty for this Logboek.
        detail: What went wrong, for people; never anything of the answer.
        complete: Whether all it has of this chain is here, as far as we could ask.
    """

    url: str
    name: str = ""
    state: PartyState
    detail: str = ""
    complete: bool = True


class Relation(StrEnum):
    """How a record is known to belong below another."""

    #: Its parent, at the same party.
    PARENT = "parent"
    #: The calling Actie at another party, by the ids that both have.
    CALLER = "caller"
    #: No ids say so; the other names this party's read API in the same trace.
    ASKED = "asked"


class ChainLogregel(msgspec.Struct, kw_only=True):
    """A record in a chain.

    Attributes:
        party: Its party's place in `Chain.parties`.
        parent: The place in `Chain.logregels` of the record that it belongs below; None for a beginning.
        circle: Whether parents go round from here to here; one of them was cut.
    """

    party: int
    logregel: Logregel
    parent: int | None = None
    relation: Relation | None = None
    circle: bool = False


class Chain(msgspec.Struct, kw_only=True):
    """What is known of a trace over organisations.

    Attributes:
        parties: This Logboek first.
        logregels: By start time.
        complete: Whether nothing was left out: every party answered, and no limit was reached.
    """

    trace_id: bytes
    parties: list[Party]
    logregels: list[ChainLogregel]
    complete: bool


#: Party and trace: what is asked for.
Place = tuple[int, bytes]


def linked(
    found: Iterable[tuple[int, Logregel]], asked_by: Mapping[Place, tuple[int, Logregel]]
) -> list[ChainLogregel]:
    """Return the records by time, each with the one it belongs below.

    Args:
        found: Party and record.
        asked_by: For a party and trace, the record (and its party) that led there.
    """
    ordered = sorted(found, key=lambda item: (item[1].start_time_ms, item[0], item[1].span_id))
    index = _Index(ordered)
    logregels = [ChainLogregel(party=party, logregel=record) for party, record in ordered]
    for place, item in enumerate(logregels):
        for parent, relation in index.parents(item, asked_by):
            if parent != place:
                item.parent, item.relation = parent, relation
                break
    _cut_circles(logregels)
    return logregels


class _Index:
    """Finds records by the ids that others know them by: their own span, and the spans that went out from them."""

    def __init__(self, ordered: Sequence[tuple[int, Logregel]]) -> None:
        self._by_span: dict[tuple[bytes, bytes], dict[int, int]] = {}
        outbound: dict[tuple[bytes, bytes], dict[int, int]] = {}
        for place, (party, record) in enumerate(ordered):
            self._by_span.setdefault((record.trace_id, record.span_id), {}).setdefault(party, place)
            for span_id in record.outbound_span_ids:
                outbound.setdefault((record.trace_id, span_id), {}).setdefault(party, place)
        for key, places in outbound.items():
            self._by_span[key] = places | self._by_span.get(key, {})

    def parents(
        self, item: ChainLogregel, asked_by: Mapping[Place, tuple[int, Logregel]]
    ) -> Iterator[tuple[int, Relation]]:
        """Give the records that this one may belong below, the surest first."""
        record = item.logregel
        asker = asked_by.get((item.party, record.trace_id))
        if record.parent_span_id:
            here = self._by_span.get((record.trace_id, record.parent_span_id), {})
            if item.party in here:
                yield here[item.party], Relation.PARENT
            yield from self._elsewhere(here, item.party, asker)
        if record.foreign_operation_span_id:
            key = (record.foreign_operation_trace_id or record.trace_id, record.foreign_operation_span_id)
            yield from self._elsewhere(self._by_span.get(key, {}), item.party, asker)
        if asker is not None:
            places = self._by_span.get((asker[1].trace_id, asker[1].span_id), {})
            if asker[0] in places:
                yield places[asker[0]], Relation.ASKED

    @staticmethod
    def _elsewhere(
        places: Mapping[int, int], party: int, asker: tuple[int, Logregel] | None
    ) -> Iterator[tuple[int, Relation]]:
        """Give records of other parties: first of the one that led here, since any party can claim any id."""
        for other in sorted(places, key=lambda other: (asker is None or other != asker[0], other)):
            if other != party:
                yield places[other], Relation.CALLER


def _cut_circles(logregels: list[ChainLogregel]) -> None:
    """Cut each circle of parents at its earliest record, and mark all that are in it."""
    done: set[int] = set()
    for start in range(len(logregels)):
        path: dict[int, None] = {}
        at: int | None = start
        while at is not None and at not in done and at not in path:
            path[at] = None
            at = logregels[at].parent
        if at is not None and at in path:
            circle = list(path)[list(path).index(at) :]
            for place in circle:
                logregels[place].circle = True
            first = logregels[min(circle)]
            first.parent = first.relation = None
        done.update(path)
