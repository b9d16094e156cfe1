"""A chain: the parties, their records, and what called what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec

from ldv_otel._internal.record.logregel import Logregel


class PartyState(StrEnum):
    """Whether a party could be asked, and why not."""

    #: It is this Logboek; the contract of the read API has the word.
    THIS_LOGBOEK = "here"
    REACHED = "reached"
    #: Nobody answers at its address, or not in time.
    UNREACHABLE = "unreachable"
    #: It refuses the credentials that we have.
    REFUSED = "refused"
    #: Its answer is not that of a read API.
    UNREADABLE = "unreadable"
    #: A Logregel names it, and it is not in LDV_PARTIES; it was not asked.
    NOT_CONFIGURED = "not_configured"
    #: It has no read API (yet); at its address people can ask.
    NO_API = "no_api"


class Party(msgspec.Struct, kw_only=True):
    """One party of a chain.

    Attributes:
        url: Its read API as Logregels name it; empty for this Logboek.
        detail: What went wrong, for people; never anything of the answer.
        complete: Whether the chain has all of its records, as far as we could ask.
    """

    url: str
    name: str = ""
    state: PartyState
    detail: str = ""
    complete: bool = True


class Relation(StrEnum):
    """By what a record belongs below another."""

    #: Its parent, at the same party.
    PARENT = "parent"
    #: The calling Actie at another party, by the ids that both have.
    CALLER = "caller"
    #: Not by ids: the other record names this party's read API in the same trace.
    ASKED = "asked"


class ChainLogregel(msgspec.Struct, kw_only=True):
    """A record in a chain.

    Attributes:
        party: The index of its party in `Chain.parties`.
        parent: The index in `Chain.logregels` of the record that it belongs below; None for a beginning.
        circle: Whether its parents lead back to itself; one of them was cut.
        repeated: Whether the same party has another record with the same ids.
    """

    party: int
    logregel: Logregel
    parent: int | None = None
    relation: Relation | None = None
    circle: bool = False
    repeated: bool = False


class Chain(msgspec.Struct, kw_only=True):
    """The records of a trace over organisations.

    Attributes:
        parties: This Logboek first.
        logregels: By start time.
        complete: Whether nothing was left out: every party answered, and no limit was reached.
    """

    trace_id: bytes
    parties: list[Party]
    logregels: list[ChainLogregel]
    complete: bool


class ChainQuery(NamedTuple):
    """A party, by its index in `Chain.parties`, and a trace that it is asked for."""

    party: int
    trace_id: bytes


def linked(
    records: Iterable[tuple[int, Logregel]], asked_by: Mapping[ChainQuery, tuple[int, Logregel]]
) -> list[ChainLogregel]:
    """Return the records by time, each with the one it belongs below.

    Args:
        records: Party and record.
        asked_by: For each query, the record (and its party) that named the party.
    """
    ordered = sorted(records, key=lambda item: (item[1].start_time_ms, item[0], item[1].span_id))
    by_ids = _ChainIndex(ordered)
    counts = Counter((party, record.trace_id, record.span_id) for party, record in ordered)
    logregels = [
        ChainLogregel(party=party, logregel=record, repeated=counts[party, record.trace_id, record.span_id] > 1)
        for party, record in ordered
    ]
    for index, item in enumerate(logregels):
        for parent, relation in by_ids.parents(item, asked_by):
            if parent != index:
                item.parent, item.relation = parent, relation
                break
    _cut_circles(logregels)
    return logregels


class _ChainIndex:
    """Indexes of records by the ids that others refer to: their own span's, and those of the spans below them."""

    def __init__(self, ordered: Sequence[tuple[int, Logregel]]) -> None:
        self._by_span: dict[tuple[bytes, bytes], dict[int, int]] = {}
        outbound: dict[tuple[bytes, bytes], dict[int, int]] = {}
        for index, (party, record) in enumerate(ordered):
            self._by_span.setdefault((record.trace_id, record.span_id), {}).setdefault(party, index)
            for span_id in record.outbound_span_ids:
                outbound.setdefault((record.trace_id, span_id), {}).setdefault(party, index)
        for key, by_party in outbound.items():
            self._by_span[key] = by_party | self._by_span.get(key, {})

    def parents(
        self, item: ChainLogregel, asked_by: Mapping[ChainQuery, tuple[int, Logregel]]
    ) -> Iterator[tuple[int, Relation]]:
        """Yield the records that this one may belong below, the surest first."""
        record = item.logregel
        asker = asked_by.get(ChainQuery(item.party, record.trace_id))
        if record.parent_span_id:
            by_party = self._by_span.get((record.trace_id, record.parent_span_id), {})
            if item.party in by_party:
                yield by_party[item.party], Relation.PARENT
            yield from self._elsewhere(by_party, item.party, asker)
        if record.foreign_operation_span_id:
            key = (record.foreign_operation_trace_id or record.trace_id, record.foreign_operation_span_id)
            yield from self._elsewhere(self._by_span.get(key, {}), item.party, asker)
        if asker is not None:
            by_party = self._by_span.get((asker[1].trace_id, asker[1].span_id), {})
            if asker[0] in by_party:
                yield by_party[asker[0]], Relation.ASKED

    @staticmethod
    def _elsewhere(
        by_party: Mapping[int, int], party: int, asker: tuple[int, Logregel] | None
    ) -> Iterator[tuple[int, Relation]]:
        """Yield records of other parties: the asker's first, since any party can claim any id."""
        for other in sorted(by_party, key=lambda other: (asker is None or other != asker[0], other)):
            if other != party:
                yield by_party[other], Relation.CALLER


def _cut_circles(logregels: list[ChainLogregel]) -> None:
    """Cut each circle of parents at its earliest record, and mark all that are in it."""
    done: set[int] = set()
    for start in range(len(logregels)):
        path: dict[int, None] = {}
        index: int | None = start
        while index is not None and index not in done and index not in path:
            path[index] = None
            index = logregels[index].parent
        if index is not None and index in path:
            circle = list(path)[list(path).index(index) :]
            for member in circle:
                logregels[member].circle = True
            first = logregels[min(circle)]
            first.parent = first.relation = None
        done.update(path)
