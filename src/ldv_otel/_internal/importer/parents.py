"""From spans to Logregels: who calls whom, when only some spans become records.

A file has the spans in the order they ended, children first, so links can only be made when all spans are known.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from ldv_otel._internal.importer.span_fields import Id
from ldv_otel._internal.importer.spans import ImportedSpan
from ldv_otel._internal.privacy.redaction import TraceIdentifiers
from ldv_otel._internal.record.actie import LogregelMaker, identifiers_in
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.record.span_facts import EnclosingActie, ForeignOperation, SpanFacts
from ldv_otel.attributes import NAMESPACE, Flag

Key = tuple[bytes, bytes]

#: Tools that write milliseconds may cut or round them.
_ROUNDING_NS: Final = 1_000_000


def without_repeats(spans: Iterable[ImportedSpan]) -> tuple[list[ImportedSpan], list[ImportedSpan]]:
    """Return each span once, and the Acties beside them that have the ids of another one.

    Of repeats the first stays, but rather one that is an Actie than one that is not. Acties with the same ids that tell
    something else are no repeats: some tool uses ids more than once, and no record may be lost by that (LDV-N17).
    """
    kept: dict[Key, ImportedSpan] = {}
    beside: dict[Key, list[ImportedSpan]] = {}
    for span in spans:
        earlier = kept.setdefault(span.key, span)
        if earlier.facts is None:
            kept[span.key] = earlier if span.facts is None else span
        elif span.facts is not None:
            others = beside.setdefault(span.key, [])
            if not any(_is_same_actie(span, other) for other in (earlier, *others)):
                others.append(span)
    return list(kept.values()), [span for others in beside.values() for span in others]


def _is_same_actie(span: ImportedSpan, other: ImportedSpan) -> bool:
    """Whether two Acties of a file tell the same, in whatever spelling, as `is_same_record` has it for records."""
    if span is other:
        return True
    if span.facts is None or other.facts is None or abs(span.start_time_ns - other.start_time_ns) > _ROUNDING_NS:
        return False
    a, b = span.facts, other.facts
    return (
        abs(a.end_time_ns - b.end_time_ns) <= _ROUNDING_NS
        and (a.name, a.status) == (b.name, b.status)
        and _of_standard(a.attributes) == _of_standard(b.attributes)
    )


def _of_standard(attributes: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in attributes.items() if name.startswith(NAMESPACE)}


def link_beside(
    beside: Sequence[ImportedSpan], spans: Sequence[ImportedSpan], stored: Collection[Key], maker: LogregelMaker
) -> list[Logregel]:
    """Return the records of Acties that have the ids of another one among the spans, each in its place."""
    records: list[Logregel] = []
    left = list(beside)
    while left:
        instead = {span.key: span for span in reversed(left)}
        left = [span for span in left if instead[span.key] is not span]
        others = [instead.get(span.key, span) for span in spans]
        records += [record for record in link(others, stored, maker) if record_key(record) in instead]
    return records


def record_key(record: Logregel) -> Key:
    """Return the ids of a record."""
    return record.trace_id, record.span_id


def link(spans: Sequence[ImportedSpan], stored: Collection[Key], maker: LogregelMaker) -> list[Logregel]:
    """Return the records of all Acties among the spans.

    The parent of a record is the nearest enclosing Actie, through any number of technical spans (LDV-A2). Where that
    chain leaves the spans, it leads to a record that the Logboek has already, or else to a caller elsewhere, which
    becomes the foreign operation (LDV-A6).

    Args:
        spans: No two with the same key.
        stored: Trace and span ids in the Logboek, of these traces at least.
        maker: Makes records of facts.
    """
    tree = _Tree(spans)
    outbound = tree.outbound()
    records: list[Logregel] = []
    activities: dict[Key, str] = {}
    identifiers = _known_identifiers(spans)
    for actie in spans:
        # The enclosing ones first: an Actie without an activity of its own inherits theirs (LDV-A3).
        for span, facts in reversed(tree.chain(actie, activities)):
            above = tree.above(span)
            if above.actie is not None and above.actie.key in activities:
                facts.enclosing = EnclosingActie(above.actie.span_id, activities[above.actie.key])
            elif above.actie is not None or above.circular:
                _note_circle(facts, span.parent)
            elif above.outside.raw:
                _leave(facts, above.outside, stored)
            facts.outbound_span_ids = tuple(span_id for _, span_id in sorted(outbound.get(span.key, ())))
            facts.redactor = identifiers.redactor(span.trace_id, identifiers_in(facts.attributes))
            made = maker.make(facts)
            activities[span.key] = made[0].processing_activity_id
            records.extend(made)
    return records


def _known_identifiers(spans: Iterable[ImportedSpan]) -> TraceIdentifiers:
    """Return all identifiers of each trace: a span may quote the data subject of another one."""
    identifiers = TraceIdentifiers()
    for span in spans:
        if span.facts is not None:
            identifiers.add(span.trace_id, identifiers_in(span.facts.attributes))
    return identifiers


class _Above(msgspec.Struct, frozen=True):
    """What stands above a span: an Actie, or the id where the chain leaves the spans, or neither (a root).

    Attributes:
        circular: The chain comes back to where it was.
    """

    actie: ImportedSpan | None = None
    outside: Id = Id()
    circular: bool = False


_ROOT: Final = _Above()
_CIRCLE: Final = _Above(circular=True)


class _Tree:
    """Spans by their keys; it remembers what is above the technical ones."""

    def __init__(self, spans: Sequence[ImportedSpan]) -> None:
        self._spans = {span.key: span for span in spans}
        self._above: dict[Key, _Above] = {}

    def above(self, span: ImportedSpan) -> _Above:
        """Return what is above a span, past any technical spans; each of those is walked through once.

        In a circle, that Actie may be the span itself, or one below it.
        """
        passed: dict[Key, None] = {}
        current = span
        while True:
            key = (span.trace_id, current.parent.raw)
            parent = self._spans.get(key)
            if not current.parent.raw:
                above = _ROOT
            elif parent is None:
                above = _Above(outside=current.parent)
            elif parent.facts is not None:
                above = _Above(actie=parent)
            elif key in passed:
                above = _CIRCLE
            elif key in self._above:
                above = self._above[key]
            else:
                passed[key] = None
                current = parent
                continue
            break
        self._above.update(dict.fromkeys(passed, above))
        return above

    def chain(self, span: ImportedSpan, done: Collection[Key]) -> list[tuple[ImportedSpan, SpanFacts]]:
        """Return this Actie and those around it that are not done yet, innermost first; none for a technical span."""
        chain: dict[Key, tuple[ImportedSpan, SpanFacts]] = {}
        current: ImportedSpan | None = span
        while (
            current is not None and current.facts is not None and current.key not in done and current.key not in chain
        ):
            chain[current.key] = current, current.facts
            current = self.above(current).actie
        return list(chain.values())

    def outbound(self) -> dict[Key, list[tuple[int, bytes]]]:
        """Return start times and ids of the technical client spans below each Actie: called parties see those ids."""
        outbound: dict[Key, list[tuple[int, bytes]]] = defaultdict(list)
        for span in self._spans.values():
            if span.outbound and (actie := self.above(span).actie) is not None:
                outbound[actie.key].append((span.start_time_ns, span.span_id))
        return outbound


def _leave(facts: SpanFacts, outside: Id, stored: Collection[Key]) -> None:
    if (facts.trace_id, outside.raw) in stored:
        # Its activity is not known here, so this record names no parent activity.
        facts.enclosing = EnclosingActie(outside.raw, "")
        return
    facts.foreign = ForeignOperation(facts.trace_id, outside.raw)
    if outside.original:
        facts.flags = (*facts.flags, Flag.ID_REPLACED)
        facts.originals = {**facts.originals, "parent_span_id": outside.original}


def _note_circle(facts: SpanFacts, parent: Id) -> None:
    """Cut a circle of parents open here: the record becomes a root, and keeps the id it named."""
    facts.flags = (*facts.flags, Flag.ID_REPLACED)
    facts.originals = {**facts.originals, "parent_span_id": parent.original or parent.raw.hex()}
