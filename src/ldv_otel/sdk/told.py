"""Whom a trace is about, as long as its spans live: what the privacy shield has to look for.

The identifiers stay in this process's memory, with the live spans that they were told of, and go when those go. A
trace remembers the last few, so that a job about a million people does not remember a million.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from opentelemetry.sdk.trace import ReadableSpan

from ldv_otel import redaction
from ldv_otel.attributes import DATA_SUBJECT_ID, DATA_SUBJECT_ID_TYPE
from ldv_otel.pseudonym import normalise_identifier
from ldv_otel.redaction import SHORT, Redactor, identifier
from ldv_otel.rules import Rule
from ldv_otel.sdk import _private, live

#: An identifier as it was told, as text, with its type.
Told = tuple[str, str | None]


def tell(known: live.LiveSpan, value: object, type_: object) -> None:
    """Remember that a span, and so its trace, is about somebody."""
    text = value if type(value) is str else normalise_identifier("", value)[0]
    if not text:
        return
    if known.told is None:
        known.told = []
    one = (text, type_ if isinstance(type_, str) else None)
    if len(known.told) < live.TOLD_IN_TRACE:
        known.told.append(one)
    known.told_in_trace.append(one)
    known.told_in_trace.version += 1


def learn(known: live.LiveSpan, span: ReadableSpan) -> None:
    """Remember whom a span is about as its attributes and the mapping rules say by now."""
    count = _private.attribute_count(span)
    if known.attributes_seen == (count, span.name):
        return
    known.attributes_seen = (count, span.name)
    attributes = live.attributes_of(span)
    rule = known.owner.rule_for(span, attributes) if known.activity is None else None
    note(known, attributes, rule, rule.identifiers(attributes) if rule is not None else ())


def note(
    known: live.LiveSpan,
    attributes: Mapping[str, object],
    rule: Rule | None,
    identifiers: Sequence[tuple[object, str]],
) -> None:
    """As `learn`, with the attributes, the rule and what it found at hand."""
    if DATA_SUBJECT_ID in attributes:
        for one in in_attributes(attributes):
            _tell_once(known, one)
    if rule is not None and rule.subjects:
        for value, type_ in identifiers:
            _tell_once(known, (normalise_identifier("", value)[0], type_))
        known.hidden = frozenset(source.attribute for source in rule.subjects if source.attribute)


def learn_upwards(known: live.LiveSpan) -> None:
    """Learn of a span and those around it; for a parent to be called before its child ends, which cuts the chain."""
    above: live.LiveSpan | None = known
    while above is not None:
        span = above()
        if span is not None:
            learn(above, span)
        above = above.parent


def in_attributes(attributes: Mapping[str, object]) -> Iterable[Told]:
    """Return the subjects that are set by hand in a span's attributes."""
    value = attributes.get(DATA_SUBJECT_ID)
    type_ = attributes.get(DATA_SUBJECT_ID_TYPE)
    for one in value if isinstance(value, list | tuple) else (value,):
        text, _ = normalise_identifier("", one)
        if text:
            yield text, type_ if isinstance(type_, str) else None


def redactor_of(known: live.LiveSpan) -> Redactor | None:
    """Return what takes out whom a span and its trace are about; None when that is nobody."""
    trace, own = known.told_in_trace, known.told or ()
    if not trace:
        return None
    # Making one costs as much as what it does for a span: as a rule, all spans of a trace look for the same.
    shared = trace.version <= live.TOLD_IN_TRACE and all(len(text) >= SHORT for text, _ in own)
    holder: live.TraceMemory | live.LiveSpan = trace if shared else known
    if holder.redactor is None or holder.redactor[0] != trace.version:
        identifiers = dict.fromkeys((*own, *of_trace(known)))
        holder.redactor = (trace.version, Redactor(identifier(*one) for one in identifiers))
    return holder.redactor[1]


def only_beside_digits(known: live.LiveSpan) -> bool:
    """Say whether all whom a span and its trace are about are numbers, or have one in them."""
    return all(redaction.only_beside_digits(text) for text, _ in (*(known.told or ()), *known.told_in_trace))


def of_trace(known: live.LiveSpan) -> list[Told]:
    """Return whom the trace is about; short ones are left to their own span: elsewhere `7` is something else."""
    return [one for one in tuple(known.told_in_trace) if len(one[0]) >= SHORT]


def _tell_once(known: live.LiveSpan, one: Told) -> None:
    if one[0] and (known.told is None or one not in known.told):
        tell(known, *one)
