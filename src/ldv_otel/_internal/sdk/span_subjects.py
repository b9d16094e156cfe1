"""Whom a trace is about, as long as its spans live: what the privacy shield has to look for.

The identifiers stay in this process's memory, with the live spans that they were told of, and go when those go. A
trace remembers the last few, so that a job about a million people does not remember a million.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.util.types import AttributeValue

from ldv_otel._internal.privacy import redaction
from ldv_otel._internal.privacy.pseudonyms import normalise_identifier
from ldv_otel._internal.privacy.redaction import REDACT_ALL, SHORT, Redactor, identifier
from ldv_otel._internal.record.actie import ExceptionFacts, SpanFacts
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.sdk import span_state as live
from ldv_otel.attributes import CONFIDENTIAL, DATA_SUBJECT_ID, DATA_SUBJECT_ID_TYPE, KEPT_UNTIL, NAMESPACE, Flag

SUBJECT: Final = frozenset({DATA_SUBJECT_ID, DATA_SUBJECT_ID_TYPE})
#: What readers calculate with; a number may have another one in it by chance.
_NO_TEXT: Final = frozenset({CONFIDENTIAL, KEPT_UNTIL})
#: An identifier as it was told, as text, with its type.
Told = tuple[str, str | None]


def tell(known: live.LiveSpan, value: object, type_: object, *, seen_on_span: bool = False) -> None:
    """Remember that a span, and so its trace, is about somebody.

    Args:
        seen_on_span: The identifier stands on the span itself; what is beyond the limit may then not be let through.
    """
    text = value if type(value) is str else normalise_identifier("", value)[0]
    if not text:
        return
    known.says_whom = known.says_whom or seen_on_span
    if known.told is None:
        known.told = []
    one = (text, type_ if isinstance(type_, str) else None)
    if len(known.told) < live.TOLD_IN_TRACE:
        known.told.append(one)
    elif seen_on_span:
        known.too_many = True
    known.told_in_trace.remember(one)


def learn(known: live.LiveSpan, span: ReadableSpan) -> live.SpanSnapshot:
    """Return what a span says by now, and remember whom it is about by its attributes and the mapping rules."""
    seen, name, attributes = known.seen, span.name, live.attributes_of(span)
    # What was started with `processing` says itself what it is.
    ruled = known.activity is None
    if seen is not None and seen.name == name and seen.attributes == attributes and (ruled or seen.rule is None):
        return seen
    rule = known.owner.rule_for(span, attributes) if ruled else None
    seen = known.seen = live.SpanSnapshot(
        name, attributes, rule, rule.identifiers(attributes) if rule is not None else ()
    )
    if DATA_SUBJECT_ID in attributes:
        for one in in_attributes(attributes):
            _tell_once(known, one)
    if rule is not None and rule.subjects:
        for value, type_ in seen.identifiers:
            _tell_once(known, (normalise_identifier("", value)[0], type_))
        known.hidden = frozenset(source.attribute for source in rule.subjects if source.attribute)
    return seen


def learn_upwards(above: live.LiveSpan | None) -> None:
    """Learn of a span and those around it; for a parent to be called before its child ends, which cuts the chain."""
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


def take_out(facts: SpanFacts, known: live.LiveSpan) -> None:
    """Take whom a span is about out of the texts of its record: a name, an exception, attributes of the standard."""
    if facts.exception is None and not _may_be_quoted(facts, known):
        return
    redactor = _looking_for_known(known)
    before = (facts.name, facts.attributes, facts.extended, facts.exception)
    texts = REDACT_ALL if known.too_many else redactor
    facts.name = texts.value(facts.name)
    facts.attributes = {
        name: redactor.value(value) if name.startswith(NAMESPACE) and name not in SUBJECT else value
        for name, value in facts.attributes.items()
    }
    facts.extended = {
        name: value if name in _NO_TEXT else redactor.value(value) for name, value in facts.extended.items()
    }
    exception = facts.exception
    if exception is not None:
        facts.exception = ExceptionFacts(
            redactor.text(exception.type), texts.text(exception.stacktrace), texts.text(exception.message)
        )
    if before != (facts.name, facts.attributes, facts.extended, facts.exception):
        facts.flags = (*facts.flags, Flag.SUBJECT_REDACTED)


def _may_be_quoted(facts: SpanFacts, known: live.LiveSpan) -> bool:
    """Whether a record without an exception may quote an identifier: cheaply, because as a rule it does not."""
    if known.too_many:
        return True
    name = str(facts.name)
    if known.activity is not None:
        # `processing` with a name of its own, in which a short number is no person's.
        texts = (name, *map(str, facts.extended.values()))
        return any(len(text) >= SHORT and text in one for text, _ in known.told_in_trace for one in texts)
    values = [str(value) for key, value in facts.attributes.items() if key.startswith(NAMESPACE) and key not in SUBJECT]
    values += map(str, facts.extended.values())
    # As good as always: a number, and a name and an activity without any.
    return not only_beside_digits(known) or any(map(redaction.has_digits, (name, *values)))


def exposed(records: Sequence[Logregel]) -> Mapping[str, AttributeValue]:
    """Return whom records are about as other exporters may see it."""
    known = [record for record in records if record.data_subject_id]
    if not known:
        return {}
    pseudonyms = tuple(record.data_subject_id.hex() for record in known)
    return {
        DATA_SUBJECT_ID: pseudonyms if len(pseudonyms) > 1 else pseudonyms[0],
        DATA_SUBJECT_ID_TYPE: known[0].data_subject_id_type,
    }


def redactor_of(known: live.LiveSpan) -> Redactor | None:
    """Return what takes out whom a span and its trace are about; None when that is nobody."""
    if known.too_many or known.told_in_trace.incomplete:
        return REDACT_ALL
    return _looking_for_known(known) if known.told_in_trace else None


def _looking_for_known(known: live.LiveSpan) -> Redactor:
    trace, own = known.told_in_trace, known.told or ()
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
    if one[0] and not known.too_many and (known.told is None or one not in known.told):
        tell(known, *one, seen_on_span=True)
