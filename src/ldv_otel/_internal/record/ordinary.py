"""The short way to the record of an ordinary Actie, which nearly all are: nothing in it has to be changed or flagged.

The builder (`builder.py`) stays the definition of a record, and whatever is odd goes there. What is made here equals
what it makes: a property draws facts and compares the two (`tests/record/test_ordinary.py`). What is surely
stored as it is, both ask here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeGuard

from ldv_otel._internal.privacy.folding import MAY_HOLD_DIGIT
from ldv_otel._internal.privacy.pseudonyms import KNOWN_TYPES, DataSubject
from ldv_otel._internal.privacy.redaction import Redactor
from ldv_otel._internal.privacy.stray_numbers import StrayNumbers
from ldv_otel._internal.record.logregel import (
    ACTIVITY_MAX_CHARACTERS,
    NAME_MAX_CHARACTERS,
    TEXT_MAX_CHARACTERS,
    Logregel,
    is_uri,
)
from ldv_otel._internal.record.span_facts import SpanFacts
from ldv_otel._internal.times.instants import TIME_MAX_MS, ms_from_ns
from ldv_otel.attributes import FIELDS, NAMESPACE

#: Types of identifiers in their own spelling, and none: words of this package.
TYPES: Final = frozenset({"", *KNOWN_TYPES})
#: Activities, and names of attributes, that are stored as they are and in which no number can be hidden in any form.
#: A service has few of them and repeats them. Threads may add at the same time; a set is full when it is.
_ACTIVITIES: Final[set[str]] = set()
_NAMES: Final[set[str]] = set()
_REMEMBERED: Final = 1_024
_REMEMBERED_CHARACTERS: Final = 256
_NOBODY: Final = DataSubject(b"", "", "")

Test = Callable[[str], object]


def is_storable(text: str) -> bool:
    """Return whether a text is surely stored as it is; the common case, in one scan in C."""
    return text.isascii() and "\x00" not in text and len(text) <= TEXT_MAX_CHARACTERS


def ordinary_record(
    facts: SpanFacts,
    subjects: Sequence[DataSubject],
    activity: object,
    redactor: Redactor | None,
    stray: StrayNumbers,
) -> Logregel | None:
    """Return the record of an Actie; None where anything about it is not ordinary, and the builder has to look at it.

    Args:
        facts: Without a party that called or was called.
        subjects: Its data subjects, of whom an ordinary Actie has one at most.
        activity: What its attributes name.
        redactor: Searches for the identifiers that are known, as in `LogregelBuilder`.
        stray: Searches for other BSNs.
    """
    if (
        facts.flags
        or facts.originals
        or facts.extended
        or facts.closed
        or facts.exception is not None
        or facts.foreign is not None
        or facts.resource.flags
        or len(subjects) > 1
    ):
        return None
    may_find: Test = stray.may_find
    resource = facts.resource.text
    if redactor is not None:
        # What is remembered has no digit; that decides only where each identifier has one.
        if not redactor.needs_digit:
            return None
        may_find = redactor.may_find_or_bsn
        # Of BSNs that nobody named it was cleared when it was made, for all records of the process.
        if redactor.may_find_in_shared(resource if facts.resource.searched is None else facts.resource.searched):
            return None
    start_ms, end_ms = ms_from_ns(facts.start_time_ns), ms_from_ns(facts.end_time_ns)
    name, enclosing = facts.name, facts.enclosing
    main = enclosing.processing_activity_id if enclosing is not None else ""
    if (
        not 0 <= start_ms <= end_ms <= TIME_MAX_MS
        or not _is_name(name, may_find)
        or not _is_activity(activity, may_find)
        or (main and main != activity and not _is_activity(main, may_find))
    ):
        return None
    subject = subjects[0] if subjects else _NOBODY
    attributes = _own_attributes(facts.attributes, may_find)
    if attributes is None or subject.flags or subject.type not in TYPES or not is_storable(subject.sealed):
        return None
    return Logregel(
        trace_id=facts.trace_id,
        span_id=facts.span_id,
        parent_span_id=enclosing.span_id if enclosing is not None else b"",
        status=facts.status,
        name=name,
        start_time_ms=start_ms,
        end_time_ms=end_ms,
        processing_activity_id=activity,
        parent_processing_activity_id=main if main != activity else "",
        data_subject_id=subject.pseudonym,
        data_subject_id_type=subject.type,
        key_id=subject.key_id,
        data_subject_sealed=subject.sealed,
        outbound_span_ids=facts.outbound_span_ids,
        attributes=attributes,
        resource=resource,
    )


def _own_attributes(attributes: Mapping[str, object], may_find: Test) -> dict[str, str] | None:
    """Return those attributes of a span that have no field of their own in a record; None if one is not ordinary."""
    own = {}
    for name, value in attributes.items():
        if name.startswith(NAMESPACE) and name not in FIELDS:
            if not _is_attribute_name(name, may_find) or not _is_text(value, may_find):
                return None
            own[name] = value
    return own


def _is_text(value: object, may_find: Test) -> TypeGuard[str]:
    return type(value) is str and is_storable(value) and not may_find(value)


def _is_name(value: object, may_find: Test) -> TypeGuard[str]:
    # Not remembered: it may be somebody's.
    return _is_text(value, may_find) and 0 < len(value) <= NAME_MAX_CHARACTERS and value.strip() == value


def _is_activity(value: object, may_find: Test) -> TypeGuard[str]:
    if type(value) is str and value in _ACTIVITIES:
        return True
    if not _is_text(value, may_find) or len(value) > ACTIVITY_MAX_CHARACTERS or not is_uri(value):
        return False
    _remember(value, _ACTIVITIES)
    return True


def _is_attribute_name(name: str, may_find: Test) -> bool:
    if name in _NAMES:
        return True
    if not _is_text(name, may_find):
        return False
    _remember(name, _NAMES)
    return True


def _remember(text: str, texts: set[str]) -> None:
    if len(text) <= _REMEMBERED_CHARACTERS and len(texts) < _REMEMBERED and not MAY_HOLD_DIGIT.search(text):
        texts.add(text)
